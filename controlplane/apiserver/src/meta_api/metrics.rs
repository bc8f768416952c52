//! `GET /metrics`: what this process tells of itself, in the text of `OpenMetrics` 1.0, which Prometheus reads.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use controlplane_api::UserInfo;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use prometheus_client::encoding::text;

use crate::auth::authorize;
use crate::reply::{self, Reply, bug};
use crate::server::Inner;

/// Where the parts of a process enter what they tell: numbers that they keep, and those that are looked up when asked for.
pub type Metrics = prometheus_client::registry::Registry;

const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// Answers those who may `get` the path, as upstream.
pub(crate) async fn exposition(
    State(server): State<Arc<Inner>>,
    Extension(user): Extension<UserInfo>,
) -> Response {
    answer(&server, &user).unwrap_or_else(reply::failure)
}

fn answer(server: &Inner, user: &UserInfo) -> Reply {
    authorize::other_path(user, "/metrics")?;
    let mut text = String::new();
    text::encode(&mut text, &server.metrics).map_err(|error| bug("write the metrics", &error))?;
    let mut response = reply::text(StatusCode::OK, text);
    response.headers_mut().insert(CONTENT_TYPE, OPEN_METRICS);
    Ok(response)
}
