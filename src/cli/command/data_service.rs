//! What the commands of data services have in common: which add-on is meant, acts inside of it, and asking once more.

use std::process::ExitCode;

use hyper::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::attached::{self, Terminal};
use crate::cli::failure::Failure;
use crate::cli::output::{self, heading, pairs, shown_app};
use crate::sys::tty;
use crate::wire::api::{
    ActTerminal, AddOn, Attachment, ByName, CreateAttachment, DoAct, ResolveAttachment, ServiceInfo,
};

/// Lines and columns of a terminal that does not know its size.
const WINDOW: (u16, u16) = (24, 80);

/// A service that has commands of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    /// Its name.
    pub(super) service: &'static str,
    /// What an app has it as that was given no name.
    pub(super) attachment: &'static str,
    /// What one of it is called.
    pub(super) noun: &'static str,
}

impl Kind {
    fn is_of(self, attachment: &Attachment) -> bool {
        attachment.addon.plan.name.split(':').next() == Some(self.service)
    }
}

/// All that an app has of a service, an add-on once.
pub(super) async fn all(context: &Context, app: &str, kind: Kind) -> Result<Vec<Attachment>, Failure> {
    let mut all: Vec<Attachment> = context.client.get(&format!("/apps/{app}/addon-attachments")).await?;
    all.retain(|attachment| kind.is_of(attachment));
    Ok(all)
}

/// What the app has of a service under the name `key`; without one, under the service's own name, or the first.
pub(super) async fn find(
    context: &Context,
    app: &AppArgs,
    key: Option<&str>,
    kind: Kind,
) -> Result<Attachment, Failure> {
    let app = app.name()?;
    let Some(key) = key else {
        let all = all(context, &app, kind).await?;
        let named = all.iter().find(|attachment| attachment.name == kind.attachment);
        return named.or(all.first()).cloned().ok_or_else(|| none(&app, kind));
    };
    let body = ResolveAttachment { addon_attachment: key.to_owned(), app: Some(app) };
    let path = "/actions/addon-attachments/resolve";
    let found: Vec<Attachment> = context.client.send_json(Method::POST, path, &body).await?;
    let found = found.into_iter().next();
    let found = found
        .ok_or_else(|| Failure::Answer("the node found an add-on, and did not tell which".to_owned()))?;
    if kind.is_of(&found) {
        Ok(found)
    } else {
        Err(Failure::Usage(format!(
            "{} is no {}: it is {}.",
            found.addon.name, kind.noun, found.addon.plan.name
        )))
    }
}

/// That an app has none of a service.
pub(super) fn none(app: &str, kind: Kind) -> Failure {
    Failure::Nothing(format!(
        "{} has no {}: create one with dyno addons:create {}.",
        shown_app(app),
        kind.noun,
        kind.service
    ))
}

/// A path below an add-on, by the app that has it.
pub(super) fn path(of: &Attachment, below: &str) -> String {
    format!("/apps/{}/addons/{}/{below}", of.app.name, of.addon.id)
}

/// A path below an add-on that only its own app may take.
pub(super) fn own_path(of: &Attachment, below: &str) -> String {
    format!("/apps/{}/addons/{}/{below}", of.addon.app.name, of.addon.id)
}

/// Has an act done that takes no input; what it says is ours, and its exit status too.
pub(super) async fn tell(
    context: &Context,
    of: &Attachment,
    (act, args): (&str, Vec<String>),
) -> Result<ExitCode, Failure> {
    let path = path(of, &format!("acts/{}", encoded(act)));
    let connection = context.client.attach_to(&path, &DoAct { args, terminal: None }).await?;
    attached::listen(connection, output::bytes).await
}

/// What is wanted at the near end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Near {
    /// A terminal, where this end is one.
    Terminal,
    /// Pipes.
    Pipes,
}

/// Is the near end of an act: a terminal where there is one and no command is given, else pipes.
pub(super) async fn converse(
    context: &Context,
    of: &Attachment,
    (act, args): (&str, Vec<String>),
) -> Result<ExitCode, Failure> {
    output::note(&format!("--> Connecting to {}\n", of.addon.name));
    let near = if args.is_empty() { Near::Terminal } else { Near::Pipes };
    attend(context, of, ((act, args), near)).await
}

/// Is the near end of an act.
pub(super) async fn attend(
    context: &Context,
    of: &Attachment,
    ((act, args), near): ((&str, Vec<String>), Near),
) -> Result<ExitCode, Failure> {
    let is_terminal = near == Near::Terminal && tty::stdin_is_terminal() && tty::stdout_is_terminal();
    let (terminal, near) = if is_terminal {
        let known = tty::window_size().ok().filter(|size| size.rows > 0 && size.cols > 0);
        let (rows, cols) = known.map_or(WINDOW, |size| (size.rows, size.cols));
        let term = std::env::var("TERM").unwrap_or_else(|_| "xterm".to_owned());
        (Some(ActTerminal { cols, rows, term }), Terminal::Raw)
    } else {
        (None, Terminal::Pipes)
    };
    let path = path(of, &format!("acts/{}", encoded(act)));
    let connection = context.client.attach_to(&path, &DoAct { args, terminal }).await?;
    attached::converse(connection, near).await
}

/// What services tell of themselves, each under the config vars that lead to it.
pub(super) async fn inform(context: &Context, all: Vec<Attachment>) -> Result<(), Failure> {
    let mut told: Vec<(Vec<String>, ServiceInfo)> = Vec::new();
    for attachment in all {
        match told.iter_mut().find(|(_, info)| info.addon_id == attachment.addon.id) {
            Some((config_vars, _)) => config_vars.extend(attachment.config_vars),
            None => {
                let info = context.client.get(&path(&attachment, "info")).await?;
                told.push((attachment.config_vars, info));
            }
        }
    }
    if context.node.json {
        return output::json(&told.iter().map(|(_, info)| &info.info).collect::<Vec<_>>());
    }
    let text = |(config_vars, info): &(Vec<String>, ServiceInfo)| {
        let facts = info.info.iter().map(|fact| (fact.name.as_str(), fact.values.join(", ")));
        let facts: Vec<_> = facts.chain([("Add-on", info.name.clone())]).collect();
        heading(&config_vars.join(", ")) + &pairs(facts.iter().map(|(name, value)| (*name, value.as_str())))
    };
    output::data(&told.iter().map(text).collect::<Vec<_>>().join("\n"))
}

/// The value of the config var that comes with an attachment: a secret.
pub(super) async fn url(context: &Context, of: &Attachment) -> Result<String, Failure> {
    let info: ServiceInfo = context.client.get(&path(of, "info")).await?;
    Ok(info.resource_url)
}

/// Makes an add-on what the app has under the service's own name; what it had there before it keeps under another.
pub(super) async fn promote(context: &Context, of: &Attachment, kind: Kind) -> Result<(), Failure> {
    let app = of.app.name.clone();
    let all = all(context, &app, kind).await?;
    let current = all.iter().find(|attachment| attachment.name == kind.attachment);
    if let Some(current) = current {
        if current.addon.id == of.addon.id {
            let text = format!("{} is already promoted on {}.", of.addon.name, shown_app(&app));
            return Err(Failure::Nothing(text));
        }
        let has_another =
            all.iter().any(|other| other.addon.id == current.addon.id && other.id != current.id);
        if !has_another {
            let text = format!("Ensuring an alternate alias for existing {}_URL", kind.attachment);
            let kept = attach(context, (current, &app), None);
            output::action(&text, kept, |kept| Some(format!("{}_URL", kept.name))).await?;
        }
    }
    let text = format!("Promoting {} to {}_URL on {}", of.addon.name, kind.attachment, shown_app(&app));
    let promoted = attach(context, (of, &app), Some(kind.attachment.to_owned()));
    output::action(&text, promoted, |_| None).await.map(drop)
}

async fn attach(
    context: &Context,
    (of, app): (&Attachment, &str),
    name: Option<String>,
) -> Result<Attachment, Failure> {
    let body = CreateAttachment {
        addon: ByName::Word(of.addon.id.to_string()),
        app: ByName::Word(app.to_owned()),
        confirm: Some(app.to_owned()),
        name,
    };
    context.client.send_json(Method::POST, "/addon-attachments", &body).await
}

/// Gives an add-on another password; its apps are restarted with it.
pub(super) async fn rotate(context: &Context, of: &Attachment) -> Result<(), Failure> {
    let text = format!("Rotating the password of {}", of.addon.name);
    let path = own_path(of, "actions/rotate-password");
    let rotated = context.client.call::<AddOn>(Method::POST, &path);
    output::action(&text, rotated, |_| None).await.map(drop)
}

/// A part of a path.
pub(super) fn encoded(part: &str) -> String {
    utf8_percent_encode(part, NON_ALPHANUMERIC).to_string()
}
