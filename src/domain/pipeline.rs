//! Pipelines: apps in stages, and slugs that are promoted from one to the next.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use uuid::Uuid;

use crate::domain::{AppId, Email, ReleaseStatus};

/// Apps that run one code base at several stages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pipeline {
    /// Its identity, kept through renames.
    pub id: Uuid,
    /// Unique on the node.
    pub name: PipelineName,
    /// Whose it is; the node's administrator's when nobody is named.
    pub owner: Option<Email>,
    /// Unix time of creation, seconds.
    pub created_at_s: i64,
    /// Unix time of the last change, seconds.
    pub updated_at_s: i64,
}

impl Pipeline {
    /// The most that one user owns.
    pub const PER_OWNER_MAX: usize = 100;
    /// The most apps in one, and so the most targets of a promotion.
    pub const APPS_MAX: usize = 100;
}

/// The name of a pipeline: `^[a-z][a-z0-9-]{2,29}$` (platform reference 7.3).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PipelineName(String);

/// The text is no name of a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("it starts with a letter, holds only a-z, 0-9 and dashes, and has 3 to 30 characters")]
pub struct PipelineNameError;

impl PipelineName {
    const LENGTH_MIN: usize = 3;
    const LENGTH_MAX: usize = 30;

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PipelineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for PipelineName {
    type Err = PipelineNameError;

    fn from_str(text: &str) -> Result<Self, PipelineNameError> {
        let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let holds = (Self::LENGTH_MIN..=Self::LENGTH_MAX).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(is_plain);
        if holds { Ok(Self(text.to_owned())) } else { Err(PipelineNameError) }
    }
}

/// Where in a pipeline an app stands; later ones are nearer to its users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// For tests of every commit.
    Test,
    /// For looking at a change before it is merged.
    Review,
    /// For work.
    Development,
    /// For a last look.
    Staging,
    /// For users.
    Production,
}

/// The text is no stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("it is one of test, review, development, staging and production")]
pub struct UnknownStage;

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 5] = [Self::Test, Self::Review, Self::Development, Self::Staging, Self::Production];

    /// The word of the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Review => "review",
            Self::Development => "development",
            Self::Staging => "staging",
            Self::Production => "production",
        }
    }

    /// Where an app of this stage is promoted to when nobody says where; from production nothing is promoted further.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        match self {
            Self::Test | Self::Review | Self::Development => Some(Self::Staging),
            Self::Staging => Some(Self::Production),
            Self::Production => None,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Stage {
    type Err = UnknownStage;

    fn from_str(text: &str) -> Result<Self, UnknownStage> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == text).ok_or(UnknownStage)
    }
}

/// An app's place in the one pipeline that it may be in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coupling {
    /// Its identity.
    pub id: Uuid,
    /// The app.
    pub app: AppId,
    /// The pipeline.
    pub pipeline: Uuid,
    /// Where.
    pub stage: Stage,
    /// Unix time of creation, seconds.
    pub created_at_s: i64,
    /// Unix time of the last change, seconds.
    pub updated_at_s: i64,
}

/// A slug that went from one app to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promotion {
    /// Its identity.
    pub id: Uuid,
    /// The pipeline.
    pub pipeline: Uuid,
    /// The app it came from.
    pub source: AppId,
    /// The release of that app.
    pub release: Uuid,
    /// Unix time, seconds.
    pub created_at_s: i64,
    /// Where it went, or was to go.
    pub targets: Vec<PromotionTarget>,
}

impl Promotion {
    /// How many of a pipeline are remembered, the newest.
    pub const KEPT_MAX: usize = 100;

    /// Whether nothing of it is under way any more.
    #[must_use]
    pub fn is_completed(&self) -> bool {
        self.targets.iter().all(|target| target.status() != PromotionStatus::Pending)
    }
}

/// An app that something was promoted to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromotionTarget {
    /// Its identity.
    pub id: Uuid,
    /// The app.
    pub app: AppId,
    /// What became of it.
    pub outcome: TargetOutcome,
}

/// What became of a promotion on one app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetOutcome {
    /// A release was made; how it fares is the release's to tell.
    Released {
        /// The release.
        release: Uuid,
        /// How it fares now.
        status: ReleaseStatus,
    },
    /// None was, for the reason in the sentence.
    Refused(String),
}

/// How a promotion fares on one app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PromotionStatus {
    /// The release command runs.
    Pending,
    /// The release runs, or has run.
    Succeeded,
    /// It never will.
    Failed,
}

impl PromotionStatus {
    /// The word of the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }
}

impl PromotionTarget {
    /// How it fares.
    #[must_use]
    pub fn status(&self) -> PromotionStatus {
        match &self.outcome {
            TargetOutcome::Released { status: ReleaseStatus::Pending, .. } => PromotionStatus::Pending,
            TargetOutcome::Released { status: ReleaseStatus::Succeeded | ReleaseStatus::Expired, .. } => {
                PromotionStatus::Succeeded
            }
            TargetOutcome::Released { status: ReleaseStatus::Failed, .. } | TargetOutcome::Refused(_) => {
                PromotionStatus::Failed
            }
        }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn names_follow_the_published_pattern() {
        for good in ["abc", "example", "a-1", "abc-", "a23456789012345678901234567890"] {
            assert_eq!(good.parse::<PipelineName>().unwrap().as_str(), good);
        }
        for bad in ["", "ab", "1abc", "-abc", "Abc", "a_b", "a234567890123456789012345678901", "äbc"] {
            assert_eq!(bad.parse::<PipelineName>(), Err(PipelineNameError), "{bad}");
        }
    }

    #[test]
    fn stages_are_in_order_and_lead_to_production() {
        assert!(Stage::ALL.is_sorted());
        for stage in Stage::ALL {
            assert_eq!(stage.as_str().parse(), Ok(stage));
            assert!(stage.next().is_none_or(|next| next > stage));
        }
        assert_eq!("prod".parse::<Stage>(), Err(UnknownStage));
    }

    #[test]
    fn a_promotion_is_completed_when_no_release_is_pending() {
        let target = |outcome| PromotionTarget { id: Uuid::nil(), app: AppId(Uuid::nil()), outcome };
        let released = |status| target(TargetOutcome::Released { release: Uuid::nil(), status });
        let promotion = |targets| Promotion {
            id: Uuid::nil(),
            pipeline: Uuid::nil(),
            source: AppId(Uuid::nil()),
            release: Uuid::nil(),
            created_at_s: 0,
            targets,
        };
        assert_eq!(released(ReleaseStatus::Expired).status(), PromotionStatus::Succeeded);
        assert_eq!(released(ReleaseStatus::Failed).status(), PromotionStatus::Failed);
        let refused = target(TargetOutcome::Refused(String::new()));
        let succeeded = released(ReleaseStatus::Succeeded);
        assert!(promotion(vec![refused.clone(), succeeded]).is_completed());
        assert!(!promotion(vec![refused, released(ReleaseStatus::Pending)]).is_completed());
    }
}
