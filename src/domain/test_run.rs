//! Runs of a pipeline's tests.

use std::str::FromStr;

use thiserror::Error;
use uuid::Uuid;

/// One run of the tests of a source, in a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestRun {
    /// Its identity.
    pub id: Uuid,
    /// The pipeline.
    pub pipeline: Uuid,
    /// Counts those of the pipeline, from 1.
    pub number: u64,
    /// Who asked for it.
    pub user: String,
    /// What of the source is tested.
    pub commit: TestedCommit,
    /// Where the source was fetched from; nothing where it was sent.
    pub source_url: Option<String>,
    /// How it fares.
    pub status: TestStatus,
    /// What the tests ended with, once they have.
    pub exit_code: Option<u8>,
    /// Why it did not come to the end of its tests.
    pub message: Option<String>,
    /// Unix time of creation, seconds.
    pub created_at_s: i64,
    /// Unix time of the last change, seconds.
    pub updated_at_s: i64,
}

impl TestRun {
    /// How many of a pipeline are remembered, the newest.
    pub const KEPT_MAX: usize = 100;
    /// The most characters of what is said of a commit, each part.
    pub const SAID_CHARS_MAX: usize = 1000;
}

/// What is said of the commit that is tested.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TestedCommit {
    /// The branch.
    pub branch: String,
    /// Its message.
    pub message: String,
    /// Its name, in hexadecimal digits.
    pub sha: String,
}

/// How a run of tests fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestStatus {
    /// It waits for its turn.
    Pending,
    /// The source is compiled.
    Building,
    /// The tests run.
    Running,
    /// They have, and well.
    Succeeded,
    /// They have ended with another status than 0.
    Failed,
    /// They could not be run to their end.
    Errored,
    /// Somebody has ended it.
    Cancelled,
}

/// The text is no status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("it is no status of a test run")]
pub struct UnknownTestStatus;

impl TestStatus {
    /// Every status, in the order of a life.
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Building,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Errored,
        Self::Cancelled,
    ];

    /// The word of the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Building => "building",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Errored => "errored",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing comes after it.
    #[must_use]
    pub fn is_over(self) -> bool {
        match self {
            Self::Pending | Self::Building | Self::Running => false,
            Self::Succeeded | Self::Failed | Self::Errored | Self::Cancelled => true,
        }
    }

    /// How tests fare that have ended with this status.
    #[must_use]
    pub fn of_exit(exit_code: u8) -> Self {
        if exit_code == 0 { Self::Succeeded } else { Self::Failed }
    }
}

impl FromStr for TestStatus {
    type Err = UnknownTestStatus;

    fn from_str(text: &str) -> Result<Self, UnknownTestStatus> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or(UnknownTestStatus)
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn words_read_back_and_ends_are_ends() {
        for status in TestStatus::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
        }
        assert_eq!("done".parse::<TestStatus>(), Err(UnknownTestStatus));
        let over: Vec<_> = TestStatus::ALL.into_iter().filter(|status| status.is_over()).collect();
        assert_eq!(over.len(), 4);
        assert!(
            TestStatus::of_exit(0) == TestStatus::Succeeded && TestStatus::of_exit(3) == TestStatus::Failed
        );
    }
}
