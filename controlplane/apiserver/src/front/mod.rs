//! What every request passes: an audit ID, who asks, what for, whether it may run now, and how long it may take.

mod deadline;
mod form;
pub(crate) mod info;
mod pretty;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::middleware::Next;
use axum::response::Response;
use controlplane_api::{ApiError, UserInfo};
use http::header::{RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::auth::authenticate;
use crate::flow::{Asked, Rejected, Schema, Seat};
use crate::measure::Waited;
use crate::reply;
use crate::server::{Inner, Request};
use form::Form;
use info::{Info, Length};

const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");
const SCHEMA_UID: HeaderName = HeaderName::from_static("x-kubernetes-pf-flowschema-uid");
const LEVEL_UID: HeaderName = HeaderName::from_static("x-kubernetes-pf-prioritylevel-uid");

/// Runs a request through all of it.
pub(crate) async fn layer(State(server): State<Arc<Inner>>, request: Request, next: Next) -> Response {
    let id = audit_id(request.headers());
    let mut response = measured(&server, request, next).await;
    if let Some(id) = id {
        response.headers_mut().insert(AUDIT_ID, id);
    }
    response
}

/// The ID that the client gave, or a fresh one.
fn audit_id(headers: &HeaderMap) -> Option<HeaderValue> {
    if let Some(id) = headers.get(AUDIT_ID).filter(|id| !id.is_empty()) {
        return Some(id.clone());
    }
    let id = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
    HeaderValue::from_str(id.as_hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer())).ok()
}

async fn measured(server: &Arc<Inner>, mut request: Request, next: Next) -> Response {
    let known = authenticate::identify(server, &mut request).and_then(|()| Info::of(server, &request));
    let info = match known {
        Ok(info) => info,
        Err(error) => {
            server.measure.refused(request.method(), error.code());
            return reply::failure(error);
        }
    };
    let ongoing = server.measure.begin(&info, request.uri().path());
    let form = Form::of(&mut request, &info);
    ongoing.answered(form.shape(timed(server, request, info, next).await).await)
}

async fn timed(server: &Arc<Inner>, mut request: Request, info: Info, next: Next) -> Response {
    let allowed = match deadline::of(&info) {
        Ok(allowed) => allowed,
        Err(error) => return reply::failure(error),
    };
    if info.length != Length::Short && server.stop.is_cancelled() {
        return shutting_down();
    }
    let path = request.uri().path();
    let (schema, seat) = match seat(server, (request.extensions(), path), &info, allowed).await {
        Ok((schema, seat)) => (schema, seat),
        Err((schema, error)) => return marked(reply::failure(error), schema.as_deref()),
    };
    request.extensions_mut().insert(info);
    let mut response = deadline::hold(allowed, next.run(request)).await;
    if let Some(seat) = &seat {
        response.extensions_mut().insert(Waited(seat.waited));
    }
    // A stream that begins here is not counted any longer, as upstream.
    drop(seat);
    marked(response, schema.as_deref())
}

type Seated = (Option<Arc<Schema>>, Option<Seat>);

/// Waits for a place among the running requests. Long requests need none, but for a watch until it begins.
async fn seat(
    server: &Inner,
    (extensions, path): (&Extensions, &str),
    info: &Info,
    allowed: Option<Duration>,
) -> Result<Seated, (Option<Arc<Schema>>, ApiError)> {
    if info.length == Length::Long {
        return Ok((None, None));
    }
    let user = match extensions.get::<UserInfo>() {
        Some(user) => Cow::Borrowed(user),
        None => Cow::Owned(authenticate::anonymous()),
    };
    let asked = Asked {
        user: &user,
        verb: info.verb_name(),
        what: info.what(path),
    };
    let schema = server.flow.classify(&asked);
    let patience = allowed.unwrap_or(deadline::DEFAULT) / 4;
    let seats = info.seats(&server.flow);
    match server
        .flow
        .admit(Arc::clone(&schema), &asked, seats, patience)
        .await
    {
        Ok(seat) => Ok((Some(schema), Some(seat))),
        Err(rejected) => {
            tracing::debug!(
                flow_schema = &*schema.name,
                reason = rejected.reason(),
                "request turned away"
            );
            Err((Some(schema), turned_away(rejected)))
        }
    }
}

fn turned_away(_: Rejected) -> ApiError {
    ApiError::too_many_requests("Too many requests, please try again later.", 1)
}

/// What would end at once is not begun; the client asks another server, or this one when it is back.
fn shutting_down() -> Response {
    let mut response = reply::text(StatusCode::SERVICE_UNAVAILABLE, "apiserver is shutting down\n");
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Says by which objects the request was classified.
fn marked(mut response: Response, schema: Option<&Schema>) -> Response {
    let Some(schema) = schema else {
        return response;
    };
    for (name, uid) in [(SCHEMA_UID, &schema.uid), (LEVEL_UID, &schema.level_uid)] {
        if let (false, Ok(uid)) = (uid.is_empty(), HeaderValue::from_str(uid)) {
            response.headers_mut().insert(name, uid);
        }
    }
    response
}
