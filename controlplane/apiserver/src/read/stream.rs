//! The bytes of a list: put together from stored bytes, in pieces when they are many.

use std::convert::Infallible;
use std::io::Write;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use controlplane_api::{ApiError, Resource, table};
use controlplane_store::{Entry, Revision};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::stream;
use http::header::{CONTENT_ENCODING, VARY};
use http::{HeaderValue, StatusCode};
use serde_json::Value;

use crate::read::render::Form;
use crate::reply::{self, Reply, bug};
use crate::request::accept::Shape;

/// Replies at least this long are compressed for clients that take gzip, as upstream does.
pub(crate) const GZIP_FROM: usize = 128 * 1024;

/// Longer replies are sent piece by piece, so that a list holds no second copy of itself.
pub(crate) const PIECE: usize = 256 * 1024;

/// As [`PIECE`], for rows of tables: each is parsed, and others wait while a piece is made.
const PIECE_OF_ROWS: usize = 32 * 1024;

/// What stands before the items of a list.
#[derive(Debug)]
pub(crate) struct Head {
    kind: String,
    api_version: String,
    metadata: String,
    /// What follows `metadata`, to the bracket that opens the items.
    opening: String,
}

impl Head {
    /// The head of a list of `form`'s kind.
    pub(crate) fn new(
        form: &Form<'_>,
        revision: Revision,
        next: Option<&str>,
        remaining: Option<u64>,
    ) -> Self {
        let (kind, api_version) = match form.accepted.shape {
            Shape::Metadata => (
                "PartialObjectMetadataList".to_owned(),
                "meta.k8s.io/v1".to_owned(),
            ),
            Shape::Table => ("Table".to_owned(), "meta.k8s.io/v1".to_owned()),
            Shape::Plain => (form.resource.list_kind.to_string(), form.resource.api_version()),
        };
        let opening = match form.accepted.shape {
            Shape::Table => {
                let columns = Value::from(table::definitions(form.resource));
                format!("\"columnDefinitions\":{columns},\"rows\":[")
            }
            Shape::Plain | Shape::Metadata => "\"items\":[".to_owned(),
        };
        let mut metadata = format!("\"resourceVersion\":\"{revision}\"");
        if let Some(next) = next {
            metadata.push_str(&format!(",\"continue\":\"{next}\""));
        }
        if let Some(remaining) = remaining {
            metadata.push_str(&format!(",\"remainingItemCount\":{remaining}"));
        }
        Self {
            kind,
            api_version,
            metadata,
            opening,
        }
    }

    /// Kind and `apiVersion` of the list.
    pub(crate) fn kind(&self) -> (&str, &str) {
        (&self.kind, &self.api_version)
    }

    /// An object that has the list's metadata and nothing else.
    pub(crate) fn metadata_object(&self) -> String {
        format!("{{\"metadata\":{{{}}}}}", self.metadata)
    }

    fn text(&self) -> String {
        let Self {
            kind,
            api_version,
            metadata,
            opening,
        } = self;
        format!(
            "{{\"kind\":\"{kind}\",\"apiVersion\":\"{api_version}\",\"metadata\":{{{metadata}}},{opening}"
        )
    }
}

/// What is needed to write items after the request's own borrowings are gone.
#[derive(Debug)]
struct Items {
    resource: Arc<Resource>,
    form: (
        crate::request::accept::Accepted,
        controlplane_api::table::Include,
        jiff::Timestamp,
    ),
    entries: std::vec::IntoIter<Arc<Entry>>,
    first: bool,
    ended: bool,
    zip: Option<GzEncoder<Vec<u8>>>,
}

impl Items {
    /// The next piece; `None` at the end.
    fn piece(&mut self, mut out: Vec<u8>) -> Result<Option<Bytes>, ApiError> {
        if self.ended {
            return Ok(None);
        }
        let (accepted, include, now) = self.form;
        let form = Form {
            resource: &self.resource,
            accepted,
            include,
            now,
        };
        let piece = match accepted.shape {
            Shape::Plain | Shape::Metadata => PIECE,
            Shape::Table => PIECE_OF_ROWS,
        };
        while out.len() < piece {
            let Some(entry) = self.entries.next() else {
                out.extend_from_slice(b"]}");
                self.ended = true;
                break;
            };
            if !std::mem::take(&mut self.first) {
                out.push(b',');
            }
            form.write_item(&entry, &mut out)?;
        }
        self.packed(out).map(Some)
    }

    fn packed(&mut self, out: Vec<u8>) -> Result<Bytes, ApiError> {
        let Some(mut zip) = self.zip.take() else {
            return Ok(Bytes::from(out));
        };
        let failed = |error: std::io::Error| bug("compress a reply", &error);
        zip.write_all(&out).map_err(failed)?;
        if self.ended {
            return zip.finish().map(Bytes::from).map_err(failed);
        }
        zip.flush().map_err(failed)?;
        let bytes = std::mem::take(zip.get_mut());
        self.zip = Some(zip);
        Ok(Bytes::from(bytes))
    }
}

/// The answer that shows `entries` after `head`.
///
/// # Errors
///
/// Only where stored bytes are no JSON, which would be a bug.
pub(crate) fn reply(entries: Vec<Arc<Entry>>, form: &Form<'_>, head: &Head, gzip: bool) -> Reply {
    let size: usize = entries.iter().map(|entry| entry.value.bytes().len() + 48).sum();
    let zip = (gzip && size >= GZIP_FROM).then(|| GzEncoder::new(Vec::new(), Compression::fast()));
    let zipped = zip.is_some();
    let mut items = Items {
        resource: Arc::new(form.resource.clone()),
        form: (form.accepted, form.include, form.now),
        entries: entries.into_iter(),
        first: true,
        ended: false,
        zip,
    };
    let mut out = Vec::with_capacity(size.min(PIECE) + 512);
    out.extend_from_slice(head.text().as_bytes());
    let first = items.piece(out)?.unwrap_or_default();
    if items.ended {
        return Ok(marked(reply::json_bytes(StatusCode::OK, first), zipped));
    }
    Ok(marked(reply::json_stream(body(first, items)), zipped))
}

fn body(first: Bytes, items: Items) -> Body {
    let pieces = stream::unfold((Some(first), items), |(first, mut items)| async move {
        if let Some(first) = first {
            return Some((Ok::<_, ApiError>(first), (None, items)));
        }
        // Nothing else in making a long list waits, and other requests would wait for all of it.
        tokio::task::yield_now().await;
        match items.piece(Vec::with_capacity(PIECE)) {
            Ok(piece) => piece.map(|piece| (Ok(piece), (None, items))),
            // The client sees a reply that breaks off, never one that looks whole.
            Err(error) => {
                items.ended = true;
                Some((Err(error), (None, items)))
            }
        }
    });
    Body::from_stream(pieces)
}

/// Says whether a reply is compressed.
pub(crate) fn marked(mut response: axum::response::Response, zipped: bool) -> axum::response::Response {
    if zipped {
        response
            .headers_mut()
            .insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        response
            .headers_mut()
            .insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    response
}

/// A body of pieces that cannot fail.
pub(crate) fn infallible<S>(pieces: S) -> Body
where
    S: futures::Stream<Item = Result<Bytes, Infallible>> + Send + 'static,
{
    Body::from_stream(pieces)
}
