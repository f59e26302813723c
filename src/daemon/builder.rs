//! The builder as the stories ask for it.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use crate::daemon::Config;
use crate::domain::StackName;
use crate::flows::ports::{BuildFailure, BuildOrder, Builder, Built};
use crate::runtime::client::Runtime;
use crate::runtime::network::NodeNetwork;
use crate::runtime::slots::Slots;
use crate::stack::{self, Stack};

pub(super) struct SandboxedBuilder {
    lib_dir: PathBuf,
}

impl SandboxedBuilder {
    pub(super) fn new(config: &Config, _: Runtime, _: Arc<NodeNetwork>, _: Slots) -> Self {
        Self { lib_dir: config.lib_dir.clone() }
    }
}

impl Builder for SandboxedBuilder {
    fn build(
        &self,
        _order: BuildOrder,
        _lines: mpsc::UnboundedSender<String>,
    ) -> BoxFuture<'_, Result<Built, BuildFailure>> {
        Box::pin(async { Err(BuildFailure::Node("no builder".to_owned())) })
    }

    fn stacks(&self) -> Vec<StackName> {
        stack::known().into_iter().filter(|name| Stack::current(&self.lib_dir, name).is_ok()).collect()
    }
}
