//! What others need to check tokens of service accounts: the issuer's description (OpenID Connect Discovery
//! 1.0) and its keys (RFC 7517).

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use controlplane_api::{ApiError, UserInfo};
use controlplane_pki::ServiceAccountKeys;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::auth::account_token::{ISSUER, encode};
use crate::auth::authorize;
use crate::reply;
use crate::server::Inner;

/// Where the issuer describes itself.
pub(crate) const DESCRIPTION: &str = "/.well-known/openid-configuration";

/// Where its keys are.
pub(crate) const KEYS: &str = "/openid/v1/jwks";

/// As long as upstream lets clients keep them.
const KEEP: &str = "public, max-age=3600";

/// `/.well-known/openid-configuration`.
pub(crate) async fn description(
    State(server): State<Arc<Inner>>,
    Extension(user): Extension<UserInfo>,
) -> Response {
    let described = |_: &ServiceAccountKeys| {
        json!({
            "issuer": ISSUER,
            "jwks_uri": format!("{ISSUER}{KEYS}"),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        })
    };
    let known = known(&server, &user, DESCRIPTION);
    known.map_or_else(reply::failure, |keys| {
        document(&described(keys), "application/json")
    })
}

/// `/openid/v1/jwks`.
pub(crate) async fn keys(State(server): State<Arc<Inner>>, Extension(user): Extension<UserInfo>) -> Response {
    let known = known(&server, &user, KEYS);
    known.map_or_else(reply::failure, |keys| {
        document(&json!({ "keys": [key(keys)] }), "application/jwk-set+json")
    })
}

/// The keys of this server, 404 where it issues no tokens.
fn known<'a>(server: &'a Inner, user: &UserInfo, path: &str) -> Result<&'a ServiceAccountKeys, ApiError> {
    authorize::other_path(user, path)?;
    server.accounts.as_ref().ok_or_else(ApiError::no_such_path)
}

fn key(keys: &ServiceAccountKeys) -> Value {
    let point = keys.public_point().get(1..).unwrap_or_default();
    let (x, y) = point.split_at(point.len() / 2);
    json!({
        "use": "sig", "kty": "EC", "kid": encode(keys.key_id()), "crv": "P-256", "alg": "ES256",
        "x": encode(x), "y": encode(y),
    })
}

fn document(value: &Value, content_type: &'static str) -> Response {
    let mut response = reply::text(StatusCode::OK, value.to_string());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(KEEP));
    response
}
