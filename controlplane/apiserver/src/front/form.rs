//! The form of answers that is the same for all requests: indented for people, failures as the client reads objects.

use axum::body::Body;
use axum::response::Response;
use controlplane_api::Status;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue};
use http_body_util::BodyExt;

use super::info::{Info, Length};
use super::pretty::Pretty;
use crate::reply;
use crate::request::accept::{self, Encoding};
use crate::server::Request;

/// What people look at, as upstream knows it.
const FOR_PEOPLE: [&str; 3] = ["curl", "Wget", "Mozilla/5.0"];

/// What a request says about the form of its answer.
#[derive(Debug)]
pub(super) struct Form {
    pretty: bool,
    accept: Option<HeaderValue>,
}

impl Form {
    /// Reads the form. A compressed answer could not be indented, so that none is made then.
    pub(super) fn of(request: &mut Request, info: &Info) -> Self {
        let pretty = info.length == Length::Short && is_pretty(info, request.headers());
        if pretty {
            request.headers_mut().remove(ACCEPT_ENCODING);
        }
        let accept = request.headers().get(ACCEPT).cloned();
        Self {
            pretty,
            accept: accept.filter(|_| info.length != Length::Long),
        }
    }

    /// Gives `response` the form.
    pub(super) async fn shape(self, response: Response) -> Response {
        if !is_json(&response) {
            return response;
        }
        let failed = response.status().is_client_error() || response.status().is_server_error();
        let response = match self.accept.filter(|_| failed) {
            Some(accept) => failure(response, accept).await,
            None => response,
        };
        match self.pretty && is_json(&response) && !response.headers().contains_key(CONTENT_ENCODING) {
            true => indented(response),
            false => response,
        }
    }
}

/// As upstream's `isPrettyPrint`: what the query says, else who asks.
fn is_pretty(info: &Info, headers: &HeaderMap) -> bool {
    if let Some(asked) = info.query.get("pretty") {
        return matches!(asked, "1" | "t" | "T" | "true" | "TRUE" | "True");
    }
    let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
    agent.is_some_and(|agent| FOR_PEOPLE.iter().any(|name| agent.starts_with(name)))
}

fn is_json(response: &Response) -> bool {
    response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes) == Some(b"application/json")
}

fn indented(response: Response) -> Response {
    let mut pretty = Pretty::default();
    response.map(|body| Body::new(body.map_frame(move |frame| frame.map_data(|bytes| pretty.push(&bytes)))))
}

/// A failure as the client reads objects; as it is where it reads none that we write, or the body is no `Status`.
async fn failure(response: Response, accept: HeaderValue) -> Response {
    let headers = HeaderMap::from_iter([(ACCEPT, accept)]);
    let encoding = match accept::plain(&headers) {
        Ok(encoding @ (Encoding::Yaml | Encoding::Protobuf)) => encoding,
        Ok(Encoding::Json) | Err(_) => return response,
    };
    let (mut parts, body) = response.into_parts();
    // A failure is made by this process and in memory already.
    let Ok(bytes) = body.collect().await.map(http_body_util::Collected::to_bytes) else {
        return Response::from_parts(parts, Body::empty());
    };
    let read = serde_json::from_slice::<Status>(&bytes).ok();
    let encoded = read.and_then(|status| reply::encoded(parts.status, &status, encoding).ok());
    let Some(encoded) = encoded else {
        return Response::from_parts(parts, Body::from(bytes));
    };
    if let Some(content_type) = encoded.headers().get(CONTENT_TYPE) {
        parts.headers.insert(CONTENT_TYPE, content_type.clone());
    }
    Response::from_parts(parts, encoded.into_body())
}
