//! From domain values to the shapes of `wire::api`.

use std::collections::HashMap;

use uuid::Uuid;

use crate::api::state::Api;
use crate::domain::{self, App, Version};
use crate::flows::ports::{Desired, DynoView};
use crate::flows::{AppInfo, ReleaseView};
use crate::wire::api::{
    self, Artifact, BuildpackRef, ById, Named, ReleaseRef, SlugRef, SourceBlob, UserRef, stable_id, timestamp,
};

/// The one region a node is.
const REGION: &str = "us";
/// What clients must be told, or they change their behaviour.
const GENERATION: &str = "cedar";

fn app_ref(app: &App) -> Named {
    Named { id: app.id.0, name: app.name.to_string() }
}

/// A user, whose identity follows from the name.
pub(super) fn user(name: &str) -> UserRef {
    UserRef { email: name.to_owned(), id: stable_id("user", name) }
}

fn slug_id(digest: &domain::SlugDigest) -> Uuid {
    stable_id("slug", digest.as_str())
}

/// An app.
pub(super) fn app(api: &Api, info: &AppInfo) -> api::App {
    let settings = api.node.settings();
    let app = &info.app;
    let deployed = info.release.slug.is_some();
    // An app that was never deployed has the stack of its first build.
    let stack = if deployed { &info.release.stack } else { &app.build_stack };
    api::App {
        acm: false,
        archived_at: None,
        buildpack_provided_description: info
            .slug
            .as_ref()
            .and_then(|slug| slug.buildpack_description.clone()),
        build_stack: Named::stable("stack", app.build_stack.as_str()),
        created_at: timestamp(app.created_at_s),
        generation: Named::stable("generation", GENERATION),
        git_url: settings.git_url(&app.name),
        id: app.id.0,
        internal_routing: None,
        maintenance: app.maintenance,
        name: app.name.to_string(),
        organization: None,
        owner: user(&settings.owner),
        process_tier: "production".to_owned(),
        region: Named::stable("region", REGION),
        released_at: Some(timestamp(info.release.created_at_s)),
        repo_size: if deployed { info.repo_bytes } else { None },
        slug_size: info.slug.as_ref().map(|slug| slug.size.0),
        space: None,
        stack: Named::stable("stack", stack.as_str()),
        team: None,
        updated_at: timestamp(info.release.created_at_s.max(app.created_at_s)),
        web_url: Some(settings.web_url(&app.name)),
    }
}

/// A release.
pub(super) fn release(api: &Api, app: &App, view: &ReleaseView) -> api::Release {
    let release = &view.release;
    let output = || api.node.settings().release_output_url(release.id);
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

/// A formation, one entry a type, with the commands of the release that runs.
pub(super) fn formation(desired: &Desired) -> Vec<api::FormationEntry> {
    let app = &desired.app;
    let entry = |entry: &domain::FormationEntry| api::FormationEntry {
        app: app_ref(app),
        command: desired.release.process_types.get(&entry.process_type).cloned().unwrap_or_default(),
        created_at: timestamp(app.created_at_s),
        dyno_size: Named::stable("dyno-size", entry.size.as_str()),
        id: stable_id("formation", &format!("{}/{}", app.id, entry.process_type)),
        quantity: entry.quantity,
        size: entry.size.to_string(),
        process_type: entry.process_type.to_string(),
        updated_at: timestamp(desired.release.created_at_s),
    };
    desired.formation.entries().iter().map(entry).collect()
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

/// A build; `releases` are the identities of the app's releases.
pub(super) fn build(app: &App, build: &domain::Build, releases: &HashMap<Version, Uuid>) -> api::Build {
    api::Build {
        app: ById { id: app.id.0 },
        buildpacks: Vec::new(),
        created_at: timestamp(build.started_at_s),
        generation: GENERATION.to_owned(),
        id: build.id,
        output_stream_url: None,
        release: build.release.and_then(|version| releases.get(&version)).map(|id| ById { id: *id }),
        slug: build.slug.as_ref().map(|digest| ById { id: slug_id(digest) }),
        source_blob: SourceBlob {
            checksum: None,
            url: String::new(),
            version: build.commit.clone(),
            version_description: None,
        },
        stack: app.build_stack.to_string(),
        status: build.status.as_str().to_owned(),
        updated_at: timestamp(build.finished_at_s.unwrap_or(build.started_at_s)),
        user: user(&build.user),
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

/// A buildpack list.
pub(super) fn buildpacks(urls: &[String]) -> Vec<api::BuildpackInstallation> {
    let one = |(ordinal, url): (u32, &String)| api::BuildpackInstallation {
        ordinal,
        buildpack: BuildpackRef { url: url.clone(), name: Some(url.clone()) },
    };
    (0..).zip(urls).map(one).collect()
}
