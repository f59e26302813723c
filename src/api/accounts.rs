//! `/account` and `/stacks`: what the node says of itself and of who asks.

use axum::Json;
use axum::extract::State;

use crate::api::state::Api;
use crate::wire::api::{Account, Stack, stable_id, timestamp};

pub(super) async fn show(State(api): State<Api>) -> Json<Account> {
    let email = api.node.settings().owner.clone();
    Json(Account {
        allow_tracking: false,
        beta: false,
        created_at: timestamp(0),
        id: stable_id("user", &email),
        email,
        federated: false,
        identity_provider: None,
        last_login: None,
        name: None,
        sms_number: None,
        suspended_at: None,
        delinquent_at: None,
        two_factor_authentication: false,
        updated_at: timestamp(0),
        verified: true,
        country_of_residence: None,
        default_organization: None,
        default_team: None,
    })
}

pub(super) async fn stacks(State(api): State<Api>) -> Json<Vec<Stack>> {
    let built = api.node.stacks();
    let default = &api.node.settings().default_stack;
    let mut names = built.clone();
    if !names.contains(default) {
        names.push(default.clone());
    }
    names.sort();
    let stack = |name: &crate::domain::StackName| Stack {
        created_at: timestamp(0),
        default: name == default,
        id: stable_id("stack", name.as_str()),
        name: name.to_string(),
        state: if built.contains(name) { "public" } else { "unavailable" }.to_owned(),
        updated_at: timestamp(0),
    };
    Json(names.iter().map(stack).collect())
}
