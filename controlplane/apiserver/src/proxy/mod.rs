//! The subresource `proxy` of pods, services and nodes: HTTP requests and upgrades handed on to what they name.
//!
//! Pods are reached through the agents of their nodes, by port-forward: this server has no route into the pod network.
//! Redirects are passed on and never followed.
//!
//! Source: apiserver, `registry/core/{pod,service,node}`; apimachinery, `pkg/util/proxy`.

mod body;
mod find;
mod hand_on;
mod headers;
mod links;
mod name;
mod page;
mod reach;
mod stream;

use axum::body::Body;
use axum::response::Response;
use controlplane_api::ApiError;
use http::header::LOCATION;
use http::{HeaderValue, Method, StatusCode};

use crate::call::Call;
use crate::reply::Reply;
use crate::server::Request;

/// Hands `request` on to what `call` names, as a request for `path`, which is empty or begins with a slash.
///
/// # Errors
///
/// 400 for a name that is none, 404 where it names nothing, 503 where that cannot be reached.
pub(crate) async fn connect(call: Call, path: &str, request: Request) -> Reply {
    let nodes = call.server.nodes.clone();
    let nodes =
        nodes.ok_or_else(|| ApiError::service_unavailable("this server has no way to reach nodes"))?;
    let destination = find::find(&call)?;
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if path.is_empty() && reads && !headers::is_upgrade(request.headers()) {
        return to_the_root(&request);
    }
    hand_on::hand_on(&call.server, &nodes, &destination, path, request).await
}

/// Links of a page are relative to a folder, so a page has to be in one.
fn to_the_root(request: &Request) -> Reply {
    let uri = request.uri();
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let location = HeaderValue::from_str(&format!("{}/{query}", uri.path()))
        .map_err(|error| ApiError::bad_request(format!("cannot redirect to the root: {error}")))?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    response.headers_mut().insert(LOCATION, location);
    Ok(response)
}
