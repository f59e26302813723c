//! The builder as the stories ask for it: stacks found on disk, the host's way to registries laid in, lines passed on.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use crate::build::{self, BuildLimits, BuildRequest, Ground, Sandboxes, Sink, TestCommands};
use crate::daemon::Config;
use crate::daemon::layers::StackLayers;
use crate::domain::{Slug, StackName, StackVersion};
use crate::flows::ports::{BuildFailure, BuildOrder, Builder, Built, PackedSlug, TestLines};
use crate::runtime::Runtime;
use crate::runtime::network::NodeNetwork;
use crate::runtime::slots::Slots;
use crate::stack::host::{HostSettings, Resolvers};
use crate::stack::{self, Stack};
use crate::wire::push_text;

/// Where programs look for name servers (resolv.conf(5)).
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// How much this machine's processes wait for memory (Documentation/accounting/psi.rst).
const MEMORY_PRESSURE: &str = "/proc/pressure/memory";

/// Builds in sandboxes of this node.
pub(super) struct SandboxedBuilder {
    lib_dir: PathBuf,
    sandboxes: Sandboxes,
    limits: BuildLimits,
    known_buildpacks: BTreeMap<String, String>,
}

/// Lines of a build on their way to the pusher, who may have gone.
struct Lines(mpsc::UnboundedSender<String>);

impl Sink for Lines {
    fn line(&mut self, line: &str) {
        let _nobody_reads = self.0.send(line.to_owned());
    }
}

/// The same of tests, whose own lines go elsewhere.
struct LinesOfTests {
    lines: TestLines,
    has_begun: bool,
}

impl Sink for LinesOfTests {
    fn line(&mut self, line: &str) {
        let sender = if self.has_begun { &self.lines.tests } else { &self.lines.setup };
        let _nobody_reads = sender.send(line.to_owned());
    }

    fn tests_begin(&mut self) {
        self.has_begun = true;
    }
}

impl SandboxedBuilder {
    /// A builder beside the dynos, with whom it shares network and slots.
    pub(super) fn new(config: &Config, runtime: Runtime, network: Arc<NodeNetwork>, slots: Slots) -> Self {
        Self {
            lib_dir: config.lib_dir.clone(),
            sandboxes: sandboxes(config, runtime, network, slots),
            limits: config.build,
            known_buildpacks: config.buildpacks.clone(),
        }
    }

    /// The stack of an order, or a failure that is told.
    fn stack(&self, order: &BuildOrder, lines: &mut Lines) -> Result<Stack, BuildFailure> {
        Stack::current(&self.lib_dir, &order.app.build_stack).map_err(|error| {
            let told = order.deed.told(push_text::node_failed(&error.to_string()));
            told.iter().for_each(|line| lines.line(line));
            BuildFailure::Node(error.to_string())
        })
    }

    /// An order as the build takes it, with the layers of its stack.
    fn prepared(
        &self,
        order: BuildOrder,
        tests: Option<TestCommands>,
        lines: &mut Lines,
    ) -> Result<(BuildRequest, StackLayers), BuildFailure> {
        let stack = self.stack(&order, lines)?;
        let request = self.request(order, &stack, tests);
        Ok((request, StackLayers { stack }))
    }

    fn request(&self, order: BuildOrder, stack: &Stack, tests: Option<TestCommands>) -> BuildRequest {
        BuildRequest {
            tests,
            id: order.id,
            deed: order.deed,
            source: order.source,
            root: order.root,
            source_version: order.commit,
            stack: stack.name.clone(),
            stack_compat: stack.compat.clone(),
            stack_base: Ground { version: stack.version.clone(), layers: stack.build_layers() },
            stack_env: stack.build_env.clone(),
            buildpacks: order.buildpacks,
            known_buildpacks: self.known_buildpacks.clone(),
            config: order.config,
            cache: order.cache,
            limits: self.limits,
            laps: order.laps,
        }
    }
}

/// Where builds run, with this host's way to registries.
pub(super) fn sandboxes(
    config: &Config,
    runtime: Runtime,
    network: Arc<NodeNetwork>,
    slots: Slots,
) -> Sandboxes {
    let host = HostSettings::collect();
    let mut files = host.files;
    files.push((PathBuf::from(RESOLV_CONF), resolv_conf(config, &host.resolvers).into_bytes()));
    Sandboxes {
        runtime,
        slots,
        network: Some(network),
        node_index: config.index,
        lib_dir: config.lib_dir.clone(),
        env: host.env,
        files,
        mirror: Arc::clone(&config.mirror),
        memory_pressure: PathBuf::from(MEMORY_PRESSURE),
        binds: host.binds,
    }
}

/// A failure whose lines have been told.
fn told(failure: build::BuildFailure) -> BuildFailure {
    match failure {
        build::BuildFailure::Source => BuildFailure::Source,
        build::BuildFailure::Node(failure) => BuildFailure::Node(failure.to_string()),
    }
}

/// The name servers that were configured, or else the host's.
fn resolv_conf(config: &Config, host: &Resolvers) -> String {
    match &config.resolvers {
        Some(addresses) => addresses.iter().map(|address| format!("nameserver {address}\n")).collect(),
        None => host.resolv_conf(),
    }
}

impl Builder for SandboxedBuilder {
    fn build(
        &self,
        order: BuildOrder,
        lines: mpsc::UnboundedSender<String>,
    ) -> BoxFuture<'_, Result<Built, BuildFailure>> {
        Box::pin(async move {
            let mut lines = Lines(lines);
            let (request, layers) = self.prepared(order, None, &mut lines)?;
            let built = build::build(request, &self.sandboxes, &layers, &mut lines).await;
            let built = built.map_err(told)?;
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let slug = Slug {
                digest: built.digest,
                size: built.size,
                process_types: built.process_types,
                buildpack_description: built.description,
                created_at_s: i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
            };
            Ok(Built {
                slug,
                stack_version: built.stack_version,
                buildpacks: built.buildpacks,
                chooser: built.chooser,
            })
        })
    }

    fn manifest(
        &self,
        order: BuildOrder,
        lines: mpsc::UnboundedSender<String>,
    ) -> BoxFuture<'_, Result<Vec<u8>, BuildFailure>> {
        Box::pin(async move {
            let mut lines = Lines(lines);
            let (request, layers) = self.prepared(order, None, &mut lines)?;
            build::manifest(request, &self.sandboxes, &layers, &mut lines).await.map_err(told)
        })
    }

    fn pack(
        &self,
        order: BuildOrder,
        lines: mpsc::UnboundedSender<String>,
    ) -> BoxFuture<'_, Result<PackedSlug, BuildFailure>> {
        Box::pin(async move {
            let mut lines = Lines(lines);
            let (request, layers) = self.prepared(order, None, &mut lines)?;
            build::pack_again(request, &self.sandboxes, &layers, &mut lines).await.map_err(told)
        })
    }

    fn test(
        &self,
        order: BuildOrder,
        commands: TestCommands,
        lines: TestLines,
    ) -> BoxFuture<'_, Result<u8, BuildFailure>> {
        Box::pin(async move {
            let mut setup = Lines(lines.setup.clone());
            let (request, layers) = self.prepared(order, Some(commands), &mut setup)?;
            let mut lines = LinesOfTests { lines, has_begun: false };
            build::test(request, &self.sandboxes, &layers, &mut lines).await.map_err(told)
        })
    }

    fn check_buildpack(&self, name: &str) -> Result<(), String> {
        build::check_buildpack(name, &self.known_buildpacks)
    }

    fn stacks(&self) -> Vec<StackName> {
        stack::present(&self.lib_dir)
    }

    fn stack_version(&self, name: &StackName, version: Option<&str>) -> Option<StackVersion> {
        let stack = match version {
            Some(version) => Stack::at(&self.lib_dir, name, version),
            None => Stack::current(&self.lib_dir, name),
        };
        stack.ok().map(|stack| stack.build_of())
    }
}
