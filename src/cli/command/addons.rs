//! `dyno addons`, `addons:services`, `plans`, `create`, `info`, `attach`, `detach`, `upgrade`, `rename`, `destroy`, `run` and `wait`

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use hyper::Method;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::command::data_service::{self, encoded};
use crate::cli::confirm::confirmed;
use crate::cli::failure::Failure;
use crate::cli::output::{self, heading, megabytes, pairs, ruled, shown_app};
use crate::wire::api::{
    AddOn, AddOnService, Attachment, AttachmentRequest, ByName, CreateAddOn, CreateAttachment, DestroyAddOn,
    Plan, ResolveAddOn, ResolveAttachment, UpdateAddOn,
};

/// The option that has an own name here.
const FORK: &str = "fork";
/// Between two looks at an add-on that is being created.
const WAIT_PAUSE: Duration = Duration::from_millis(100);

/// Show the add-ons of an app, and as what it has them
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// Those of all apps
    #[arg(long, conflicts_with_all = ["app", "remote"])]
    all: bool,
}

/// Show which data services there are
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ServicesArgs {}

/// Show the plans of a data service
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct PlansArgs {
    /// Name of the service
    #[arg(value_name = "SERVICE")]
    service: String,
}

/// Make an add-on for an app, and attach it
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct CreateArgs {
    #[command(flatten)]
    app: AppArgs,
    /// The service, or one of its plans, such as heroku-postgresql:essential-0
    #[arg(value_name = "SERVICE:PLAN")]
    plan: String,
    /// Name of the add-on; one is made up otherwise
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// What the app has it as; its config var is NAME_URL
    #[arg(long = "as", value_name = "NAME")]
    attachment: Option<String>,
    /// Give it the contents of another: what the app has that as, APP::NAME of another app, or its name
    #[arg(long, value_name = "ADDON")]
    fork: Option<String>,
    /// Return only when it answers
    #[arg(long)]
    wait: bool,
    /// Options of the service, after two dashes: `-- --fork DATABASE`
    #[arg(last = true, value_name = "OPTIONS")]
    options: Vec<String>,
}

/// Show an add-on
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct InfoArgs {
    #[command(flatten)]
    app: AppArgs,
    /// Name of the add-on, or what the app has it as
    #[arg(value_name = "ADDON")]
    addon: String,
}

/// Attach an add-on of another app to an app
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct AttachArgs {
    #[command(flatten)]
    app: AppArgs,
    /// Name of the add-on
    #[arg(value_name = "ADDON")]
    addon: String,
    /// What the app has it as; its config var is NAME_URL
    #[arg(long = "as", value_name = "NAME")]
    attachment: Option<String>,
    /// Name of the app once more, to have it take the place of what the app has as that
    #[arg(long, value_name = "APP")]
    confirm: Option<String>,
}

/// Detach an add-on from an app
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct DetachArgs {
    #[command(flatten)]
    app: AppArgs,
    /// What the app has it as
    #[arg(value_name = "NAME")]
    attachment: String,
}

/// Give an add-on another plan; it is away for a moment
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct UpgradeArgs {
    #[command(flatten)]
    app: AppArgs,
    /// Name of the add-on, or what the app has it as
    #[arg(value_name = "ADDON")]
    addon: String,
    /// The plan, such as heroku-postgresql:standard-0
    #[arg(value_name = "SERVICE:PLAN")]
    plan: String,
}

/// Give an add-on another name
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct RenameArgs {
    /// Name of the add-on
    #[arg(value_name = "ADDON")]
    addon: String,
    /// The new name
    #[arg(value_name = "NAME")]
    name: String,
}

/// Destroy an add-on; its data is kept for seven days
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct DestroyArgs {
    #[command(flatten)]
    app: AppArgs,
    /// Name of the add-on, or what the app has it as
    #[arg(value_name = "ADDON")]
    addon: String,
    /// Name of the app once more, instead of being asked for it
    #[arg(short, long, value_name = "APP")]
    confirm: Option<String>,
    /// Also when other apps have it
    #[arg(short, long)]
    force: bool,
}

/// Return when the add-ons of an app answer
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct WaitArgs {
    #[command(flatten)]
    app: AppArgs,
    /// Name of one add-on, or what the app has it as [default: all of the app]
    #[arg(value_name = "ADDON")]
    addon: Option<String>,
}

/// Have an add-on do something that its service can; the exit status becomes ours
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct RunArgs {
    #[command(flatten)]
    app: AppArgs,
    /// Name of the add-on, or what the app has it as
    #[arg(value_name = "ADDON")]
    addon: String,
    /// What is to be done; `client` opens the service's own client
    #[arg(value_name = "ACT")]
    act: String,
    /// Arguments of the act
    #[arg(value_name = "ARGS", trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

impl RunArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let body = ResolveAttachment { addon_attachment: self.addon, app: Some(self.app.name()?) };
        let path = "/actions/addon-attachments/resolve";
        let found: Vec<Attachment> = context.client.send_json(Method::POST, path, &body).await?;
        let none = || Failure::Answer("the node found an add-on, and did not tell which".to_owned());
        let found = found.into_iter().next().ok_or_else(none)?;
        data_service::converse(context, &found, (&self.act, self.args)).await
    }
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = if self.all { None } else { Some(self.app.name()?) };
        let path = app.as_ref().map_or_else(|| "/addons".to_owned(), |app| format!("/apps/{app}/addons"));
        let all: Vec<AddOn> = context.client.get(&path).await?;
        if context.node.json {
            return output::json(&all);
        }
        if all.is_empty() {
            let none =
                app.map_or_else(|| "No add-ons.\n".to_owned(), |app| format!("No add-ons for app {app}.\n"));
            return output::data(&none);
        }
        let attachments: Vec<Attachment> = context.client.get("/addon-attachments").await?;
        output::data(&listed(&all, &attachments, app.as_deref()))
    }
}

impl ServicesArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let all: Vec<AddOnService> = context.client.get("/addon-services").await?;
        if context.node.json {
            return output::json(&all);
        }
        let header = ["Slug", "Name", "State"].map(str::to_owned).to_vec();
        let row = |service: &AddOnService| {
            vec![service.name.clone(), service.human_name.clone(), service.state.clone()]
        };
        output::data(&ruled(&std::iter::once(header).chain(all.iter().map(row)).collect::<Vec<_>>()))
    }
}

impl PlansArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let service = encoded(&self.service);
        let all: Vec<Plan> = context.client.get(&format!("/addon-services/{service}/plans")).await?;
        if context.node.json {
            return output::json(&all);
        }
        let header = ["", "Slug", "Name", "Grants"].map(str::to_owned).to_vec();
        let row = |plan: &Plan| {
            let mark = if plan.default { "default" } else { "" };
            vec![mark.to_owned(), plan.name.clone(), plan.human_name.clone(), plan.description.clone()]
        };
        output::data(&ruled(&std::iter::once(header).chain(all.iter().map(row)).collect::<Vec<_>>()))
    }
}

impl CreateArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let text = format!("Creating {} on {}", self.plan, shown_app(&app));
        let attachment = self.attachment.map(|name| AttachmentRequest { name: Some(name) });
        let fork = self.fork.map(|from| (FORK.to_owned(), from.into()));
        let plan = ByName::Word(self.plan);
        let config = options(&self.options)?.into_iter().chain(fork).collect();
        let body = CreateAddOn { plan, attachment, config, name: self.name };
        let path = format!("/apps/{app}/addons");
        let made = context.client.send_json::<AddOn>(Method::POST, &path, &body);
        let mut made = output::action(&text, made, |_| Some("free".to_owned())).await?;
        if self.wait {
            made = until_created(context, &made).await?;
        }
        if context.node.json {
            return output::json(&made);
        }
        if is_created(&made) {
            return output::data(&format!("Created {} as {}\n", made.name, made.config_vars.join(", ")));
        }
        output::data(&format!(
            "{name} is being created in the background. The app will restart when complete...\n\
             Run dyno addons:info {name} to check creation progress.\n",
            name = made.name
        ))
    }
}

impl InfoArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let addon = resolved(context, &self.app, &self.addon).await?;
        let attachments: Vec<Attachment> =
            context.client.get(&format!("/addons/{}/addon-attachments", addon.id)).await?;
        if context.node.json {
            return output::json(&serde_json::json!({ "addon": addon, "attachments": attachments }));
        }
        output::data(&described(&addon, &attachments))
    }
}

impl AttachArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let text = format!("Attaching {} to {}", self.addon, shown_app(&app));
        let body = CreateAttachment {
            addon: ByName::Word(self.addon),
            app: ByName::Word(app.clone()),
            confirm: self.confirm,
            name: self.attachment,
        };
        let made = context.client.send_json::<Attachment>(Method::POST, "/addon-attachments", &body);
        let made = output::action(&text, made, |made| Some(made.config_vars.join(", "))).await?;
        if context.node.json { output::json(&made) } else { Ok(()) }
    }
}

impl DetachArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        // By its name at the app: who has the add-on may not look at the app itself.
        let body = ResolveAttachment { addon_attachment: self.attachment, app: Some(app.clone()) };
        let path = "/actions/addon-attachments/resolve";
        let found: Vec<Attachment> = context.client.send_json(Method::POST, path, &body).await?;
        let none = || Failure::Answer("the node found an attachment, and did not tell which".to_owned());
        let found = found.into_iter().next().ok_or_else(none)?;
        let text = format!("Detaching {} to {} from {}", found.name, found.addon.name, shown_app(&app));
        let path = format!("/addon-attachments/{}", found.id);
        let gone = context.client.call::<Attachment>(Method::DELETE, &path);
        let gone = output::action(&text, gone, |_| None).await?;
        if context.node.json { output::json(&gone) } else { Ok(()) }
    }
}

impl UpgradeArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let addon = resolved(context, &self.app, &self.addon).await?;
        let text = format!("Changing {} on {} to {}", addon.name, shown_app(&addon.app.name), self.plan);
        let body = UpdateAddOn { name: None, plan: Some(ByName::Word(self.plan)) };
        let changed = change(context, (&text, &addon), &body).await?;
        if context.node.json { output::json(&changed) } else { Ok(()) }
    }
}

impl RenameArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let addon: AddOn = context.client.get(&format!("/addons/{}", encoded(&self.addon))).await?;
        let text = format!("Renaming {} to {}", addon.name, self.name);
        let changed =
            change(context, (&text, &addon), &UpdateAddOn { name: Some(self.name), plan: None }).await?;
        if context.node.json { output::json(&changed) } else { Ok(()) }
    }
}

impl DestroyArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let addon = resolved(context, &self.app, &self.addon).await?;
        let app = addon.app.name.clone();
        let warning = format!("This will destroy {}; its data is kept for seven days.", addon.name);
        confirmed(&app, self.confirm, &warning)?;
        let text = format!("Destroying {} on {}", addon.name, shown_app(&app));
        let path = format!("/apps/{app}/addons/{}", addon.id);
        let body = DestroyAddOn { force: Some(self.force) };
        let gone = context.client.send_json::<AddOn>(Method::DELETE, &path, &body);
        let gone = output::action(&text, gone, |_| None).await?;
        if context.node.json { output::json(&gone) } else { Ok(()) }
    }
}

impl WaitArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let all = match &self.addon {
            Some(addon) => vec![resolved(context, &self.app, addon).await?],
            None => context.client.get(&format!("/apps/{}/addons", self.app.name()?)).await?,
        };
        let waited_for: Vec<_> = all.iter().filter(|addon| !is_created(addon)).collect();
        for addon in &waited_for {
            let text = format!("Creating {}", addon.name);
            output::action(&text, until_created(context, addon), |_| None).await?;
        }
        if waited_for.is_empty() {
            let names: Vec<_> = all.iter().map(|addon| addon.name.as_str()).collect();
            output::note(&match names.as_slice() {
                [] => "There is no add-on to wait for.\n".to_owned(),
                names => format!("Nothing to wait for: created already: {}.\n", names.join(", ")),
            });
        }
        Ok(())
    }
}

/// The add-on that is meant, seen from the app where one is named.
async fn resolved(context: &Context, app: &AppArgs, addon: &str) -> Result<AddOn, Failure> {
    let app = match app.name() {
        Err(Failure::NoApp) => None,
        named => Some(named?),
    };
    let body = ResolveAddOn { addon: addon.to_owned(), app };
    let found: Vec<AddOn> = context.client.send_json(Method::POST, "/actions/addons/resolve", &body).await?;
    let none = || Failure::Answer("the node found an add-on, and did not tell which".to_owned());
    found.into_iter().next().ok_or_else(none)
}

async fn change(
    context: &Context,
    (text, addon): (&str, &AddOn),
    body: &UpdateAddOn,
) -> Result<AddOn, Failure> {
    let path = format!("/apps/{}/addons/{}", addon.app.name, addon.id);
    let changed = context.client.send_json::<AddOn>(Method::PATCH, &path, body);
    output::action(text, changed, |_| None).await
}

/// Asks for as long as it takes: how long packages need to come, nobody knows.
async fn until_created(context: &Context, addon: &AddOn) -> Result<AddOn, Failure> {
    loop {
        let now: AddOn = context.client.get(&format!("/addons/{}", addon.id)).await?;
        if is_created(&now) {
            return Ok(now);
        }
        tokio::time::sleep(WAIT_PAUSE).await;
    }
}

fn is_created(addon: &AddOn) -> bool {
    addon.state == "provisioned"
}

/// The state in the words of the stock command.
fn state(addon: &AddOn) -> &'static str {
    if is_created(addon) { "created" } else { "creating" }
}

/// The table, each add-on with its attachments under it.
fn listed(all: &[AddOn], attachments: &[Attachment], app: Option<&str>) -> String {
    let mut of: BTreeMap<_, Vec<&Attachment>> = BTreeMap::new();
    for attachment in attachments {
        of.entry(attachment.addon.id).or_default().push(attachment);
    }
    let mut rows = vec![["Add-on", "Plan", "Price", "State"].map(str::to_owned).to_vec()];
    for addon in all {
        let plan = addon.plan.name.rsplit(':').next().unwrap_or_default().to_owned();
        let name = format!("{} ({})", addon.addon_service.name, addon.name);
        rows.push(vec![name, plan, "free".to_owned(), state(addon).to_owned()]);
        let has = of.get(&addon.id).map(Vec::as_slice).unwrap_or_default();
        for (index, attachment) in has.iter().enumerate() {
            let branch = if index + 1 == has.len() { "└─" } else { "├─" };
            let whose = if app == Some(attachment.app.name.as_str()) {
                String::new()
            } else {
                format!(" on {} app", attachment.app.name)
            };
            let mut row = vec![format!(" {branch} as {}{whose}", attachment.name)];
            row.resize(4, String::new());
            rows.push(row);
        }
    }
    let mut text = ruled(&rows);
    if let Some(app) = app {
        let app = shown_app(app);
        text += &format!(
            "\nThe table above shows add-ons and the attachments to the current app ({app}) or other apps.\n"
        );
    }
    text
}

fn described(addon: &AddOn, attachments: &[Attachment]) -> String {
    let has = |has: &Attachment| format!("{}::{}", has.app.name, has.name);
    let attachments = attachments.iter().map(has).collect::<Vec<_>>().join(", ");
    let memory = addon.memory_bytes.map(megabytes).unwrap_or_default();
    let told = [
        ("Plan", addon.plan.name.as_str()),
        ("Grants", addon.plan.description.as_str()),
        ("Memory used", memory.as_str()),
        ("Price", "free"),
        ("Attachments", attachments.as_str()),
        ("Owning app", addon.app.name.as_str()),
        ("Created at", addon.created_at.as_str()),
        ("State", state(addon)),
    ];
    heading(&addon.name) + &pairs(told.into_iter().filter(|(_, text)| !text.is_empty()))
}

/// Options as the stock command takes them: `--name value` and `--name=value`; one without a value is set.
fn options(words: &[String]) -> Result<BTreeMap<String, serde_json::Value>, Failure> {
    let mut all = BTreeMap::new();
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        let none = || Failure::Usage(format!("{word:?} is no option of a service: write --name value."));
        let option = word.strip_prefix("--").filter(|option| !option.is_empty()).ok_or_else(none)?;
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name, value.into()),
            None => {
                let value = words.next_if(|next| !next.starts_with("--"));
                (option, value.map_or(true.into(), |value| value.as_str().into()))
            }
        };
        all.insert(name.to_owned(), value);
    }
    Ok(all)
}

#[cfg(test)]
mod test {
    use super::*;
    use serde_json::json;

    #[test]
    fn options_of_a_service_are_taken_as_the_stock_command_takes_them() {
        let read = |words: &[&str]| options(&words.iter().map(ToString::to_string).collect::<Vec<_>>());
        let both = read(&["--fork", "DATABASE_URL", "--fast"]).unwrap();
        assert_eq!(
            both,
            [("fork".to_owned(), "DATABASE_URL".into()), ("fast".to_owned(), true.into())].into()
        );
        assert_eq!(read(&["--fork=books"]).unwrap(), [("fork".to_owned(), "books".into())].into());
        assert!(read(&["books"]).is_err() && read(&["--"]).is_err());
    }

    fn addon() -> AddOn {
        let plan = json!({
            "addon_service": {"id": uuid::Uuid::nil(), "name": "heroku-postgresql"}, "created_at": "", "default": true,
            "description": "256.0M of memory, 20 connections", "human_name": "Essential 0", "id": uuid::Uuid::nil(),
            "installable_inside_private_network": true, "installable_outside_private_network": true,
            "name": "heroku-postgresql:essential-0", "price": {"cents": 0, "contract": false, "unit": "month"},
            "space_default": false, "state": "public", "updated_at": "", "visible": true,
        });
        let addon = json!({
            "actions": [], "addon_service": {"id": uuid::Uuid::nil(), "name": "heroku-postgresql"},
            "app": {"id": uuid::Uuid::nil(), "name": "example"},
            "billed_price": {"cents": 0, "contract": false, "unit": "month"},
            "billing_entity": {"id": uuid::Uuid::nil(), "name": "example", "type": "app"},
            "config_vars": ["DATABASE_URL"], "created_at": "2026-11-18T01:36:38Z", "id": uuid::Uuid::nil(),
            "memory_bytes": 44_040_192, "name": "postgresql-round-12345", "plan": plan, "provider_id": "",
            "provision_message": null, "state": "provisioned", "updated_at": "", "web_url": null,
        });
        serde_json::from_value(addon).unwrap()
    }

    fn attachment(app: &str, name: &str) -> Attachment {
        let attachment = json!({
            "addon": {"app": {"id": uuid::Uuid::nil(), "name": "example"}, "id": uuid::Uuid::nil(),
                "name": "postgresql-round-12345", "plan": {"id": uuid::Uuid::nil(), "name": "heroku-postgresql:essential-0"}},
            "app": {"id": uuid::Uuid::nil(), "name": app}, "config_vars": [format!("{name}_URL")], "created_at": "",
            "id": uuid::Uuid::nil(), "log_input_url": null, "name": name, "namespace": null, "updated_at": "",
            "web_url": null,
        });
        serde_json::from_value(attachment).unwrap()
    }

    #[test]
    fn each_add_on_stands_above_what_apps_have_it_as() {
        let has = [attachment("example", "DATABASE"), attachment("other", "SHARED")];
        let text = listed(&[addon()], &has, Some("example"));
        for part in [
            "heroku-postgresql (postgresql-round-12345)",
            "├─ as DATABASE\n",
            "└─ as SHARED on other app",
            "created",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn an_add_on_is_described_with_what_it_uses() {
        let text = described(&addon(), &[attachment("example", "DATABASE")]);
        for part in ["=== postgresql-round-12345", "example::DATABASE", "42", "Owning app"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
