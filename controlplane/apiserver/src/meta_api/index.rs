//! `/`: which paths there are.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use controlplane_api::UserInfo;
use http::{HeaderMap, StatusCode};
use serde_json::json;

use super::{health, issuer};
use crate::auth::authorize;
use crate::reply;
use crate::request::accept;
use crate::server::Inner;

/// Paths that are there whatever kinds are served.
const ALWAYS: [&str; 10] = [
    "/api",
    "/apis",
    "/backup",
    "/healthz",
    "/livez",
    "/metrics",
    "/openapi/v2",
    "/openapi/v3",
    "/readyz",
    "/version",
];

/// `/`.
pub(crate) async fn paths(
    State(server): State<Arc<Inner>>,
    Extension(user): Extension<UserInfo>,
    headers: HeaderMap,
) -> Response {
    let answer = || {
        authorize::other_path(&user, "/")?;
        let encoding = accept::plain(&headers)?;
        reply::encoded(StatusCode::OK, &json!({"paths": of(&server)}), encoding)
    };
    answer().unwrap_or_else(reply::failure)
}

fn of(server: &Inner) -> BTreeSet<String> {
    let fixed = ALWAYS.into_iter().chain([issuer::DESCRIPTION, issuer::KEYS]);
    let mut paths: BTreeSet<String> = fixed.map(str::to_owned).chain(health::paths()).collect();
    for group in server.registry.groups() {
        let root = match group.name.as_str() {
            "" => "/api".to_owned(),
            name => format!("/apis/{name}"),
        };
        paths.extend(group.versions.iter().map(|version| format!("{root}/{version}")));
        paths.insert(root);
    }
    paths
}
