//! Authentication: client certificate, bootstrap token, token of a service account, or the user of an in-process client.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use controlplane_api::{ApiError, UserInfo, time};
use controlplane_pki::{BootstrapToken, PeerIdentity};
use controlplane_store::Key;
use http::header::AUTHORIZATION;
use serde_json::Value;

use crate::auth::account_token::{self, ISSUER, TokenError};
use crate::auth::websocket_token;
use crate::server::{Inner, Request};

pub(crate) const AUTHENTICATED: &str = "system:authenticated";

/// What anyone may ask, so that load balancers and joining machines can look.
const PUBLIC: [&str; 5] = ["/version", "/version/", "/healthz", "/livez", "/readyz"];

/// Finds out who asks and notes it on the request.
///
/// # Errors
///
/// 401 for those who show nothing valid, unless anyone may ask.
pub(crate) fn identify(server: &Inner, request: &mut Request) -> Result<(), ApiError> {
    if request.extensions().get::<UserInfo>().is_none() {
        match user(server, request) {
            Some(user) => {
                request.extensions_mut().insert(user);
            }
            None if PUBLIC.contains(&request.uri().path()) && bearer_token(request).is_none() => {}
            None => return Err(ApiError::unauthorized()),
        }
    }
    Ok(())
}

/// Who shows nothing.
pub(crate) fn anonymous() -> UserInfo {
    UserInfo {
        username: "system:anonymous".to_owned(),
        groups: vec!["system:unauthenticated".to_owned()],
        ..UserInfo::default()
    }
}

fn user(server: &Inner, request: &mut Request) -> Option<UserInfo> {
    if request.headers().contains_key(AUTHORIZATION) {
        let (user, _) = by_token(server, bearer_token(request)?, &[ISSUER.to_owned()]).ok()?;
        return Some(user);
    }
    if let Some(token) = websocket_token::take(request.headers_mut()) {
        let (user, _) = by_token(server, &token, &[ISSUER.to_owned()]).ok()?;
        return Some(user);
    }
    request
        .extensions()
        .get::<Arc<PeerIdentity>>()
        .map(|peer| by_certificate(peer))
}

/// The token that a request shows; one that is nobody's opens not even what is open to everybody.
fn bearer_token(request: &Request) -> Option<&str> {
    let text = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = text.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// The user of a client certificate: its common name and organizations.
fn by_certificate(peer: &PeerIdentity) -> UserInfo {
    let mut groups = peer.organizations.clone();
    groups.push(AUTHENTICATED.to_owned());
    UserInfo {
        username: peer.common_name.clone(),
        groups,
        ..UserInfo::default()
    }
}

/// The user of a bearer token, and for which of the `wanted` audiences it is.
///
/// # Errors
///
/// Why it is nobody's.
pub(crate) fn by_token(
    server: &Inner,
    token: &str,
    wanted: &[String],
) -> Result<(UserInfo, Vec<String>), TokenError> {
    // A bootstrap token is for this API and has nothing to say of others.
    if let Some(user) = by_bootstrap_token(server, token) {
        let own = wanted.iter().filter(|audience| *audience == ISSUER);
        return Ok((user, own.cloned().collect()));
    }
    let keys = server.accounts.as_ref().ok_or(TokenError::NotOurs)?;
    account_token::verify(keys, &server.store, token, wanted, server.clock.now())
}

/// The user of a bootstrap token, if its Secret is there, fits, has not expired and is meant for this.
fn by_bootstrap_token(server: &Inner, token: &str) -> Option<UserInfo> {
    let presented = BootstrapToken::parse(token).ok()?;
    let key = Key::parse(&format!(
        "{}secrets/kube-system/bootstrap-token-{}",
        Key::ROOT,
        presented.id()
    ))
    .ok()?;
    let entry = server.store.get(&key)?;
    let secret = entry.value.to_json(entry.mod_revision).ok()?;
    if secret.get("type")?.as_str()? != "bootstrap.kubernetes.io/token" {
        return None;
    }
    let stored = format!(
        "{}.{}",
        field(&secret, "token-id")?,
        field(&secret, "token-secret")?
    );
    let known = BootstrapToken::parse(&stored).ok()?;
    let expired = match field(&secret, "expiration") {
        Some(text) => time::parse(&text).is_none_or(|end| end <= server.clock.now()),
        None => false,
    };
    let meant = field(&secret, "usage-bootstrap-authentication").as_deref() == Some("true");
    if !known.matches(&presented) || expired || !meant {
        return None;
    }
    let extra = field(&secret, "auth-extra-groups").unwrap_or_default();
    let extra = extra
        .split(',')
        .filter(|group| group.starts_with("system:bootstrappers:"))
        .map(str::to_owned);
    let groups = ["system:bootstrappers", AUTHENTICATED]
        .map(str::to_owned)
        .into_iter()
        .chain(extra)
        .collect();
    Some(UserInfo {
        username: format!("system:bootstrap:{}", presented.id()),
        groups,
        ..UserInfo::default()
    })
}

fn field(secret: &Value, name: &str) -> Option<String> {
    let encoded = secret.get("data")?.get(name)?.as_str()?;
    String::from_utf8(BASE64_STANDARD.decode(encoded).ok()?).ok()
}
