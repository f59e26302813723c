//! Compilation: every buildpack in turn, each seeing what those before it export.

use std::fmt::Write as _;

use crate::build::Stop;
use crate::build::buildpack::{Chosen, Pack};
use crate::build::detect;
use crate::build::sandbox::{CACHE_DIR, Input, Reach, Step, Workshop, first, show};
use crate::build::transcript::Transcript;
use crate::wire::push_text;

/// Longest run of a report, in seconds: nobody waits for it gladly.
const REPORT_TIMEOUT_S: u32 = 30;

/// Detects and compiles with each of the buildpacks; says what the last one calls the app.
pub(super) async fn all(
    workshop: &Workshop,
    chosen: &[Chosen],
    transcript: &mut Transcript<'_>,
) -> Result<Option<String>, Stop> {
    let mut before = Vec::new();
    let mut last = None;
    for Chosen { pack, detected } in chosen {
        let name = match detected {
            Some(name) => name.clone(),
            None => wanted(workshop, pack, &before, transcript).await?,
        };
        transcript.say(&push_text::detected(&name));
        let compiled = compile(workshop, pack, &before, transcript).await;
        report(workshop, pack).await;
        compiled?.or_refuse(|_, _| Stop::Source(push_text::compile_failed(&name)))?;
        before.push(pack.index);
        last = Some(name);
    }
    Ok(last)
}

/// The detection of a buildpack that was asked for.
async fn wanted(
    workshop: &Workshop,
    pack: &Pack,
    before: &[usize],
    transcript: &mut Transcript<'_>,
) -> Result<String, Stop> {
    let detection = detect::one(workshop, pack, before).await?;
    transcript.bytes(&detection.said);
    transcript.end_line();
    detection.name.ok_or_else(|| Stop::Source(push_text::not_compatible(&pack.name)))
}

async fn compile(
    workshop: &Workshop,
    pack: &Pack,
    before: &[usize],
    transcript: &mut Transcript<'_>,
) -> Result<crate::build::sandbox::Ended<()>, Stop> {
    // Output and errors are one stream, so that their lines keep their order.
    let (script, to, env) = (workshop.compile_script(), workshop.build_dir(), workshop.env_dir());
    let command = format!("exec {script} {to} {CACHE_DIR} {env} 2>&1");
    let step = scripts(workshop, pack, before, "compile", &command);
    Ok(workshop.run(step, Input::Empty, |stdout| show(stdout, workshop, transcript)).await?)
}

/// Runs the report, whose failure changes nothing.
async fn report(workshop: &Workshop, pack: &Pack) {
    let arguments = format!("{} {CACHE_DIR} {}", workshop.build_dir(), workshop.env_dir());
    let command =
        format!("if [ -x bin/report ]; then exec timeout -k 1 {REPORT_TIMEOUT_S} bin/report {arguments}; fi");
    let step = scripts(workshop, pack, &[], "report", &command);
    if let Err(error) = workshop.run(step, Input::Empty, |stdout| first(stdout, 0)).await {
        tracing::debug!(buildpack = pack.name, %error, "a report did not run");
    }
}

/// A step that runs a script of a buildpack. Every path in it is of our own making and needs no quotes.
pub(super) fn scripts(
    workshop: &Workshop,
    pack: &Pack,
    before: &[usize],
    name: &'static str,
    command: &str,
) -> Step {
    let mut script = String::new();
    for index in before {
        let export = format!("{}/export", pack_dir(*index));
        // Writing to a string does not fail.
        let _ = writeln!(script, "if [ -f {export} ]; then . {export}; fi");
    }
    script.push_str(command);
    let mounts = vec![workshop.cache()];
    Step { name, script, cwd: pack_dir(pack.index), reach: Reach::Registries, mounts }
}

/// Where the copy of the buildpack of this number is.
pub(super) fn pack_dir(index: usize) -> String {
    format!("/tmp/buildpacks/{index}")
}
