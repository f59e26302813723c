//! `POST /apps/:app/test-runs`: a source archive in, what its tests print and the verdict out.
//!
//! The text is plain. A NUL byte ends it; one JSON object, the verdict, follows.

use serde::{Deserialize, Serialize};

use crate::wire::api::VERDICT_MARK;

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
