//! One request through the proxy, and its answer back.

use std::error::Error;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use controlplane_api::ApiError;
use http::header::{HOST, LOCATION};
use http::{HeaderValue, StatusCode, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tracing::debug;

use super::find::Destination;
use super::headers::{self, Passage};
use super::links::Links;
use super::page::Page;
use super::{body, reach};
use crate::node::client::NodeClient;
use crate::node::tunnel;
use crate::reply::Reply;
use crate::serve::ClientAddress;
use crate::server::{Inner, Request};

/// Hands `request` on as one for `path`.
///
/// # Errors
///
/// 503 where nothing answers.
pub(super) async fn hand_on(
    server: &Arc<Inner>,
    nodes: &NodeClient,
    destination: &Destination,
    path: &str,
    mut request: Request,
) -> Reply {
    let upgrade = match headers::is_upgrade(request.headers()) {
        true => request.extensions_mut().remove::<OnUpgrade>(),
        false => None,
    };
    let links = links(destination, path, &request);
    let outgoing = outgoing(path, &links, upgrade.is_some(), request)?;
    let connection = reach::reach(nodes, destination)
        .await
        .map_err(|error| unreachable(&error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(connection))
        .await
        .map_err(|error| unreachable(&error))?;
    let stop = server.stop.clone();
    server.tasks.spawn(async move {
        tokio::select! {
            // Dropping the connection ends both sides, which is what stopping means.
            () = stop.cancelled() => {}
            ended = connection.with_upgrades() => if let Err(error) = ended {
                debug!(error = &error as &dyn Error, "proxied connection broke off");
            },
        }
    });
    let response = sender
        .send_request(outgoing)
        .await
        .map_err(|error| unreachable(&error))?;
    Ok(match (upgrade, response.status()) {
        (Some(client), StatusCode::SWITCHING_PROTOCOLS) => switch(server, client, response),
        _ => back(links, response),
    })
}

/// What the answer's links are measured by.
fn links(destination: &Destination, path: &str, request: &Request) -> Links {
    let uri = request.uri();
    let root = uri.path().strip_suffix(path).unwrap_or_else(|| uri.path());
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let asked = host.or_else(|| uri.authority().map(http::uri::Authority::as_str));
    Links {
        root: root.to_owned(),
        authority: destination.authority.clone(),
        asked: asked.unwrap_or(&destination.authority).to_owned(),
    }
}

fn outgoing(
    path: &str,
    links: &Links,
    upgrades: bool,
    request: Request,
) -> Result<http::Request<Body>, ApiError> {
    let (parts, body) = request.into_parts();
    let path = if path.is_empty() { "/" } else { path };
    let query = parts
        .uri
        .query()
        .map(|query| format!("?{query}"))
        .unwrap_or_default();
    let uri: Uri = format!("{path}{query}")
        .parse()
        .map_err(|error| ApiError::bad_request(format!("cannot make a request of the path: {error}")))?;
    let passage = Passage {
        upgrades,
        asked: &links.asked,
        client: parts.extensions.get::<ClientAddress>().map(|client| client.0),
        uri: &links.within(path),
    };
    let mut outgoing = http::Request::new(body);
    *outgoing.method_mut() = parts.method;
    *outgoing.uri_mut() = uri;
    *outgoing.headers_mut() = headers::outgoing(parts.headers, passage);
    Ok(outgoing)
}

/// In upstream's words, with all causes: this is what users of a proxy see.
fn unreachable(error: &(dyn Error + 'static)) -> ApiError {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    debug!(error, "proxied request failed");
    ApiError::service_unavailable(format!("error trying to reach service: {text}"))
}

/// The answer, with links that lead through the proxy.
fn back(links: Links, response: http::Response<Incoming>) -> Response {
    let (parts, body) = response.into_parts();
    let mut headers = headers::incoming(parts.headers, false);
    let location = headers.get(LOCATION).and_then(|to| to.to_str().ok());
    let body = if let Some(to) = location {
        let to = HeaderValue::from_str(&links.rewrite(to));
        if let Ok(to) = to {
            headers.insert(LOCATION, to);
        }
        Body::new(body)
    } else {
        match body::page_headers(&mut headers) {
            Some(gzip) => body::rewritten(body, Page::new(links), gzip),
            None => Body::new(body),
        }
    };
    let mut out = Response::new(body);
    *out.status_mut() = parts.status;
    *out.headers_mut() = headers;
    out
}

/// Answers 101 and joins both connections.
fn switch(server: &Arc<Inner>, client: OnUpgrade, mut response: http::Response<Incoming>) -> Response {
    tunnel::join(server, client, hyper::upgrade::on(&mut response));
    let (parts, _) = response.into_parts();
    let mut out = Response::new(Body::empty());
    *out.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *out.headers_mut() = headers::incoming(parts.headers, true);
    out
}
