//! Packages over the stack: `bin/layers BUILD_DIR` of a buildpack names those that the app needs, one a line.
//!
//! This is an addition to the contract. A buildpack without the script needs nothing beyond the stack.

use std::collections::BTreeSet;

use tokio::sync::mpsc;

use crate::build::buildpack::Chosen;
use crate::build::compile::scripts;
use crate::build::sandbox::{Input, Workshop, first};
use crate::build::transcript::Transcript;
use crate::build::{Layers, LayersFailure, NodeFailure, Stop};
use crate::domain::ConfigVars;
use crate::wire::push_text;

/// The most bytes that a `bin/layers` may write.
const LIST_BYTES_MAX: usize = 4096;
/// The most names of one build.
const NAMES_MAX: usize = 16;

/// Config var that names packages for buildpacks which know nothing of layers, by words.
const VARIABLE: &str = "STACK_LAYERS";

/// Lays what the buildpacks, and the app's config, ask for over the stack, for all steps from now on. Tells on what the app then stands.
pub(super) async fn lay(
    workshop: &Workshop,
    (chosen, config): (&[Chosen], &ConfigVars),
    layers: &dyn Layers,
    transcript: &mut Transcript<'_>,
) -> Result<String, Stop> {
    let mut names = names(config.get(VARIABLE).unwrap_or_default().as_bytes());
    for one in chosen {
        names.extend(asked(workshop, one).await?);
    }
    if names.len() > NAMES_MAX {
        let reason = format!("its buildpacks ask for more than {NAMES_MAX} layers of packages");
        return Err(Stop::Source(push_text::declaration_refused(&reason)));
    }
    if names.is_empty() {
        return Ok(workshop.stack_version());
    }
    let (told, mut lines) = mpsc::unbounded_channel::<String>();
    let show = async {
        while let Some(line) = lines.recv().await {
            transcript.say(&line);
        }
    };
    let (ground, ()) = tokio::join!(layers.with(names, told), show);
    let ground = ground.map_err(|failure| match failure {
        LayersFailure::Unknown(reason) => Stop::Source(push_text::declaration_refused(&reason)),
        LayersFailure::Node(reason) => Stop::Node(NodeFailure::Layers(reason)),
    })?;
    workshop.stand_on(ground);
    Ok(workshop.stack_version())
}

async fn asked(workshop: &Workshop, one: &Chosen) -> Result<BTreeSet<String>, Stop> {
    let command = format!("if [ -f bin/layers ]; then exec bin/layers {}; fi", workshop.build_dir());
    let step = scripts(workshop, &one.pack, &[], "layers", &command);
    let ended = workshop.run(step, Input::Empty, |stdout| first(stdout, LIST_BYTES_MAX)).await?;
    let name = &one.pack.name;
    let list = ended.or_refuse(|status, said| {
        let reason = format!("bin/layers of the buildpack {name} ended with status {status}: {said}");
        Stop::Source(push_text::declaration_refused(&reason))
    })?;
    Ok(names(&list))
}

fn names(list: &[u8]) -> BTreeSet<String> {
    String::from_utf8_lossy(list).split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn names_are_words() {
        assert!(names(b"").is_empty());
        assert_eq!(names(b"ruby\n java \nruby\n").into_iter().collect::<Vec<_>>(), ["java", "ruby"]);
    }
}
