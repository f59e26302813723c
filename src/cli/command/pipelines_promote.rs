//! `dyno pipelines:promote`

use std::collections::HashMap;
use std::time::Duration;

use hyper::Method;
use uuid::Uuid;

use crate::cli::Context;
use crate::cli::app::AppArgs;
use crate::cli::command::pipelines::{path, place_of};
use crate::cli::command::releases_output::follow;
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::domain::Stage;
use crate::wire::api::{
    ById, CreatePromotion, PipelineCoupling, PipelinePromotion, PromotedApp, PromotionSource,
    PromotionTarget, Release,
};

/// Between two looks at release commands that run.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How often it is looked at most: a day, which no release command may run.
const LOOKS_MAX: u32 = 24 * 60 * 60;

/// Release what an app runs on the apps of the next stage of its pipeline
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// Apps of the pipeline to release it on [default: those of the next stage]
    #[arg(short, long, value_delimiter = ',', value_name = "APP")]
    to: Vec<String>,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        let source = output::action("Fetching app info", place_of(context, &app), |_| None).await?;
        let pipeline = &source.pipeline.name;
        let couplings = format!("{}/pipeline-couplings", path(&source.pipeline.id.to_string()));
        let couplings = context.client.get::<Vec<PipelineCoupling>>(&couplings);
        let couplings =
            output::action(&format!("Fetching apps from {pipeline}"), couplings, |_| None).await?;
        let (targets, whither) = targets(&source, &couplings, &self.to)?;
        let body = CreatePromotion {
            pipeline: ById { id: source.pipeline.id },
            source: PromotionSource { app: ById { id: source.app.id }, release: None },
            targets: targets.iter().map(|target| PromotedApp { app: ById { id: target.app.id } }).collect(),
        };
        let started =
            context.client.send_json::<PipelinePromotion>(Method::POST, "/pipeline-promotions", &body);
        let started = output::action(&format!("Starting promotion to {whither}"), started, |_| None).await?;
        let names: HashMap<Uuid, &str> =
            couplings.iter().map(|coupling| (coupling.app.id, coupling.app.name.as_str())).collect();
        let ended = completed(context, started.id, &names);
        let ended = output::action("Waiting for promotion to complete", ended, |_| None).await?;
        if context.node.json {
            output::json(&ended)?;
        } else {
            output::data(&rendered(&ended, &names))?;
        }
        let failed = ended.iter().filter(|target| target.status == "failed").count();
        if failed == 0 { Ok(()) } else { Err(Failure::Promotion { failed, of: ended.len() }) }
    }
}

/// The targets, and how they are called together.
fn targets<'a>(
    source: &PipelineCoupling,
    couplings: &'a [PipelineCoupling],
    named: &[String],
) -> Result<(Vec<&'a PipelineCoupling>, String), Failure> {
    let pipeline = &source.pipeline.name;
    if !named.is_empty() {
        let find = |name: &String| {
            let found = couplings.iter().find(|coupling| {
                coupling.app.name == *name || coupling.app.id.to_string().eq_ignore_ascii_case(name)
            });
            found.ok_or_else(|| {
                Failure::Nothing(format!("Cannot find app {name} in the pipeline {pipeline}."))
            })
        };
        let found = named.iter().map(find).collect::<Result<Vec<_>, _>>()?;
        let names: Vec<_> = found.iter().map(|coupling| coupling.app.name.as_str()).collect();
        return Ok((found.clone(), names.join(", ")));
    }
    let stage: Option<Stage> = source.stage.parse().ok();
    let Some(next) = stage.and_then(Stage::next) else {
        return Err(Failure::Nothing(format!(
            "Cannot promote {} from {}, the last stage: name apps with --to.",
            source.app.name, source.stage
        )));
    };
    let found: Vec<_> = couplings.iter().filter(|coupling| coupling.stage == next.as_str()).collect();
    if found.is_empty() {
        return Err(Failure::Nothing(format!(
            "Cannot promote from {} as there are no apps in {next} in the pipeline {pipeline}.",
            source.app.name
        )));
    }
    Ok((found, next.to_string()))
}

/// The targets when no release command runs any more. The output of a single one is shown meanwhile.
async fn completed(
    context: &Context,
    id: Uuid,
    names: &HashMap<Uuid, &str>,
) -> Result<Vec<PromotionTarget>, Failure> {
    let path = format!("/pipeline-promotions/{id}/promotion-targets");
    let mut was_followed = false;
    for _ in 0..LOOKS_MAX {
        let targets: Vec<PromotionTarget> = context.client.get(&path).await?;
        if targets.iter().all(|target| target.status != "pending") {
            return Ok(targets);
        }
        if let ([PromotionTarget { app, release: Some(release), .. }], false) = (&*targets, was_followed)
            && let Some(name) = names.get(&app.id)
        {
            was_followed = true;
            output::note("\n");
            let made: Release = context.client.get(&format!("/apps/{name}/releases/{}", release.id)).await?;
            match follow(context, name, &made).await {
                // It is told with the target.
                Ok(()) | Err(Failure::ReleaseCommand { .. }) => {}
                Err(failure) => return Err(failure),
            }
            continue;
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    Err(Failure::Nothing("The promotion is still under way: see `dyno releases` of its apps.".to_owned()))
}

fn rendered(targets: &[PromotionTarget], names: &HashMap<Uuid, &str>) -> String {
    let has_failed = targets.iter().any(|target| target.status == "failed");
    let title = if has_failed { "Promotion to some apps failed" } else { "Promotion successful" };
    let line = |target: &PromotionTarget| {
        let name = names.get(&target.app.id).map_or_else(|| target.app.id.to_string(), ToString::to_string);
        let reason = target.error_message.as_ref().map(|reason| format!("    {reason}\n"));
        format!("{name}: {}\n{}", target.status, reason.unwrap_or_default())
    };
    format!("\n{title}\n{}", targets.iter().map(line).collect::<String>())
}

#[cfg(test)]
mod test {
    use super::*;

    fn coupling(number: u128, app: &str, stage: &str) -> PipelineCoupling {
        serde_json::from_value(serde_json::json!({
            "app": {"id": Uuid::from_u128(number), "name": app}, "created_at": "", "id": Uuid::nil(),
            "pipeline": {"id": Uuid::nil(), "name": "shop"}, "stage": stage, "updated_at": "",
        }))
        .unwrap()
    }

    #[test]
    fn without_names_the_next_stage_is_meant() {
        let all = [
            coupling(1, "dev", "development"),
            coupling(2, "stage", "staging"),
            coupling(3, "one", "production"),
            coupling(4, "two", "production"),
        ];
        let told = |source: usize, named: &[&str]| {
            let named: Vec<String> = named.iter().map(|name| (*name).to_owned()).collect();
            let (found, whither) = targets(&all[source], &all, &named).ok()?;
            Some((found.iter().map(|found| found.app.name.clone()).collect::<Vec<_>>().join(" "), whither))
        };
        let pair = |names: &str, whither: &str| Some((names.to_owned(), whither.to_owned()));
        assert_eq!(told(0, &[]), pair("stage", "staging"));
        assert_eq!(told(1, &[]), pair("one two", "production"));
        assert_eq!(told(1, &["two", "dev"]), pair("two dev", "two, dev"));
        assert_eq!(told(3, &[]), None, "nothing comes after production");
        assert_eq!(told(3, &["dev"]), pair("dev", "dev"));
        assert_eq!(told(1, &["other"]), None);
        assert!(targets(&all[0], &all[..1], &[]).is_err(), "nobody is in the next stage");
    }

    #[test]
    fn failures_are_told_with_their_reasons() {
        let target = |number: u128, status: &str, reason: Option<&str>| PromotionTarget {
            app: ById { id: Uuid::from_u128(number) },
            error_message: reason.map(str::to_owned),
            id: Uuid::nil(),
            pipeline_promotion: ById { id: Uuid::nil() },
            release: None,
            status: status.to_owned(),
        };
        let names = HashMap::from([(Uuid::from_u128(1), "one"), (Uuid::from_u128(2), "two")]);
        let good = target(1, "succeeded", None);
        assert_eq!(rendered(std::slice::from_ref(&good), &names), "\nPromotion successful\none: succeeded\n");
        let both = [good, target(2, "failed", Some("It runs this already."))];
        let told =
            "\nPromotion to some apps failed\none: succeeded\ntwo: failed\n    It runs this already.\n";
        assert_eq!(rendered(&both, &names), told);
    }
}
