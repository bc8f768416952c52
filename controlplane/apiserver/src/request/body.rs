//! Request bodies: read with a limit, decoded by content type.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use controlplane_api::ApiError;
use controlplane_apimachinery::codec::{self, CodecError, Document};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http_body_util::{BodyExt, LengthLimitError, Limited};

/// Largest request body in bytes, as upstream's.
pub(crate) const MAX_BODY: usize = 3 * 1024 * 1024;

const READABLE: [&str; 3] = [
    "application/json",
    "application/yaml",
    controlplane_protobuf::MEDIA_TYPE,
];

/// How long a body may take to arrive; upstream's request timeout.
const ARRIVAL: Duration = Duration::from_secs(60);

/// Reads the whole body.
///
/// # Errors
///
/// 413 beyond [`MAX_BODY`], 400 when the client breaks off, 504 when it takes too long.
pub(crate) async fn read(body: Body) -> Result<Bytes, ApiError> {
    let arrived = tokio::time::timeout(ARRIVAL, Limited::new(body, MAX_BODY).collect()).await;
    let arrived = arrived.map_err(|_| ApiError::timeout("the request body did not arrive in time"))?;
    match arrived {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(ApiError::too_large(&format!("limit is {MAX_BODY}")))
        }
        Err(error) => Err(ApiError::bad_request(format!(
            "cannot read the request body: {error}"
        ))),
    }
}

/// The media type of a body, without parameters; empty where the client names none.
pub(crate) fn media_type(headers: &HeaderMap) -> String {
    let text = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    text.split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}

/// Refuses bodies that are compressed; nothing needs them and they invite bombs.
///
/// # Errors
///
/// 415.
pub(crate) fn refuse_compressed(headers: &HeaderMap) -> Result<(), ApiError> {
    match headers.get(CONTENT_ENCODING) {
        Some(encoding) if encoding != "identity" => Err(ApiError::unsupported_media_type(&READABLE)),
        _ => Ok(()),
    }
}

/// Decodes an object of any kind.
///
/// # Errors
///
/// 415 for a media type that is not read, 400 for what is not in that form, 413 for what would take too much memory.
pub(crate) fn decode(media_type: &str, bytes: &[u8]) -> Result<Document, ApiError> {
    match media_type {
        "" | "application/json" => {
            codec::from_json(bytes).map_err(|error| refusal(&error, "couldn't get version/kind; "))
        }
        "application/yaml" => codec::from_yaml(bytes).map_err(|error| refusal(&error, "")),
        controlplane_protobuf::MEDIA_TYPE => protobuf(bytes),
        _ => Err(ApiError::unsupported_media_type(&READABLE)),
    }
}

/// What the client is told of bytes that are no document; `before` begins the sentence.
pub(crate) fn refusal(error: &CodecError, before: &str) -> ApiError {
    if error.is_too_large() {
        return ApiError::too_large(&error.to_string());
    }
    ApiError::bad_request(format!("{before}{error}"))
}

/// Fields are numbers there: one that comes twice is no mistake of the writer's.
fn protobuf(bytes: &[u8]) -> Result<Document, ApiError> {
    controlplane_protobuf::decode(bytes)
        .map(Document::from)
        .map_err(|error| ApiError::bad_request(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused_with_413() {
        let error = read(Body::from(vec![b' '; MAX_BODY + 1])).await.unwrap_err();
        assert_eq!(error.code(), 413);
        assert!(read(Body::from(vec![b' '; MAX_BODY])).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_given_up() {
        let endless = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
        assert_eq!(read(endless).await.unwrap_err().code(), 504);
    }

    #[test]
    fn a_syntax_error_is_a_400_with_its_position() {
        let error = decode("application/json", b"{\"kind\":\n!}").unwrap_err();
        assert_eq!(error.code(), 400);
        assert!(error.to_string().contains("line 2 column 1"), "{error}");
        let error = decode("application/yaml", b"a: [1\nb").unwrap_err();
        assert_eq!(error.code(), 400);
        assert!(error.to_string().contains("line"), "{error}");
    }

    #[test]
    fn protobuf_is_read_and_what_is_none_is_a_400() {
        let body = b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12\x05\x0a\x03\x0a\x01a";
        let document = decode("application/vnd.kubernetes.protobuf", body).unwrap();
        assert_eq!(document.value["metadata"]["name"], "a");
        assert_eq!(
            decode("application/vnd.kubernetes.protobuf", b"{}")
                .unwrap_err()
                .code(),
            400
        );
    }

    #[test]
    fn an_unknown_media_type_is_a_415() {
        assert_eq!(decode("application/cbor", b"k8s").unwrap_err().code(), 415);
    }
}
