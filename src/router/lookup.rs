//! The second stage: whose host is this, and did the client mean it when it asked for a certificate? Pure.

use std::sync::Arc;

use crate::domain::{Certificates, ChallengeAnswer, Http2, Route, RouteTable, is_given};

/// The app that answers for `host` (lower case, without port and dot), if there is one.
pub(super) fn lookup(table: &RouteTable, host: &str) -> Option<Arc<Route>> {
    let wildcard = || table.wildcards.get(host.split_once('.').filter(|(label, _)| !label.is_empty())?.1);
    table.routes.get(host).or_else(wildcard).cloned()
}

/// What an authority is told that asks for the token of a challenge at `host`, while it may ask.
pub(super) fn challenge_text<'a>(certificates: &'a Certificates, host: &str, token: &str) -> Option<&'a str> {
    match certificates.answers.get(host)? {
        ChallengeAnswer::Http { token: known, text } if known == token => Some(text),
        ChallengeAnswer::Http { .. } | ChallengeAnswer::Tls(_) => None,
    }
}

/// Whether a client that asks for the certificate of `asked` (lower case, without a final dot) may speak HTTP/2. That is
/// agreed on before any host is named: the app that has the name decides.
pub(super) fn speaks_http2(table: &RouteTable, asked: Option<&str>) -> bool {
    let Some(asked) = asked else { return false };
    lookup(table, asked).is_some_and(|route| match route.options.http2 {
        Http2::OwnDomains => !is_given(asked),
        Http2::Always => true,
        Http2::Never => false,
    })
}

/// Whether a client that asked for the certificate of `asked` sends a request for a `host` that has another one: what it was
/// shown says nothing of who answers.
pub(super) fn is_misdirected(certificates: &Certificates, asked: Option<&str>, host: &str) -> bool {
    let Some(asked) = asked.filter(|asked| *asked != host) else { return false };
    match (certificates.shown(Some(asked)), certificates.shown(Some(host))) {
        (Some(shown), Some(due)) => !Arc::ptr_eq(shown, due),
        (None, None) => false,
        (Some(_), None) | (None, Some(_)) => true,
    }
}

#[cfg(test)]
mod test {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{AppId, Certificate, RouteOptions, SecretKey, WebState};

    fn route(name: &str) -> Arc<Route> {
        Arc::new(Route {
            app: AppId(Uuid::nil()),
            name: name.parse().unwrap(),
            maintenance: false,
            maintenance_page: None,
            error_page: None,
            web: WebState::Blank,
            options: RouteOptions::default(),
        })
    }

    #[test]
    fn a_wildcard_stands_for_one_label_that_has_no_name_of_its_own() {
        let (any, own) = (route("any"), route("own"));
        let mut table = RouteTable::default();
        table.wildcards.insert("example.com".parse().unwrap(), Arc::clone(&any));
        table.routes.insert("www.example.com".parse().unwrap(), Arc::clone(&own));
        assert_eq!(lookup(&table, "www.example.com"), Some(own));
        assert_eq!(lookup(&table, "api.example.com"), Some(any));
        for host in ["example.com", ".example.com", "a.b.example.com", "com", "*.com"] {
            assert_eq!(lookup(&table, host), None, "{host}");
        }
    }

    #[test]
    fn a_challenge_is_answered_for_its_name_and_its_token_alone() {
        let mut all = Certificates::default();
        let http = ChallengeAnswer::Http { token: "token".to_owned(), text: "token.print".to_owned() };
        all.answers.insert("a.example.com".parse().unwrap(), http);
        let proof = Arc::new(Certificate { chain: Vec::new(), key: SecretKey::new(*b"key") });
        all.answers.insert("b.example.com".parse().unwrap(), ChallengeAnswer::Tls(proof));
        assert_eq!(challenge_text(&all, "a.example.com", "token"), Some("token.print"));
        for (host, token) in
            [("a.example.com", ""), ("a.example.com", "token/"), ("b.example.com", "token"), ("", "token")]
        {
            assert_eq!(challenge_text(&all, host, token), None, "{host} {token}");
        }
    }

    #[test]
    fn a_request_is_for_a_host_of_the_certificate_that_was_asked_for() {
        let certificate =
            |text: &str| Arc::new(Certificate { chain: vec![text.into()], key: SecretKey::new(*b"key") });
        let mut all = Certificates { own: Some(certificate("own")), ..Certificates::default() };
        let shared = certificate("shared");
        all.insert(&"a.example.com".parse().unwrap(), Arc::clone(&shared));
        all.insert(&"b.example.com".parse().unwrap(), shared);
        all.insert(&"c.example.com".parse().unwrap(), certificate("other"));
        for (asked, host, is_wrong) in [
            (None, "c.example.com", false),
            (Some("c.example.com"), "c.example.com", false),
            (Some("a.example.com"), "b.example.com", false),
            (Some("a.example.com"), "c.example.com", true),
            (Some("unknown"), "c.example.com", true),
            (Some("c.example.com"), "unknown", true),
            (Some("localhost"), "unknown", false),
        ] {
            assert_eq!(is_misdirected(&all, asked, host), is_wrong, "{asked:?} {host}");
        }
    }

    #[test]
    fn the_app_of_the_name_says_whether_http2_is_spoken() {
        let of = |http2| {
            let options = RouteOptions { http2, ..RouteOptions::default() };
            let route = Arc::new(Route { options, ..Route::clone(&route("example")) });
            let mut table = RouteTable::default();
            table.routes.insert("example.localhost".parse().unwrap(), Arc::clone(&route));
            table.wildcards.insert("example.com".parse().unwrap(), route);
            ["example.localhost", "www.example.com", "unknown.test"]
                .map(|name| speaks_http2(&table, Some(name)))
        };
        assert_eq!(of(Http2::OwnDomains), [false, true, false]);
        assert_eq!(of(Http2::Always), [true, true, false]);
        assert_eq!(of(Http2::Never), [false; 3]);
        assert!(!speaks_http2(&RouteTable::default(), None));
    }

    #[test]
    fn a_host_belongs_to_one_app_or_none() {
        let route = route("example");
        let mut table = RouteTable::default();
        table.routes.insert("example.localhost".parse().unwrap(), Arc::clone(&route));
        assert_eq!(lookup(&table, "example.localhost"), Some(route));
        for host in ["", "localhost", "other.localhost", "example.localhost.evil", "127.0.0.1"] {
            assert_eq!(lookup(&table, host), None, "{host}");
        }
    }
}
