//! The events of a watch as bytes: lines of JSON, or frames of protobuf.

use controlplane_api::table::Include;
use controlplane_api::{ApiError, Resource, Status, meta};
use controlplane_protobuf::write_watch_event;
use controlplane_store::{Entry, Revision};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::read::binary;
use crate::read::frames::{Columns, Row};
use crate::read::render::Form;
use crate::reply;
use crate::request::accept::{Accepted, Encoding, Shape};

/// How a watch sees objects.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sight<'a> {
    pub(super) resource: &'a Resource,
    pub(super) accepted: Accepted,
    pub(super) include: Include,
    pub(super) now: Timestamp,
}

/// What a bookmark says about the initial events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Initial {
    Ends,
    Over,
}

impl Sight<'_> {
    /// What the bytes of an event depend on only where they are a table.
    pub(super) fn row(&self, columns: Columns) -> Option<Row> {
        (self.accepted.shape == Shape::Table).then(|| Row {
            include: self.include,
            columns,
            second: self.now.as_second(),
        })
    }

    /// Appends an event about an object.
    ///
    /// # Errors
    ///
    /// Only where stored bytes are no object of their kind, which would be a bug; nothing is appended then.
    pub(super) fn event(
        &self,
        event: &str,
        object: (&Entry, Revision),
        columns: Columns,
        out: &mut Vec<u8>,
    ) -> Result<(), ApiError> {
        let start = out.len();
        let written = match self.accepted.encoding {
            Encoding::Protobuf => write_watch_event(event, out, |out| self.message(object, out)),
            Encoding::Json | Encoding::Yaml => self.line(event, object, columns, out),
        };
        if written.is_err() {
            out.truncate(start);
        }
        written
    }

    fn message(&self, object: (&Entry, Revision), out: &mut Vec<u8>) -> Result<(), ApiError> {
        let form = self.form();
        binary::write(&form, &binary::kind(&form)?, object, out)
    }

    fn line(
        &self,
        event: &str,
        (entry, revision): (&Entry, Revision),
        columns: Columns,
        out: &mut Vec<u8>,
    ) -> Result<(), ApiError> {
        out.extend_from_slice(b"{\"type\":\"");
        out.extend_from_slice(event.as_bytes());
        out.extend_from_slice(b"\",\"object\":");
        match self.accepted.shape {
            Shape::Table => self.table((entry, revision), columns, out)?,
            Shape::Plain | Shape::Metadata => self.form().write(entry, revision, out)?,
        }
        out.extend_from_slice(b"}\n");
        Ok(())
    }

    /// A table of one row.
    fn table(
        &self,
        (entry, revision): (&Entry, Revision),
        columns: Columns,
        out: &mut Vec<u8>,
    ) -> Result<(), ApiError> {
        let mut table = self.form().value(entry, revision)?;
        if columns == Columns::LeftOut {
            meta::object_mut(&mut table).insert("columnDefinitions".to_owned(), Value::Null);
        }
        serde_json::to_writer(out, &table).map_err(|error| reply::bug("serialise a table", &error))
    }

    /// Appends a bookmark: all up to `revision` was sent.
    pub(super) fn bookmark(&self, revision: Revision, initial: Initial, out: &mut Vec<u8>) {
        let mut metadata = json!({"resourceVersion": revision.to_string(), "creationTimestamp": null});
        if let (Initial::Ends, Some(map)) = (initial, metadata.as_object_mut()) {
            map.insert(
                "annotations".to_owned(),
                json!({"k8s.io/initial-events-end": "true"}),
            );
        }
        let resource = self.resource;
        let object = match self.accepted.shape {
            Shape::Plain => {
                json!({"kind": resource.kind, "apiVersion": resource.api_version(), "metadata": metadata})
            }
            Shape::Metadata => {
                json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata})
            }
            Shape::Table => self.bookmark_table(&metadata, revision),
        };
        write_object("BOOKMARK", &object, self.accepted.encoding, out);
    }

    /// client-go reads the version and annotations of a table's bookmark from its only row.
    fn bookmark_table(&self, metadata: &Value, revision: Revision) -> Value {
        let resource = self.resource;
        let object =
            json!({"kind": resource.kind, "apiVersion": resource.api_version(), "metadata": metadata});
        json!({
            "kind": "Table", "apiVersion": "meta.k8s.io/v1", "columnDefinitions": null,
            "metadata": {"resourceVersion": revision.to_string()},
            "rows": [{"cells": [], "object": object}],
        })
    }

    fn form(&self) -> Form<'_> {
        Form {
            resource: self.resource,
            accepted: self.accepted,
            include: self.include,
            now: self.now,
        }
    }
}

/// Appends an `ERROR` event.
pub(super) fn write_error(error: ApiError, encoding: Encoding, out: &mut Vec<u8>) {
    write_object("ERROR", &json!(Status::from(error)), encoding, out);
}

/// Appends an event about what is no stored object.
fn write_object(event: &str, object: &Value, encoding: Encoding, out: &mut Vec<u8>) {
    if encoding == Encoding::Protobuf {
        let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
        let written = write_watch_event(event, out, |out| {
            let kind = binary::find(text("apiVersion"), text("kind"))?;
            let written = kind.write(object.to_string().as_bytes(), out);
            written.map_err(|error| reply::bug("write an event", &error))
        });
        // Of these kinds there is always a message; a reader goes on without the event.
        return written.unwrap_or_else(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "event left out")
        });
    }
    let line = json!({"type": event, "object": object});
    out.extend_from_slice(line.to_string().as_bytes());
    out.push(b'\n');
}
