//! Tests of a source, as the platform's CI runs them (platform reference 3.4): `bin/test-compile` in place of `bin/compile`, with
//! the app in `/app`, then the app's own command or the last buildpack's `bin/test`, with the config vars in its environment.
//! Also the file in which an app says what its tests are.
//!
//! Nothing is kept: neither a slug nor a cache.

use futures_util::future::BoxFuture;

use crate::build::buildpack::Chosen;
use crate::build::compile::{self, pack_dir};
use crate::build::sandbox::{APP_DIR, Input, Reach, Step, Workshop, show};
use crate::build::source::{self, own};
use crate::build::stopwatch::Stopwatch;
use crate::build::transcript::Transcript;
use crate::build::{BuildRequest, Layers, Stop, choose, layers, prepared};
use crate::domain::{BuildPhase, shell_quoted};
use crate::wire::app_json::{APP_JSON_BYTES_MAX, APP_JSON_NAME};
use crate::wire::push_text;

/// Puts the config vars of the directory `$1` into the environment, and what buildpacks have the app begin with.
const AS_THE_APP: &str = r#"
for file in "$1"/*; do
  name=${file##*/}
  [[ -f $file && $name =~ ^[A-Za-z_][A-Za-z0-9_]*$ ]] || continue
  value=$(cat "$file" && printf .)
  export "$name=${value%.}"
done
cd /app
for file in .profile.d/*.sh; do
  if [ -f "$file" ]; then . "$file"; fi
done
if [ -f .profile ]; then . ./.profile; fi
"#;

/// Compiles and tests: the exit status of the tests.
pub(super) fn steps<'a>(
    request: &'a BuildRequest,
    workshop: &'a Workshop,
    layers: &'a dyn Layers,
    transcript: &'a mut Transcript<'_>,
) -> BoxFuture<'a, Result<u8, Stop>> {
    Box::pin(run(request, workshop, layers, transcript))
}

async fn run(
    request: &BuildRequest,
    workshop: &Workshop,
    layers: &dyn Layers,
    transcript: &mut Transcript<'_>,
) -> Result<u8, Stop> {
    let mut watch = Stopwatch::start(request.laps.clone(), BuildPhase::Prepare);
    let candidates = prepared(request, workshop, transcript).await?;
    watch.next(BuildPhase::Detect);
    let (chosen, _) = choose(request, workshop, candidates, transcript).await?;
    layers::lay(workshop, (&chosen, &request.config), layers, transcript).await?;
    watch.next(BuildPhase::Compile);
    compile::all(workshop, &chosen, transcript).await?;
    let commands = request.tests.clone().unwrap_or_default();
    if let Some(setup) = &commands.setup {
        transcript.say(&push_text::running_tests("test-setup", setup));
        let status = command(workshop, &format!("exec bash -c {}", shell_quoted(setup)), transcript).await?;
        if status != 0 {
            return Ok(status);
        }
    }
    match (&commands.test, chosen.last()) {
        (Some(test), _) => {
            transcript.tests_begin();
            transcript.say(&push_text::running_tests("test", test));
            command(workshop, &format!("exec bash -c {}", shell_quoted(test)), transcript).await
        }
        (None, Some(last)) => of_buildpack(workshop, last, transcript).await,
        (None, None) => Err(Stop::Source(push_text::no_tests(""))),
    }
}

/// The tests as a buildpack knows them.
async fn of_buildpack(
    workshop: &Workshop,
    last: &Chosen,
    transcript: &mut Transcript<'_>,
) -> Result<u8, Stop> {
    let script = format!("{}/bin/test", pack_dir(last.pack.index));
    let look = own("look for tests", format!("[ -f {script} ]"));
    let looked = workshop.run(look, Input::Empty, |stdout| show(stdout, workshop, transcript)).await?;
    if !looked.exit.is_success() {
        return Err(Stop::Source(push_text::no_tests(&last.pack.name)));
    }
    transcript.tests_begin();
    transcript.say(&push_text::running_tests("test", &format!("bin/test of {}", last.pack.name)));
    let arguments = format!("{APP_DIR} {}", workshop.env_dir());
    command(workshop, &format!("exec {script} {arguments}"), transcript).await
}

/// Runs a line of shell as the app would: its exit status.
async fn command(workshop: &Workshop, line: &str, transcript: &mut Transcript<'_>) -> Result<u8, Stop> {
    let script = format!("exec 2>&1\nset -- {}\n{AS_THE_APP}{line}", workshop.env_dir());
    let step = Step {
        name: "test",
        script,
        cwd: APP_DIR.to_owned(),
        reach: Reach::Registries,
        mounts: vec![workshop.cache()],
    };
    let ended = workshop.run(step, Input::Empty, |stdout| show(stdout, workshop, transcript)).await?;
    let status = ended.exit.shell_status();
    let nothing_of_ours = |_: u8, _: &str| Stop::Source(Vec::new());
    match ended.or_refuse(nothing_of_ours) {
        Ok(()) => Ok(0),
        Err(Stop::Source(lines)) if lines.is_empty() => Ok(status),
        Err(stop) => Err(stop),
    }
}

/// Reads the file in which the app tells of itself.
pub(super) fn manifest<'a>(
    request: &'a BuildRequest,
    workshop: &'a Workshop,
    _: &'a dyn Layers,
    transcript: &'a mut Transcript<'_>,
) -> BoxFuture<'a, Result<Vec<u8>, Stop>> {
    Box::pin(async move {
        workshop.lay_out(request, &[]).await?;
        source::unpack(workshop, (&request.source, request.root), transcript).await?;
        let (dir, max) = (workshop.build_dir(), APP_JSON_BYTES_MAX);
        let most = max + 1;
        let script =
            format!("cd {dir} && if [ -f {APP_JSON_NAME} ]; then head -c {most} {APP_JSON_NAME}; fi");
        workshop.run_own(own("read app.json", script), Input::Empty, max).await
    })
}
