//! The second stage: whose host is this? Pure.

use std::sync::Arc;

use crate::domain::{Route, RouteTable};

/// The app that answers for `host` (lower case, without port and dot), if there is one.
pub(super) fn lookup(table: &RouteTable, host: &str) -> Option<Arc<Route>> {
    let wildcard = || table.wildcards.get(host.split_once('.').filter(|(label, _)| !label.is_empty())?.1);
    table.routes.get(host).or_else(wildcard).cloned()
}

#[cfg(test)]
mod test {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{AppId, RouteOptions, WebState};

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
