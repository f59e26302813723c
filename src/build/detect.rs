//! Detection: whether a buildpack wants the app, and what it calls it.

use crate::build::buildpack::{Chosen, Pack};
use crate::build::built_in;
use crate::build::compile::scripts;
use crate::build::sandbox::{Input, Workshop, first};
use crate::build::{NodeFailure, Stop};
use crate::runtime::ExitStatus;
use crate::wire::push_text;

/// The most bytes of a detection's output that are read.
const NAME_BYTES_MAX: usize = 4096;
/// The most characters of a name.
const NAME_CHARS_MAX: usize = 100;

/// What a detection found.
pub(super) struct Detection {
    /// The app's name for what it is, if it was detected.
    pub(super) name: Option<String>,
    /// What the script wrote to its standard error.
    pub(super) said: Vec<u8>,
}

/// The first of the candidates, all our own, that wants the app. They are asked in one sandbox: there are many, and most
/// apps are wanted by a late one.
pub(super) async fn automatic(workshop: &Workshop, candidates: Vec<Pack>) -> Result<Chosen, Stop> {
    let nothing = || Stop::Source(push_text::no_language(&built_in::titles()));
    let mut rest = candidates.into_iter();
    let Some(first_pack) = rest.next() else { return Err(nothing()) };
    let mut all = vec![first_pack];
    all.extend(rest);
    let dirs = all.iter().map(|pack| format!("../{}", pack.index)).collect::<Vec<_>>().join(" ");
    let command = format!(
        "for dir in {dirs}; do cd $dir && if said=$(bin/detect {}); then printf '%s\\n%s' $dir \"$said\"; exit; fi; done; exit 1",
        workshop.build_dir()
    );
    let step = scripts(workshop, &all[0], &[], "detect", &command);
    let ended = workshop.run(step, Input::Empty, |stdout| first(stdout, NAME_BYTES_MAX)).await?;
    if ended.exit.status == ExitStatus::Code(1) {
        return Err(nothing());
    }
    let output = ended.or_refuse(|_, said| {
        Stop::Source(push_text::declaration_refused(&format!("it cannot be detected: {said}")))
    })?;
    let text = String::from_utf8_lossy(&output);
    let (dir, said) = text.split_once('\n').unwrap_or((&text, ""));
    let pack = all.into_iter().find(|pack| dir == format!("../{}", pack.index)).ok_or_else(nothing)?;
    let detected = Some(name(said.as_bytes(), &pack));
    Ok(Chosen { pack, detected })
}

/// Asks one buildpack, after those before it in the list have been compiled.
pub(super) async fn one(
    workshop: &Workshop,
    pack: &Pack,
    before: &[usize],
) -> Result<Detection, NodeFailure> {
    let step =
        scripts(workshop, pack, before, "detect", &format!("exec bin/detect {}", workshop.build_dir()));
    let ended = workshop.run(step, Input::Empty, |stdout| first(stdout, NAME_BYTES_MAX)).await?;
    let name = ended.exit.is_success().then(|| name(&ended.output, pack));
    Ok(Detection { name, said: ended.stderr })
}

/// The first line that says something, or the buildpack's own name.
fn name(output: &[u8], pack: &Pack) -> String {
    let text = String::from_utf8_lossy(output);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or(&pack.name);
    line.chars().filter(|letter| !letter.is_control()).take(NAME_CHARS_MAX).collect()
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn the_name_is_the_first_line_without_what_moves_a_cursor() {
        let pack = crate::build::buildpack::resolve(
            &["heroku/python".to_owned()],
            &std::collections::BTreeMap::new(),
        )
        .unwrap_or_default()
        .remove(0);
        assert_eq!(name(b"\n Python\x1b[1m \nmore", &pack), "Python[1m");
        assert_eq!(name(b"", &pack), "heroku/python");
    }
}
