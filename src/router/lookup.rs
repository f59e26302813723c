//! The second stage: whose host is this? Pure.

use std::sync::Arc;

use crate::domain::{Route, RouteTable};

/// The app that answers for `host` (lower case, without port and dot), if there is one.
pub(super) fn lookup(table: &RouteTable, host: &str) -> Option<Arc<Route>> {
    table.routes.get(host).cloned()
}

#[cfg(test)]
mod test {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{AppId, WebState};

    #[test]
    fn a_host_belongs_to_one_app_or_none() {
        let route = Arc::new(Route {
            app: AppId(Uuid::nil()),
            name: "example".parse().unwrap(),
            maintenance: false,
            maintenance_page: None,
            error_page: None,
            web: WebState::Blank,
        });
        let mut table = RouteTable::default();
        table.routes.insert("example.localhost".parse().unwrap(), Arc::clone(&route));
        assert_eq!(lookup(&table, "example.localhost"), Some(route));
        for host in ["", "localhost", "other.localhost", "example.localhost.evil", "127.0.0.1"] {
            assert_eq!(lookup(&table, host), None, "{host}");
        }
    }
}
