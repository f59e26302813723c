//! The third stage: may the request be served now, must it wait, or is it refused? Pure.

use crate::domain::{Backend, Route, WebState};
use crate::wire::codes::Code;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission<'a> {
    /// One of these serves it; never empty.
    Serve(&'a [Backend]),
    /// It waits for a change of the table.
    Hold,
    /// It is answered in the app's place.
    Refuse(Code),
}

/// Decides in the platform's order of precedence (platform reference 4.8). `in_flight` counts this request too.
pub(super) fn admit(route: &Route, in_flight: usize, in_flight_per_dyno: usize) -> Admission<'_> {
    if route.maintenance {
        return Admission::Refuse(Code::H80);
    }
    let (dynos, admission) = match &route.web {
        WebState::Blank => return Admission::Refuse(Code::H81),
        WebState::NoneWanted => return Admission::Refuse(Code::H14),
        WebState::Crashed => return Admission::Refuse(Code::H10),
        WebState::Booting => (1, Admission::Hold),
        WebState::Up(backends) if backends.is_empty() => (1, Admission::Hold),
        WebState::Up(backends) => (backends.len(), Admission::Serve(backends)),
    };
    if in_flight > dynos.saturating_mul(in_flight_per_dyno) {
        Admission::Refuse(Code::H11)
    } else {
        admission
    }
}

#[cfg(test)]
mod test {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{AppId, DynoId, NetnsAddress, RouteOptions};

    fn route(web: WebState) -> Route {
        Route {
            app: AppId(Uuid::nil()),
            name: "example".parse().unwrap(),
            maintenance: false,
            maintenance_page: None,
            error_page: None,
            web,
            options: RouteOptions::default(),
        }
    }

    fn backend() -> Backend {
        Backend {
            id: DynoId(Uuid::nil()),
            dyno: "web.1".parse().unwrap(),
            netns: NetnsAddress { path: "/".into(), device: 0, inode: 0 },
            address: None,
            port: 5000,
        }
    }

    #[test]
    fn each_state_has_its_answer() {
        let refused = |web| match admit(&route(web), 1, 200) {
            Admission::Refuse(code) => Some(code),
            Admission::Serve(_) | Admission::Hold => None,
        };
        assert_eq!(refused(WebState::Blank), Some(Code::H81));
        assert_eq!(refused(WebState::NoneWanted), Some(Code::H14));
        assert_eq!(refused(WebState::Crashed), Some(Code::H10));
        assert_eq!(admit(&route(WebState::Booting), 1, 200), Admission::Hold);
        assert_eq!(admit(&route(WebState::Up(vec![])), 1, 200), Admission::Hold);
        assert_eq!(admit(&route(WebState::Up(vec![backend()])), 1, 200), Admission::Serve(&[backend()]));
    }

    #[test]
    fn maintenance_comes_before_everything() {
        for web in [WebState::Blank, WebState::NoneWanted, WebState::Crashed, WebState::Up(vec![backend()])] {
            let maintained = Route { maintenance: true, ..route(web) };
            assert_eq!(admit(&maintained, 1_000_000, 1), Admission::Refuse(Code::H80));
        }
    }

    #[test]
    fn the_backlog_grows_with_the_dynos() {
        let one = route(WebState::Up(vec![backend()]));
        let two = route(WebState::Up(vec![backend(), backend()]));
        assert!(matches!(admit(&one, 200, 200), Admission::Serve(_)));
        assert_eq!(admit(&one, 201, 200), Admission::Refuse(Code::H11));
        assert!(matches!(admit(&two, 400, 200), Admission::Serve(_)));
        assert_eq!(admit(&route(WebState::Booting), 201, 200), Admission::Refuse(Code::H11));
        assert_eq!(admit(&route(WebState::Crashed), 201, 200), Admission::Refuse(Code::H10));
    }
}
