//! What is done inside of a service that runs, beside its server: the acts that its description has, for a client who is attached, or
//! for the node itself.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use uuid::Uuid;

use crate::domain::{AddOnName, App};
use crate::flows::Node;
use crate::flows::add_ons::AddOnView;
use crate::flows::error::FlowError;
use crate::flows::ports::{Act, Connection, Streams, Work};
use crate::wire::api_errors::AddOnRefusal;

/// Bytes kept of what a command of the node's own says.
const SAID_BYTES_MAX: u64 = 64 << 10;
/// How long a command of the node's own may take that only asks, seconds.
const ASK_TIMEOUT_S: u64 = 20;
/// How long one may take that changes, seconds.
const CHANGE_TIMEOUT_S: u64 = 10 * 60;
/// The act that tells of the service in lines of a name and a value.
const INFO: &str = "info";
/// The act that ends all connections.
const KILLALL: &str = "killall";
/// The act that has figures counted anew.
const STATS_RESET: &str = "stats-reset";

/// What a client wants done.
#[derive(Clone, Debug)]
pub struct ActRequest {
    /// Which act.
    pub act: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// The kind of the client's terminal.
    pub term: Option<String>,
    /// Where its streams lead; not to the log.
    pub connection: Connection,
}

/// Has an act of a service begun, for a client that is attached to it, on behalf of an app that has the add-on.
///
/// # Errors
/// The service does not know the act, or does not answer, or the node fails.
pub async fn begin_act(
    node: &Node,
    (view, app): (&AddOnView, &App),
    request: ActRequest,
) -> Result<Streams, FlowError> {
    let ActRequest { act, args, term, connection } = request;
    let script = script(view, &act)?;
    let has = view.attachments.iter().find(|has| has.app.id == app.id);
    let told = [
        ("APP", Some(app.name.to_string())),
        ("ATTACHMENT", has.map(|has| has.attachment.name.to_string())),
        ("TERM", term),
    ];
    let env = told.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    let begun = node.services().act(view.add_on.id, Act { name: act, script, args, env }, connection).await?;
    Ok(begun.ok_or_else(|| AddOnRefusal::Away(view.add_on.name.to_string()))?)
}

fn script(view: &AddOnView, act: &str) -> Result<String, FlowError> {
    let script = view.service.acts.get(act).cloned();
    Ok(script.ok_or_else(|| {
        let known = view.service.acts.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let act = act.chars().take(63).collect();
        AddOnRefusal::NoSuchAct { service: view.service.name.clone(), act, known }
    })?)
}

/// What a service tells of itself: names and values, in its order. Nothing of one that has no such act.
///
/// # Errors
/// The service does not answer, or the node fails.
pub async fn add_on_info(node: &Node, view: &AddOnView) -> Result<Vec<(String, String)>, FlowError> {
    let Some(script) = view.service.acts.get(INFO) else { return Ok(Vec::new()) };
    let said = done(node, view, (INFO, script), ASK_TIMEOUT_S).await?;
    let pair = |line: &str| {
        line.split_once(':').map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
    };
    Ok(said.lines().filter_map(pair).collect())
}

/// Empties a service. Who is connected to it is sent away.
///
/// # Errors
/// The service cannot be emptied or does not answer, its command fails, or the node does.
pub async fn reset_add_on(node: &Node, view: &AddOnView) -> Result<(), FlowError> {
    let name = "reset";
    let none = || AddOnRefusal::CannotHere { service: view.service.name.clone(), what: "be emptied" };
    let script = view.service.commands.reset.as_ref().ok_or_else(none)?;
    done(node, view, (name, script), CHANGE_TIMEOUT_S).await.map(drop)
}

/// Ends all connections of clients to a service.
///
/// # Errors
/// The service does not know how, or does not answer, or the node fails.
pub async fn end_connections(node: &Node, view: &AddOnView) -> Result<(), FlowError> {
    let script = script(view, KILLALL)?;
    done(node, view, (KILLALL, &script), ASK_TIMEOUT_S).await.map(drop)
}

/// Has a service count anew what it tells of its use, and gives what it says of that.
///
/// # Errors
/// The service does not know how, or does not answer, or the node fails.
pub async fn reset_statistics(node: &Node, view: &AddOnView) -> Result<String, FlowError> {
    let script = script(view, STATS_RESET)?;
    Ok(done(node, view, (STATS_RESET, &script), ASK_TIMEOUT_S).await?.trim().to_owned())
}

/// Runs a command of the node's own to its end, with no input, and tells what it says.
async fn done(
    node: &Node,
    view: &AddOnView,
    (name, script): (&str, &str),
    timeout_s: u64,
) -> Result<String, FlowError> {
    let work = begin_work(node, (view.add_on.id, &view.add_on.name), (name, script)).await?;
    let Work { input, output, errors, control: _hold, exit } = work;
    drop(input);
    let all = async { tokio::join!(said(output), said(errors), exit) };
    let failed = |said: &str| failure(view, name, said);
    let timed_out = |_| failed(&format!("it took longer than {timeout_s} seconds"));
    let (output, errors, status) =
        tokio::time::timeout(Duration::from_secs(timeout_s), all).await.map_err(timed_out)?;
    if status == 0 { Ok(output) } else { Err(failed(&errors)) }
}

/// Begins a command of the node's own.
pub(super) async fn begin_work(
    node: &Node,
    (id, add_on): (Uuid, &AddOnName),
    (name, script): (&str, &str),
) -> Result<Work, FlowError> {
    let act =
        Act { name: name.to_owned(), script: script.to_owned(), args: Vec::new(), env: BTreeMap::new() };
    let begun = node.services().work(id, act).await?;
    Ok(begun.ok_or_else(|| AddOnRefusal::Away(add_on.to_string()))?)
}

/// A command that did not succeed, with what it said.
fn failure(view: &AddOnView, act: &str, said: &str) -> FlowError {
    let said = match said.trim() {
        "" => "it did not say why".to_owned(),
        said => said.to_owned(),
    };
    AddOnRefusal::ActFailed { act: act.to_owned(), add_on: view.add_on.name.to_string(), said }.into()
}

/// What comes, as far as it is kept; the rest is read and let go, so that nobody waits to say it.
pub(super) async fn said(mut from: Box<dyn AsyncRead + Send + Unpin>) -> String {
    let mut kept = Vec::new();
    // One that breaks off has said all that it will.
    let _ = (&mut from).take(SAID_BYTES_MAX).read_to_end(&mut kept).await;
    let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&kept).into_owned()
}
