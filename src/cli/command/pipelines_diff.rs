//! `dyno pipelines:diff`

use crate::cli::Context;
use crate::cli::app::{self, AppArgs};
use crate::cli::command::pipelines::{path, place_of};
use crate::cli::failure::Failure;
use crate::cli::output::{self, columns, heading, shown_app};
use crate::domain::Stage;
use crate::wire::api::{PipelineCoupling, Release, Slug};

/// Commits that are shown of one app, the newest.
const COMMITS_MAX: usize = 100;
/// Characters of a commit that are shown.
const COMMIT_CHARS: usize = 7;

/// Show the commits by which an app is ahead of the next stage of its pipeline
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    app: AppArgs,
}

/// How one app of the next stage compares.
#[derive(Debug, serde::Serialize)]
struct Compared {
    /// The app.
    app: String,
    /// The commit that it runs.
    commit: Option<String>,
    /// By how many commits the other is ahead; unknown where the repository has not both.
    ahead_by: Option<usize>,
    /// These commits, newest first.
    commits: Vec<Commit>,
}

/// A commit, as git tells it.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
struct Commit {
    sha: String,
    date: String,
    author: String,
    message: String,
}

impl Args {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = self.app.name()?;
        if !app::in_repository() {
            return Err(Failure::Usage("Run this in the git repository of the app.".to_owned()));
        }
        let source = place_of(context, &app).await?;
        let stage: Option<Stage> = source.stage.parse().ok();
        let next = stage.and_then(Stage::next).ok_or_else(|| {
            Failure::Nothing(format!("{app} is at {}: nothing comes after it.", source.stage))
        })?;
        let couplings = format!("{}/pipeline-couplings", path(&source.pipeline.id.to_string()));
        let couplings: Vec<PipelineCoupling> = context.client.get(&couplings).await?;
        let ahead = commit_of(context, &app).await?.ok_or_else(|| {
            Failure::Nothing(format!("No commit is known of what {app} runs: nothing can be compared."))
        })?;
        let mut all = Vec::new();
        for later in couplings.iter().filter(|coupling| coupling.stage == next.as_str()) {
            let commit = commit_of(context, &later.app.name).await?;
            all.push(compared(later.app.name.clone(), commit, &ahead));
        }
        if all.is_empty() {
            return Err(Failure::Nothing(format!(
                "There are no apps in {next} in the pipeline {}.",
                source.pipeline.name
            )));
        }
        if context.node.json {
            return output::json(&all);
        }
        let told: Vec<String> = all.iter().map(|later| rendered(&app, later)).collect();
        output::data(&told.join("\n"))
    }
}

/// The commit of the slug that an app runs.
async fn commit_of(context: &Context, app: &str) -> Result<Option<String>, Failure> {
    let range = "version ..; order=desc,max=1000";
    let releases: Vec<Release> = context.client.get_range(&format!("/apps/{app}/releases"), range).await?;
    let current = releases.into_iter().find(|release| release.current);
    let Some(slug) = current.and_then(|release| release.slug) else { return Ok(None) };
    let slug: Slug = context.client.get(&format!("/apps/{app}/slugs/{}", slug.id)).await?;
    Ok(slug.commit)
}

fn compared(app: String, commit: Option<String>, ahead: &str) -> Compared {
    // What is no commit is never taken for a flag of git's.
    let range = commit.as_deref().filter(|commit| is_commit(commit) && is_commit(ahead));
    let told = range.and_then(|commit| {
        let range = format!("{commit}..{ahead}");
        app::git(&["log", "--format=%H%x09%ad%x09%an%x09%s", "--date=iso-strict", &range, "--"]).ok()
    });
    let commits = told.map(|told| read(&told));
    let ahead_by = commits.as_ref().map(Vec::len);
    let mut commits = commits.unwrap_or_default();
    commits.truncate(COMMITS_MAX);
    Compared { app, commit, ahead_by, commits }
}

fn is_commit(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn read(told: &str) -> Vec<Commit> {
    let commit = |line: &str| {
        let mut parts = line.splitn(4, '\t').map(str::to_owned);
        Some(Commit {
            sha: parts.next()?,
            date: parts.next()?,
            author: parts.next()?,
            message: parts.next()?,
        })
    };
    told.lines().filter_map(commit).collect()
}

fn rendered(app: &str, later: &Compared) -> String {
    let (ours, theirs) = (shown_app(app), shown_app(&later.app));
    match later.ahead_by {
        None => {
            heading(&format!("{ours} and {theirs} cannot be compared: git here does not know both commits"))
        }
        Some(0) => heading(&format!("{theirs} is up to date with {ours}")),
        Some(count) => {
            let unit = if count == 1 { "commit" } else { "commits" };
            let header = ["SHA", "Date", "Author", "Message"].map(str::to_owned).to_vec();
            let row = |commit: &Commit| {
                let sha = commit.sha.chars().take(COMMIT_CHARS).collect();
                vec![sha, commit.date.clone(), commit.author.clone(), commit.message.clone()]
            };
            let rows: Vec<_> = std::iter::once(header).chain(later.commits.iter().map(row)).collect();
            heading(&format!("{ours} is ahead of {theirs} by {count} {unit}")) + &columns(&rows)
        }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn what_git_tells_is_shown() {
        let commits = read("0123456789ab\t2026-11-18T01:36:38+00:00\tA. Uthor\tSay\thello\nbroken\n");
        assert_eq!(commits.len(), 1);
        let mut later = Compared { app: "shop".to_owned(), commit: None, ahead_by: Some(1), commits };
        insta::assert_snapshot!(rendered("shop-staging", &later), @r"
        === ⬢ shop-staging is ahead of ⬢ shop by 1 commit

        SHA      Date                       Author    Message
        0123456  2026-11-18T01:36:38+00:00  A. Uthor  Say	hello
        ");
        later.ahead_by = Some(0);
        assert_eq!(rendered("shop-staging", &later), "=== ⬢ shop is up to date with ⬢ shop-staging\n\n");
        later.ahead_by = None;
        assert!(rendered("shop-staging", &later).contains("cannot be compared"));
    }

    #[test]
    fn only_a_commit_is_given_to_git() {
        assert!(is_commit("0123456789abcdef"));
        for other in ["", "--output=/x", "HEAD"] {
            assert!(!is_commit(other), "{other}");
        }
    }
}
