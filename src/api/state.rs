//! What handlers work with.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::api::describe::AsTheApi;
use crate::api::error::ApiError;
use crate::api::exec::ExecDoor;
use crate::api::log_sessions::Sessions;
use crate::api::rate::Buckets;
use crate::api::rendezvous::Expected;
use crate::api::repositories::Hearing;
use crate::domain::App;
use crate::flows::{self, Node};
use crate::wire::metrics::Traffic;

/// How the node is asked to go: the sender's value becomes true.
pub type ShutdownSignal = watch::Sender<bool>;

/// Where the router's figures come from.
pub type FiguresSource = Arc<dyn Fn() -> BoxFuture<'static, Traffic> + Send + Sync>;

/// What handlers work with; clones share it.
#[derive(Clone)]
pub struct Api {
    /// The node.
    pub node: Node,
    pub(super) sessions: Arc<Sessions>,
    pub(super) expected: Arc<Expected>,
    pub(super) buckets: Arc<Buckets>,
    pub(super) hearing: Arc<Hearing>,
    /// The way in for visits of the stock command; none where nobody has told an address for it.
    pub(super) exec: Option<Arc<ExecDoor>>,
    /// The certificate that clients are to trust, PEM; none where there is no TLS.
    pub(super) authority: Option<Arc<str>>,
    pub(super) shutdown: Arc<ShutdownSignal>,
    pub(super) figures: FiguresSource,
    closing: CancellationToken,
}

impl Api {
    /// The API of `node`; `shutdown` is told when a client asks the node to stop everything.
    #[must_use]
    pub fn new(node: Node, shutdown: ShutdownSignal) -> Self {
        node.describe_with(Arc::new(AsTheApi));
        Self {
            node,
            sessions: Arc::default(),
            expected: Arc::default(),
            buckets: Arc::default(),
            hearing: Arc::default(),
            exec: None,
            authority: None,
            shutdown: Arc::new(shutdown),
            figures: Arc::new(|| Box::pin(std::future::ready(Traffic::default()))),
            closing: CancellationToken::new(),
        }
    }

    /// The same, telling clients to trust this certificate, PEM.
    #[must_use]
    pub fn with_authority(self, pem: &str) -> Self {
        Self { authority: Some(pem.into()), ..self }
    }

    /// The same, with visits of the stock command, which come to this address of loopback while they are expected.
    #[must_use]
    pub fn with_exec(self, address: SocketAddr) -> Self {
        Self { exec: ExecDoor::at(address).map(Arc::new), ..self }
    }

    /// The same, showing the figures of a router.
    #[must_use]
    pub fn with_figures(self, figures: FiguresSource) -> Self {
        Self { figures, ..self }
    }

    /// Ends the streams that have no end of their own, wherever they are served.
    pub fn close(&self) {
        self.closing.cancel();
    }

    /// Waits until the node closes.
    pub(super) fn closing(&self) -> impl Future<Output = ()> + Send + 'static {
        self.closing.clone().cancelled_owned()
    }

    /// The app a path names, by name or identity.
    pub(super) async fn app(&self, key: &str) -> Result<App, ApiError> {
        Ok(flows::find(&self.node, key).await?)
    }
}
