//! Documents that clients keep, and ask for again only by their hash (RFC 9110, sections 8.8.3 and 13.1.2).

use axum::response::Response;
use bytes::Bytes;
use http::header::{ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::reply;

/// `bytes` as JSON, or that the client has them.
pub(super) fn reply(headers: &HeaderMap, hash: &str, bytes: Bytes) -> Response {
    let mut response = match is_known(headers, hash) {
        true => reply::json_bytes(StatusCode::NOT_MODIFIED, Bytes::new()),
        false => reply::json_bytes(StatusCode::OK, bytes),
    };
    let out = response.headers_mut();
    if let Ok(etag) = HeaderValue::from_str(&format!("\"{hash}\"")) {
        out.insert(ETAG, etag);
    }
    out.insert(VARY, HeaderValue::from_static("Accept"));
    response
}

/// Whether the client names the hash, compared weakly as the RFC asks for here.
fn is_known(headers: &HeaderMap, hash: &str) -> bool {
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .map(|tag| tag.trim().trim_start_matches("W/"))
        .any(|tag| tag == "*" || tag.trim_matches('"') == hash)
}

/// Hexadecimal digits, upper case as upstream's hashes.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}
