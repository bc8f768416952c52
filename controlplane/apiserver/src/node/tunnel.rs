//! Handing a request on: replies are passed through, upgraded connections copied both ways.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use controlplane_api::ApiError;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderName, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::node::client::NodeClient;
use crate::node::target::Target;
use crate::reply::Reply;
use crate::server::{Inner, Request};

/// How long an agent may take to begin its answer.
const ANSWER: Duration = Duration::from_secs(30);

/// Longest error text that is read from an agent.
const ERROR_TEXT: usize = 64 * 1024;

/// Hands `request` on to `target`.
///
/// # Errors
///
/// 503 where the agent does not answer, 400 for an upgrade that is none; what the agent refuses, in its words.
pub(crate) async fn hand_on(
    server: &Arc<Inner>,
    nodes: &NodeClient,
    target: &Target,
    mut request: Request,
) -> Reply {
    let upgrade = match (target.upgrades, websocket(&mut request)) {
        (false, _) => None,
        (true, Ok(upgrade)) => Some(upgrade),
        (true, Err(error)) => {
            // kubectl ends here when its WebSocket was refused, and shows this answer alone: where
            // the node cannot be reached, that is what its user must read.
            let reached = nodes.connect(target.address, target.port).await;
            reached.map_err(|cause| unreachable(target, &cause))?;
            return Err(error);
        }
    };
    let outgoing = outgoing(target, request.headers())?;
    let stream = nodes
        .connect(target.address, target.port)
        .await
        .map_err(|error| unreachable(target, &error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| unreachable(target, &error))?;
    server.tasks.spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            debug!(
                error = &error as &dyn std::error::Error,
                "connection to a node ended"
            );
        }
    });
    let response = timeout(ANSWER, sender.send_request(outgoing))
        .await
        .map_err(|_| ApiError::timeout(&format!("node {} did not answer in time", target.node)))?
        .map_err(|error| unreachable(target, &error))?;
    match (upgrade, response.status()) {
        (Some(upgrade), StatusCode::SWITCHING_PROTOCOLS) => Ok(switch(server, upgrade, response)),
        (None, StatusCode::OK) => Ok(pass_through(response)),
        (_, status) => Err(refused(target, status, response).await),
    }
}

/// Takes the client's side of an upgrade. SPDY over HTTP is not spoken; clients fall back to it, not from it.
fn websocket(request: &mut Request) -> Result<OnUpgrade, ApiError> {
    let wants = request
        .headers()
        .get(UPGRADE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if request.method() != Method::GET || !wants.eq_ignore_ascii_case("websocket") {
        return Err(ApiError::bad_request(
            "Upgrade request required: connect with GET and Upgrade: websocket",
        ));
    }
    request
        .extensions_mut()
        .remove::<OnUpgrade>()
        .ok_or_else(|| ApiError::bad_request("this connection cannot be upgraded; use HTTP/1.1"))
}

/// The request as it goes to the agent: the client's identity and credentials stay here.
fn outgoing(target: &Target, headers: &HeaderMap) -> Result<http::Request<Body>, ApiError> {
    let mut request = http::Request::new(Body::empty());
    *request.uri_mut() = target
        .path_and_query
        .parse()
        .map_err(|error| ApiError::bad_request(format!("cannot make a request to the node: {error}")))?;
    let host = std::net::SocketAddr::new(target.address, target.port).to_string();
    let out = request.headers_mut();
    if let Ok(host) = HeaderValue::from_str(&host) {
        out.insert(HOST, host);
    }
    if target.upgrades {
        out.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        out.insert(UPGRADE, HeaderValue::from_static("websocket"));
        let names = [
            "sec-websocket-key",
            "sec-websocket-version",
            "sec-websocket-protocol",
        ];
        for name in names.map(HeaderName::from_static) {
            for value in headers.get_all(&name) {
                out.append(name.clone(), value.clone());
            }
        }
    }
    Ok(request)
}

fn unreachable(target: &Target, error: &(dyn std::error::Error + 'static)) -> ApiError {
    warn!(error, node = %target.node, "node does not answer");
    let cause = error
        .source()
        .map(|cause| format!(": {cause}"))
        .unwrap_or_default();
    ApiError::service_unavailable(format!("error dialing node {}: {error}{cause}", target.node))
}

/// The agent's log stream, as it comes; a redirect never gets here.
fn pass_through(response: http::Response<hyper::body::Incoming>) -> Response {
    let content_type = response.headers().get(CONTENT_TYPE).cloned();
    let mut out = Response::new(Body::new(response.into_body()));
    let fallback = HeaderValue::from_static("text/plain");
    out.headers_mut()
        .insert(CONTENT_TYPE, content_type.unwrap_or(fallback));
    out
}

/// Answers 101 and copies bytes both ways until one side ends or the server stops.
fn switch(
    server: &Arc<Inner>,
    client: OnUpgrade,
    mut response: http::Response<hyper::body::Incoming>,
) -> Response {
    let agent = hyper::upgrade::on(&mut response);
    let stop = server.stop.clone();
    server.tasks.spawn(async move {
        let copied = async {
            let (client, agent) = tokio::try_join!(client, agent)?;
            let (mut client, mut agent) = (TokioIo::new(client), TokioIo::new(agent));
            if let Err(error) = copy_bidirectional(&mut client, &mut agent).await {
                debug!(
                    error = &error as &dyn std::error::Error,
                    "stream to a node broke off"
                );
            }
            Ok::<(), hyper::Error>(())
        };
        tokio::select! {
            // Dropping the streams closes both sides, which is what stopping means.
            () = stop.cancelled() => {}
            done = copied => if let Err(error) = done {
                debug!(error = &error as &dyn std::error::Error, "upgrade did not come about");
            },
        }
    });
    let mut out = Response::new(Body::empty());
    *out.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let names = [CONNECTION, UPGRADE]
        .into_iter()
        .chain(["sec-websocket-accept", "sec-websocket-protocol"].map(HeaderName::from_static));
    for name in names {
        if let Some(value) = response.headers().get(&name) {
            out.headers_mut().insert(name, value.clone());
        }
    }
    out
}

async fn refused(
    target: &Target,
    status: StatusCode,
    response: http::Response<hyper::body::Incoming>,
) -> ApiError {
    let body = Limited::new(response.into_body(), ERROR_TEXT).collect().await;
    let text = body.map(|body| body.to_bytes()).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let text = text.trim();
    match status.as_u16() {
        400 => ApiError::bad_request(text),
        404 => ApiError::not_found("", "pods", text),
        300..400 => ApiError::service_unavailable(format!("node {} answered with a redirect", target.node)),
        code => ApiError::internal(&format!("node {} answered {code}: {text}", target.node)),
    }
}
