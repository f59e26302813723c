//! Users, logging in, and tokens.

use std::net::IpAddr;

use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use rand::RngCore as _;
use uuid::Uuid;

use crate::domain::{Authorization, Email, Scopes, User};
use crate::flows::Node;
use crate::flows::caller::{Caller, digest};
use crate::flows::error::FlowError;
use crate::flows::logins;
use crate::store::{NewAuthorization, StoreError};
use crate::sys::clock;
use crate::wire::api_errors::{Missing, Refusal};

/// The fewest bytes of a password.
pub const PASSWORD_BYTES_MIN: usize = 10;
/// The most bytes of a password: more is no better, and costs time.
const PASSWORD_BYTES_MAX: usize = 1024;
/// Bytes of a password's salt.
const SALT_BYTES: usize = 16;
/// Bytes of randomness in a token.
const TOKEN_BYTES: usize = 32;
/// What a token begins with, so that people and scanners know what they see.
const TOKEN_PREFIX: &str = "dyno-";
/// Characters of a token that are shown at its beginning.
const HINT_CHARS: usize = TOKEN_PREFIX.len() + 4;
/// Characters of a token's description.
const DESCRIPTION_CHARS_MAX: usize = 200;

/// Makes a user who can log in.
///
/// # Errors
/// The name or the password breaks the rules, the name is taken, or the node fails.
pub async fn create_user(node: &Node, email: &str, password: String) -> Result<User, FlowError> {
    let email = email.parse().map_err(Refusal::UserName)?;
    let digest = password_digest(node, password).await?;
    Ok(node.store().create_user(email, digest).await?)
}

/// Every user.
///
/// # Errors
/// The node fails.
pub async fn users(node: &Node) -> Result<Vec<User>, FlowError> {
    Ok(node.store().users().await?)
}

/// The names of all who can be given something: the users, and the administrator.
///
/// # Errors
/// The node fails.
pub async fn user_names(node: &Node) -> Result<Vec<Email>, FlowError> {
    let mut names: Vec<Email> = node.store().users().await?.into_iter().map(|user| user.email).collect();
    if !names.contains(&node.settings().owner) {
        names.push(node.settings().owner.clone());
    }
    Ok(names)
}

/// Gives a user another password; tokens of the user are worth nothing from then on.
///
/// # Errors
/// There is no such user, the password breaks the rules, or the node fails.
pub async fn set_password(node: &Node, email: &str, password: String) -> Result<(), FlowError> {
    let email: Email = email.parse().map_err(Refusal::UserName)?;
    let digest = password_digest(node, password).await?;
    Ok(node.store().set_password(email, digest).await?)
}

/// Removes a user with tokens and shares.
///
/// # Errors
/// There is no such user, the user owns apps, or the node fails.
pub async fn remove_user(node: &Node, email: &str) -> Result<User, FlowError> {
    let email = email.parse().map_err(Refusal::UserName)?;
    Ok(node.store().remove_user(email).await?)
}

async fn password_digest(node: &Node, password: String) -> Result<String, FlowError> {
    if !(PASSWORD_BYTES_MIN..=PASSWORD_BYTES_MAX).contains(&password.len()) {
        return Err(Refusal::Password { min: PASSWORD_BYTES_MIN, max: PASSWORD_BYTES_MAX }.into());
    }
    look(node, move || digest_of(&password)).await?.map_err(|failed| FlowError::Fault {
        attempt: "make a password's digest",
        source: failed.to_string().into(),
    })
}

fn digest_of(password: &str) -> Result<String, argon2::password_hash::Error> {
    let mut salt = [0; SALT_BYTES];
    rand::rng().fill_bytes(&mut salt);
    let salt = SaltString::encode_b64(&salt)?;
    Ok(Argon2::default().hash_password(password.as_bytes(), &salt)?.to_string())
}

/// Runs what takes long and much memory, a few at a time.
async fn look<T: Send + 'static>(
    node: &Node,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, FlowError> {
    let _turn = node.logins().looks.acquire().await.map_err(FlowError::fault("wait for a turn"))?;
    tokio::task::spawn_blocking(work).await.map_err(FlowError::fault("look at a password"))
}

/// Who shows this name and password. Nobody, when they are wrong; that takes as long for a name that does not exist.
///
/// # Errors
/// The name, or the address that the attempt comes from, has failed too often of late, or the node fails.
pub async fn log_in(
    node: &Node,
    (email, password): (&str, String),
    from: Option<IpAddr>,
) -> Result<Option<Caller>, FlowError> {
    let Ok(email) = email.parse::<Email>() else { return Ok(None) };
    if node.logins().is_paused(&email, from) {
        return Err(Refusal::TooManyLogins { pause_s: logins::PAUSE.as_secs() }.into());
    }
    let kept = node.store().password_digest(&email).await?;
    let is_right = look(node, move || match kept {
        Some(kept) => PasswordHash::new(&kept)
            .is_ok_and(|kept| Argon2::default().verify_password(password.as_bytes(), &kept).is_ok()),
        None => {
            let _as_long = digest_of(&password);
            false
        }
    })
    .await?;
    if is_right {
        node.logins().succeeded(&email);
        Ok(Some(Caller::logged_in(node, email)))
    } else {
        node.logins().failed(&email, from);
        Ok(None)
    }
}

/// A token somebody wants.
#[derive(Clone, Debug, Default)]
pub struct AuthorizationRequest {
    /// What it is for.
    pub description: Option<String>,
    /// What it is to be good for; everything when nothing is named.
    pub scopes: Vec<String>,
    /// Seconds after which it is worth nothing.
    pub expires_in_s: Option<u32>,
}

/// Gives `caller` a token, which is told this once.
///
/// # Errors
/// A scope that does not exist or that the caller's own credentials lack, too many tokens, or the node fails.
pub async fn authorize(
    node: &Node,
    caller: &Caller,
    request: AuthorizationRequest,
) -> Result<(Authorization, String), FlowError> {
    let scopes = request.scopes.iter().map(|scope| scope.parse().map_err(Refusal::ScopeName));
    let scopes = Scopes::new(scopes.collect::<Result<Vec<_>, _>>()?);
    if !caller.scopes().hold(&scopes) {
        return Err(Refusal::WiderScopes.into());
    }
    if request.expires_in_s == Some(0) {
        return Err(Refusal::BadRequest("expires_in is a number of seconds above 0.".to_owned()).into());
    }
    let expires_in_s = ending(caller, request.expires_in_s);
    let token = fresh_token();
    let description = request.description.unwrap_or_else(|| "Long-lived user authorization".to_owned());
    let new = NewAuthorization {
        user: caller.user().clone(),
        description: shown(&description),
        scopes,
        digest: digest(&token),
        hint: hint(&token),
        expires_in_s,
    };
    Ok((node.store().add_authorization(new).await?, token))
}

/// Seconds for which a token that the caller makes is good: never longer than the one that the caller came with.
fn ending(caller: &Caller, wanted_s: Option<u32>) -> Option<u32> {
    let end = caller.authorization().and_then(|own| own.expires_at_s);
    let left = end.map(|end| u32::try_from((end - clock::unix_s()).max(1)).unwrap_or(u32::MAX));
    match (wanted_s, left) {
        (Some(wanted), Some(left)) => Some(wanted.min(left)),
        (wanted, left) => wanted.or(left),
    }
}

/// Whether a token that the caller came with ends before this one.
fn is_outlived(caller: &Caller, by: &Authorization) -> bool {
    let end = caller.authorization().and_then(|own| own.expires_at_s);
    end.is_some_and(|end| by.expires_at_s.is_none_or(|other| other > end))
}

fn fresh_token() -> String {
    let mut bytes = [0; TOKEN_BYTES];
    rand::rng().fill_bytes(&mut bytes);
    format!("{TOKEN_PREFIX}{}", hex::encode(bytes))
}

fn hint(token: &str) -> String {
    token.chars().take(HINT_CHARS).collect()
}

/// A description as it is kept: it is printed in terminals.
fn shown(description: &str) -> String {
    description.chars().filter(|c| !c.is_control()).take(DESCRIPTION_CHARS_MAX).collect()
}

/// The tokens of `caller`'s user that are still worth something.
///
/// # Errors
/// The node fails.
pub async fn authorizations(node: &Node, caller: &Caller) -> Result<Vec<Authorization>, FlowError> {
    let mut all = node.store().authorizations(caller.user()).await?;
    let now_s = clock::unix_s();
    all.retain(|authorization| !authorization.is_expired(now_s));
    Ok(all)
}

/// One of them: by identity, or `~`, the one the request itself came with.
///
/// # Errors
/// There is none, or the node fails.
pub async fn authorization(node: &Node, caller: &Caller, key: &str) -> Result<Authorization, FlowError> {
    let missing = || FlowError::from(Refusal::NotFound(Missing::Authorization));
    if key == "~" {
        return caller.authorization().cloned().ok_or_else(missing);
    }
    let id: Uuid = key.parse().map_err(|_| missing())?;
    authorizations(node, caller).await?.into_iter().find(|found| found.id == id).ok_or_else(missing)
}

/// Takes a token back.
///
/// # Errors
/// There is none, it is good for more than the caller's own credentials, or the node fails.
pub async fn revoke(node: &Node, caller: &Caller, key: &str) -> Result<Authorization, FlowError> {
    let found = own(node, caller, key).await?;
    node.store().remove_authorization(found.id).await?;
    Ok(found)
}

/// Puts a fresh token in the place of one, and tells it this once; the old one is worth nothing from then on. What it is
/// good for stays, and so does its end: a token cannot outlive what it was given.
///
/// # Errors
/// There is none, it is good for more, or for longer, than the caller's own credentials, or the node fails.
pub async fn rotate(node: &Node, caller: &Caller, key: &str) -> Result<(Authorization, String), FlowError> {
    let found = own(node, caller, key).await?;
    if is_outlived(caller, &found) {
        return Err(Refusal::LongerToken.into());
    }
    let token = fresh_token();
    let rotated = node.store().rotate_authorization(found.id, digest(&token), hint(&token)).await?;
    let rotated = rotated.ok_or(Refusal::NotFound(Missing::Authorization))?;
    Ok((rotated, token))
}

/// Changes what a token is said to be for.
///
/// # Errors
/// There is none, it is good for more than the caller's own credentials, or the node fails.
pub async fn describe(
    node: &Node,
    caller: &Caller,
    key: &str,
    description: &str,
) -> Result<Authorization, FlowError> {
    let found = own(node, caller, key).await?;
    let described = node.store().describe_authorization(found.id, shown(description)).await?;
    described.ok_or_else(|| Refusal::NotFound(Missing::Authorization).into())
}

/// A token that the caller may change: no token changes one that is good for more than itself.
async fn own(node: &Node, caller: &Caller, key: &str) -> Result<Authorization, FlowError> {
    let found = authorization(node, caller, key).await?;
    if caller.scopes().hold(&found.scopes) { Ok(found) } else { Err(Refusal::WiderScopes.into()) }
}

/// Whether there is a user of that name, the administrator included.
pub(super) async fn require_user(node: &Node, email: &Email) -> Result<(), FlowError> {
    if *email == node.settings().owner || node.store().user(email).await?.is_some() {
        Ok(())
    } else {
        Err(StoreError::NoSuchUser(email.clone()).into())
    }
}
