//! `dyno stacks:build`: the one command that works on the node's disk itself, before any node runs.

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::failure::Failure;
use crate::cli::{Context, output};
use crate::domain::StackName;
use crate::stack::{self, Freshness, Outcome, Phase, Progress};
use crate::sys::tty;

/// Build a stack on this node; as root, seconds when it is built already
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Name of the stack
    #[arg(value_name = "STACK", default_value_t)]
    stack: StackName,
    /// Build it again with the packages that the archive has today, such as security updates. It keeps its name, and releases
    /// keep the build they were made on: new builds of apps take the new one
    #[arg(long)]
    update: bool,
    /// Packages to lay over it now instead of at the first push that needs them, such as ruby or java
    #[arg(long, value_name = "NAME")]
    with: Vec<String>,
    /// Data services whose packages to lay over it now instead of when the first add-on needs them, such as postgresql
    #[arg(long, value_name = "NAME")]
    service: Vec<String>,
}

impl Args {
    pub(in crate::cli) fn run(self, context: &Context) -> Result<(), Failure> {
        context.node.must_be_here("stacks:build")?;
        let mut shown = Shown::new();
        let freshness = if self.update { Freshness::Today } else { Freshness::AsBuilt };
        let built = stack::build(&self.stack, &context.node.lib_dir(), freshness, &mut shown);
        shown.bar.finish_and_clear();
        let (built, outcome) = built.map_err(Failure::Stack)?;
        for name in self.with {
            let mut shown = Shown::new();
            let laid = stack::with_layers(&built, &[name].into(), &mut shown);
            shown.bar.finish_and_clear();
            laid.map_err(Failure::Stack)?;
        }
        for name in self.service {
            let service = stack::service(&name).map_err(Failure::Stack)?;
            let mut shown = Shown::new();
            let laid = stack::with_service(&built, service, &mut shown);
            shown.bar.finish_and_clear();
            laid.map_err(Failure::Stack)?;
        }
        let told = match outcome {
            Outcome::AlreadyBuilt => "is built already",
            Outcome::Built => "is built",
        };
        if context.node.json {
            return output::json(&serde_json::json!({
                "name": built.name.as_str(),
                "version": built.version,
                "built": outcome == Outcome::Built,
            }));
        }
        output::data(&format!("Stack {} {told} (version {})\n", built.name, built.version))
    }
}

/// A bar on a terminal; elsewhere a line for each phase.
pub(super) struct Shown {
    pub(super) bar: ProgressBar,
    phase: Option<Phase>,
}

impl Shown {
    pub(super) fn new() -> Self {
        // Hides itself where standard error is no terminal.
        let bar = ProgressBar::new(100);
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {percent:>3}%  {msg} ({elapsed})") {
            bar.set_style(style);
        }
        Self { bar, phase: None }
    }
}

impl Progress for Shown {
    fn update(&mut self, phase: Phase, percent: u8, doing: &str) {
        if self.phase.replace(phase) != Some(phase) && !tty::stderr_is_terminal() {
            output::note(&format!("{percent:>3}%  {}\n", phase.text()));
        }
        self.bar.set_position(percent.into());
        let doing = if doing.is_empty() { String::new() } else { format!(": {doing}") };
        self.bar.set_message(format!("{}{doing}", phase.text()));
    }
}
