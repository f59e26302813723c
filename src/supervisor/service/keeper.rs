//! Keeps one data service running: starts it, takes it over, starts it anew when it has ended, ends it when told to.

use std::path::Path;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::container::{self, Loan, READY};
use super::disk;
use super::{Ground, STOP_GRACE_S, ServiceSpec, Standing};
use crate::logs::FollowHandle;
use crate::runtime::{Container, Signal};
use crate::supervisor::engine::{STORE_ID, chain, in_layers};
use crate::sys::fs;

/// Between two looks at whether a service answers.
const READY_POLL: Duration = Duration::from_millis(50);
/// The wait before a service is started that has ended, and the longest it grows to while it ends again and again.
const RESTART_WAIT: Duration = Duration::from_millis(200);
const RESTART_WAIT_MAX: Duration = Duration::from_secs(60);
/// Who has answered this long is well: the waits begin anew.
const WELL_AFTER: Duration = Duration::from_secs(60);
/// The owner's alone: others of the host have no business there.
const VOLUME_MODE: u32 = 0o700;

/// One service and what tells of it.
pub(super) struct Keeper {
    pub(super) ground: Ground,
    pub(super) spec: ServiceSpec,
    pub(super) told: watch::Sender<Standing>,
    pub(super) shown: watch::Sender<Option<Container>>,
    pub(super) stop: CancellationToken,
}

impl Keeper {
    /// Until it is told to stop. Its address is sealed for as long: a service answers, and asks nobody.
    pub(super) async fn run(self, adopted: Option<Container>) {
        let address = self.ground.network.address(self.spec.slot);
        while let Err(error) = self.ground.network.seal(address).await {
            tracing::error!(service = %self.spec.host, error = chain(&error), "a data service waits to be shut off");
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(RESTART_WAIT_MAX) => {}
            }
        }
        self.keep(adopted).await;
        if let Err(error) = self.ground.network.unseal(address).await {
            tracing::error!(service = %self.spec.host, error = chain(&error), "who has its address next is shut off");
        }
    }

    async fn keep(&self, mut adopted: Option<Container>) {
        let mut wait = RESTART_WAIT;
        while !self.stop.is_cancelled() {
            let container = match adopted.take() {
                Some(container) if self.is_of_today(&container) => Some((container, None)),
                Some(container) => {
                    tracing::info!(service = %self.spec.host, "it is started anew under what it is now");
                    self.end_and_clear(&container).await;
                    self.started().await
                }
                None => self.started().await,
            };
            let begun = tokio::time::Instant::now();
            if let Some((container, nonce)) = container {
                self.attend(&container, nonce).await;
            }
            if self.stop.is_cancelled() {
                return;
            }
            wait = if begun.elapsed() > WELL_AFTER { RESTART_WAIT } else { (wait * 2).min(RESTART_WAIT_MAX) };
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Stays with a container until it is cleared away, having ended by itself or because it was told to.
    async fn attend(&self, container: &Container, nonce: Option<String>) {
        let host = &self.spec.host;
        let lines: FollowHandle =
            self.ground.logs.follow_ring(self.spec.app, self.spec.service.name.clone(), container.log_ring());
        self.shown.send_replace(Some(container.clone()));
        tokio::select! {
            () = self.stop.cancelled() => end(container, Duration::from_secs(STOP_GRACE_S)).await,
            exit = container.wait() => {
                tracing::warn!(service = %host, status = exit.shell_status(), oom = exit.oom, "a data service has ended");
            }
            () = self.watch(nonce) => {}
            () = disk::watch(&self.ground, &self.spec, (container, self.told.subscribe())) => {}
        }
        self.shown.send_replace(None);
        self.told.send_replace(Standing::Starting);
        lines.finish().await;
        if let Err(error) = container.remove().await {
            tracing::warn!(service = %host, error = chain(&error), "a data service was not cleared away");
        }
    }

    /// Whether a container that was found was started under the plan and the password of today.
    fn is_of_today(&self, container: &Container) -> bool {
        let (name, generation) = container::generation(&self.spec);
        container.labels().get(&name) == Some(&generation)
    }

    async fn end_and_clear(&self, container: &Container) {
        end(container, Duration::from_secs(STOP_GRACE_S)).await;
        if let Err(error) = container.remove().await {
            tracing::warn!(service = %self.spec.host, error = chain(&error), "a data service was not cleared away");
        }
    }

    /// Tells when the service answers; then waits for ever. Of one that was taken over it is not known how it was started.
    async fn watch(&self, nonce: Option<String>) {
        let file = self.ground.dir.join(self.spec.id.to_string()).join(READY);
        let is_said = || {
            std::fs::read_to_string(&file).is_ok_and(|said| nonce.as_ref().is_none_or(|nonce| *nonce == said))
        };
        while !is_said() {
            tokio::time::sleep(READY_POLL).await;
        }
        self.told.send_replace(Standing::Ready);
        std::future::pending().await
    }

    /// A new container, with what it says when it answers; what hinders is told to the node's log, and tried again.
    async fn started(&self) -> Option<(Container, Option<String>)> {
        match self.start().await {
            Ok((container, nonce)) => Some((container, Some(nonce))),
            Err(error) => {
                tracing::error!(service = %self.spec.host, %error, "a data service was not started");
                None
            }
        }
    }

    async fn start(&self) -> Result<(Container, String), String> {
        let (ground, spec) = (&self.ground, &self.spec);
        let volume = ground.dir.join(spec.id.to_string());
        prepare(&volume).map_err(|error| format!("cannot make {}: {error}", volume.display()))?;
        let passwd = in_layers(&spec.layers, Path::new("etc/passwd"));
        let passwd = passwd.map_or_else(|| Ok(String::new()), std::fs::read_to_string);
        let passwd = passwd.map_err(|error| format!("cannot read the users of its stack: {error}"))?;
        let lease = ground.network.allot(spec.slot).await.map_err(|error| chain(&error))?;
        let nonce = Uuid::new_v4().to_string();
        let netns = lease.netns.clone();
        let loan = Loan { index: ground.index, netns, volume, nonce: nonce.clone(), passwd };
        let id = container::id(spec.id).ok_or("its container cannot be named")?;
        let sandbox = container::sandbox(spec, &loan, id);
        let started = ground.runtime.start(sandbox).await.map_err(|error| chain(&error))?;
        // The namespace lives in its processes from here on.
        drop(lease);
        Ok((started.container, nonce))
    }
}

/// Makes the directory of a service where there is none.
fn prepare(volume: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if volume.is_dir() {
        return Ok(());
    }
    if let Some(parent) = volume.parent() {
        std::fs::create_dir_all(parent)?;
        std::fs::set_permissions(parent, PermissionsExt::from_mode(VOLUME_MODE))?;
    }
    let new = volume.with_extension("new");
    std::fs::create_dir_all(&new)?;
    std::fs::set_permissions(&new, PermissionsExt::from_mode(VOLUME_MODE))?;
    std::os::unix::fs::chown(&new, Some(STORE_ID), Some(STORE_ID))?;
    std::fs::rename(&new, volume)?;
    volume.parent().map_or(Ok(()), fs::sync_dir)
}

/// Asks every process to end, and ends what has not after `grace`.
pub(super) async fn end(container: &Container, grace: Duration) {
    if let Err(error) = container.signal_all(Signal::Terminate) {
        tracing::warn!(container = %container.id(), error = chain(&error), "a data service was not asked to end");
    }
    if tokio::time::timeout(grace, container.wait()).await.is_err() {
        tracing::warn!(container = %container.id(), "a data service has not ended by itself");
        if let Err(error) = container.kill() {
            tracing::error!(container = %container.id(), error = chain(&error), "a data service was not ended");
            return;
        }
        container.wait().await;
    }
}
