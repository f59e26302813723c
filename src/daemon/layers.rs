//! Layers of packages as builds ask for them: found or made on this node's disk, with progress for the pusher.

use std::collections::BTreeSet;

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use crate::build::{Ground, Layers, LayersFailure};
use crate::stack::{self, Phase, Progress, Stack, StackError};
use crate::wire::push_text;

/// How many percent lie between two lines of progress: a push shows lines, not a bar.
const STEP_PERCENT: u8 = 20;

/// What one build may have laid over its stack.
pub(super) struct StackLayers {
    /// The stack.
    pub(super) stack: Stack,
}

impl Layers for StackLayers {
    fn with<'a>(
        &'a self,
        names: BTreeSet<String>,
        told: mpsc::UnboundedSender<String>,
    ) -> BoxFuture<'a, Result<Ground, LayersFailure>> {
        let stack = self.stack.clone();
        Box::pin(async move {
            // A build that is given up leaves the layer to be finished: the next one needs it as well.
            let made = tokio::task::spawn_blocking(move || {
                let mut shown = Shown { titles: titles(&stack, &names), told, last: None };
                stack::with_layers(&stack, &names, &mut shown)
            });
            let made = made.await.map_err(|_| LayersFailure::Node("the node is shutting down".to_owned()))?;
            match made {
                Ok((stack, _)) => Ok(Ground { layers: stack.build_layers(), version: stack.version }),
                Err(error @ StackError::UnknownLayer { .. }) => {
                    Err(LayersFailure::Unknown(error.to_string()))
                }
                Err(error) => Err(LayersFailure::Node(error.to_string())),
            }
        })
    }
}

/// What people call the packages of these names.
fn titles(stack: &Stack, names: &BTreeSet<String>) -> Vec<String> {
    let known = stack::sets(stack.name.as_str()).unwrap_or_default();
    let title = |name: &String| {
        known.iter().find(|(set, _)| set == name).map_or_else(|| name.clone(), |(_, title)| title.clone())
    };
    names.iter().map(title).collect()
}

/// A line at the beginning, at every change of phase, and now and then between.
struct Shown {
    titles: Vec<String>,
    told: mpsc::UnboundedSender<String>,
    last: Option<(Phase, u8)>,
}

impl Progress for Shown {
    fn update(&mut self, phase: Phase, percent: u8, _doing: &str) {
        let is_news = match self.last {
            None => {
                self.say(push_text::adding_layers(&self.titles));
                phase == Phase::Wait
            }
            Some((before, told)) => phase != before || percent >= told.saturating_add(STEP_PERCENT),
        };
        if is_news {
            self.say(push_text::layers_progress(phase.text(), percent));
        }
        if is_news || self.last.is_none() {
            self.last = Some((phase, percent));
        }
    }
}

impl Shown {
    fn say(&self, line: String) {
        let _nobody_reads = self.told.send(line);
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn progress_is_a_few_lines() {
        let (told, mut lines) = mpsc::unbounded_channel();
        let mut shown = Shown { titles: vec!["Ruby 3.3".to_owned()], told, last: None };
        for percent in 0..=100 {
            shown.update(Phase::BuildPackages, percent, "ruby");
        }
        drop(shown);
        let mut count = 0;
        while let Ok(line) = lines.try_recv() {
            assert!(count > 0 || line.contains("Adding Ruby 3.3 to the stack"), "{line}");
            count += 1;
        }
        assert_eq!(count, 6);
    }
}
