//! The supervisor as the stories ask for it: domain values in, stacks found on disk, streams out.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::BoxFuture;
use futures_util::{Stream, StreamExt as _};
use tokio_stream::wrappers::WatchStream;

use crate::daemon::streams;
use crate::domain::{
    Affinity, AppId, AppName, DynoId, DynoName, Feature, Features, HostPattern, Release, RouteOptions,
    Routing,
};
use crate::flows::metadata;
use crate::flows::ports::{
    Connection, Death, Desired, DynoView, Dynos, DynosError, EndCause, FoundOneOff, OneOff, OneOffEnd,
    OneOffExit, Scope, StartedOneOff, Streams, Visit,
};
use crate::stack::Stack;
use crate::supervisor::engine;
use crate::supervisor::lifecycle::Handover;
use crate::supervisor::{
    self, DesiredApp, ExitWatch, Preferences, ReleaseImage, RuntimeMetrics, StackImage, Supervisor,
    SupervisorError,
};

/// The supervisor and the disk it needs answers from.
pub(super) struct SupervisedDynos {
    /// The one driver's handle.
    pub(super) supervisor: Supervisor,
    /// Where stacks are.
    pub(super) lib_dir: PathBuf,
}

/// Every dyno with its app, now and whenever one has changed.
pub(super) fn looks(supervisor: &Supervisor) -> impl Stream<Item = Vec<(AppId, DynoView)>> + Send + 'static {
    let all = WatchStream::new(supervisor.views());
    all.map(|all| all.iter().map(|dyno| (dyno.app, view(dyno.clone()))).collect())
}

fn view(dyno: supervisor::DynoView) -> DynoView {
    DynoView {
        id: dyno.id,
        name: dyno.name,
        state: dyno.state,
        created_s: unix_s(dyno.created),
        since_s: unix_s(dyno.since),
        command: dyno.command,
        size: dyno.size,
        release: dyno.release,
    }
}

impl SupervisedDynos {
    /// All that a dyno needs of a release, `metadata` among it; none before the first deploy.
    fn image(
        &self,
        release: &Release,
        metadata: BTreeMap<String, String>,
    ) -> Result<Option<Arc<ReleaseImage>>, DynosError> {
        let (Some(slug), Some(version)) = (&release.slug, &release.stack_version) else { return Ok(None) };
        let stack = Stack::at(&self.lib_dir, &release.stack, version).map_err(|error| {
            let (stack, number) = (&release.stack, release.version);
            DynosError::Refused(format!("Release {number} needs stack {stack} ({version}): {error}."))
        })?;
        Ok(Some(Arc::new(ReleaseImage {
            version: release.version,
            slug: slug.clone(),
            stack: StackImage {
                name: stack.name.clone(),
                version: stack.version.clone(),
                layers: stack.run_layers(),
                env: stack.env.into_iter().collect(),
            },
            config: release.config.clone(),
            commands: release.process_types.clone(),
            metadata,
        })))
    }

    fn desired(&self, desired: Desired) -> Result<DesiredApp, DynosError> {
        let Desired { app, release, formation, features, routing, earlier, domains } = desired;
        let image = |release: &Release| self.image(release, metadata(&app, release, &features));
        // One whose stack is gone cannot be started again, which is no reason not to run the current one.
        let earlier = earlier.iter().filter_map(|release| image(release).ok().flatten()).collect();
        Ok(DesiredApp {
            app: app.id,
            hostnames: hostnames(&app.name, domains),
            release: image(&release)?,
            name: app.name,
            formation,
            maintenance: app.maintenance,
            preferences: preferences(&features, routing),
            earlier,
        })
    }

    fn one_off(&self, one_off: OneOff) -> Result<supervisor::OneOff, DynosError> {
        let nothing = || DynosError::Refused("Nothing has been deployed yet.".to_owned());
        Ok(supervisor::OneOff {
            id: one_off.id,
            name: one_off.name,
            app: one_off.app.id,
            // Whoever asks for a one-off lays over its environment what it is to be told.
            release: self.image(&one_off.release, BTreeMap::new())?.ok_or_else(nothing)?,
            command: one_off.command,
            size: one_off.size,
            env: one_off.env,
            connection: connection_of(one_off.connection),
            time_to_live: Some(Duration::from_secs(one_off.time_to_live_s)),
        })
    }
}

/// The name an app is given, and those of its own.
fn hostnames(app: &AppName, domains: Vec<HostPattern>) -> Vec<HostPattern> {
    app.default_domain().parse().into_iter().chain(domains).collect()
}

impl Dynos for SupervisedDynos {
    fn apply(&self, desired: Desired) -> BoxFuture<'_, Result<(), DynosError>> {
        Box::pin(async move { Ok(self.supervisor.apply(self.desired(desired)?).await?) })
    }

    fn adopt(&self, desired: Vec<Desired>) -> BoxFuture<'_, Result<Vec<FoundOneOff>, DynosError>> {
        Box::pin(async move {
            let mut apps = Vec::new();
            for one in desired {
                let (app, bare) = (one.app.name.clone(), one.app.clone());
                let (formation, domains) = (one.formation.clone(), one.domains.clone());
                let preferences = preferences(&one.features, one.routing.clone());
                match self.desired(one) {
                    Ok(desired) => apps.push(desired),
                    // One app without its stack must not keep all others down: it answers, and runs nothing.
                    Err(error) => {
                        tracing::error!(%app, %error, "an app cannot run");
                        apps.push(DesiredApp {
                            app: bare.id,
                            hostnames: hostnames(&app, domains),
                            name: app,
                            release: None,
                            formation,
                            maintenance: bare.maintenance,
                            preferences,
                            earlier: Vec::new(),
                        });
                    }
                }
            }
            let found = self.supervisor.adopt(apps).await?;
            Ok(found.into_iter().map(|(id, watch)| FoundOneOff { id, exit: exit(watch) }).collect())
        })
    }

    fn forget(&self, app: AppId) -> BoxFuture<'_, Result<(), DynosError>> {
        Box::pin(async move {
            self.supervisor.forget(app).await?;
            let deaths = self.supervisor.deaths().clone();
            let forgotten = tokio::task::spawn_blocking(move || deaths.forget(app)).await;
            if let Ok(Err(error)) = forgotten {
                tracing::warn!(%app, %error, "accounts of a forgotten app's dynos are left over");
            }
            Ok(())
        })
    }

    fn restart(&self, app: AppId, scope: Scope) -> BoxFuture<'_, Result<(), DynosError>> {
        Box::pin(async move { Ok(self.supervisor.restart(app, scope_of(scope)).await?) })
    }

    fn stop(&self, app: AppId, scope: Scope) -> BoxFuture<'_, Result<(), DynosError>> {
        Box::pin(async move { Ok(self.supervisor.stop(app, scope_of(scope)).await?) })
    }

    fn run(&self, one_off: OneOff) -> BoxFuture<'_, Result<StartedOneOff, DynosError>> {
        Box::pin(async move {
            let started = self.supervisor.run(self.one_off(one_off)?).await?;
            let Some(attached) = started.attached else {
                return Ok(StartedOneOff::Detached(exit(started.exit)));
            };
            usable(streams::join(attached, started.exit)).map(StartedOneOff::Attached)
        })
    }

    fn visit(&self, dyno: DynoId, visit: Visit) -> BoxFuture<'_, Result<Streams, DynosError>> {
        let Visit { command, env, connection } = visit;
        let visit = engine::Visit { command, env, connection: connection_of(connection) };
        Box::pin(async move { usable(streams::join_visit(self.supervisor.visit(dyno, visit).await?)) })
    }

    fn deaths(&self, app: AppId, name: DynoName) -> BoxFuture<'_, Result<Vec<Death>, DynosError>> {
        let deaths = self.supervisor.deaths().clone();
        Box::pin(async move {
            let read = tokio::task::spawn_blocking(move || deaths.of(app, &name)).await;
            let refused =
                |error| DynosError::Refused(format!("The account of its end cannot be read: {error}."));
            read.map_err(|_| DynosError::Ended)?.map_err(refused)
        })
    }

    fn snapshot(&self, app: AppId) -> Vec<DynoView> {
        self.supervisor.snapshot(app).into_iter().map(view).collect()
    }
}

impl From<SupervisorError> for DynosError {
    fn from(error: SupervisorError) -> Self {
        match error {
            SupervisorError::Refused(refusal) => Self::Refused(format!("{refusal}.")),
            SupervisorError::NotStarted(reason) => Self::NotStarted(reason),
            SupervisorError::NotVisited(reason) => {
                Self::Refused(format!("The command could not be started: {reason}."))
            }
            SupervisorError::Adopt(cause) => {
                Self::Refused(format!("The dynos that run cannot be found: {cause}."))
            }
            SupervisorError::Departures(cause) => {
                Self::Refused(format!("Which dynos were told to go cannot be read: {cause}."))
            }
            // An error of the library has its cause behind it.
            SupervisorError::NotKept(error) => Self::Refused(format!(
                "The dynos were told to go, but the node {error}{}: make room there, and repeat.",
                std::error::Error::source(&*error).map(|cause| format!(" ({cause})")).unwrap_or_default()
            )),
            SupervisorError::Ended => Self::Ended,
        }
    }
}

/// The ends of a terminal or of pipes, where there are any.
fn usable(joined: std::io::Result<Option<Streams>>) -> Result<Streams, DynosError> {
    let refused = |error| DynosError::Refused(format!("The terminal cannot be used: {error}."));
    let no_streams = || DynosError::Refused("The dyno has no terminal to attach to.".to_owned());
    joined.map_err(refused)?.ok_or_else(no_streams)
}

/// The end as the stories know it.
fn exit(watch: ExitWatch) -> OneOffExit {
    Box::pin(async move {
        let supervisor::OneOffEnd { status, cause } = watch.wait().await?;
        let cause = match cause {
            supervisor::EndCause::Itself => EndCause::Itself,
            supervisor::EndCause::Stopped => EndCause::Stopped,
        };
        Some(OneOffEnd { status, cause })
    })
}

/// What the supervisor needs to know of what an app has chosen.
fn preferences(features: &Features, routing: Routing) -> Preferences {
    let Routing { first_byte, rolling, choice, readiness, http2, dyno_protocol } = routing;
    let affinity = if features.has(Feature::HttpSessionAffinity) { Affinity::Cookie } else { Affinity::Off };
    Preferences {
        handover: if features.has(Feature::Preboot) { Handover::Overlap } else { Handover::AtOnce },
        metrics: if features.has(Feature::LogRuntimeMetrics) {
            RuntimeMetrics::On
        } else {
            RuntimeMetrics::Off
        },
        routing: RouteOptions { affinity, choice, first_byte, rolling, http2, dyno_protocol },
        readiness,
    }
}

fn connection_of(connection: Connection) -> supervisor::Connection {
    match connection {
        Connection::Log => supervisor::Connection::Log,
        Connection::Terminal { rows, cols } => supervisor::Connection::Terminal { rows, cols },
        Connection::Pipes => supervisor::Connection::Pipes,
    }
}

fn scope_of(scope: Scope) -> supervisor::Scope {
    match scope {
        Scope::All => supervisor::Scope::All,
        Scope::Type(process_type) => supervisor::Scope::Type(process_type),
        Scope::Dyno(name) => supervisor::Scope::Dyno(name),
    }
}

fn unix_s(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
