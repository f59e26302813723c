//! What there is: one row a method and path, with what it asks of those who take it. The rows are data, so that a test
//! can try every one of them as everybody.

use axum::Router;
use axum::extract::Request;
use axum::handler::Handler;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::routing::{MethodFilter, MethodRouter, on};
use http::Method;

use crate::api::auth::{self, Door, Gate};
use crate::api::change::to_its_end;
use crate::api::range::{self, Property};
use crate::api::state::Api;
use crate::api::{
    account_features, accounts, acm, add_ons, app_features, app_setups, apps, attach, authorizations, builds,
    catalog, collaborators, config_vars, data_services, domains, dynos, error, etag, exec, formation, keys,
    log_drains, log_sessions, node, pipeline_tests, pipelines, promotions, pushes, rate, releases,
    repositories, routing, scheduler, slugs, sni_endpoints, sources, test_runs, transfers, users, webhooks,
};
use crate::domain::AppRight::{self, Deploy, Manage, Operate, View};

/// What a route asks of those who take it. How a token must be scoped follows from it and the method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: a secret in the path decides, or it is for everybody.
    Nothing,
    /// Credentials, a password among them.
    Login,
    /// Credentials: it is about the user alone.
    Account,
    /// Credentials: the handler decides what is shown to whom.
    Common,
    /// This right on the app in the path.
    App(AppRight),
    /// The same, and a token that is good for config vars, which hold secrets.
    Config(AppRight),
    /// The same, on the app that basic credentials have for a user name. No version is asked for: the clients of the exec
    /// manager, which is an API of its own, send none.
    Exec(AppRight),
    /// To be the node's administrator.
    Node,
}

/// One row of the table.
pub struct Route {
    /// The method; `GET` answers `HEAD` too.
    pub method: Method,
    /// The path; names in braces stand for one segment.
    pub path: &'static str,
    /// What it asks.
    pub need: Need,
    /// By what the list that it answers may be ordered, the usual first; nothing where it answers none, or a short one.
    listed: &'static [Property],
    handler: MethodRouter<Api>,
}

/// Lists of what has an identity.
const BY_ID: &[Property] = &[Property::text("id")];
/// Lists of what has a name, too.
const BY_NAME: &[Property] = &[Property::text("id"), Property::text("name")];
/// The list of an app's domains, which heroku3 asks for by `domain`.
const BY_HOSTNAME: &[Property] = &[Property::text("id").or("domain"), Property::text("hostname")];
/// Lists of what is counted.
const BY_NUMBER: &[Property] = &[Property::number("number"), Property::text("id")];

impl Route {
    /// The same, which answers a list that may be cut.
    fn listed(self, listed: &'static [Property]) -> Self {
        Self { listed, ..self }
    }
}

fn row<H, T>(method: Method, path: &'static str, need: Need, handler: H) -> Route
where
    H: Handler<T, Api>,
    T: 'static,
{
    // Every method of the table has a filter; one that had none would be no method of HTTP.
    let filter = MethodFilter::try_from(method.clone()).unwrap_or(MethodFilter::OPTIONS);
    Route { method, path, need, listed: &[], handler: on(filter, handler) }
}

/// The table.
#[must_use]
pub fn table() -> Vec<Route> {
    [
        of_accounts(),
        of_the_node(),
        of_apps(),
        of_builds(),
        of_repositories(),
        of_add_ons(),
        of_data_services(),
        of_certificates(),
        of_running_apps(),
        of_the_exec_manager(),
        of_jobs(),
        of_pipelines(),
        of_webhooks(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn of_accounts() -> Vec<Route> {
    use Need::{Account, Common, Login};
    vec![
        row(Method::GET, "/account", Account, accounts::show),
        row(Method::GET, "/account/features", Account, account_features::list).listed(BY_NAME),
        row(Method::GET, "/account/features/{feature}", Account, account_features::show),
        row(Method::GET, "/account/keys", Common, keys::list).listed(BY_ID),
        row(Method::POST, "/account/keys", Common, keys::create),
        row(Method::GET, "/account/keys/{key}", Common, keys::show),
        row(Method::DELETE, "/account/keys/{key}", Common, keys::destroy),
        row(Method::GET, "/account/rate-limits", Account, rate::show),
        row(Method::POST, "/account/app-transfers", Common, collaborators::transfer),
        row(Method::GET, "/users/~", Account, accounts::show),
        row(Method::GET, "/users/~/apps", Common, apps::list).listed(apps::ORDERS),
        row(Method::GET, "/oauth/authorizations", Account, authorizations::list).listed(BY_ID),
        row(Method::POST, "/oauth/authorizations", Login, authorizations::create),
        row(Method::GET, "/oauth/authorizations/{id}", Account, authorizations::show),
        row(Method::PATCH, "/oauth/authorizations/{id}", Account, authorizations::update),
        row(Method::DELETE, "/oauth/authorizations/{id}", Account, authorizations::destroy),
        row(
            Method::POST,
            "/oauth/authorizations/{id}/actions/regenerate-tokens",
            Account,
            authorizations::regenerate,
        ),
        row(Method::GET, "/oauth/clients", Account, catalog::none),
        row(Method::GET, "/oauth/sessions", Account, catalog::none),
        row(Method::DELETE, "/oauth/sessions/{session}", Account, authorizations::end_session),
        row(Method::GET, "/teams", Common, catalog::none),
        row(Method::GET, "/spaces", Common, catalog::none),
    ]
}

fn of_the_node() -> Vec<Route> {
    use Need::{Common, Node, Nothing};
    vec![
        row(Method::GET, "/authority.pem", Nothing, catalog::authority),
        row(Method::GET, "/regions", Common, catalog::regions).listed(BY_NAME),
        row(Method::GET, "/regions/{region}", Common, catalog::show_region),
        row(Method::GET, "/stacks", Common, catalog::stacks).listed(BY_NAME),
        row(Method::GET, "/stacks/{stack}", Common, catalog::show_stack),
        row(Method::GET, "/dyno-sizes", Common, catalog::list_sizes).listed(BY_NAME),
        row(Method::GET, "/dyno-sizes/{size}", Common, catalog::show_size),
        row(Method::GET, "/metrics", Node, node::metrics),
        row(Method::GET, "/node", Node, node::show),
        row(Method::POST, "/node/actions/shutdown", Node, node::shutdown),
        row(Method::GET, "/node/removed-addons", Node, data_services::list_removed),
        row(Method::POST, "/node/removed-addons/{id}/actions/bring-back", Node, data_services::bring_back),
        row(Method::GET, "/node/users", Node, users::list),
        row(Method::POST, "/node/users", Node, users::create),
        row(Method::PATCH, "/node/users/{user}", Node, users::update),
        row(Method::DELETE, "/node/users/{user}", Node, users::destroy),
    ]
}

fn of_apps() -> Vec<Route> {
    use Need::{App, Common, Config, Nothing};
    vec![
        row(Method::GET, "/apps", Common, apps::list).listed(apps::ORDERS),
        row(Method::POST, "/apps", Common, apps::create),
        row(Method::POST, "/app-setups", Common, app_setups::create),
        row(Method::GET, "/app-setups/{setup}", Common, app_setups::show),
        row(Method::GET, "/apps/{app}", App(View), apps::show),
        row(Method::PATCH, "/apps/{app}", App(Operate), apps::update),
        row(Method::DELETE, "/apps/{app}", App(Manage), apps::destroy),
        row(Method::GET, "/apps/{app}/config-vars", Config(Operate), config_vars::show),
        row(Method::PATCH, "/apps/{app}/config-vars", Config(Operate), config_vars::update),
        row(Method::POST, "/apps/{app}/pushes", App(Deploy), pushes::create),
        row(Method::GET, "/apps/{app}/releases", App(View), releases::list).listed(releases::ORDERS),
        row(Method::POST, "/apps/{app}/releases", App(Deploy), releases::create),
        row(Method::GET, "/apps/{app}/releases/{release}", App(View), releases::show),
        row(
            Method::GET,
            "/apps/{app}/releases/{release}/config-vars",
            Config(Operate),
            releases::config_vars,
        ),
        row(Method::GET, "/apps/{app}/domains", App(View), domains::list).listed(BY_HOSTNAME),
        row(Method::POST, "/apps/{app}/domains", App(Operate), domains::create),
        row(Method::GET, "/apps/{app}/domains/{domain}", App(View), domains::show),
        row(Method::DELETE, "/apps/{app}/domains/{domain}", App(Operate), domains::destroy),
        row(Method::GET, "/apps/{app}/pipeline-couplings", App(View), pipelines::coupling_of_app),
        row(Method::POST, "/apps/{app}/slugs", App(Deploy), slugs::create),
        row(Method::GET, "/apps/{app}/slugs/{slug}", App(View), slugs::show),
        row(Method::GET, "/slug-blobs/{app}/{slug}", Nothing, slugs::blob),
        row(Method::PATCH, "/apps/{app}/domains/{domain}", App(Operate), domains::update),
        row(Method::GET, "/apps/{app}/collaborators", App(View), collaborators::list).listed(BY_ID),
        row(Method::POST, "/apps/{app}/collaborators", App(Manage), collaborators::create),
        row(Method::GET, "/apps/{app}/collaborators/{user}", App(View), collaborators::show),
        row(Method::PATCH, "/apps/{app}/collaborators/{user}", App(Manage), collaborators::update),
        row(Method::DELETE, "/apps/{app}/collaborators/{user}", App(Manage), collaborators::destroy),
    ]
}

/// Whoever has a link to a source or to a build's output may use it; the platform's clients bring no credentials there.
fn of_builds() -> Vec<Route> {
    use Need::{App, Common, Nothing};
    vec![
        row(Method::POST, "/sources", Common, sources::create),
        row(Method::POST, "/apps/{app}/sources", App(Deploy), sources::create),
        row(Method::PUT, "/sources/{source}", Nothing, sources::put),
        row(Method::GET, "/sources/{source}", Nothing, sources::show),
        row(Method::GET, "/apps/{app}/builds", App(View), builds::list).listed(BY_ID),
        row(Method::POST, "/apps/{app}/builds", App(Deploy), builds::create),
        row(Method::GET, "/apps/{app}/builds/{build}", App(View), builds::show),
        row(Method::DELETE, "/apps/{app}/builds/{build}", App(Deploy), builds::cancel),
        row(Method::GET, "/apps/{app}/builds/{build}/result", App(View), builds::result),
        row(Method::GET, "/build-outputs/{build}", Nothing, builds::output),
        row(Method::DELETE, "/apps/{app}/build-cache", App(Deploy), builds::purge_cache),
        row(Method::POST, "/apps/{app}/test-runs", App(Deploy), test_runs::create),
        row(Method::GET, "/apps/{app}/buildpack-installations", App(View), builds::buildpacks),
        row(Method::PUT, "/apps/{app}/buildpack-installations", App(Deploy), builds::set_buildpacks),
    ]
}

/// Routes of our own: the branch of a repository elsewhere that an app is deployed from.
fn of_repositories() -> Vec<Route> {
    use Need::{App, Nothing};
    vec![
        row(Method::GET, "/apps/{app}/repository", App(View), repositories::show),
        row(Method::PUT, "/apps/{app}/repository", App(Operate), repositories::set),
        row(Method::PATCH, "/apps/{app}/repository", App(Operate), repositories::switch),
        row(Method::DELETE, "/apps/{app}/repository", App(Operate), repositories::remove),
        row(Method::POST, "/repository-events/{link}", Nothing, repositories::hear),
    ]
}

/// Certificates, whose keys are taken and never given.
fn of_certificates() -> Vec<Route> {
    use Need::App;
    vec![
        row(Method::POST, "/apps/{app}/acm", App(Operate), acm::enable),
        row(Method::PATCH, "/apps/{app}/acm", App(Operate), acm::refresh),
        row(Method::DELETE, "/apps/{app}/acm", App(Operate), acm::disable),
        row(Method::GET, "/apps/{app}/sni-endpoints", App(View), sni_endpoints::list).listed(BY_NAME),
        row(Method::POST, "/apps/{app}/sni-endpoints", App(Operate), sni_endpoints::create),
        row(Method::GET, "/apps/{app}/sni-endpoints/{endpoint}", App(View), sni_endpoints::show),
        row(Method::PATCH, "/apps/{app}/sni-endpoints/{endpoint}", App(Operate), sni_endpoints::update),
        row(Method::DELETE, "/apps/{app}/sni-endpoints/{endpoint}", App(Operate), sni_endpoints::destroy),
    ]
}

fn of_running_apps() -> Vec<Route> {
    use Need::{App, Config, Nothing};
    vec![
        row(Method::GET, "/apps/{app}/features", App(View), app_features::list).listed(BY_NAME),
        row(Method::GET, "/apps/{app}/features/{feature}", App(View), app_features::show),
        row(Method::PATCH, "/apps/{app}/features/{feature}", App(Operate), app_features::update),
        row(Method::GET, "/apps/{app}/routing", App(View), routing::show),
        row(Method::PATCH, "/apps/{app}/routing", App(Operate), routing::update),
        row(Method::GET, "/apps/{app}/formation", App(View), formation::list),
        row(Method::PATCH, "/apps/{app}/formation", App(Operate), formation::update),
        row(Method::GET, "/apps/{app}/formation/{type}", App(View), formation::show),
        row(Method::PATCH, "/apps/{app}/formation/{type}", App(Operate), formation::update_one),
        row(Method::DELETE, "/apps/{app}/formations/{type}", App(Operate), dynos::restart_one),
        row(Method::POST, "/apps/{app}/formations/{type}/actions/stop", App(Operate), dynos::stop),
        row(Method::GET, "/apps/{app}/dynos", App(View), dynos::list).listed(BY_ID),
        row(Method::POST, "/apps/{app}/dynos", Config(Operate), dynos::create),
        row(Method::DELETE, "/apps/{app}/dynos", App(Operate), dynos::restart_all),
        row(Method::GET, "/apps/{app}/dynos/{dyno}", App(View), dynos::show),
        row(Method::POST, "/apps/{app}/dynos/{dyno}", Config(Operate), dynos::visit),
        row(Method::DELETE, "/apps/{app}/dynos/{dyno}", App(Operate), dynos::restart_one),
        row(Method::POST, "/apps/{app}/dynos/{dyno}/actions/stop", App(Operate), dynos::stop),
        row(Method::GET, "/apps/{app}/dynos/{dyno}/deaths", App(View), dynos::deaths),
        row(Method::GET, "/apps/{app}/dynos/{dyno}/attach", Config(Operate), attach::open),
        row(Method::GET, "/apps/{app}/available-dyno-sizes", App(View), catalog::list_sizes),
        row(Method::GET, "/apps/{app}/log-drains", App(Operate), log_drains::list).listed(BY_ID),
        row(Method::POST, "/apps/{app}/log-drains", App(Operate), log_drains::create),
        row(Method::GET, "/apps/{app}/log-drains/{drain}", App(Operate), log_drains::show),
        row(Method::DELETE, "/apps/{app}/log-drains/{drain}", App(Operate), log_drains::destroy),
        row(Method::POST, "/apps/{app}/log-sessions", App(View), log_sessions::create),
        row(Method::GET, "/logs/{session}", Nothing, log_sessions::open),
        row(Method::GET, "/release-outputs/{release}", Nothing, releases::output),
    ]
}

/// What the platform has on a host of its own.
fn of_the_exec_manager() -> Vec<Route> {
    use Need::Exec;
    vec![
        row(Method::GET, "/api/v2", Exec(Operate), exec::manager::list),
        row(Method::PUT, "/api/v2/{dyno}", Exec(Operate), exec::manager::open),
    ]
}

/// Routes of our own. What a job runs sees the config vars, as any dyno does.
fn of_jobs() -> Vec<Route> {
    use Need::{App, Config};
    vec![
        row(Method::GET, "/apps/{app}/scheduler/jobs", App(Operate), scheduler::list),
        row(Method::POST, "/apps/{app}/scheduler/jobs", Config(Operate), scheduler::create),
        row(Method::DELETE, "/apps/{app}/scheduler/jobs/{job}", App(Operate), scheduler::destroy),
        row(Method::POST, "/apps/{app}/scheduler/jobs/{job}/actions/run", Config(Operate), scheduler::run),
        row(Method::GET, "/apps/{app}/scheduler/jobs/{job}/runs", App(Operate), scheduler::runs),
    ]
}

/// What is seen of pipelines depends on the apps in them, and what may be done on the apps that it is done to: their stories
/// decide.
fn of_pipelines() -> Vec<Route> {
    use Need::{Common, Nothing};
    vec![
        row(Method::POST, "/filters/apps", Common, pipelines::filter_apps),
        row(Method::GET, "/pipelines", Common, pipelines::list).listed(BY_NAME),
        row(Method::POST, "/pipelines", Common, pipelines::create),
        row(Method::GET, "/pipelines/{pipeline}", Common, pipelines::show),
        row(Method::PATCH, "/pipelines/{pipeline}", Common, pipelines::update),
        row(Method::DELETE, "/pipelines/{pipeline}", Common, pipelines::destroy),
        row(
            Method::GET,
            "/pipelines/{pipeline}/pipeline-couplings",
            Common,
            pipelines::couplings_of_pipeline,
        )
        .listed(BY_ID),
        row(Method::GET, "/pipelines/{pipeline}/test-runs", Common, pipeline_tests::list).listed(BY_NUMBER),
        row(Method::GET, "/pipelines/{pipeline}/test-runs/{number}", Common, pipeline_tests::show_numbered),
        row(Method::GET, "/pipelines/{pipeline}/stage/{stage}/config-vars", Common, pipeline_tests::config),
        row(
            Method::PATCH,
            "/pipelines/{pipeline}/stage/{stage}/config-vars",
            Common,
            pipeline_tests::change_config,
        ),
        row(Method::POST, "/test-runs", Common, pipeline_tests::create),
        row(Method::GET, "/test-runs/{id}", Common, pipeline_tests::show),
        row(Method::PATCH, "/test-runs/{id}", Common, pipeline_tests::update),
        row(Method::GET, "/test-runs/{id}/test-nodes", Common, pipeline_tests::nodes),
        row(Method::GET, "/test-outputs/{id}/{part}", Nothing, pipeline_tests::output),
        row(Method::POST, "/pipeline-transfers", Common, pipelines::transfer),
        row(Method::GET, "/users/{user}", Common, users::show),
        row(Method::GET, "/users/~/pipeline-couplings", Common, pipelines::list_couplings).listed(BY_ID),
        row(Method::GET, "/pipeline-couplings", Common, pipelines::list_couplings).listed(BY_ID),
        row(Method::POST, "/pipeline-couplings", Common, pipelines::create_coupling),
        row(Method::GET, "/pipeline-couplings/{coupling}", Common, pipelines::show_coupling),
        row(Method::PATCH, "/pipeline-couplings/{coupling}", Common, pipelines::update_coupling),
        row(Method::DELETE, "/pipeline-couplings/{coupling}", Common, pipelines::destroy_coupling),
        row(Method::POST, "/pipeline-promotions", Common, promotions::create),
        row(Method::GET, "/pipeline-promotions/{promotion}", Common, promotions::show),
        row(Method::GET, "/pipeline-promotions/{promotion}/promotion-targets", Common, promotions::targets),
    ]
}

fn of_add_ons() -> Vec<Route> {
    use Need::{App, Common, Config};
    vec![
        row(Method::GET, "/addon-services", Common, add_ons::services).listed(BY_NAME),
        row(Method::GET, "/addon-services/{service}", Common, add_ons::show_service),
        row(Method::GET, "/addon-services/{service}/plans", Common, add_ons::plans).listed(BY_NAME),
        row(Method::GET, "/addons", Common, add_ons::list).listed(BY_NAME),
        row(Method::GET, "/addons/{addon}", Common, add_ons::show),
        row(Method::GET, "/addons/{addon}/addon-attachments", Common, add_ons::list_attachments_of_add_on)
            .listed(BY_ID),
        row(Method::GET, "/apps/{app}/addons", App(View), add_ons::list_of_app).listed(BY_NAME),
        row(Method::POST, "/apps/{app}/addons", App(Operate), add_ons::create),
        row(Method::GET, "/apps/{app}/addons/{addon}", App(View), add_ons::show_of_app),
        row(Method::PATCH, "/apps/{app}/addons/{addon}", App(Operate), add_ons::update),
        row(Method::DELETE, "/apps/{app}/addons/{addon}", App(Manage), add_ons::destroy),
        row(Method::POST, "/apps/{app}/addons/{addon}/acts/{act}", Config(Operate), data_services::act),
        row(Method::GET, "/apps/{app}/addons/{addon}/info", Config(Operate), data_services::info),
        row(Method::POST, "/apps/{app}/addons/{addon}/actions/reset", App(Operate), data_services::reset),
        row(
            Method::POST,
            "/apps/{app}/addons/{addon}/actions/rotate-password",
            Config(Operate),
            data_services::rotate,
        ),
        row(Method::GET, "/apps/{app}/addon-attachments", App(View), add_ons::list_attachments_of_app)
            .listed(BY_NAME),
        row(Method::GET, "/apps/{app}/addon-attachments/{name}", App(View), add_ons::show_attachment_of_app),
        row(Method::GET, "/addon-attachments", Common, add_ons::list_attachments).listed(BY_ID),
        row(Method::POST, "/addon-attachments", Common, add_ons::create_attachment),
        row(Method::GET, "/addon-attachments/{attachment}", Common, add_ons::show_attachment),
        row(Method::DELETE, "/addon-attachments/{attachment}", Common, add_ons::destroy_attachment),
        row(Method::POST, "/actions/addons/resolve", Common, add_ons::resolve),
        row(Method::POST, "/actions/addon-attachments/resolve", Common, add_ons::resolve_attachment),
    ]
}

/// The platform's data API, as far as its clients ask for it. Who may do what in a database is decided by its app.
#[expect(clippy::too_many_lines, reason = "a table, one row a route")]
fn of_data_services() -> Vec<Route> {
    use Need::{App, Common, Config, Nothing};
    vec![
        row(Method::GET, "/client/v11/apps/{app}/transfers", App(Operate), transfers::list),
        row(Method::GET, "/client/v11/apps/{app}/transfers/{transfer}", App(Operate), transfers::show),
        row(Method::DELETE, "/client/v11/apps/{app}/transfers/{transfer}", App(Operate), transfers::destroy),
        row(
            Method::POST,
            "/client/v11/apps/{app}/transfers/{transfer}/actions/cancel",
            App(Operate),
            transfers::cancel,
        ),
        row(
            Method::POST,
            "/client/v11/apps/{app}/transfers/{transfer}/actions/verify",
            App(Operate),
            transfers::verify,
        ),
        row(
            Method::POST,
            "/client/v11/apps/{app}/transfers/{transfer}/actions/public-url",
            Config(Operate),
            transfers::public_url,
        ),
        row(Method::GET, "/client/v11/databases/{addon}", Common, data_services::show),
        row(Method::GET, "/client/v11/databases/{addon}/wait_status", Common, data_services::wait_status),
        row(Method::PUT, "/client/v11/databases/{addon}/reset", Common, data_services::reset_database),
        row(Method::POST, "/client/v11/databases/{addon}/backups", Common, transfers::capture),
        row(Method::POST, "/client/v11/databases/{addon}/restores", Common, transfers::restore),
        row(Method::POST, "/client/v11/databases/{addon}/transfers", Common, transfers::copy),
        row(Method::GET, "/client/v11/databases/{addon}/transfer-schedules", Common, transfers::schedules),
        row(Method::POST, "/client/v11/databases/{addon}/transfer-schedules", Common, transfers::schedule),
        row(
            Method::DELETE,
            "/client/v11/databases/{addon}/transfer-schedules/{schedule}",
            Common,
            transfers::unschedule,
        ),
        row(
            Method::POST,
            "/client/v11/databases/{addon}/connection_reset",
            Common,
            data_services::reset_connections,
        ),
        row(
            Method::PUT,
            "/client/v11/databases/{addon}/stats_reset",
            Common,
            data_services::reset_statistics,
        ),
        row(Method::GET, "/postgres/v0/databases/{addon}/credentials", Common, data_services::credentials),
        row(
            Method::GET,
            "/postgres/v0/databases/{addon}/credentials/{name}",
            Common,
            data_services::show_credential,
        ),
        row(
            Method::POST,
            "/postgres/v0/databases/{addon}/credentials/{name}/credentials_rotation",
            Common,
            data_services::rotate_credential,
        ),
        row(
            Method::POST,
            "/postgres/v0/databases/{addon}/credentials_rotation",
            Common,
            data_services::rotate_all,
        ),
        row(
            Method::POST,
            "/redis/v0/databases/{addon}/credentials_rotation",
            Common,
            data_services::rotate_all,
        ),
        row(Method::GET, "/redis/v0/databases/{addon}", Common, data_services::show),
        row(Method::GET, "/redis/v0/databases/{addon}/wait", Common, data_services::wait_status),
        row(Method::GET, "/backup-files/{name}", Nothing, transfers::file),
    ]
}

/// Where a webhook leads is as secret as a drain's place.
fn of_webhooks() -> Vec<Route> {
    use Need::App;
    vec![
        row(Method::GET, "/apps/{app}/webhooks", App(Operate), webhooks::list).listed(BY_ID),
        row(Method::POST, "/apps/{app}/webhooks", App(Operate), webhooks::create),
        row(Method::GET, "/apps/{app}/webhooks/{webhook}", App(Operate), webhooks::show),
        row(Method::PATCH, "/apps/{app}/webhooks/{webhook}", App(Operate), webhooks::update),
        row(Method::DELETE, "/apps/{app}/webhooks/{webhook}", App(Operate), webhooks::destroy),
        row(Method::GET, "/apps/{app}/webhook-events", App(Operate), webhooks::list_events),
        row(Method::GET, "/apps/{app}/webhook-events/{event}", App(Operate), webhooks::show_event),
        row(Method::GET, "/apps/{app}/webhook-deliveries", App(Operate), webhooks::list_deliveries),
        row(Method::GET, "/apps/{app}/webhook-deliveries/{delivery}", App(Operate), webhooks::show_delivery),
    ]
}

/// The API behind one door.
pub fn router(api: Api, door: Door) -> Router {
    let mut router = Router::new();
    for Route { path, need, listed, handler, .. } in table() {
        let gate = Gate { api: api.clone(), door: door.clone(), need };
        let handler = match listed {
            [] => handler,
            by => handler.layer(from_fn(move |request: Request, next: Next| range::paged(by, request, next))),
        };
        router = router.route(path, handler.route_layer(from_fn_with_state(gate, auth::guard)));
    }
    router
        .fallback(error::no_route)
        .method_not_allowed_fallback(error::no_route)
        .layer(from_fn(etag::tag))
        .layer(from_fn(to_its_end))
        .layer(from_fn(auth::request_id))
        .with_state(api)
}
