//! `/account`: what the node says of who asks.

use axum::Json;

use crate::flows::Caller;
use crate::wire::api::{Account, stable_id, timestamp};

pub(super) async fn show(caller: Caller) -> Json<Account> {
    let email = caller.user().to_string();
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
