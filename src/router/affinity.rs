//! Session affinity: a cookie that leads a client back to the dyno that answered it before (platform reference 4.7). Pure.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use uuid::Uuid;

use crate::domain::DynoId;
use crate::wire::headers;

/// The dyno a client's cookie names. Whether it is one of the app's is for `pick` to see: a cookie can be made up.
pub(super) fn wanted(given: &HeaderMap) -> Option<DynoId> {
    let cookies = given.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, text) = pairs.find(|(name, _)| *name == headers::AFFINITY_COOKIE)?;
    Uuid::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok().map(DynoId)
}

/// The cookie that leads back to `dyno`, for `host` alone.
pub(super) fn cookie(dyno: DynoId, host: &str, now: SystemTime) -> Option<HeaderValue> {
    let value = URL_SAFE_NO_PAD.encode(dyno.0.as_bytes());
    let expires = now + Duration::from_secs(headers::AFFINITY_AGE_S);
    HeaderValue::from_str(&headers::affinity_cookie(&value, host, &httpdate::fmt_http_date(expires))).ok()
}

#[cfg(test)]
mod test {
    use super::*;

    fn given(cookies: &[&str]) -> HeaderMap {
        cookies.iter().map(|text| (COOKIE, HeaderValue::from_str(text).unwrap())).collect()
    }

    #[test]
    fn a_cookie_leads_back_to_the_dyno_it_was_made_for() {
        let dyno = DynoId(Uuid::from_u128(0x8601_b555_6a83_4c12_8269_97c8_e32c_db22));
        let cookie = cookie(dyno, "example.localhost", SystemTime::UNIX_EPOCH).unwrap();
        let text = cookie.to_str().unwrap();
        assert_eq!(
            text,
            "heroku-session-affinity=hgG1VWqDTBKCaZfI4yzbIg; Version=1; Expires=Fri, 02 Jan 1970 00:00:00 GMT; \
             Max-Age=86400; Domain=example.localhost; Path=/; HttpOnly"
        );
        let pair = text.split(';').next().unwrap();
        assert_eq!(wanted(&given(&["a=b", &format!("c=d;{pair}; e=f")])), Some(dyno));
    }

    #[test]
    fn a_cookie_that_names_no_dyno_is_as_good_as_none() {
        for text in [
            "",
            "heroku-session-affinity=",
            "heroku-session-affinity=%%%",
            "heroku-session-affinity=AAAA",
            "x",
        ] {
            assert_eq!(wanted(&given(&[text])), None, "{text}");
        }
        assert_eq!(wanted(&given(&[])), None);
    }
}
