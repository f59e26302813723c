//! Every sentence a pusher sees (platform reference 3.6). Git puts `remote: ` before each line.
//!
//! Functions return whole lines without their line ends. Headers begin with an arrow, what belongs to a header is
//! indented by seven spaces, errors begin with ` !     `.

use crate::domain::{AppName, Bytes, ProcessType, StackName, Version};

/// What was done that may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Somebody has pushed.
    Push,
    /// A build was asked for otherwise, and nothing was pushed.
    Build,
}

/// What marks an error or a warning.
const ERROR: &str = " !     ";
/// What most reasons begin with.
const PUSH_REJECTED: &str = "Push rejected, ";
/// What every failure ends with.
const PUSH_FAILED: &str = "Push failed";
/// What stands in their places where nobody has pushed.
const BUILD_FAILED: &str = "Build failed";

/// A header: `-----> text`.
#[must_use]
pub fn header(text: &str) -> String {
    format!("-----> {text}")
}

/// A line that belongs to the header above it.
#[must_use]
pub fn detail(text: &str) -> String {
    format!("       {text}")
}

/// An error or a warning.
#[must_use]
pub fn error(text: &str) -> String {
    format!("{ERROR}{text}")
}

// === Before and during the build ===

/// The lines that open every push that builds.
#[must_use]
pub fn building_source() -> Vec<String> {
    vec!["Building source:".to_owned(), String::new()]
}

/// Which stack the build runs on: `-----> Building on the Cedar-13 stack`.
#[must_use]
pub fn building_on(stack: &StackName) -> String {
    header(&format!("Building on the {} stack", capitalised(stack.as_str())))
}

/// Shown only while the buildpack is found by detection.
#[must_use]
pub fn determining_buildpack() -> String {
    header("Determining which buildpack to use for this app")
}

/// The buildpack, or the numbered list of several.
#[must_use]
pub fn using_buildpacks(names: &[String]) -> Vec<String> {
    match names {
        [] => Vec::new(),
        [one] => vec![header(&format!("Using buildpack: {one}"))],
        several => {
            let numbered = several.iter().enumerate().map(|(n, name)| detail(&format!("{}. {name}", n + 1)));
            std::iter::once(header("Using buildpacks:")).chain(numbered).collect()
        }
    }
}

/// What a buildpack's detection found: `-----> Python app detected`.
#[must_use]
pub fn detected(name: &str) -> String {
    header(&format!("{name} app detected"))
}

/// Packages are installed over the stack, once for all apps: `-----> Adding Ruby 3.3 to the stack (once on this node)`.
#[must_use]
pub fn adding_layers(titles: &[String]) -> String {
    header(&format!(
        "Adding {} to the stack (once on this node; takes a minute or two)",
        titles.join(" and ")
    ))
}

/// How far that is; `doing` is what happens.
#[must_use]
pub fn layers_progress(doing: &str, percent: u8) -> String {
    detail(&format!("{percent:>3}% {doing}"))
}

/// How many files `.slugignore` removed.
#[must_use]
pub fn deleting_ignored(count: usize) -> String {
    header(&format!("Deleting {count} files matching .slugignore patterns."))
}

/// Submodules are fetched; their places follow.
#[must_use]
pub fn fetching_submodules() -> String {
    header("Fetching submodules")
}

/// A submodule is not here; `reason` is one clause that says what to do.
#[must_use]
pub fn submodules_failed(reason: &str) -> Vec<String> {
    refused(&format!("Push rejected, a submodule is missing: {}.", reason.trim_end_matches('.')))
}

/// The process types of the Procfile and those of the buildpack, each in alphabetical order; ends with a blank line.
///
/// Without default types the short form is used. Default types that the Procfile declares too are left out.
#[must_use]
pub fn discovering(declared: &[&ProcessType], defaults: &[&ProcessType]) -> Vec<String> {
    let mut lines = vec![header("Discovering process types")];
    if defaults.is_empty() {
        lines.push(detail(&format!("Procfile declares types -> {}", listed(declared))));
    } else {
        lines.push(detail(&format!("Procfile declares types     -> {}", listed(declared))));
        lines.push(detail(&format!("Default types for buildpack -> {}", listed(defaults))));
    }
    lines.push(String::new());
    lines
}

/// Where the process types that are about to be told come from, with no Procfile there that declares any.
#[must_use]
pub fn types_of_heroku_yml() -> Vec<String> {
    vec![
        header("Taking the process types from heroku.yml, for the Procfile declares none"),
        detail("Images are not built here: the buildpacks' files run."),
    ]
}

/// Lines of the Procfile that declare nothing: a typing error must not pass in silence.
#[must_use]
pub fn procfile_lines_ignored(lines: &[usize]) -> Vec<String> {
    const SHOWN_MAX: usize = 10;
    let shown: Vec<String> = lines.iter().take(SHOWN_MAX).map(ToString::to_string).collect();
    let more = if lines.len() > SHOWN_MAX { ", ..." } else { "" };
    match shown.as_slice() {
        [] => Vec::new(),
        shown => vec![
            error(&format!("Warning: ignored in the Procfile: line {}{more}.", shown.join(", "))),
            error("A process type is declared as `web: command`."),
            String::new(),
        ],
    }
}

/// The slug is being packed.
#[must_use]
pub fn compressing() -> String {
    header("Compressing...")
}

/// The slug's compressed size: `       Done: 42.2M`.
#[must_use]
pub fn compressed(size: Bytes) -> String {
    detail(&format!("Done: {size}"))
}

/// The slug is larger than the soft limit (platform reference 3.2).
#[must_use]
pub fn slug_large(size: Bytes, soft_limit: Bytes) -> String {
    let (size, limit) = (mebibytes(size), mebibytes(soft_limit));
    error(&format!(
        "Warning: Your slug size ({size} MB) exceeds our soft limit ({limit} MB) which may affect boot time."
    ))
}

/// The build's output passed its limit; what follows is not shown.
#[must_use]
pub fn output_cut(limit: Bytes) -> String {
    error(&format!("The build has written more than {limit} of output; the rest is not shown."))
}

// === After the build ===

/// The release is being made.
#[must_use]
pub fn launching() -> String {
    header("Launching...")
}

/// The release command must succeed first.
#[must_use]
pub fn release_command_declared() -> String {
    error("Release command declared: this new release will not be available until the command succeeds.")
}

/// The release that was made: `       Released v4`.
#[must_use]
pub fn released(version: Version) -> String {
    detail(&format!("Released {version}"))
}

/// Where the app answers; ends with a blank line.
#[must_use]
pub fn deployed(url: &str) -> Vec<String> {
    vec![detail(&format!("{url} deployed")), String::new()]
}

/// The last line of a push that went well.
#[must_use]
pub fn verifying_done() -> String {
    "Verifying deploy... done.".to_owned()
}

/// The command of release `version` runs still, and holds up the release of this push.
#[must_use]
pub fn release_queued(version: Version) -> String {
    header(&format!("Waiting for the release command of {version} to end..."))
}

/// The head of a release command's output, after everything else.
#[must_use]
pub fn running_release_command() -> Vec<String> {
    vec!["Running release command....".to_owned(), String::new()]
}

/// The last line of a push whose release command has succeeded.
#[must_use]
pub fn release_done() -> String {
    "Waiting for release.... done.".to_owned()
}

/// The last line of a push whose release command has failed; the push itself has not.
#[must_use]
pub fn release_failed() -> String {
    "Waiting for release.... failed.".to_owned()
}

/// The last lines of a push, or of a build that was asked for otherwise, that failed.
#[must_use]
pub fn rejected(deed: Deed, app: &AppName) -> Vec<String> {
    let told = match deed {
        Deed::Push => format!("!\tPush rejected to {app}."),
        Deed::Build => format!("!\tBuild of {app} failed."),
    };
    vec!["Verifying deploy...".to_owned(), String::new(), told, String::new()]
}

// === Failures of a build: each ends with the line that the push failed ===

/// Nothing detected the app; `known` names what would have been: `Python (requirements.txt)`.
#[must_use]
pub fn no_language(known: &[&str]) -> Vec<String> {
    vec![
        error("No default language could be detected for this app."),
        "\t\t\tHINT: This occurs when no built-in buildpack recognises the files in the root of the app."
            .to_owned(),
        format!("\t\t\tThere are buildpacks for {}.", known.join(", ")),
        String::new(),
        push_failed(),
    ]
}

/// A buildpack that was asked for by name does not want the app.
#[must_use]
pub fn not_compatible(buildpack: &str) -> Vec<String> {
    vec![
        header(&format!("App not compatible with buildpack: {buildpack}")),
        detail("Its detection did not find the files it needs in the root of the app."),
        push_failed(),
    ]
}

/// A compile step ended with a failure; the buildpack itself has said why.
#[must_use]
pub fn compile_failed(name: &str) -> Vec<String> {
    refused(&format!("Push rejected, failed to compile {name} app."))
}

// === Tests ===

/// A command of the tests runs.
#[must_use]
pub fn running_tests(what: &str, command: &str) -> String {
    header(&format!("Running {what} `{command}`"))
}

/// There is nothing that tests could be; `buildpack` is the last.
#[must_use]
pub fn no_tests(buildpack: &str) -> Vec<String> {
    let what = format!("There is no test to run: the buildpack {buildpack} has none of its own.");
    let how = "Name a command as scripts.test in app.json, best below environments.test.";
    vec![String::new(), error(&what), error(how)]
}

/// How the tests ended.
#[must_use]
pub fn tests_ended(status: u8) -> Vec<String> {
    let line = match status {
        0 => header("The tests have succeeded"),
        status => error(&format!("The tests have failed (exit status {status}).")),
    };
    vec![String::new(), line]
}

/// The tests were not run to their end; what is above says why.
#[must_use]
pub fn tests_not_run() -> Vec<String> {
    vec![String::new(), error("The tests were not run.")]
}

/// Why a run of tests is errored whose source is not there.
pub const TESTS_WITHOUT_SOURCE: &str = "The source could not be fetched.";
/// Why a run of tests is errored that has said why itself.
pub const TESTS_NOT_RUN: &str = "The tests were not run; their output tells why.";
/// Why a run of tests is errored of which nobody saw the end.
pub const TESTS_CUT_OFF: &str = "The node ended meanwhile. Run the tests again.";
/// Who ends the tests of a pipeline that is destroyed.
pub const GONE_PIPELINE: &str = "the end of the pipeline";

/// Somebody has ended a run of tests.
#[must_use]
pub fn tests_cancelled(by: &str) -> String {
    format!("Cancelled by {by}.")
}

/// Add-ons that `app.json` names for tests, which get none.
#[must_use]
pub fn add_ons_left_out(plans: &[&str]) -> Vec<String> {
    let what = format!("Tests get no add-ons here; left out: {}.", plans.join(", "));
    vec![
        error(&what),
        error(
            "Tests that need one can start it themselves, or be given its address in environments.test.env.",
        ),
    ]
}

/// What is wrong with the `app.json` of a source.
#[must_use]
pub fn manifest_refused(wrong: &[String]) -> Vec<String> {
    let lines = wrong.iter().map(|line| error(&format!("    {line}")));
    let head = [String::new(), error("app.json cannot be used as it is:")];
    head.into_iter().chain(lines).chain([error("Correct it and try again.")]).collect()
}

/// The source archive could not be unpacked.
#[must_use]
pub fn bad_source() -> Vec<String> {
    refused("Push rejected, Failed decompressing source code.")
}

/// A slug that was packed elsewhere holds nothing that a dyno would find.
#[must_use]
pub fn nothing_in_app() -> Vec<String> {
    refused("Push rejected, there is nothing in ./app of the archive, which is where a slug's files are.")
}

/// The errors and warnings among lines, without what marks them.
pub fn errors(lines: &[String]) -> impl Iterator<Item = &str> {
    let texts = lines.iter().filter_map(|line| line.strip_prefix(ERROR));
    texts.filter(|text| ![PUSH_FAILED, BUILD_FAILED].contains(text))
}

/// What the lines of a failure give as its reason, as one clause, for whoever has pushed nothing.
#[must_use]
pub fn reason<'a>(lines: &'a [String]) -> String {
    let unheaded = |text: &'a str| text.strip_prefix(BUILD_FAILED).and_then(|text| text.strip_prefix(": "));
    let texts: Vec<&str> = errors(lines).map(|text| unheaded(text).unwrap_or(text)).collect();
    texts.join(" ").trim_end_matches('.').to_owned()
}

/// The source that was named is not here; `reason` is one clause.
#[must_use]
pub fn source_not_fetched(reason: &str) -> Vec<String> {
    refused(&format!("Push rejected, the source cannot be fetched: {reason}."))
}

/// Who ends the builds of a node that is told to end.
pub const ENDING_NODE: &str = "the node, which is ending";

/// `user` has had the build end.
#[must_use]
pub fn cancelled(user: &str) -> Vec<String> {
    refused(&format!("Push rejected, the build was cancelled by {user}."))
}

/// The build took longer than `limit_s` seconds and was ended.
#[must_use]
pub fn timed_out(limit_s: u64) -> Vec<String> {
    let limit = match limit_s {
        60 => "1 minute".to_owned(),
        s if s % 60 == 0 && s > 0 => format!("{} minutes", s / 60),
        s => format!("{s} seconds"),
    };
    refused(&format!("Push rejected, the build took longer than {limit} and was ended."))
}

/// The build left less than `reserve` of the node's disk and was ended.
#[must_use]
pub fn disk_full(reserve: Bytes) -> Vec<String> {
    refused(&format!("Push rejected, the build left less than {reserve} of the node's disk and was ended."))
}

/// The build kept more than `max` on the disk and was ended.
#[must_use]
pub fn disk_used(max: Bytes) -> Vec<String> {
    refused(&format!("Push rejected, the build wrote more than {max} to the node's disk and was ended."))
}

/// Other builds run, and this one waits for its turn.
#[must_use]
pub fn waits_for_builds(running: usize) -> String {
    let builds = if running == 1 { "another build".to_owned() } else { format!("{running} other builds") };
    header(&format!("Waiting for {builds} of this node to end..."))
}

/// The machine is short of memory, and the build does not begin yet. `percent` is how much of the last ten seconds was waited.
#[must_use]
pub fn waits_for_memory(percent: u32) -> String {
    header(&format!(
        "Waiting for memory: what runs on this node waited for it {percent} % of the last 10 seconds..."
    ))
}

/// The machine is short of memory, and the build stands still. `percent` as above.
#[must_use]
pub fn held(percent: u32) -> String {
    header(&format!(
        "Held for want of memory: what runs on this node waited for it {percent} % of the last 10 seconds..."
    ))
}

/// There is memory again.
#[must_use]
pub fn goes_on() -> String {
    detail("The build goes on.")
}

/// The machine was short of memory for longer than a build is held.
#[must_use]
pub fn held_too_long(limit_s: u64) -> Vec<String> {
    let text = format!("Push rejected, this node was short of memory for more than {limit_s} seconds.");
    vec![
        error(&text),
        error("Scale something down (`dyno ps:scale`), or wait until it is less busy, and try again."),
        String::new(),
        push_failed(),
    ]
}

/// The build used up its memory and was ended.
#[must_use]
pub fn out_of_memory(limit: Bytes) -> Vec<String> {
    refused(&format!("Push rejected, the build needed more than {limit} of memory and was ended."))
}

/// The slug is larger than the limit (platform reference 3.2).
#[must_use]
pub fn slug_too_large(size: Bytes, limit: Bytes) -> Vec<String> {
    vec![
        error(&format!("Compiled slug size: {size} is too large (max is {}M).", mebibytes(limit))),
        error("Name what the app does not need at run time in .slugignore, or drop dependencies."),
        push_failed(),
    ]
}

/// A buildpack of a form that is not known; `reason` is one clause.
#[must_use]
pub fn buildpack_refused(buildpack: &str, reason: &str) -> Vec<String> {
    refused(&format!("Push rejected, buildpack {buildpack} cannot be used: {reason}."))
}

/// The app's own declarations are refused; `reason` is one clause.
#[must_use]
pub fn declaration_refused(reason: &str) -> Vec<String> {
    refused(&format!("Push rejected, {reason}."))
}

/// The node failed, not the app; `reason` is one clause.
#[must_use]
pub fn node_failed(reason: &str) -> Vec<String> {
    refused(&format!("Push rejected, the node could not build the app: {reason}."))
}

impl Deed {
    /// The lines of a failure, each of which is one of this module's, in the words for what was done.
    #[must_use]
    pub fn told(self, lines: Vec<String>) -> Vec<String> {
        let of_a_build = |line: String| match line.strip_prefix(ERROR) {
            Some(text) if text == PUSH_FAILED => error(BUILD_FAILED),
            Some(text) => match text.strip_prefix(PUSH_REJECTED) {
                Some(reason) => error(&format!("{BUILD_FAILED}: {reason}")),
                None => line,
            },
            None => line,
        };
        match self {
            Self::Push => lines,
            Self::Build => lines.into_iter().map(of_a_build).collect(),
        }
    }
}

fn refused(text: &str) -> Vec<String> {
    vec![error(text), String::new(), push_failed()]
}

fn push_failed() -> String {
    error(PUSH_FAILED)
}

// === Spelling ===

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
}

fn listed(types: &[&ProcessType]) -> String {
    if types.is_empty() {
        return "(none)".to_owned();
    }
    let mut names: Vec<&str> = types.iter().map(|name| name.as_str()).collect();
    names.sort_unstable();
    names.join(", ")
}

fn mebibytes(size: Bytes) -> u64 {
    size.0 / Bytes::mib(1).0
}

#[cfg(test)]
mod test {
    use super::*;

    fn types(names: &[&str]) -> Vec<ProcessType> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn a_push_that_goes_well_reads_as_published() {
        let declared = types(&["web", "release"]);
        let mut lines = building_source();
        lines.push(building_on(&StackName::default()));
        lines.push(determining_buildpack());
        lines.extend(using_buildpacks(&["heroku/python".to_owned()]));
        lines.push(detected("Python"));
        lines.extend(discovering(&declared.iter().collect::<Vec<_>>(), &[]));
        lines.push(compressing());
        lines.push(compressed(Bytes(44_249_907)));
        lines.push(launching());
        lines.push(released(Version(4)));
        lines.extend(deployed("http://sample.localhost:8080/"));
        lines.push(verifying_done());
        insta::assert_snapshot!(lines.join(
            "
"
        ));
    }

    #[test]
    fn a_failure_is_told_by_what_was_done() {
        let lines = || [bad_source(), vec!["Push failed".to_owned(), error("Push gently.")]].concat();
        assert_eq!(Deed::Push.told(lines()), lines());
        let told = Deed::Build.told(lines());
        let expected = [
            " !     Build failed: Failed decompressing source code.",
            "",
            " !     Build failed",
            "Push failed",
            " !     Push gently.",
        ];
        assert_eq!(told, expected, "what a buildpack says is left alone");
        assert_eq!(
            reason(&Deed::Build.told(nothing_in_app())),
            "there is nothing in ./app of the archive, which is where a slug's files are"
        );
        let app = "hello".parse().unwrap();
        assert_eq!(rejected(Deed::Build, &app)[2], "!\tBuild of hello failed.");
        assert_eq!(rejected(Deed::Push, &app)[2], "!\tPush rejected to hello.");
    }

    #[test]
    fn several_buildpacks_are_numbered_and_default_types_listed() {
        let defaults = types(&["web", "console", "rake"]);
        let mut lines = using_buildpacks(&["heroku/nodejs".to_owned(), "heroku/python".to_owned()]);
        lines.extend(discovering(&[], &defaults.iter().collect::<Vec<_>>()));
        insta::assert_snapshot!(lines.join(
            "
"
        ));
        assert!(using_buildpacks(&[]).is_empty());
    }

    #[test]
    fn warnings_and_notes_read_as_published() {
        let mut lines = vec![
            slug_large(Bytes::mib(346), Bytes::mib(300)),
            output_cut(Bytes::mib(300)),
            release_command_declared(),
            deleting_ignored(12),
        ];
        lines.extend(procfile_lines_ignored(&[2, 5]));
        lines.extend(procfile_lines_ignored(&(1..20).collect::<Vec<_>>()));
        assert!(procfile_lines_ignored(&[]).is_empty());
        insta::assert_snapshot!(lines.join(
            "
"
        ));
    }

    #[test]
    fn waiting_is_told_with_what_is_waited_for() {
        let lines = [waits_for_builds(1), waits_for_builds(2), waits_for_memory(35), held(35), goes_on()];
        insta::assert_snapshot!(lines.join("\n"), @r"
        -----> Waiting for another build of this node to end...
        -----> Waiting for 2 other builds of this node to end...
        -----> Waiting for memory: what runs on this node waited for it 35 % of the last 10 seconds...
        -----> Held for want of memory: what runs on this node waited for it 35 % of the last 10 seconds...
               The build goes on.
        ");
    }

    #[test]
    fn a_release_command_is_told_as_published() {
        let mut lines = running_release_command();
        lines.extend([release_done(), release_failed(), release_queued(Version(12))]);
        insta::assert_snapshot!(lines.join("\n"), @r"
        Running release command....

        Waiting for release.... done.
        Waiting for release.... failed.
        -----> Waiting for the release command of v12 to end...
        ");
    }

    #[test]
    fn every_failure_says_what_failed_and_ends_alike() {
        let failures = [
            no_language(&["Node.js (package.json)", "Python (requirements.txt)"]),
            not_compatible("heroku/nodejs"),
            compile_failed("Python"),
            bad_source(),
            source_not_fetched("its server answers 404"),
            cancelled("me@example.com"),
            timed_out(25 * 60),
            timed_out(3),
            out_of_memory(Bytes::mib(2560)),
            disk_full(Bytes::mib(1024)),
            disk_used(Bytes::mib(10 * 1024)),
            held_too_long(600),
            slug_too_large(Bytes(526_909_440), Bytes::mib(500)),
            buildpack_refused(
                "https://example.com/pack",
                "buildpacks from the network are not supported yet",
            ),
            declaration_refused("the Procfile has 70000 bytes, the most is 65536"),
            node_failed("no space is left on the disk"),
        ];
        assert!(failures.iter().all(|lines| lines.last().is_some_and(|line| line == " !     Push failed")));
        insta::assert_snapshot!(failures.concat().join("\n"));
    }

    #[test]
    fn the_rejection_names_the_app() {
        let app: AppName = "example-app".parse().unwrap();
        assert_eq!(
            rejected(Deed::Push, &app).join("\n"),
            "Verifying deploy...\n\n!\tPush rejected to example-app.\n"
        );
    }
}
