//! What there is: one row a path. Every row but the streams that are named by a secret needs the rights of an administrator (`auth`).

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{delete, get, post};

use crate::api::auth::{self, Door};
use crate::api::change::to_its_end;
use crate::api::state::Api;
use crate::api::{
    accounts, apps, attach, builds, config_vars, dynos, error, formation, log_drains, log_sessions, node,
    pushes, releases,
};

/// The API behind one door.
pub fn router(api: Api, door: Door) -> Router {
    Router::new()
        .route("/account", get(accounts::show))
        .route("/users/~", get(accounts::show))
        .route("/stacks", get(accounts::stacks))
        .route("/apps", get(apps::list).post(apps::create))
        .route("/users/~/apps", get(apps::list))
        .route("/apps/{app}", get(apps::show).patch(apps::update).delete(apps::destroy))
        .route("/apps/{app}/config-vars", get(config_vars::show).patch(config_vars::update))
        .route("/apps/{app}/formation", get(formation::list).patch(formation::update))
        .route("/apps/{app}/formation/{type}", get(formation::show).patch(formation::update_one))
        .route("/apps/{app}/formations/{type}", delete(dynos::restart_one))
        .route("/apps/{app}/formations/{type}/actions/stop", post(dynos::stop))
        .route("/apps/{app}/dynos", get(dynos::list).post(dynos::create).delete(dynos::restart_all))
        .route("/apps/{app}/dynos/{dyno}", get(dynos::show).delete(dynos::restart_one))
        .route("/apps/{app}/dynos/{dyno}/actions/stop", post(dynos::stop))
        .route("/apps/{app}/dynos/{dyno}/attach", get(attach::open))
        .route("/apps/{app}/pushes", post(pushes::create))
        .route("/apps/{app}/releases", get(releases::list).post(releases::create))
        .route("/apps/{app}/releases/{release}", get(releases::show))
        .route("/apps/{app}/releases/{release}/config-vars", get(releases::config_vars))
        .route("/apps/{app}/builds", get(builds::list))
        .route("/apps/{app}/builds/{build}", get(builds::show))
        .route("/apps/{app}/buildpack-installations", get(builds::buildpacks).put(builds::set_buildpacks))
        .route("/apps/{app}/log-drains", get(log_drains::list).post(log_drains::create))
        .route("/apps/{app}/log-drains/{drain}", get(log_drains::show).delete(log_drains::destroy))
        .route("/apps/{app}/log-sessions", post(log_sessions::create))
        .route("/logs/{session}", get(log_sessions::open))
        .route("/release-outputs/{release}", get(releases::output))
        .route("/node", get(node::show))
        .route("/node/actions/shutdown", post(node::shutdown))
        .fallback(error::no_route)
        .method_not_allowed_fallback(error::no_route)
        .layer(from_fn(to_its_end))
        .layer(from_fn_with_state((api.clone(), door), auth::guard))
        .layer(from_fn(auth::request_id))
        .with_state(api)
}
