//! `dyno git:hook`: the pre-receive hook of the node's repositories (githooks(5)). It hands the pushed source to the node,
//! shows the transcript, and lets the push through or not.

use std::io::BufRead as _;
use std::path::Path;
use std::process::{ExitCode, Output, Stdio};

use hyper::body::Incoming;
use tokio::process::{Child, Command};

use crate::cli::archive::body_of;
use crate::cli::client::next_chunk;
use crate::cli::failure::Failure;
use crate::cli::{Context, output};
use crate::sys::fs;
use crate::wire::api::{PushStatus, PushVerdict, SUBMODULES_NAME, VERDICT_MARK};
use crate::wire::hook_text;

/// The most that a repository holds, bytes: what is pushed and not built stays, and the disk is everybody's. With what is on its way.
const REPOSITORY_BYTES_MAX: u64 = 4 << 30;
/// Branches that are built.
const DEPLOYED: [&str; 2] = ["refs/heads/main", "refs/heads/master"];
/// What git calls an entry that is a commit of another repository.
const SUBMODULE_MODE: &str = "160000 commit ";
/// The most submodules of a commit.
const SUBMODULES_MAX: usize = 200;
/// Where a repository keeps what was pushed, and until the hook has ended what is being pushed (git-receive-pack(1), quarantine).
const OBJECTS: &str = "objects";
/// What git calls the absence of a commit begins and ends with this digit alone.
const NO_COMMIT_DIGIT: u8 = b'0';

/// Hand a push to the node (run by git)
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Identity of the app; by default the name of the repository
    #[arg(long, env = "DYNO_HOOK_APP")]
    app: Option<String>,
    /// Who pushes
    #[arg(long, env = "DYNO_HOOK_USER")]
    user: Option<String>,
}

/// What is pushed to, and by whom when that is known.
struct Pushed {
    app: String,
    user: Option<String>,
}

/// One line of the hook's input: a ref before and after.
#[derive(Debug, PartialEq, Eq)]
struct Update {
    old: String,
    new: String,
    name: String,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let app = match self.app {
            Some(app) => app,
            None => {
                app_of_repository(&std::env::current_dir().map_err(Failure::local("tell where this runs"))?)?
            }
        };
        let mut updates = Vec::new();
        for line in std::io::stdin().lock().lines() {
            updates.push(parse(&line.map_err(Failure::local("read what is pushed"))?)?);
        }
        let pushed = Pushed { app, user: self.user };
        Ok(if accept(context, &pushed, &updates).await { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Whether a push goes through: all of its refs or none (githooks(5)), so what can be refused is refused before a build.
async fn accept(context: &Context, to: &Pushed, updates: &[Update]) -> bool {
    let (deployed, others): (Vec<_>, Vec<_>) =
        updates.iter().partition(|update| DEPLOYED.contains(&update.name.as_str()));
    if deployed.iter().any(|update| is_nothing(&update.new)) {
        say(hook_text::DELETE_REFUSED);
        return false;
    }
    let brings_something = updates.iter().any(|update| !is_nothing(&update.new));
    // What cannot be looked at counts nothing.
    if brings_something && fs::used_bytes(Path::new(OBJECTS)).unwrap_or(0) > REPOSITORY_BYTES_MAX {
        say(&hook_text::repository_full(REPOSITORY_BYTES_MAX));
        return false;
    }
    if others.iter().any(|update| update.name.starts_with("refs/heads/") && !is_nothing(&update.new)) {
        say(hook_text::OTHER_BRANCH);
    }
    match deployed.as_slice() {
        [] => true,
        [only] => deploy(context, to, only).await,
        [_, _, ..] => {
            say(hook_text::SEVERAL_REFUSED);
            false
        }
    }
}

/// Whether the new commit of a deployed branch has become a release.
async fn deploy(context: &Context, to: &Pushed, update: &Update) -> bool {
    let status = match push(context, to, update).await {
        Ok(status) => status,
        Err(Failure::Refused(body)) => {
            say(&hook_text::refused(&body));
            PushStatus::Failed
        }
        Err(failure) => {
            say(&hook_text::hook_failed(failure.to_string().trim_end_matches('.')));
            PushStatus::Failed
        }
    };
    match status {
        PushStatus::Succeeded | PushStatus::Skipped => true,
        PushStatus::Failed => false,
    }
}

async fn push(context: &Context, to: &Pushed, update: &Update) -> Result<PushStatus, Failure> {
    let archive = archive(&update.new)?;
    let Update { old, new, name } = update;
    let mut path = format!("/apps/{}/pushes?ref={name}&old={old}&new={new}", to.app);
    if let Some(user) = &to.user {
        let user = percent_encoding::utf8_percent_encode(user, percent_encoding::NON_ALPHANUMERIC);
        path.push_str(&format!("&user={user}"));
    }
    let mut answer = context.client.push(&path, body_of(archive, "git archive")?).await?;
    transcript(&mut answer).await
}

/// Shows the transcript as it comes; the verdict after its mark is the result. Once it is known nothing changes it: what
/// follows is a release command, on which the push does not depend.
async fn transcript(answer: &mut Incoming) -> Result<PushStatus, Failure> {
    let mut heard = Heard::default();
    let end = loop {
        match next_chunk(answer).await {
            Ok(Some(chunk)) => heard.take(&chunk).iter().for_each(|text| output::note_bytes(text)),
            Ok(None) => break Ok(()),
            Err(cut) => break Err(cut),
        }
    };
    match (heard.status(), end) {
        (Some(status), Ok(())) => Ok(status),
        (Some(status), Err(_)) => {
            if heard.marks > 1 {
                say(hook_text::RELEASE_CUT);
            }
            Ok(status)
        }
        (None, Ok(())) => {
            say(hook_text::TRANSCRIPT_CUT);
            Ok(PushStatus::Failed)
        }
        (None, Err(cut)) => Err(cut),
    }
}

/// The node's answer as far as it has come: text, the verdict, text.
#[derive(Debug, Default)]
struct Heard {
    marks: usize,
    verdict: Vec<u8>,
}

impl Heard {
    /// The text in a piece of the answer.
    fn take<'a>(&mut self, chunk: &'a [u8]) -> Vec<&'a [u8]> {
        let mut texts = Vec::new();
        for (at, part) in chunk.split(|byte| *byte == VERDICT_MARK).enumerate() {
            self.marks += usize::from(at > 0);
            if self.marks == 1 {
                self.verdict.extend_from_slice(part);
            } else {
                texts.push(part);
            }
        }
        texts
    }

    /// The verdict, once it is whole.
    fn status(&self) -> Option<PushStatus> {
        serde_json::from_slice::<PushVerdict>(&self.verdict).ok().map(|verdict| verdict.status)
    }
}

/// `git archive` of a commit that is still in quarantine: the hook's own environment leads git to it.
fn archive(commit: &str) -> Result<Child, Failure> {
    let mut git = Command::new("git");
    git.args(["archive", "--format=tar"]);
    let submodules = submodules(commit)?;
    if !submodules.is_empty() {
        git.arg(format!("--add-virtual-file={SUBMODULES_NAME}:{submodules}"));
    }
    git.arg(commit)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(Failure::local("run git archive"))
}

/// The commits that belong where the archive has empty directories: a line for each, with its place.
fn submodules(commit: &str) -> Result<String, Failure> {
    let listed = std::process::Command::new("git")
        .args(["ls-tree", "-r", "-z", "--full-tree", commit])
        .stdin(Stdio::null())
        .output()
        .map_err(Failure::local("run git ls-tree"))?;
    listed_submodules(&listed)
}

/// The submodules in what `git ls-tree` has printed. A list that is not whole is none: an app would be built with empty directories.
fn listed_submodules(listed: &Output) -> Result<String, Failure> {
    if !listed.status.success() {
        let said = String::from_utf8_lossy(&listed.stderr);
        return Err(Failure::Nothing(format!(
            "git ls-tree cannot list the commit: {}. Push again.",
            said.trim()
        )));
    }
    let list = String::from_utf8_lossy(&listed.stdout);
    let found: Vec<_> = list.split('\0').filter_map(submodule).collect();
    if found.len() > SUBMODULES_MAX {
        return Err(Failure::Usage(format!(
            "A commit with more than {SUBMODULES_MAX} submodules is not built."
        )));
    }
    if let Some((_, path)) = found.iter().find(|(_, path)| path.contains('\n')) {
        return Err(Failure::Usage(format!(
            "The submodule {path:?} has a line break in its path: move it, and push again."
        )));
    }
    Ok(found.iter().map(|(commit, path)| format!("{commit} {path}\n")).collect())
}

/// Commit and path of a submodule as `git ls-tree` lists it; nothing of other entries.
fn submodule(entry: &str) -> Option<(&str, &str)> {
    let (about, path) = entry.split_once('\t')?;
    Some((about.strip_prefix(SUBMODULE_MODE)?.rsplit(' ').next()?, path))
}

fn say(line: &str) {
    output::note(&format!("{line}\n"));
}

fn parse(line: &str) -> Result<Update, Failure> {
    let words: Vec<_> = line.split(' ').collect();
    let commit = |text: &str| text.len() >= 40 && text.bytes().all(|b| b.is_ascii_hexdigit());
    match words.as_slice() {
        [old, new, name] if commit(old) && commit(new) => {
            Ok(Update { old: (*old).to_owned(), new: (*new).to_owned(), name: (*name).to_owned() })
        }
        _ => Err(Failure::Usage(format!("{line:?} is no line of a pre-receive hook."))),
    }
}

fn is_nothing(commit: &str) -> bool {
    commit.bytes().all(|b| b == NO_COMMIT_DIGIT)
}

/// The app of `<lib>/repos/<app-id>.git`.
fn app_of_repository(dir: &Path) -> Result<String, Failure> {
    let stem = dir.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".git"));
    let id = stem.and_then(|stem| stem.parse::<uuid::Uuid>().ok());
    let refuse = || Failure::Usage(format!("{} is no repository of a node.", dir.display()));
    id.map(|id| id.to_string()).ok_or_else(refuse)
}

#[cfg(test)]
mod test {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    #[test]
    fn the_verdict_is_found_wherever_the_answer_is_cut() {
        let whole = [b"build\n".to_vec(), PushVerdict { status: PushStatus::Succeeded }.encode()].concat();
        let released = [whole.as_slice(), b"\0release\n"].concat();
        for (answer, text) in [(&whole, "build\n"), (&released, "build\nrelease\n")] {
            for size in 1..=answer.len() {
                let mut heard = Heard::default();
                let texts: Vec<u8> =
                    answer.chunks(size).flat_map(|chunk| heard.take(chunk).concat()).collect();
                assert_eq!(String::from_utf8(texts).unwrap(), text, "{size}");
                assert_eq!(heard.status(), Some(PushStatus::Succeeded), "{size}");
            }
        }
        let mut cut = Heard::default();
        cut.take(&whole[..whole.len() - 1]);
        assert_eq!(cut.status(), None);
    }

    fn listed(code: i32, stdout: &str) -> Output {
        // What wait(2) gives for an exit status.
        let status = std::process::ExitStatus::from_raw(code << 8);
        Output { status, stdout: stdout.as_bytes().to_vec(), stderr: b"fatal: out of memory\n".to_vec() }
    }

    #[test]
    fn submodules_are_told_from_files() {
        let id = "1a".repeat(20);
        assert_eq!(
            listed_submodules(&listed(
                0,
                &format!("100644 blob {id}\tlib/x\0160000 commit {id}\tlib/a b\0160000 commit {id}\tc\0")
            ))
            .unwrap(),
            format!("{id} lib/a b\n{id} c\n")
        );
        assert_eq!(listed_submodules(&listed(0, "")).unwrap(), "");
    }

    #[test]
    fn a_list_of_submodules_is_whole_or_refused() {
        let entry = format!("160000 commit {}\t", "1a".repeat(20));
        let cut = listed_submodules(&listed(128, &format!("{entry}lib\0"))).unwrap_err().to_string();
        assert!(cut.contains("fatal: out of memory"), "{cut}");
        let broken = listed_submodules(&listed(0, &format!("{entry}a\nb\0"))).unwrap_err().to_string();
        assert!(broken.contains("line break"), "{broken}");
    }

    #[test]
    fn updates_and_repositories_are_read() {
        let (old, new) = ("0".repeat(40), "1a".repeat(20));
        let update = parse(&format!("{old} {new} refs/heads/main")).unwrap();
        assert!(is_nothing(&update.old) && !is_nothing(&update.new));
        assert_eq!(update.name, "refs/heads/main");
        assert!(parse("x y z").is_err());
        assert!(parse("").is_err());
        let id = uuid::Uuid::from_u128(7).to_string();
        assert_eq!(app_of_repository(Path::new(&format!("/lib/repos/{id}.git"))).unwrap(), id);
        assert!(app_of_repository(Path::new("/tmp/x.git")).is_err());
    }
}
