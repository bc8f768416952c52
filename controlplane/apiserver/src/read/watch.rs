//! Watches: a stream of JSON events, from a revision or beginning with the present state.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use controlplane_api::table::Include;
use controlplane_api::{ApiError, Resource};
use controlplane_store::{Batch, Entry, Event, Range, Revision, Store, Watch, WatchError};
use futures::{Stream, StreamExt, stream};
use prometheus_client::metrics::counter::Counter;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::clock::Clock;
use crate::read::event::{self, Initial, Sight};
use crate::read::frames::{Asked, Columns, Frames, Same};
use crate::read::list::refused;
use crate::read::select::Selection;
use crate::read::stream::infallible;
use crate::reply::{self, Reply};
use crate::request::accept::{Accepted, Encoding};
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
    /// Events that other watches may have encoded already.
    pub(crate) frames: Arc<Frames>,
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
            event::write_error(error, encoding, &mut event);
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
    /// Goes off at the bookmark or the deadline, whichever is earlier.
    alarm: Pin<Box<Sleep>>,
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
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
        let deadline = now + timeout;
        let bookmark_at = options.bookmarks.then(|| now + BOOKMARK_EVERY);
        Ok(Self {
            alarm: Box::pin(sleep_until(earlier(bookmark_at, deadline))),
            stop: Box::pin(wish.stop.clone().cancelled_owned()),
            wish,
            watch,
            initial,
            initial_end: asked_end.then_some(revision),
            bookmark_at,
            deadline,
            columns_sent: false,
            ended: false,
        })
    }

    /// The next bytes to send; `None` ends the stream.
    async fn next_piece(&mut self) -> Option<Bytes> {
        let mut out = Piece::default();
        self.write_initial(&mut out);
        while out.is_empty() && !self.ended {
            self.write_next(&mut out).await;
        }
        self.write_ready(&mut out);
        (!out.is_empty()).then(|| out.into_bytes())
    }

    fn write_initial(&mut self, out: &mut Piece) {
        while out.len() < PIECE
            && !self.ended
            && let Some(entry) = self.initial.pop_front()
        {
            if self.wish.selection.matches(&entry) {
                self.write_present(&entry, out);
            }
        }
        if self.initial.is_empty()
            && !self.ended
            && let Some(revision) = self.initial_end.take()
        {
            self.sight().bookmark(revision, Initial::Ends, out.end());
        }
    }

    /// An object that is there already. Its event is this watch's own, since few begin at the same time.
    fn write_present(&mut self, entry: &Entry, out: &mut Piece) {
        self.wish.sent.inc();
        let columns = self.columns();
        let written = self
            .sight()
            .event("ADDED", (entry, entry.mod_revision), columns, out.end());
        if let Err(error) = written {
            self.fail(error, out);
        }
    }

    /// Waits for the next batch, bookmark or end.
    async fn write_next(&mut self, out: &mut Piece) {
        if self.alarm.is_elapsed() {
            return self.write_alarm(out);
        }
        // A busy watch is asked first, since the others cost locks that all watches share; it is awake again soon.
        tokio::select! {
            biased;
            // Cancel-safe: a batch counts as delivered only when `next` returns it.
            batch = self.watch.next() => self.write_outcome(batch, out),
            // Cancel-safe: a token stays cancelled.
            () = &mut self.stop => self.ended = true,
            // Cancel-safe: it goes on when it is polled again.
            () = &mut self.alarm => self.write_alarm(out),
        }
    }

    fn write_alarm(&mut self, out: &mut Piece) {
        let now = Instant::now();
        self.ended = now >= self.deadline;
        if let Some(at) = self.bookmark_at.filter(|at| now >= *at || self.ended) {
            self.bookmark_at = Some(at.max(now) + BOOKMARK_EVERY);
            self.sight()
                .bookmark(self.watch.progress(), Initial::Over, out.end());
        }
        let next = earlier(self.bookmark_at, self.deadline);
        self.alarm.as_mut().reset(next);
    }

    /// Adds what else is ready, so that a burst is not sent event by event.
    fn write_ready(&mut self, out: &mut Piece) {
        while self.initial.is_empty() && !self.ended && out.len() < PIECE {
            match self.watch.try_next() {
                Ok(None) => return,
                Ok(Some(batch)) => self.write_outcome(Ok(batch), out),
                Err(error) => self.write_outcome(Err(error), out),
            }
        }
    }

    fn write_outcome(&mut self, batch: Result<Arc<Batch>, WatchError>, out: &mut Piece) {
        match batch {
            Ok(batch) => batch
                .events
                .iter()
                .for_each(|event| self.write_change(event, batch.revision, out)),
            Err(WatchError::Lagged { compacted, .. }) => {
                let error = ApiError::expired(format!("too old resource version: the oldest is {compacted}"));
                self.fail(error, out);
            }
            Err(WatchError::Closed { .. }) => self.ended = true,
        }
    }

    /// Says what a change means to someone who sees only selected objects.
    fn write_change(&mut self, event: &Event, revision: Revision, out: &mut Piece) {
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

    /// An event, of which all watches that see it in the same form share the bytes.
    fn write_event(&mut self, event: &'static str, entry: &Arc<Entry>, revision: Revision, out: &mut Piece) {
        self.wish.sent.inc();
        let (columns, sight) = (self.columns(), self.sight());
        let asked = Asked {
            event,
            entry: Same(Arc::clone(entry)),
            revision,
            resource: Same(Arc::clone(&self.wish.resource)),
            accepted: self.wish.accepted,
            table: sight.row(columns),
        };
        let frame = self.wish.frames.get(asked, || {
            let mut frame = Vec::new();
            sight.event(event, (entry, revision), columns, &mut frame)?;
            Ok(Bytes::from(frame))
        });
        match frame {
            Ok(frame) => out.push(frame),
            Err(error) => self.fail(error, out),
        }
    }

    /// Ends the watch with an `ERROR` event.
    fn fail(&mut self, error: ApiError, out: &mut Piece) {
        event::write_error(error, self.wish.accepted.encoding, out.end());
        self.ended = true;
    }

    /// Only the first table says what its columns are.
    fn columns(&mut self) -> Columns {
        match std::mem::replace(&mut self.columns_sent, true) {
            true => Columns::LeftOut,
            false => Columns::Told,
        }
    }

    fn sight(&self) -> Sight<'_> {
        Sight {
            resource: &self.wish.resource,
            accepted: self.wish.accepted,
            include: self.wish.include,
            now: self.wish.clock.now(),
        }
    }
}

/// What is sent together: one shared frame as it is, or several put together.
#[derive(Debug, Default)]
struct Piece {
    only: Bytes,
    several: Vec<u8>,
}

impl Piece {
    fn len(&self) -> usize {
        self.only.len() + self.several.len()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn push(&mut self, frame: Bytes) {
        match self.is_empty() {
            true => self.only = frame,
            false => self.end().extend_from_slice(&frame),
        }
    }

    /// Where more can be appended.
    fn end(&mut self) -> &mut Vec<u8> {
        self.several.extend_from_slice(&std::mem::take(&mut self.only));
        &mut self.several
    }

    fn into_bytes(self) -> Bytes {
        match self.several.is_empty() {
            true => self.only,
            false => Bytes::from(self.several),
        }
    }
}

fn earlier(bookmark_at: Option<Instant>, deadline: Instant) -> Instant {
    bookmark_at.map_or(deadline, |at| at.min(deadline))
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
