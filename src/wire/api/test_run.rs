//! Runs of tests: those of pipelines, as the platform has them, and `POST /apps/:app/test-runs`, a route of our own: a
//! source archive in, what its tests print and the verdict out. That text is plain. A NUL byte ends it; one JSON object, the
//! verdict, follows.

use serde::{Deserialize, Serialize};

use uuid::Uuid;

use crate::wire::api::{ById, Named, UserRef, VERDICT_MARK};

/// A run of the tests of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "the fields are the platform's")]
pub struct TestRun {
    /// Who asked for it.
    pub actor_email: String,
    /// The app that was set up for it: tests need none here.
    pub app_setup: Option<ById>,
    /// Whether nothing was kept from earlier runs: nothing ever is.
    pub clear_cache: bool,
    /// The branch.
    pub commit_branch: String,
    /// The commit's message.
    pub commit_message: String,
    /// The commit.
    pub commit_sha: String,
    /// ISO time.
    pub created_at: String,
    /// Whether somebody looks into it while it runs: nobody does.
    pub debug: bool,
    /// The dyno that it runs in, by identity: none has one.
    pub dyno: Option<ById>,
    /// Its identity.
    pub id: Uuid,
    /// Why it did not come to the end of its tests.
    pub message: Option<String>,
    /// Counts those of the pipeline.
    pub number: u64,
    /// Never there.
    pub organization: Option<Named>,
    /// The pipeline.
    pub pipeline: Named,
    /// Where the source was fetched from; empty where it was sent.
    pub source_blob_url: String,
    /// `pending`, `building`, `running`, `succeeded`, `failed`, `errored` or `cancelled`.
    pub status: String,
    /// ISO time.
    pub updated_at: String,
    /// Who asked for it.
    pub user: UserRef,
    /// Never there.
    pub warning_message: Option<String>,
}

/// Body of `POST /test-runs`. What else the platform's clients send means nothing here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateTestRun {
    /// The branch.
    pub commit_branch: String,
    /// The commit's message.
    pub commit_message: String,
    /// The commit.
    pub commit_sha: String,
    /// The pipeline, by identity or name.
    pub pipeline: String,
    /// Where the source is.
    pub source_blob_url: String,
}

/// Body of `PATCH /test-runs/:id`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateTestRun {
    /// `cancelled`.
    pub status: String,
}

/// What a run runs on; there is one for each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestNode {
    /// ISO time.
    pub created_at: String,
    /// The dyno that it runs in, by identity: none has one.
    pub dyno: Option<ById>,
    /// `errored`, where it is.
    pub error_status: Option<String>,
    /// What the tests ended with, once they have.
    pub exit_code: Option<u8>,
    /// Its identity.
    pub id: Uuid,
    /// Its place among the nodes of the run.
    pub index: u32,
    /// Why the tests did not come to their end.
    pub message: Option<String>,
    /// Where what the tests say is read.
    pub output_stream_url: String,
    /// The pipeline.
    pub pipeline: ById,
    /// Where what is said before is read.
    pub setup_stream_url: String,
    /// As the run's.
    pub status: String,
    /// The run.
    pub test_run: ById,
    /// ISO time.
    pub updated_at: String,
}

/// How tests ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestVerdict {
    /// Their exit status; 0 is success.
    pub exit_code: u8,
}

impl TestVerdict {
    /// The bytes that end what the tests print.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERDICT_MARK];
        bytes.extend_from_slice(format!("{{\"exit_code\":{}}}", self.exit_code).as_bytes());
        bytes
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_verdict_reads_back() {
        let bytes = TestVerdict { exit_code: 7 }.encode();
        assert_eq!(bytes[0], VERDICT_MARK);
        assert_eq!(serde_json::from_slice::<TestVerdict>(&bytes[1..]).unwrap().exit_code, 7);
    }
}
