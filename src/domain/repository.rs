//! A git repository elsewhere, of which one branch is deployed to an app.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use uuid::Uuid;

use crate::domain::{AppId, Secret, SourceUrl, SourceUrlError, Verification};

/// What ties an app to a branch of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryLink {
    /// Its identity, under which the repository's host tells of pushes.
    pub id: Uuid,
    /// The app.
    pub app: AppId,
    /// Where the repository is.
    pub url: RepositoryUrl,
    /// Which branch is deployed.
    pub branch: Branch,
    /// What the host's messages are signed with.
    pub secret: Secret,
    /// Under whose name releases are made.
    pub user: String,
    /// Whether a push is deployed without anybody asking.
    pub deploys: Deploys,
    /// How many deploys were asked for so far.
    pub asked: u64,
    /// How many of those are done with, well or not.
    pub done: u64,
    /// The commit that was deployed last.
    pub commit: Option<String>,
    /// What became of the last deploy, in a sentence.
    pub outcome: Option<String>,
    /// Unix time of creation, seconds.
    pub created_at_s: i64,
}

/// Whether pushes to the branch are deployed by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deploys {
    /// They are.
    Automatic,
    /// They are not.
    Off,
}

/// Where a repository is reached over HTTP. Shown without user, password and path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryUrl(SourceUrl);

/// Why a text is no place of a repository. Never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RepositoryUrlError {
    /// A query or a fragment.
    #[error("it has neither query nor fragment")]
    Extra,
    /// Something else.
    #[error(transparent)]
    Url(SourceUrlError),
}

impl RepositoryUrl {
    /// Its parts.
    #[must_use]
    pub fn source(&self) -> &SourceUrl {
        &self.0
    }
}

impl fmt::Display for RepositoryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for RepositoryUrl {
    type Err = RepositoryUrlError;

    fn from_str(text: &str) -> Result<Self, RepositoryUrlError> {
        let url: SourceUrl = text.parse().map_err(RepositoryUrlError::Url)?;
        let is_extra = url.parts().path.contains('?') || url.parts().verification != Verification::Required;
        if is_extra { Err(RepositoryUrlError::Extra) } else { Ok(Self(url)) }
    }
}

/// The name of a branch (git-check-ref-format(1), of which this is the part that people use).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch(String);

/// The text names no branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("it has 1 to {max} letters, digits and -_./+#=, and is no name that git refuses", max = Branch::LENGTH_MAX)]
pub struct BranchError;

impl Branch {
    const LENGTH_MAX: usize = 200;

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a ref of a repository is this branch.
    #[must_use]
    pub fn is(&self, reference: &str) -> bool {
        reference.strip_prefix("refs/heads/") == Some(self.as_str())
    }
}

impl FromStr for Branch {
    type Err = BranchError;

    fn from_str(text: &str) -> Result<Self, BranchError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./+#=".contains(&byte);
        let is_part = |part: &str| {
            !part.is_empty() && !part.starts_with('.') && !part.ends_with('.') && !part.ends_with(".lock")
        };
        let holds = text.len() <= Self::LENGTH_MAX
            && text.bytes().all(is_plain)
            && !text.starts_with('-')
            && !text.contains("..")
            && text.split('/').all(is_part);
        if holds { Ok(Self(text.to_owned())) } else { Err(BranchError) }
    }
}

#[cfg(test)]
mod test {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_repository_is_reached_over_http_alone() {
        assert!("https://me:token@example.com/o/r.git".parse::<RepositoryUrl>().is_ok());
        for bad in [
            "file:///srv/repo",
            "ext::sh -c id",
            "ssh://git@example.com/o/r",
            "git@example.com:o/r",
            "/srv/repo",
            "https://example.com/r?x=1",
            "https://example.com/r#insecure",
            "--upload-pack=id",
            "",
        ] {
            assert!(bad.parse::<RepositoryUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn branches_are_names_that_git_takes() {
        for good in ["main", "feature/new-thing", "v1.2", "a#1"] {
            let branch: Branch = good.parse().unwrap();
            assert!(branch.is(&format!("refs/heads/{good}")) && !branch.is(&format!("refs/tags/{good}")));
            assert!(!branch.is(good));
        }
        for bad in
            ["", "-x", "a..b", "a/", "/a", "a//b", ".a", "a/.b", "a.lock", "a b", "a:b", "a~1", "a^", "a."]
        {
            assert_eq!(bad.parse::<Branch>(), Err(BranchError), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_branch_is_an_option_or_leads_elsewhere(text in "\\PC{0,40}") {
            if let Ok(branch) = text.parse::<Branch>() {
                prop_assert!(!branch.as_str().starts_with('-') && !branch.as_str().contains(".."));
                prop_assert!(branch.as_str().bytes().all(|b| b.is_ascii_graphic()));
            }
        }
    }
}
