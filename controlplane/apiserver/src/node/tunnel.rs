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
    let upgrade = match (target.upgrades, upgrade(&mut request)) {
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
    let outgoing = outgoing(target, request.method(), request.headers())?;
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

/// What of an upgrade's request and answer is handed on: the handshakes of WebSockets (RFC 6455) and of SPDY as
/// Kubernetes asks for it. The agent speaks both.
const HANDSHAKE: [HeaderName; 7] = [
    UPGRADE,
    HeaderName::from_static("sec-websocket-key"),
    HeaderName::from_static("sec-websocket-version"),
    HeaderName::from_static("sec-websocket-protocol"),
    HeaderName::from_static("sec-websocket-accept"),
    HeaderName::from_static("x-stream-protocol-version"),
    HeaderName::from_static("x-accepted-stream-protocol-versions"),
];

/// Takes the client's side of an upgrade.
fn upgrade(request: &mut Request) -> Result<OnUpgrade, ApiError> {
    let wants = request
        .headers()
        .get(UPGRADE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let known = ["websocket", "spdy/3.1"];
    if !known.iter().any(|name| wants.eq_ignore_ascii_case(name)) {
        return Err(ApiError::bad_request(
            "Upgrade request required: connect with Upgrade: websocket, or SPDY/3.1",
        ));
    }
    request
        .extensions_mut()
        .remove::<OnUpgrade>()
        .ok_or_else(|| ApiError::bad_request("this connection cannot be upgraded; use HTTP/1.1"))
}

/// The request as it goes to the agent: the client's identity and credentials stay here.
fn outgoing(target: &Target, method: &Method, headers: &HeaderMap) -> Result<http::Request<Body>, ApiError> {
    let mut request = http::Request::new(Body::empty());
    *request.uri_mut() = target
        .path_and_query
        .parse()
        .map_err(|error| ApiError::bad_request(format!("cannot make a request to the node: {error}")))?;
    let host = std::net::SocketAddr::new(target.address, target.port).to_string();
    if let Ok(host) = HeaderValue::from_str(&host) {
        request.headers_mut().insert(HOST, host);
    }
    if target.upgrades {
        request.method_mut().clone_from(method);
        request
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        shake(headers, request.headers_mut());
    }
    Ok(request)
}

/// Copies what belongs to a handshake.
fn shake(from: &HeaderMap, to: &mut HeaderMap) {
    for name in &HANDSHAKE {
        for value in from.get_all(name) {
            to.append(name, value.clone());
        }
    }
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

/// Copies bytes both ways, once both upgrades have come about, until one side ends or the server stops.
pub(crate) fn join(server: &Arc<Inner>, client: OnUpgrade, far: OnUpgrade) {
    let stop = server.stop.clone();
    server.tasks.spawn(async move {
        let copied = async {
            let (client, far) = tokio::try_join!(client, far)?;
            let (mut client, mut far) = (TokioIo::new(client), TokioIo::new(far));
            if let Err(error) = copy_bidirectional(&mut client, &mut far).await {
                debug!(error = &error as &dyn std::error::Error, "stream broke off");
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
}

/// Answers 101 and joins both connections.
fn switch(
    server: &Arc<Inner>,
    client: OnUpgrade,
    mut response: http::Response<hyper::body::Incoming>,
) -> Response {
    join(server, client, hyper::upgrade::on(&mut response));
    let mut out = Response::new(Body::empty());
    *out.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    out.headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    shake(response.headers(), out.headers_mut());
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
        403 => ApiError::forbidden("", "", "", text),
        404 => ApiError::not_found("", "pods", text),
        300..400 => ApiError::service_unavailable(format!("node {} answered with a redirect", target.node)),
        code => ApiError::internal(&format!("node {} answered {code}: {text}", target.node)),
    }
}
