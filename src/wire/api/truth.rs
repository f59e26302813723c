//! Truths in bodies: libraries send 0 and 1 as well.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// As JSON has it, or as a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Sent {
    Truth(bool),
    Number(u64),
}

/// One that must be there.
pub(super) fn certain<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match Sent::deserialize(deserializer)? {
        Sent::Truth(truth) => Ok(truth),
        Sent::Number(0) => Ok(false),
        Sent::Number(1) => Ok(true),
        Sent::Number(number) => Err(D::Error::custom(format!("{number} is neither true nor false"))),
    }
}

/// One that may be left out or null.
pub(super) fn possible<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    #[derive(Deserialize)]
    struct Certain(#[serde(deserialize_with = "certain")] bool);
    Ok(Option::<Certain>::deserialize(deserializer)?.map(|Certain(truth)| truth))
}

#[cfg(test)]
mod test {
    use crate::wire::api::{UpdateApp, UpdateAppFeature};

    #[test]
    fn switches_take_truths_and_0_and_1_and_nothing_else() {
        let app = |body: &str| serde_json::from_str::<UpdateApp>(body).map(|body| body.maintenance);
        assert_eq!(app(r#"{"maintenance":true}"#).unwrap(), Some(true));
        assert_eq!(app(r#"{"maintenance":1}"#).unwrap(), Some(true));
        assert_eq!(app(r#"{"maintenance":0}"#).unwrap(), Some(false));
        assert_eq!(app(r#"{"maintenance":null}"#).unwrap(), None);
        assert_eq!(app("{}").unwrap(), None);
        assert!(app(r#"{"maintenance":2}"#).is_err() && app(r#"{"maintenance":"on"}"#).is_err());
        let feature = |body: &str| serde_json::from_str::<UpdateAppFeature>(body).map(|body| body.enabled);
        assert!(feature(r#"{"enabled":1}"#).unwrap() && !feature(r#"{"enabled":0}"#).unwrap());
        assert!(feature(r#"{"enabled":null}"#).is_err() && feature("{}").is_err());
    }
}
