//! `dyno pipelines`, `pipelines:create`, `info`, `add`, `update`, `remove`, `rename`, `destroy` and `transfer`

use hyper::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::confirm::confirmed;
use crate::cli::failure::Failure;
use crate::cli::output::{self, heading, ruled, shown_app};
use crate::wire::api::{
    ById, CreateCoupling, Pipeline, PipelineCoupling, PipelineOwner, PipelineTransfer, SetPipeline,
    TransferPipeline, UpdateCoupling, UserRef,
};

/// Ends of names by which an app's stage is guessed.
const STAGES_BY_END: [(&str, &str); 8] = [
    ("-dev", "development"),
    ("-development", "development"),
    ("-qa", "staging"),
    ("-stg", "staging"),
    ("-stage", "staging"),
    ("-staging", "staging"),
    ("-prod", "production"),
    ("-production", "production"),
];

/// Show the pipelines that you have part in
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {}

/// Make a pipeline, and put an app into it
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct CreateArgs {
    #[command(flatten)]
    app: AppArgs,
    /// Name of the pipeline [default: the app's name]
    #[arg(value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    stage: StageArgs,
}

/// Show the apps of a pipeline
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct InfoArgs {
    /// Name of the pipeline
    #[arg(value_name = "PIPELINE")]
    pipeline: String,
}

/// Put an app into a pipeline
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct AddArgs {
    #[command(flatten)]
    app: AppArgs,
    /// Name of the pipeline
    #[arg(value_name = "PIPELINE")]
    pipeline: String,
    #[command(flatten)]
    stage: StageArgs,
}

/// Move an app to another stage of its pipeline
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct UpdateArgs {
    #[command(flatten)]
    app: AppArgs,
    /// test, review, development, staging or production
    #[arg(short, long, value_name = "STAGE")]
    stage: String,
}

/// Take an app out of its pipeline
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct RemoveArgs {
    #[command(flatten)]
    app: AppArgs,
}

/// Give a pipeline another name
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct RenameArgs {
    /// Name of the pipeline
    #[arg(value_name = "PIPELINE")]
    pipeline: String,
    /// The new name
    #[arg(value_name = "NAME")]
    name: String,
}

/// Destroy a pipeline; its apps stay
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct DestroyArgs {
    /// Name of the pipeline
    #[arg(value_name = "PIPELINE")]
    pipeline: String,
}

/// Give a pipeline to another user, and with it those of its apps that are its owner's
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct TransferArgs {
    /// The user's name
    #[arg(value_name = "OWNER")]
    owner: String,
    /// Name of the pipeline
    #[arg(short, long, value_name = "PIPELINE")]
    pipeline: String,
    /// Name of the pipeline once more, instead of being asked for it
    #[arg(short, long, value_name = "PIPELINE")]
    confirm: Option<String>,
}

/// Where an app comes to stand.
#[derive(Debug, clap::Args)]
struct StageArgs {
    /// test, review, development, staging or production [default: what the app's name ends in, or production]
    #[arg(short, long, value_name = "STAGE")]
    stage: Option<String>,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let all: Vec<Pipeline> = context.client.get("/pipelines").await?;
        if context.node.json {
            return output::json(&all);
        }
        if all.is_empty() {
            return output::data("You have no pipelines.\n");
        }
        let names: String = all.iter().map(|pipeline| format!("{}\n", pipeline.name)).collect();
        output::data(&(heading("My Pipelines") + &names))
    }
}

impl CreateArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = match self.app.name() {
            Err(Failure::NoApp) => None,
            named => Some(named?),
        };
        let name = self.name.or_else(|| app.clone()).ok_or_else(|| {
            Failure::Usage("Name the pipeline, or an app with -a whose name it takes.".to_owned())
        })?;
        let body = SetPipeline { name: name.clone(), owner: None };
        let made = context.client.send_json::<Pipeline>(Method::POST, "/pipelines", &body);
        let made = output::action(&format!("Creating {name} pipeline"), made, |_| None).await?;
        if let Some(app) = app {
            let stage = self.stage.of(&app);
            add(context, (&app, &made.name, &stage)).await?;
        }
        if context.node.json { output::json(&made) } else { Ok(()) }
    }
}

impl InfoArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let path = path(&self.pipeline);
        let pipeline: Pipeline = context.client.get(&path).await?;
        let couplings: Vec<PipelineCoupling> =
            context.client.get(&format!("{path}/pipeline-couplings")).await?;
        if context.node.json {
            return output::json(&serde_json::json!({ "pipeline": pipeline, "apps": couplings }));
        }
        output::data(&rendered(&pipeline, &couplings))
    }
}

impl AddArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let stage = self.stage.of(&app);
        let added = add(context, (&app, &self.pipeline, &stage)).await?;
        if context.node.json { output::json(&added) } else { Ok(()) }
    }
}

impl UpdateArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let text = format!("Changing {} to {}", shown_app(&app), self.stage);
        let body = UpdateCoupling { stage: self.stage };
        let changed = async {
            let path = format!("/pipeline-couplings/{}", place_of(context, &app).await?.id);
            context.client.send_json::<PipelineCoupling>(Method::PATCH, &path, &body).await
        };
        let changed = output::action(&text, changed, |_| None).await?;
        if context.node.json { output::json(&changed) } else { Ok(()) }
    }
}

impl RemoveArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let removed = async {
            let path = format!("/pipeline-couplings/{}", place_of(context, &app).await?.id);
            context.client.call::<PipelineCoupling>(Method::DELETE, &path).await
        };
        let told = |removed: &PipelineCoupling| Some(format!("from {}", removed.pipeline.name));
        let removed = output::action(&format!("Removing {}", shown_app(&app)), removed, told).await?;
        if context.node.json { output::json(&removed) } else { Ok(()) }
    }
}

impl RenameArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let text = format!("Renaming {} pipeline to {}", self.pipeline, self.name);
        let body = SetPipeline { name: self.name, owner: None };
        let path = path(&self.pipeline);
        let renamed = context.client.send_json::<Pipeline>(Method::PATCH, &path, &body);
        let renamed = output::action(&text, renamed, |_| None).await?;
        if context.node.json { output::json(&renamed) } else { Ok(()) }
    }
}

impl DestroyArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let path = path(&self.pipeline);
        let destroyed = context.client.call::<Pipeline>(Method::DELETE, &path);
        let text = format!("Destroying {} pipeline", self.pipeline);
        let destroyed = output::action(&text, destroyed, |_| None).await?;
        if context.node.json { output::json(&destroyed) } else { Ok(()) }
    }
}

impl TransferArgs {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let pipeline: Pipeline = context.client.get(&path(&self.pipeline)).await?;
        let name = utf8_percent_encode(&self.owner, NON_ALPHANUMERIC);
        let user: UserRef = context.client.get(&format!("/users/{name}")).await?;
        let warning = format!(
            "This will transfer {} and those of its apps that are its owner's to {}.",
            pipeline.name, user.email
        );
        confirmed(&pipeline.name, self.confirm, &warning)?;
        let text = format!("Transferring {} pipeline to the {} account", pipeline.name, user.email);
        let body = TransferPipeline {
            pipeline: ById { id: pipeline.id },
            new_owner: PipelineOwner { email: None, id: user.id, kind: "user".to_owned() },
        };
        let given = context.client.send_json::<PipelineTransfer>(Method::POST, "/pipeline-transfers", &body);
        let given = output::action(&text, given, |_| None).await?;
        if context.node.json { output::json(&given) } else { Ok(()) }
    }
}

impl StageArgs {
    fn of(&self, app: &str) -> String {
        self.stage.clone().unwrap_or_else(|| guessed(app).to_owned())
    }
}

fn guessed(app: &str) -> &'static str {
    let found = STAGES_BY_END.iter().find(|(end, _)| app.ends_with(end));
    found.map_or("production", |(_, stage)| stage)
}

async fn add(
    context: &Context,
    (app, pipeline, stage): (&str, &str, &str),
) -> Result<PipelineCoupling, Failure> {
    let text = format!("Adding {} to {pipeline} pipeline as {stage}", shown_app(app));
    let body = CreateCoupling { app: app.to_owned(), pipeline: pipeline.to_owned(), stage: stage.to_owned() };
    let added = context.client.send_json(Method::POST, "/pipeline-couplings", &body);
    output::action(&text, added, |_| None).await
}

/// Where an app stands.
pub(super) async fn place_of(context: &Context, app: &str) -> Result<PipelineCoupling, Failure> {
    context.client.get(&format!("/apps/{app}/pipeline-couplings")).await
}

/// A pipeline as it is named in a path.
pub(super) fn path(pipeline: &str) -> String {
    format!("/pipelines/{}", utf8_percent_encode(pipeline, NON_ALPHANUMERIC))
}

fn rendered(pipeline: &Pipeline, couplings: &[PipelineCoupling]) -> String {
    let mut text = heading(&pipeline.name);
    if let Some(owner) = &pipeline.owner {
        let name = owner.email.clone().unwrap_or_else(|| owner.id.to_string());
        text += &format!("owner: {name}\n");
    }
    if couplings.is_empty() {
        return text;
    }
    let header = vec!["App name".to_owned(), "Stage".to_owned()];
    let row = |coupling: &PipelineCoupling| vec![shown_app(&coupling.app.name), coupling.stage.clone()];
    let rows: Vec<_> = std::iter::once(header).chain(couplings.iter().map(row)).collect();
    text + "\n" + &ruled(&rows)
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_stage_is_guessed_by_the_end_of_a_name() {
        for (app, stage) in [
            ("shop-staging", "staging"),
            ("shop-dev", "development"),
            ("shop-prod", "production"),
            ("shop", "production"),
            ("staging-shop", "production"),
        ] {
            assert_eq!(guessed(app), stage, "{app}");
        }
    }

    #[test]
    fn a_name_becomes_one_part_of_a_path() {
        assert_eq!(path("a/../b"), "/pipelines/a%2F%2E%2E%2Fb");
    }

    #[test]
    fn a_pipeline_is_shown_with_its_apps() {
        let pipeline = serde_json::json!({
            "created_at": "2026-11-18T01:36:38Z", "generation": "cedar", "id": uuid::Uuid::nil(),
            "name": "shop", "owner": {"email": "me@example.com", "id": uuid::Uuid::nil(), "type": "user"},
            "updated_at": "2026-11-18T01:36:38Z",
        });
        let pipeline: Pipeline = serde_json::from_value(pipeline).unwrap();
        let coupling = |app: &str, stage: &str| {
            serde_json::from_value(serde_json::json!({
                "app": {"id": uuid::Uuid::nil(), "name": app}, "created_at": "", "id": uuid::Uuid::nil(),
                "pipeline": {"id": uuid::Uuid::nil(), "name": "shop"}, "stage": stage, "updated_at": "",
            }))
            .unwrap()
        };
        let couplings = [coupling("shop-staging", "staging"), coupling("shop", "production")];
        insta::assert_snapshot!(rendered(&pipeline, &couplings), @r"
        === shop

        owner: me@example.com

          App name         Stage
         ─────────────────────────────
          ⬢ shop-staging   staging
          ⬢ shop           production
        ");
    }
}
