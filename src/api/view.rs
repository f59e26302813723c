//! From domain values to the shapes of `wire::api`.

use std::collections::HashMap;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::api::asked::{Asked, GENERATION};
use crate::domain::{
    self, App, AppRight, Deploys, FeatureRow, Features, Promotion, RepositoryLink, TargetOutcome, Version,
};
use crate::flows::ports::{Death, DynoView};
use crate::flows::{self, AppInfo, JobView, Node, Place, ReleaseView, Settings};
use crate::sys::clock;
use crate::wire::api::{
    self, AccessToken, Artifact, BuildpackRef, ById, EventRef, Named, Permission, PipelineOwner,
    PromotionSource, REDACTED, ReleaseRef, SlugRef, SourceBlob, UserRef, WebhookRef, stable_id, timestamp,
};
use crate::wire::{acm_text, release_text};

/// The one region a node is.
pub(super) const REGION: &str = "us";

pub(super) fn app_ref(app: &App) -> Named {
    Named { id: app.id.0, name: app.name.to_string() }
}

/// A user, whose identity follows from the name.
pub(super) fn user(name: &str) -> UserRef {
    UserRef { email: name.to_owned(), id: stable_id("user", name) }
}

pub(super) fn slug_id(digest: &domain::SlugDigest) -> Uuid {
    stable_id("slug", digest.as_str())
}

/// An app.
pub(super) fn app(node: &Node, info: &AppInfo, asked: &Asked) -> api::App {
    let settings = node.settings();
    let app = &info.app;
    let deployed = info.release.slug.is_some();
    // An app that was never deployed has the stack of its first build.
    let stack = if deployed { &info.release.stack } else { &app.build_stack };
    api::App {
        acm: app.acm == domain::Switch::On,
        archived_at: None,
        buildpack_provided_description: info
            .slug
            .as_ref()
            .and_then(|slug| slug.buildpack_description.clone()),
        build_stack: Named::stable("stack", app.build_stack.as_str()),
        created_at: timestamp(app.created_at_s),
        generation: asked.generation(),
        git_url: asked.git_url(settings, &app.name),
        id: app.id.0,
        internal_routing: None,
        maintenance: app.maintenance,
        name: app.name.to_string(),
        organization: None,
        owner: user(flows::owner(node, app).as_str()),
        process_tier: "production".to_owned(),
        region: Named::stable("region", REGION),
        released_at: Some(timestamp(info.release.created_at_s)),
        repo_size: if deployed { info.repo_bytes } else { None },
        slug_size: info.slug.as_ref().map(|slug| slug.size.0),
        space: None,
        ssh_git_url: settings.ssh_git_url(&app.name),
        stack: Named::stable("stack", stack.as_str()),
        stack_version: info.stack.as_ref().map(|now| stack_build(now, info.newer_stack.as_ref())),
        team: None,
        updated_at: timestamp(info.release.created_at_s.max(app.created_at_s)),
        web_url: Some(settings.web_url(&app.name)),
    }
}

fn stack_build(build: &domain::StackVersion, newer: Option<&domain::StackVersion>) -> api::StackBuild {
    api::StackBuild {
        version: build.id.clone(),
        built_at: build.built_at_s.map(timestamp),
        newer: newer.map(|newer| Box::new(stack_build(newer, None))),
    }
}

/// A user of the node.
pub(super) fn account(user: &domain::User) -> api::User {
    let email = user.email.to_string();
    api::User { created_at: timestamp(user.created_at_s), id: stable_id("user", &email), email }
}

/// A token: whole as `token`, or its first characters.
pub(super) fn authorization(found: &domain::Authorization, token: Option<String>) -> api::Authorization {
    let now_s = clock::unix_s();
    api::Authorization {
        access_token: AccessToken {
            expires_in: found.expires_at_s.map(|end| end.saturating_sub(now_s)),
            id: found.id,
            token: token.unwrap_or_else(|| format!("{}{REDACTED}", found.hint)),
        },
        client: None,
        created_at: timestamp(found.created_at_s),
        description: found.description.clone(),
        grant: None,
        id: found.id,
        refresh_token: None,
        scope: found.scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
        session: None,
        updated_at: timestamp(found.created_at_s),
        user: user(found.user.as_str()),
    }
}

fn permissions(right: AppRight) -> Vec<Permission> {
    let permission = |right: AppRight| Permission {
        description: match right {
            AppRight::View => "Look at the app and its logs",
            AppRight::Deploy => "Change what code runs",
            AppRight::Operate => "Change how it runs, and its config",
            AppRight::Manage => "Share, rename and destroy it",
        }
        .to_owned(),
        name: right.as_str().to_owned(),
    };
    right.held().map(permission).collect()
}

/// A domain of the app's own. Its record leads to the app's given name, which only this machine knows: whoever has the
/// machine's public name points the record there instead.
pub(super) fn domain(app: &App, found: &domain::CustomDomain) -> api::Domain {
    let (acm_status, acm_status_reason) = acm(app, found).unzip();
    let updated_at_s = found.order.as_ref().map_or(0, |order| order.updated_at_s).max(found.created_at_s);
    api::Domain {
        acm_status,
        acm_status_reason: acm_status_reason.flatten(),
        cname: Some(given_name(app)),
        created_at: timestamp(found.created_at_s),
        hostname: found.hostname.to_string(),
        id: found.id,
        kind: "custom".to_owned(),
        sni_endpoint: found
            .endpoint
            .as_ref()
            .map(|endpoint| Named { id: endpoint.id, name: endpoint.name.clone() }),
        updated_at: timestamp(updated_at_s),
        ..given_domain(app)
    }
}

/// How far the certificate is that the node gets for a domain, and why no further.
fn acm(app: &App, found: &domain::CustomDomain) -> Option<(String, Option<String>)> {
    if app.acm == domain::Switch::Off {
        return None;
    }
    // Clients wait for an end, which one that was brought is.
    let Some(order) = &found.order else {
        return Some((acm_text::ISSUED.to_owned(), Some(acm_text::BROUGHT.to_owned())));
    };
    Some((acm_text::status(order.progress()).to_owned(), order.fault.as_ref().map(acm_text::reason)))
}

/// The domain that every app is given.
pub(super) fn given_domain(app: &App) -> api::Domain {
    api::Domain {
        acm_status: None,
        acm_status_reason: None,
        app: app_ref(app),
        cname: None,
        created_at: timestamp(app.created_at_s),
        hostname: given_name(app),
        id: stable_id("domain", &app.id.to_string()),
        kind: "heroku".to_owned(),
        sni_endpoint: None,
        status: "none".to_owned(),
        updated_at: timestamp(app.created_at_s),
    }
}

/// A certificate of an app, without its key.
pub(super) fn sni_endpoint(app: &App, view: &flows::SniEndpointView) -> api::SniEndpoint {
    let flows::SniEndpointView { endpoint, facts, domains } = view;
    let digest = hex::encode(Sha256::digest(flows::pem(&endpoint.certificate)));
    api::SniEndpoint {
        app: app_ref(app),
        certificate_chain: flows::pem(&endpoint.certificate),
        created_at: timestamp(endpoint.created_at_s),
        display_name: Some(endpoint.name.clone()),
        domains: domains.iter().map(|domain| domain.id).collect(),
        id: endpoint.id,
        name: endpoint.name.clone(),
        ssl_cert: api::SslCert {
            acm: endpoint.source == domain::CertificateSource::Node,
            ca_signed: endpoint.standing == domain::Standing::Trusted,
            cert_domains: facts.names.clone(),
            expires_at: timestamp(facts.expires_at_s),
            id: stable_id("certificate", &digest),
            issuer: facts.issuer.clone(),
            self_signed: facts.issuer == facts.subject,
            starts_at: timestamp(facts.starts_at_s),
            subject: facts.subject.clone(),
        },
        updated_at: timestamp(endpoint.updated_at_s),
    }
}

fn given_name(app: &App) -> String {
    format!("{}.localhost", app.name)
}

/// A public key.
pub(super) fn key(found: &domain::SshKey) -> api::Key {
    let blob = BASE64_STANDARD.decode(found.key.blob()).unwrap_or_default();
    api::Key {
        comment: found.key.comment().to_owned(),
        created_at: timestamp(found.created_at_s),
        email: found.user.to_string(),
        fingerprint: format!("SHA256:{}", BASE64_STANDARD_NO_PAD.encode(Sha256::digest(blob))),
        id: found.id,
        public_key: found.key.to_string(),
        updated_at: timestamp(found.created_at_s),
    }
}

/// Someone with whom the app is shared.
pub(super) fn collaborator(app: &App, found: &domain::Collaborator) -> api::Collaborator {
    api::Collaborator {
        app: app_ref(app),
        created_at: timestamp(found.created_at_s),
        id: found.id,
        permissions: permissions(found.right),
        role: "collaborator".to_owned(),
        updated_at: timestamp(found.created_at_s),
        user: user(found.user.as_str()),
    }
}

/// Whose the app is, among those who may use it.
pub(super) fn owner(node: &Node, app: &App) -> api::Collaborator {
    let email = flows::owner(node, app).as_str();
    api::Collaborator {
        app: app_ref(app),
        created_at: timestamp(app.created_at_s),
        id: stable_id("owner", &format!("{}/{email}", app.id)),
        permissions: permissions(AppRight::Manage),
        role: "owner".to_owned(),
        updated_at: timestamp(app.created_at_s),
        user: user(email),
    }
}

/// A release.
pub(super) fn release(node: &Node, app: &App, view: &ReleaseView) -> api::Release {
    let release = &view.release;
    let output = || node.settings().release_output_url(release.id);
    let slug = release.slug.as_ref().map(slug_id);
    api::Release {
        addon_plan_names: Vec::new(),
        artifacts: slug.iter().map(|id| Artifact { kind: "slug".to_owned(), id: *id }).collect(),
        app: app_ref(app),
        created_at: timestamp(release.created_at_s),
        current: view.current,
        description: release.description.clone(),
        eligible_for_rollback: view.eligible_for_rollback(),
        id: release.id,
        output_stream_url: release.command().map(|_| output()),
        slug: slug.map(|id| SlugRef { id }),
        status: release.status.as_str().to_owned(),
        updated_at: timestamp(release.created_at_s),
        user: user(&release.user),
        version: release.version.0,
    }
}

/// A pipeline.
pub(super) fn pipeline(node: &Node, found: &domain::Pipeline, asked: &Asked) -> api::Pipeline {
    api::Pipeline {
        created_at: timestamp(found.created_at_s),
        generation: asked.generation(),
        id: found.id,
        name: found.name.to_string(),
        owner: Some(pipeline_owner(flows::pipeline_owner(node, found))),
        updated_at: timestamp(found.updated_at_s),
    }
}

/// Whose a pipeline is.
pub(super) fn pipeline_owner(owner: &domain::Email) -> PipelineOwner {
    let UserRef { email, id } = user(owner.as_str());
    PipelineOwner { email: Some(email), id, kind: "user".to_owned() }
}

/// An app's place in a pipeline.
pub(super) fn coupling(place: &Place) -> api::PipelineCoupling {
    let Place { coupling, app, pipeline } = place;
    api::PipelineCoupling {
        app: app_ref(app),
        created_at: timestamp(coupling.created_at_s),
        id: coupling.id,
        pipeline: Named { id: pipeline.id, name: pipeline.name.to_string() },
        stage: coupling.stage.to_string(),
        updated_at: timestamp(coupling.updated_at_s),
    }
}

/// A promotion.
pub(super) fn promotion(found: &Promotion) -> api::PipelinePromotion {
    api::PipelinePromotion {
        created_at: timestamp(found.created_at_s),
        id: found.id,
        pipeline: ById { id: found.pipeline },
        source: PromotionSource {
            app: ById { id: found.source.0 },
            release: Some(ById { id: found.release }),
        },
        status: if found.is_completed() { "completed" } else { "pending" }.to_owned(),
        updated_at: Some(timestamp(found.created_at_s)),
    }
}

/// One target of a promotion.
pub(super) fn promotion_target(of: &Promotion, target: &domain::PromotionTarget) -> api::PromotionTarget {
    let (release, error_message) = match &target.outcome {
        TargetOutcome::Refused(reason) => (None, Some(reason.clone())),
        TargetOutcome::Released { release, status: domain::ReleaseStatus::Failed } => {
            (Some(ById { id: *release }), Some(release_text::COMMAND_FAILED.to_owned()))
        }
        TargetOutcome::Released { release, .. } => (Some(ById { id: *release }), None),
    };
    api::PromotionTarget {
        app: ById { id: target.app.0 },
        error_message,
        id: target.id,
        pipeline_promotion: ById { id: of.id },
        release,
        status: target.status().as_str().to_owned(),
    }
}

/// A timed job.
pub(super) fn job(app: &App, view: &JobView) -> api::Job {
    let job = &view.job;
    api::Job {
        id: job.id.0,
        app: app_ref(app),
        command: job.command.clone(),
        size: job.size.to_string(),
        schedule: job.cadence.to_string(),
        time_zone: job.zone.clone(),
        overlap: job.overlap.as_str().to_owned(),
        created_at: timestamp(job.created_at_s),
        next_run_at: view.next.map(|next| timestamp(next.as_second())),
        last_run: view.last.as_ref().map(job_run),
    }
}

/// A run of a timed job.
pub(super) fn job_run(run: &domain::JobRun) -> api::JobRun {
    api::JobRun {
        id: run.id,
        job: run.job.0,
        dyno: run.name.as_ref().map(ToString::to_string),
        started_at: timestamp(run.started_at_s),
        ended_at: run.ended_at_s.map(timestamp),
        state: run.state.as_str().to_owned(),
        exit_status: run.state.status(),
        reason: run.reason.clone(),
    }
}

/// A dyno; `releases` are the identities of the app's releases.
pub(super) fn dyno(app: &App, view: &DynoView, releases: &HashMap<Version, Uuid>) -> api::Dyno {
    api::Dyno {
        attach_url: None,
        command: view.command.clone(),
        created_at: timestamp(view.created_s),
        id: view.id.0,
        name: view.name.to_string(),
        release: ReleaseRef {
            id: releases.get(&view.release).copied().unwrap_or_default(),
            version: view.release.0,
        },
        app: app_ref(app),
        size: view.size.to_string(),
        state: view.state.as_str().to_owned(),
        process_type: view.name.process_type.to_string(),
        updated_at: timestamp(view.since_s),
    }
}

/// How a dyno ended.
pub(super) fn death(death: &Death) -> api::Death {
    let told = death.diagnosis();
    let (exit_code, signal) = death.exit_code_and_signal();
    let time = |time: std::time::SystemTime| {
        let since = time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        timestamp(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
    };
    let memory = &death.memory;
    api::Death {
        id: death.id,
        name: death.name.clone(),
        release: death.release,
        command: death.command.clone(),
        size: death.size.clone(),
        launched_at: time(death.launched),
        ended_at: time(death.at),
        lived_s: death.lived().as_secs_f64(),
        orderly: death.is_orderly(),
        exit_code,
        signal,
        passage: death.passage.as_str().to_owned(),
        diagnosis: api::Diagnosis {
            name: told.name.to_owned(),
            what: told.what,
            advice: told.advice.to_owned(),
        },
        remarks: death.remarks().iter().map(ToString::to_string).collect(),
        port: death.port,
        listened: death.listened.as_ref().map(|all| all.iter().map(ToString::to_string).collect()),
        memory: api::DeathMemory {
            quota: memory.quota,
            limit: memory.limit,
            peak: (memory.peak > 0).then_some(memory.peak),
            limit_hits: memory.limit_hits,
            kills: memory.kills,
        },
        tasks: api::DeathTasks { limit: death.tasks.limit, refused: death.tasks.refused },
        refused_calls: death.refused_calls.iter().map(refused_call).collect(),
        pressure: api::DeathPressure {
            cpu: death.pressure.cpu,
            memory: death.pressure.memory,
            io: death.pressure.io,
        },
        last_lines: death.last_lines.clone(),
    }
}

fn refused_call((name, count): &(String, u64)) -> api::DeathCall {
    api::DeathCall { name: name.clone(), count: *count }
}

/// A build; `releases` are the identities of the app's releases.
pub(super) fn build(
    (app, build): (&App, &domain::Build),
    releases: &HashMap<Version, Uuid>,
    url: impl FnOnce(&str) -> String,
) -> api::Build {
    let buildpack = |name: &String| BuildpackRef { url: name.clone(), name: Some(name.clone()) };
    let timing = |time: &domain::PhaseTime| api::BuildTiming {
        phase: time.phase.as_str().to_owned(),
        ms: u64::try_from(time.spent.as_millis()).unwrap_or(u64::MAX),
    };
    api::Build {
        app: ById { id: app.id.0 },
        buildpacks: build.buildpacks.iter().map(buildpack).collect(),
        created_at: timestamp(build.started_at_s),
        generation: GENERATION.to_owned(),
        id: build.id,
        output_stream_url: url(&Settings::build_output_path(build.id)),
        release: build.release.and_then(|version| releases.get(&version)).map(|id| ById { id: *id }),
        slug: build.slug.as_ref().map(|digest| ById { id: slug_id(digest) }),
        source_blob: SourceBlob {
            checksum: build.source.checksum.as_ref().map(ToString::to_string),
            url: build.source.url.clone().unwrap_or_default(),
            version: build.commit.clone(),
            version_description: build.source.description.clone(),
        },
        stack: app.build_stack.to_string(),
        status: build.status.as_str().to_owned(),
        timings: build.timings.iter().map(timing).collect(),
        updated_at: timestamp(build.finished_at_s.unwrap_or(build.started_at_s)),
        user: user(&build.user),
    }
}

/// The branch that an app is deployed from, and where its host tells of pushes.
pub(super) fn repository(app: &App, link: &RepositoryLink, webhook_url: String) -> api::Repository {
    api::Repository {
        app: app_ref(app),
        auto_deploy: link.deploys == Deploys::Automatic,
        branch: link.branch.as_str().to_owned(),
        commit: link.commit.clone(),
        created_at: timestamp(link.created_at_s),
        outcome: link.outcome.clone(),
        pending: link.asked > link.done,
        secret: None,
        url: link.url.source().without_secrets(),
        webhook_url,
    }
}

/// A drain, with its whole URL: who may ask owns the app.
pub(super) fn log_drain(app: &App, drain: &domain::Drain) -> api::LogDrain {
    api::LogDrain {
        addon: None,
        app: app_ref(app),
        created_at: timestamp(drain.created_at_s),
        id: drain.id.0,
        token: drain.token.clone(),
        updated_at: timestamp(drain.created_at_s),
        url: drain.url.reveal().to_owned(),
    }
}

/// The identity of a feature, which follows from its name.
pub(super) fn feature_id(row: &FeatureRow) -> Uuid {
    stable_id("feature", row.name)
}

/// A feature, as an app has it that has chosen so.
pub(super) fn app_feature(app: &App, row: &FeatureRow, chosen: &Features) -> api::AppFeature {
    api::AppFeature {
        created_at: timestamp(app.created_at_s),
        description: row.description.to_owned(),
        display_name: None,
        doc_url: String::new(),
        enabled: chosen.has(row.feature),
        feedback_email: None,
        id: feature_id(row),
        name: row.name.to_owned(),
        state: "general".to_owned(),
        updated_at: timestamp(app.created_at_s),
    }
}

/// A buildpack list.
pub(super) fn buildpacks(urls: &[String]) -> Vec<api::BuildpackInstallation> {
    let one = |(ordinal, url): (u32, &String)| api::BuildpackInstallation {
        ordinal,
        buildpack: BuildpackRef { url: url.clone(), name: Some(url.clone()) },
    };
    (0..).zip(urls).map(one).collect()
}

/// A webhook. What deliveries are signed with stays inside.
pub(super) fn webhook(app: &App, found: &domain::Webhook) -> api::Webhook {
    api::Webhook {
        app: app_ref(app),
        created_at: timestamp(found.created_at_s),
        id: found.id,
        include: found.include.iter().map(|entity| entity.as_str().to_owned()).collect(),
        level: found.level.as_str().to_owned(),
        updated_at: timestamp(found.updated_at_s),
        url: found.url.reveal().to_owned(),
    }
}

/// Something that webhooks were told of.
pub(super) fn webhook_event(found: &domain::WebhookEvent) -> api::WebhookEvent {
    api::WebhookEvent {
        created_at: timestamp(found.created_at_s),
        id: found.id,
        include: found.entity.as_str().to_owned(),
        payload: serde_json::from_str(&found.payload).unwrap_or_default(),
        updated_at: timestamp(found.created_at_s),
    }
}

/// A delivery, as it fares.
pub(super) fn delivery(found: &domain::Delivery) -> api::WebhookDelivery {
    let attempt = |attempt: &domain::Attempt| api::DeliveryAttempt {
        code: attempt.code,
        created_at: timestamp(attempt.created_at_s),
        error_class: attempt.error.clone(),
        id: attempt.id,
        status: if attempt.is_taken() { "succeeded" } else { "failed" }.to_owned(),
        updated_at: timestamp(attempt.updated_at_s),
    };
    api::WebhookDelivery {
        created_at: timestamp(found.created_at_s),
        event: EventRef { id: found.event, include: found.entity.as_str().to_owned() },
        id: found.id,
        last_attempt: found.last_attempt.as_ref().map(attempt),
        next_attempt_at: found.next_attempt_at_s.map(timestamp),
        num_attempts: found.attempts,
        status: found.status.as_str().to_owned(),
        updated_at: timestamp(found.updated_at_s),
        webhook: WebhookRef { id: found.webhook, level: found.level.as_str().to_owned() },
    }
}
