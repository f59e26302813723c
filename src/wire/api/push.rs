//! `POST /apps/:app/pushes`: a source archive in, the transcript and the verdict out.
//!
//! The transcript is plain text. A NUL byte ends it; one JSON object, the verdict, follows. Where a release command runs, a
//! second NUL byte ends the verdict, and more text follows: what the command prints, and what became of it.

use serde::{Deserialize, Serialize};

/// The file that the hook adds to a commit's archive where the commit has submodules: a line for each, with the commit that belongs
/// there and the place.
pub const SUBMODULES_NAME: &str = ".dyno-submodules";

/// Ends the transcript, and the verdict where more text follows.
pub const VERDICT_MARK: u8 = 0;

/// What became of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PushStatus {
    /// Built and released: the ref moves.
    Succeeded,
    /// Not built, nothing changed: the ref stays.
    Failed,
    /// Not for building; the ref moves.
    Skipped,
}

/// The last line of an answered push.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushVerdict {
    /// What became of it.
    pub status: PushStatus,
}

impl PushVerdict {
    /// The bytes that end a transcript.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let word = match self.status {
            PushStatus::Succeeded => "succeeded",
            PushStatus::Failed => "failed",
            PushStatus::Skipped => "skipped",
        };
        let mut bytes = vec![VERDICT_MARK];
        bytes.extend_from_slice(format!("{{\"status\":\"{word}\"}}").as_bytes());
        bytes
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_verdict_reads_back() {
        for status in [PushStatus::Succeeded, PushStatus::Failed, PushStatus::Skipped] {
            let bytes = PushVerdict { status }.encode();
            assert_eq!(bytes[0], VERDICT_MARK);
            assert_eq!(serde_json::from_slice::<PushVerdict>(&bytes[1..]).unwrap().status, status);
        }
    }
}
