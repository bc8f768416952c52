//! Watches: a stream of JSON events, from a revision or beginning with the present state.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use controlplane_api::table::Include;
use controlplane_api::{ApiError, Resource, Status, meta};
use controlplane_protobuf::write_watch_event;
use controlplane_store::{Batch, Entry, Event, Range, Revision, Store, Watch, WatchError};
use futures::{Stream, StreamExt, stream};
use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::read::binary;
use crate::read::list::refused;
use crate::read::render::Form;
use crate::read::select::Selection;
use crate::read::stream::infallible;
use crate::reply::{self, Reply};
use crate::request::accept::{Accepted, Encoding, Shape};
use crate::request::query::ListOptions;

/// How often a watch that asked for bookmarks gets one.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);

/// Events that are ready are sent together up to about so many bytes.
const PIECE: usize = 64 * 1024;

/// Bounds of the time after which a watch ends that set none itself.
const TIMEOUT_SECONDS: std::ops::Range<u64> = 1800..3600;

/// What one watch needs beside its events.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) resource: Arc<Resource>,
    pub(crate) selection: Selection,
    pub(crate) accepted: Accepted,
    pub(crate) include: Include,
    pub(crate) clock: Arc<dyn Clock>,
    /// Ends all watches when the server stops.
    pub(crate) stop: CancellationToken,
    /// Counts events.
    pub(crate) sent: Counter,
}

/// Answers a watch request.
///
/// A revision that is compacted (410) or not yet reached (504) is answered as upstream does, with a
/// stream of one `ERROR` event: kube-rs lists again after such an event, but tries for ever with the same
/// revision where the request itself is refused.
///
/// # Errors
///
/// None; what goes wrong later is an event too.
pub(crate) fn reply(store: &Store, wish: Wish, options: &ListOptions) -> Reply {
    let encoding = wish.accepted.encoding;
    let pieces = infallible(pieces(store, wish, options).map(Ok::<_, Infallible>));
    Ok(match encoding {
        Encoding::Protobuf => reply::protobuf_stream(pieces),
        Encoding::Json | Encoding::Yaml => reply::json_stream(pieces),
    })
}

/// The events, one or several whole ones in each piece.
pub(super) fn pieces(
    store: &Store,
    wish: Wish,
    options: &ListOptions,
) -> impl Stream<Item = Bytes> + Send + use<> {
    let encoding = wish.accepted.encoding;
    let (state, refused) = match State::begin(store, wish, options) {
        Ok(state) => (Some(state), None),
        Err(error) => {
            let mut event = Vec::new();
            write_error(error, encoding, &mut event);
            (None, Some(Bytes::from(event)))
        }
    };
    let rest = stream::unfold(state, |state| async move {
        let mut state = state?;
        let piece = state.next_piece().await?;
        Some((piece, Some(state)))
    });
    stream::iter(refused).chain(rest)
}

#[derive(Debug)]
struct State {
    wish: Wish,
    watch: Watch,
    initial: VecDeque<Arc<Entry>>,
    /// Revision for the bookmark that ends the initial events.
    initial_end: Option<Revision>,
    bookmark_at: Option<Instant>,
    deadline: Instant,
    columns_sent: bool,
    ended: bool,
}

impl State {
    fn begin(store: &Store, wish: Wish, options: &ListOptions) -> Result<Self, ApiError> {
        let prefix = wish.selection.prefix();
        let version = options.resource_version.unwrap_or(0);
        let show_present = options.initial_events.unwrap_or(version == 0);
        let (initial, revision, watch) = if show_present {
            present(store, &prefix, version)?
        } else {
            let after = if version == 0 {
                store.revision()
            } else {
                Revision::from(version)
            };
            let watch = store.watch(&prefix, after).map_err(|error| refused(&error))?;
            (VecDeque::new(), after, watch)
        };
        let asked_end = options.initial_events == Some(true) && options.bookmarks;
        let timeout = options
            .timeout
            .unwrap_or_else(|| Duration::from_secs(rand::random_range(TIMEOUT_SECONDS)));
        let now = Instant::now();
        Ok(Self {
            wish,
            watch,
            initial,
            initial_end: asked_end.then_some(revision),
            bookmark_at: options.bookmarks.then(|| now + BOOKMARK_EVERY),
            deadline: now + timeout,
            columns_sent: false,
            ended: false,
        })
    }

    /// The next bytes to send; `None` ends the stream.
    async fn next_piece(&mut self) -> Option<Bytes> {
        let mut out = Vec::new();
        self.write_initial(&mut out);
        while out.is_empty() && !self.ended {
            self.write_next(&mut out).await;
        }
        self.write_ready(&mut out);
        (!out.is_empty()).then(|| Bytes::from(out))
    }

    fn write_initial(&mut self, out: &mut Vec<u8>) {
        while out.len() < PIECE
            && let Some(entry) = self.initial.pop_front()
        {
            if self.wish.selection.matches(&entry) {
                self.write_event("ADDED", &entry, entry.mod_revision, out);
            }
        }
        if self.initial.is_empty()
            && let Some(revision) = self.initial_end.take()
        {
            self.write_bookmark(revision, Initial::Ends, out);
        }
    }

    /// Waits for the next batch, bookmark or end.
    async fn write_next(&mut self, out: &mut Vec<u8>) {
        let alarm = self.bookmark_at.map_or(self.deadline, |at| at.min(self.deadline));
        tokio::select! {
            biased;
            // Cancel-safe: a token stays cancelled.
            () = self.wish.stop.cancelled() => self.ended = true,
            // Cancel-safe: a batch counts as delivered only when `next` returns it.
            batch = self.watch.next() => self.write_outcome(batch, out),
            // Cancel-safe: a dropped sleep loses nothing.
            () = tokio::time::sleep_until(alarm) => self.write_alarm(out),
        }
    }

    fn write_alarm(&mut self, out: &mut Vec<u8>) {
        let now = Instant::now();
        self.ended = now >= self.deadline;
        if let Some(at) = self.bookmark_at.filter(|at| now >= *at || self.ended) {
            self.bookmark_at = Some(at.max(now) + BOOKMARK_EVERY);
            self.write_bookmark(self.watch.progress(), Initial::Over, out);
        }
    }

    /// Adds what else is ready, so that a burst is not sent event by event.
    fn write_ready(&mut self, out: &mut Vec<u8>) {
        while self.initial.is_empty() && !self.ended && out.len() < PIECE {
            match self.watch.try_next() {
                Ok(None) => return,
                Ok(Some(batch)) => self.write_outcome(Ok(batch), out),
                Err(error) => self.write_outcome(Err(error), out),
            }
        }
    }

    fn write_outcome(&mut self, batch: Result<Batch, WatchError>, out: &mut Vec<u8>) {
        match batch {
            Ok(batch) => batch
                .events
                .iter()
                .for_each(|event| self.write_change(event, batch.revision, out)),
            Err(WatchError::Lagged { compacted, .. }) => {
                let error = ApiError::expired(format!("too old resource version: the oldest is {compacted}"));
                write_error(error, self.wish.accepted.encoding, out);
                self.ended = true;
            }
            Err(WatchError::Closed { .. }) => self.ended = true,
        }
    }

    /// Says what a change means to someone who sees only selected objects.
    fn write_change(&mut self, event: &Event, revision: Revision, out: &mut Vec<u8>) {
        let selected = |entry: &&Arc<Entry>| self.wish.selection.matches(entry);
        let (before, after) = (
            event.previous().filter(selected),
            event.current().filter(selected),
        );
        match (before, after) {
            (None, None) => {}
            (None, Some(entry)) => self.write_event("ADDED", entry, revision, out),
            (Some(_), Some(entry)) => self.write_event("MODIFIED", entry, revision, out),
            (Some(entry), None) => self.write_event("DELETED", entry, revision, out),
        }
    }

    fn write_event(&mut self, kind: &str, entry: &Entry, revision: Revision, out: &mut Vec<u8>) {
        self.wish.sent.inc();
        let start = out.len();
        let encoding = self.wish.accepted.encoding;
        let written = match encoding {
            Encoding::Protobuf => write_watch_event(kind, out, |out| self.write_body(entry, revision, out)),
            Encoding::Json | Encoding::Yaml => self.write_text_line(kind, (entry, revision), out),
        };
        if let Err(error) = written {
            out.truncate(start);
            write_error(error, encoding, out);
            self.ended = true;
        }
    }

    fn write_text_line(
        &mut self,
        kind: &str,
        (entry, revision): (&Entry, Revision),
        out: &mut Vec<u8>,
    ) -> Result<(), ApiError> {
        out.extend_from_slice(b"{\"type\":\"");
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b"\",\"object\":");
        match self.wish.accepted.shape {
            Shape::Table => self.write_table(entry, revision, out)?,
            Shape::Plain | Shape::Metadata => self.form().write(entry, revision, out)?,
        }
        out.extend_from_slice(b"}\n");
        Ok(())
    }

    fn write_body(&self, entry: &Entry, revision: Revision, out: &mut Vec<u8>) -> Result<(), ApiError> {
        let form = self.form();
        binary::write(&form, &binary::kind(&form)?, (entry, revision), out)
    }

    /// A table of one row; only the first carries the columns.
    fn write_table(&mut self, entry: &Entry, revision: Revision, out: &mut Vec<u8>) -> Result<(), ApiError> {
        let mut table = self.form().value(entry, revision)?;
        if std::mem::replace(&mut self.columns_sent, true) {
            meta::object_mut(&mut table).insert("columnDefinitions".to_owned(), Value::Null);
        }
        serde_json::to_writer(out, &table).map_err(|error| reply::bug("serialise a table", &error))
    }

    fn write_bookmark(&self, revision: Revision, initial: Initial, out: &mut Vec<u8>) {
        let mut metadata = json!({"resourceVersion": revision.to_string(), "creationTimestamp": null});
        if let (Initial::Ends, Some(map)) = (initial, metadata.as_object_mut()) {
            map.insert(
                "annotations".to_owned(),
                json!({"k8s.io/initial-events-end": "true"}),
            );
        }
        let resource = &self.wish.resource;
        let object = match self.wish.accepted.shape {
            Shape::Plain => {
                json!({"kind": resource.kind, "apiVersion": resource.api_version(), "metadata": metadata})
            }
            Shape::Metadata => {
                json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata})
            }
            Shape::Table => self.bookmark_table(&metadata, revision),
        };
        write_object("BOOKMARK", &object, self.wish.accepted.encoding, out);
    }

    /// client-go reads the version and annotations of a table's bookmark from its only row.
    fn bookmark_table(&self, metadata: &Value, revision: Revision) -> Value {
        let resource = &self.wish.resource;
        let object =
            json!({"kind": resource.kind, "apiVersion": resource.api_version(), "metadata": metadata});
        json!({
            "kind": "Table", "apiVersion": "meta.k8s.io/v1", "columnDefinitions": null,
            "metadata": {"resourceVersion": revision.to_string()},
            "rows": [{"cells": [], "object": object}],
        })
    }

    fn form(&self) -> Form<'_> {
        let now: Timestamp = self.wish.clock.now();
        Form {
            resource: &self.wish.resource,
            accepted: self.wish.accepted,
            include: self.wish.include,
            now,
        }
    }
}

/// What a bookmark says about the initial events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Initial {
    Ends,
    Over,
}

/// The present state and the changes after it.
fn present(
    store: &Store,
    prefix: &str,
    at_least: u64,
) -> Result<(VecDeque<Arc<Entry>>, Revision, Watch), ApiError> {
    if at_least > store.revision().get() {
        return Err(crate::read::list::from_the_future(at_least, store.revision()));
    }
    let (listing, watch) = store
        .list_and_watch(&Range::prefix(prefix))
        .map_err(|error| refused(&error))?;
    Ok((listing.entries.into(), listing.revision, watch))
}

fn write_error(error: ApiError, encoding: Encoding, out: &mut Vec<u8>) {
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
