//! What a node is made of, for everybody who may come in; and lists of what it has none of, which clients ask for.

use axum::Json;
use axum::extract::{Path, State};
use http::header::CONTENT_TYPE;
use serde_json::Value;

use crate::api::asked::Asked;
use crate::api::error::ApiError;
use crate::api::state::Api;
use crate::api::view::REGION;
use crate::domain::{self, SizeLimits};
use crate::wire::api::{DynoSize, Provider, Region, Stack, stable_id, timestamp};
use crate::wire::api_errors::{Missing, Refusal, Unknown};

/// Bytes of a GB, in which sizes of dynos are told.
const GB: u32 = 1 << 30;

fn region() -> Region {
    Region {
        country: "Here".to_owned(),
        created_at: timestamp(0),
        description: "This machine".to_owned(),
        id: stable_id("region", REGION),
        locale: "Here".to_owned(),
        name: REGION.to_owned(),
        private_capable: false,
        provider: Provider { name: "dyno".to_owned(), region: "local".to_owned() },
        updated_at: timestamp(0),
    }
}

pub(super) async fn regions() -> Json<Vec<Region>> {
    Json(vec![region()])
}

pub(super) async fn show_region(Path(key): Path<String>) -> Result<Json<Region>, ApiError> {
    let region = region();
    if key == region.name || key == region.id.to_string() {
        Ok(Json(region))
    } else {
        Err(Refusal::NotFound(Missing::Region(key.chars().take(63).collect())).into())
    }
}

fn sizes(api: &Api, asked: &Asked) -> Vec<DynoSize> {
    let table = &api.node.settings().quotas.sizes;
    let smallest = table.iter().map(|(_, limits)| limits.cpu_weight).min().unwrap_or(1).max(1);
    let size = |(size, limits): (domain::DynoSize, SizeLimits)| DynoSize {
        architecture: std::env::consts::ARCH.to_owned(),
        compute: limits.cpu_weight / smallest,
        cost: None,
        dedicated: false,
        precise_dyno_units: 0.0,
        generation: asked.generation(),
        id: stable_id("dyno-size", size.as_str()),
        memory: f64::from(u32::try_from(limits.memory.0 >> 20).unwrap_or(u32::MAX)) / f64::from(GB >> 20),
        name: size.as_str().to_owned(),
        private_space_only: false,
    };
    table.iter().map(size).collect()
}

pub(super) async fn list_sizes(State(api): State<Api>, asked: Asked) -> Json<Vec<DynoSize>> {
    Json(sizes(&api, &asked))
}

pub(super) async fn show_size(
    State(api): State<Api>,
    asked: Asked,
    Path(key): Path<String>,
) -> Result<Json<DynoSize>, ApiError> {
    let is_named = |size: &DynoSize| size.name.eq_ignore_ascii_case(&key) || size.id.to_string() == key;
    let sizes = sizes(&api, &asked);
    let known: Vec<_> = sizes.iter().map(|size| size.name.clone()).collect();
    let found = sizes.into_iter().find(is_named);
    Ok(Json(found.ok_or_else(|| Refusal::NotFound(Missing::DynoSize(Unknown::new(&key, known))))?))
}

fn all_stacks(api: &Api) -> Vec<Stack> {
    let built = api.node.stacks();
    let default = &api.node.settings().default_stack;
    let mut names = built.clone();
    if !names.contains(default) {
        names.push(default.clone());
    }
    names.sort();
    let stack = |name: &domain::StackName| Stack {
        created_at: timestamp(0),
        default: name == default,
        id: stable_id("stack", name.as_str()),
        name: name.to_string(),
        state: if built.contains(name) { "public" } else { "unavailable" }.to_owned(),
        updated_at: timestamp(0),
    };
    names.iter().map(stack).collect()
}

/// The name of the stack that is `named` by its identity; any other word is left as it is.
pub(super) fn stack_name(api: &Api, named: String) -> String {
    let found = all_stacks(api).into_iter().find(|stack| stack.id.to_string().eq_ignore_ascii_case(&named));
    found.map_or(named, |stack| stack.name)
}

pub(super) async fn stacks(State(api): State<Api>) -> Json<Vec<Stack>> {
    Json(all_stacks(&api))
}

pub(super) async fn show_stack(
    State(api): State<Api>,
    Path(key): Path<String>,
) -> Result<Json<Stack>, ApiError> {
    let stacks = all_stacks(&api);
    let known: Vec<_> = stacks.iter().map(|stack| stack.name.clone()).collect();
    let found = stacks.into_iter().find(|stack| stack.name == key || stack.id.to_string() == key);
    Ok(Json(found.ok_or_else(|| Refusal::NotFound(Missing::Stack(Unknown::new(&key, known))))?))
}

/// A list of what a node has none of: teams, spaces.
pub(super) async fn none() -> Json<Vec<Value>> {
    Json(Vec::new())
}

/// The certificate that clients are to trust. It is no secret: every handshake shows what it signed.
pub(super) async fn authority(
    State(api): State<Api>,
) -> Result<([(http::HeaderName, &'static str); 1], String), ApiError> {
    let pem = api.authority.as_deref().ok_or(Refusal::NotFound(Missing::Route))?;
    Ok(([(CONTENT_TYPE, "application/x-pem-file")], pem.to_owned()))
}
