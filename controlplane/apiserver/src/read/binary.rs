//! Lists and events in protobuf, put together from stored bytes.

use std::io::Write;

use axum::body::Body;
use bytes::Bytes;
use controlplane_api::ApiError;
use controlplane_protobuf::Kind;
use controlplane_store::{Entry, Revision};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::stream;

use crate::read::list::Page;
use crate::read::render::Form;
use crate::read::stream::{GZIP_FROM, Head, PIECE, marked};
use crate::reply::{self, Reply, bug};
use crate::request::accept::Shape;

/// The kind of what `form` writes of one object.
///
/// # Errors
///
/// Where that has no protobuf form, which negotiation rules out.
pub(crate) fn kind(form: &Form<'_>) -> Result<Kind, ApiError> {
    match form.accepted.shape {
        Shape::Metadata => find("meta.k8s.io/v1", "PartialObjectMetadata"),
        Shape::Plain | Shape::Table => find(&form.resource.api_version(), &form.resource.kind),
    }
}

/// A kind that negotiation has found to have a protobuf form.
///
/// # Errors
///
/// Where it has none all the same.
pub(crate) fn find(api_version: &str, kind: &str) -> Result<Kind, ApiError> {
    Kind::find(api_version, kind)
        .ok_or_else(|| ApiError::internal(&format!("{kind} of {api_version} has no protobuf form")))
}

/// Appends the body of one object.
///
/// # Errors
///
/// Only where stored bytes are no object of the kind, which would be a bug.
pub(crate) fn write(
    form: &Form<'_>,
    kind: &Kind,
    (entry, revision): (&Entry, Revision),
    out: &mut Vec<u8>,
) -> Result<(), ApiError> {
    let mut json = Vec::new();
    form.write(entry, revision, &mut json)?;
    kind.write(&json, out)
        .map_err(|error| bug("write an object", &error))
}

/// Answers with `page`. The length of a message stands before it, so that all of it is held in memory once, as upstream
/// does; clients page.
///
/// # Errors
///
/// As [`write`].
pub(crate) async fn list(page: Page, form: &Form<'_>, head: &Head, gzip: bool) -> Reply {
    let failed = |error: controlplane_protobuf::EncodeError| bug("write a list", &error);
    let (kind, api_version) = head.kind();
    let (list, item) = (find(api_version, kind)?, self::kind(form)?);
    let mut message = Vec::new();
    list.write_message(head.metadata_object().as_bytes(), &mut message)
        .map_err(failed)?;
    let (mut json, mut rested) = (Vec::new(), 0);
    for entry in page.entries {
        json.clear();
        form.write(&entry, entry.mod_revision, &mut json)?;
        item.write_item(&json, &mut message).map_err(failed)?;
        if message.len() - rested > PIECE {
            rested = message.len();
            // Nothing else in making a long list waits, and other requests would wait for all of it.
            tokio::task::yield_now().await;
        }
    }
    let envelope = list.envelope(message.len());
    if gzip && message.len() >= GZIP_FROM {
        return Ok(marked(
            reply::protobuf(zipped(&envelope, &message).await?.into()),
            true,
        ));
    }
    let parts = [Bytes::from(envelope), Bytes::from(message)];
    let parts = stream::iter(parts.map(Ok::<_, std::convert::Infallible>));
    Ok(reply::protobuf(Body::from_stream(parts)))
}

async fn zipped(envelope: &[u8], message: &[u8]) -> Result<Vec<u8>, ApiError> {
    let failed = |error: std::io::Error| bug("compress a reply", &error);
    let mut zip = GzEncoder::new(Vec::new(), Compression::fast());
    zip.write_all(envelope).map_err(failed)?;
    for piece in message.chunks(PIECE) {
        zip.write_all(piece).map_err(failed)?;
        tokio::task::yield_now().await;
    }
    zip.finish().map_err(failed)
}
