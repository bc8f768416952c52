//! Answers: objects, warnings, and errors as `Status`.

mod warnings;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use controlplane_api::{ApiError, Status};
use controlplane_apimachinery::codec;
use controlplane_protobuf::Kind;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::error;

use crate::request::accept::Encoding;
pub(crate) use warnings::add_warnings;

/// What a handler answers; every error becomes a `Status`.
pub(crate) type Reply = Result<Response, ApiError>;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const YAML: HeaderValue = HeaderValue::from_static("application/yaml");
const PROTOBUF: HeaderValue = HeaderValue::from_static(controlplane_protobuf::MEDIA_TYPE);
const PROTOBUF_EVENTS: HeaderValue =
    HeaderValue::from_static("application/vnd.kubernetes.protobuf;stream=watch");
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache, private");

/// An answer with the content type `application/json`.
pub(crate) fn json_bytes(code: StatusCode, body: impl Into<Bytes>) -> Response {
    with_type(code, JSON, Body::from(body.into()))
}

/// An answer with JSON that is produced as it is sent.
pub(crate) fn json_stream(body: Body) -> Response {
    with_type(StatusCode::OK, JSON, body)
}

/// A plain text.
pub(crate) fn text(code: StatusCode, body: impl Into<Bytes>) -> Response {
    with_type(
        code,
        HeaderValue::from_static("text/plain; charset=utf-8"),
        Body::from(body.into()),
    )
}

fn with_type(code: StatusCode, content_type: HeaderValue, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response.headers_mut().insert(CACHE_CONTROL, NO_CACHE);
    response
}

/// Serialises `value` in the encoding that the client chose.
///
/// # Errors
///
/// Only where `value` cannot be serialised, which would be a bug.
pub(crate) fn encoded(code: StatusCode, value: &impl Serialize, encoding: Encoding) -> Reply {
    match encoding {
        Encoding::Json => json(code, value),
        Encoding::Yaml => {
            let value = serde_json::to_value(value).map_err(|error| bug("serialise as YAML", &error))?;
            Ok(with_type(code, YAML, Body::from(codec::to_yaml(&value))))
        }
        Encoding::Protobuf => {
            let bytes = serde_json::to_vec(value).map_err(|error| bug("serialise as JSON", &error))?;
            binary(code, bytes)
        }
    }
}

/// What an object says of its kind.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    kind: String,
    #[serde(default)]
    api_version: String,
}

/// Sends an object in protobuf; as JSON where its kind has no other form, such as a `Table`.
///
/// # Errors
///
/// Only where `json` is no object of its kind, which would be a bug.
pub(crate) fn binary(code: StatusCode, json: Vec<u8>) -> Reply {
    let named: Named = serde_json::from_slice(&json).map_err(|error| bug("serialise an object", &error))?;
    let Some(kind) = Kind::find(&named.api_version, &named.kind) else {
        return Ok(json_bytes(code, json));
    };
    let mut out = Vec::new();
    kind.write(&json, &mut out)
        .map_err(|error| bug("serialise an object", &error))?;
    Ok(with_type(code, PROTOBUF, Body::from(out)))
}

/// An answer in protobuf whose parts are made already.
pub(crate) fn protobuf(parts: Body) -> Response {
    with_type(StatusCode::OK, PROTOBUF, parts)
}

/// An answer with events in protobuf that are produced as they are sent.
pub(crate) fn protobuf_stream(body: Body) -> Response {
    with_type(StatusCode::OK, PROTOBUF_EVENTS, body)
}

/// Serialises `value` as JSON.
///
/// # Errors
///
/// Only where `value` cannot be serialised, which would be a bug.
pub(crate) fn json(code: StatusCode, value: &impl Serialize) -> Reply {
    let bytes = serde_json::to_vec(value).map_err(|error| bug("serialise as JSON", &error))?;
    Ok(json_bytes(code, bytes))
}

/// An error of ours: logged with its cause, answered with what was attempted.
pub(crate) fn bug(what: &str, cause: &(dyn std::error::Error + 'static)) -> ApiError {
    error!(error = cause, attempt = what, "request failed inside the server");
    ApiError::internal(&format!("{what}: {cause}"))
}

/// The answer to a failed request.
pub(crate) fn failure(error: ApiError) -> Response {
    let code = StatusCode::from_u16(error.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let status = Status::from(error);
    let bytes = serde_json::to_vec(&status).unwrap_or_default();
    let mut response = json_bytes(code, bytes);
    let headers = response.headers_mut();
    if let Some(seconds) = status
        .details
        .as_ref()
        .and_then(|details| details.retry_after_seconds)
    {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if code == StatusCode::UNAUTHORIZED {
        headers.insert(
            WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer realm=\"floe\""),
        );
    }
    headers.insert(
        HeaderName::from_static("x-content-type-options"),
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// The `Status` of a success without an object to show.
pub(crate) fn success(code: StatusCode, encoding: Encoding) -> Reply {
    let status: Value = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": code.as_u16(),
    });
    encoded(code, &status, encoding)
}
