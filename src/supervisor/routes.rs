//! What the router is told: the apps, and which of their web dynos can be reached. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use crate::domain::{Backend, DynoState, HostPattern, ProcessType, Route, RouteTable, WebState};
use crate::supervisor::DesiredApp;

/// Config var: page shown in place of the error page (platform reference 4.9).
const ERROR_PAGE: &str = "ERROR_PAGE_URL";
/// Config var: page shown in place of the maintenance page.
const MAINTENANCE_PAGE: &str = "MAINTENANCE_PAGE_URL";

/// A web dyno that holds its name, or waits to.
pub(super) struct Web {
    /// What it is doing.
    pub(super) state: DynoState,
    /// How to reach it; only of use when it is up, and none while another serves in its place.
    pub(super) backend: Option<Backend>,
}

/// The table of these apps, each with its web dynos.
pub(super) fn table<'a>(apps: impl Iterator<Item = (&'a DesiredApp, Vec<Web>)>) -> RouteTable {
    let (mut routes, mut wildcards) = (HashMap::new(), HashMap::new());
    for (app, web) in apps {
        let config =
            |name: &str| app.release.as_ref().and_then(|release| release.config.get(name)).map(str::to_owned);
        let route = Arc::new(Route {
            app: app.app,
            name: app.name.clone(),
            maintenance: app.maintenance,
            maintenance_page: config(MAINTENANCE_PAGE),
            error_page: config(ERROR_PAGE),
            web: web_state(app, web),
            options: app.preferences.routing,
        });
        for host in &app.hostnames {
            let (names, name) = match host {
                HostPattern::Exact(name) => (&mut routes, name),
                HostPattern::Wildcard(name) => (&mut wildcards, name),
            };
            names.insert(name.clone(), Arc::clone(&route));
        }
    }
    RouteTable { routes, wildcards }
}

fn web_state(app: &DesiredApp, web: Vec<Web>) -> WebState {
    let Some(release) = &app.release else { return WebState::Blank };
    let quantity = app.formation.entry(&ProcessType::web()).map_or(0, |entry| entry.quantity);
    if quantity == 0 || !release.commands.contains_key(&ProcessType::web()) {
        return WebState::NoneWanted;
    }
    let all_crashed = !web.is_empty() && web.iter().all(|dyno| dyno.state == DynoState::Crashed);
    let up: Vec<Backend> =
        web.into_iter().filter(|dyno| dyno.state == DynoState::Up).filter_map(|dyno| dyno.backend).collect();
    if !up.is_empty() {
        WebState::Up(up)
    } else if all_crashed {
        WebState::Crashed
    } else {
        WebState::Booting
    }
}

#[cfg(test)]
mod test {
    use std::collections::BTreeMap;

    use uuid::Uuid;

    use super::*;
    use crate::domain::{
        Affinity, AppId, ConfigVars, DynoId, DynoName, DynoSize, Formation, FormationEntry, NetnsAddress,
        Version,
    };
    use crate::supervisor::{ReleaseImage, StackImage};

    fn app(quantity: u32, commands: &[&str]) -> DesiredApp {
        let config = BTreeMap::from([(ERROR_PAGE.to_owned(), "//pages/error".to_owned())]);
        let stack =
            StackImage { name: Default::default(), version: "1".to_owned(), layers: vec![], env: vec![] };
        DesiredApp {
            app: AppId(Uuid::nil()),
            name: "sample".parse().unwrap(),
            hostnames: vec!["sample.localhost".parse().unwrap(), "www.example.com".parse().unwrap()],
            release: Some(Arc::new(ReleaseImage {
                version: Version(1),
                slug: "0".repeat(64).parse().unwrap(),
                stack,
                config: ConfigVars::new(config).unwrap(),
                commands: commands.iter().map(|name| (name.parse().unwrap(), "run".to_owned())).collect(),
                metadata: BTreeMap::new(),
            })),
            formation: Formation::new([FormationEntry {
                process_type: ProcessType::web(),
                quantity,
                size: DynoSize::Basic,
                stop_grace: None,
            }]),
            maintenance: false,
            preferences: Default::default(),
            earlier: vec![],
        }
    }

    fn web(state: DynoState) -> Web {
        let netns = NetnsAddress { path: "/proc/1/ns/net".into(), device: 1, inode: 2 };
        let dyno = DynoName::new(ProcessType::web(), 1);
        let backend = Backend { id: DynoId(Uuid::nil()), dyno, netns, address: None, port: 5000 };
        Web { state, backend: Some(backend) }
    }

    fn state_of(app: &DesiredApp, states: &[DynoState]) -> WebState {
        let table = table([(app, states.iter().map(|state| web(*state)).collect())].into_iter());
        assert_eq!(table.routes.len(), 2, "one route for each host name");
        table.routes.values().next().unwrap().web.clone()
    }

    #[test]
    fn an_app_answers_by_what_its_web_dynos_do() {
        use DynoState::{Crashed, Starting, Up};
        let one = app(1, &["web"]);
        assert_eq!(state_of(&DesiredApp { release: None, ..one.clone() }, &[]), WebState::Blank);
        assert_eq!(state_of(&app(0, &["web"]), &[]), WebState::NoneWanted);
        assert_eq!(state_of(&app(1, &["worker"]), &[]), WebState::NoneWanted);
        assert_eq!(state_of(&one, &[]), WebState::Booting, "the old dyno left, the new one is not here yet");
        assert_eq!(state_of(&one, &[Starting]), WebState::Booting);
        assert_eq!(state_of(&one, &[Crashed, Starting]), WebState::Booting);
        assert_eq!(state_of(&one, &[Crashed, Crashed]), WebState::Crashed);
        assert!(matches!(state_of(&one, &[Crashed, Up, Starting]), WebState::Up(up) if up.len() == 1));
    }

    #[test]
    fn a_wildcard_and_what_an_app_prefers_are_told_to_the_router() {
        let mut one = app(1, &["web"]);
        one.hostnames.push("*.example.com".parse().unwrap());
        one.preferences.routing.affinity = Affinity::Cookie;
        let table = table([(&one, vec![])].into_iter());
        assert_eq!((table.routes.len(), table.wildcards.len()), (2, 1));
        let route = &table.wildcards["example.com"];
        assert!(Arc::ptr_eq(route, &table.routes["www.example.com"]));
        assert_eq!(route.options.affinity, Affinity::Cookie);
    }

    #[test]
    fn pages_come_from_config_vars() {
        let table = table([(&app(1, &["web"]), vec![])].into_iter());
        let route = &table.routes["sample.localhost"];
        assert_eq!(route.error_page.as_deref(), Some("//pages/error"));
        assert_eq!(route.maintenance_page, None);
    }
}
