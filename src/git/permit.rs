//! What clients of both doors may ask for, and who may: HTTPS and SSH differ in how somebody shows who they are, and in
//! nothing else.

use tokio::process::Command;

use crate::domain::{App, AppRight, Scope};
use crate::flows::{self, Caller, FlowError};
use crate::git::server::GitState;

/// What git asks for at the far end (gitprotocol-pack(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// Objects and refs are read.
    Fetch,
    /// They are brought.
    Push,
}

impl Service {
    /// The service of that name.
    pub(super) fn named(name: &str) -> Option<Self> {
        [Self::Fetch, Self::Push].into_iter().find(|service| service.name() == name)
    }

    /// `git-upload-pack`: named from the far end's point of view.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Fetch => "git-upload-pack",
            Self::Push => "git-receive-pack",
        }
    }

    /// What a token must be good for.
    fn scope(self) -> Scope {
        match self {
            Self::Fetch => Scope::Read,
            Self::Push => Scope::Write,
        }
    }
}

/// Why a client gets nothing.
#[derive(Debug)]
pub(super) enum Denied {
    /// There is no such app; or there is, and it is none of the caller's.
    NoApp,
    /// The caller may look at the app, and not at its code.
    Forbidden,
    /// The node failed.
    Fault(FlowError),
}

/// The app of that name, if `caller` may have `service` of it. Code may hold as much as config vars, and a push changes what
/// runs: both ask for more than to look.
pub(super) async fn app_for(
    state: &GitState,
    caller: &Caller,
    name: &str,
    service: Service,
) -> Result<App, Denied> {
    let node = &state.node;
    let app = refused_as(flows::find(node, name).await, Denied::NoApp)?;
    refused_as(flows::permit(node, caller, &app, AppRight::View).await, Denied::NoApp)?;
    refused_as(flows::permit(node, caller, &app, AppRight::Deploy).await, Denied::Forbidden)?;
    caller.require_scope(service.scope()).map_err(|_| Denied::Forbidden)?;
    Ok(app)
}

fn refused_as<T>(result: Result<T, FlowError>, refused: Denied) -> Result<T, Denied> {
    result.map_err(|error| match error {
        FlowError::Refused(_) => refused,
        fault @ FlowError::Fault { .. } => Denied::Fault(fault),
    })
}

/// Tells the repository's hook where the node is, and what it is about.
pub(super) fn hooked(command: &mut Command, state: &GitState, app: &App, caller: &Caller) {
    command
        .env("DYNO_SOCKET", &state.socket)
        .env("DYNO_HOOK_APP", app.id.to_string())
        .env("DYNO_HOOK_USER", caller.user().as_str());
}
