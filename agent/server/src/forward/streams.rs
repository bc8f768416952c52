//! The streams of one tunnel: which are open, and which two belong together.

use std::collections::BTreeMap;

use agent_streams::spdy::StreamId;
use tokio_util::sync::CancellationToken;

use super::queue::{Inlet, queue};
use super::relay::Relay;
use super::request::{Role, StreamRequest};
use super::voice::Voice;

/// Streams at a time; a browser at work has some dozens.
const MAX_STREAMS: usize = 512;

/// An open data stream.
#[derive(Debug, Clone)]
struct Open {
    /// `None` after the client's end.
    inlet: Option<Inlet>,
    reset: CancellationToken,
}

/// One of a pair whose other stream is not there yet.
#[derive(Debug)]
enum Half {
    Error(StreamId),
    Data(Relay),
}

/// Why a stream is not taken on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Its number is not the client's to use, or was used before.
    Number,
    /// There are too many.
    TooMany,
    /// Its headers make no sense, or its role is taken.
    Request,
}

/// The open streams.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    last: StreamId,
    /// `None` for error streams, on which clients have nothing to say.
    open: BTreeMap<StreamId, Option<Open>>,
    waiting: BTreeMap<String, Half>,
}

impl Streams {
    /// The last stream that was taken on.
    pub(crate) fn last(&self) -> StreamId {
        self.last
    }

    /// Whether `stream` may be opened.
    ///
    /// # Errors
    ///
    /// Why not.
    pub(crate) fn admit(&mut self, stream: StreamId) -> Result<(), Refused> {
        if stream.is_multiple_of(2) || stream <= self.last {
            return Err(Refused::Number);
        }
        if self.open.len() >= MAX_STREAMS {
            return Err(Refused::TooMany);
        }
        self.last = stream;
        Ok(())
    }

    /// Opens an admitted stream. When it is the second of its pair, the connection can be made.
    ///
    /// # Errors
    ///
    /// Where its role in the pair is taken.
    pub(crate) fn open(&mut self, stream: StreamId, wanted: StreamRequest) -> Result<Option<Relay>, Refused> {
        let other = self.waiting.remove(&wanted.request);
        match (wanted.role, other) {
            (Role::Error, Some(Half::Data(relay))) => {
                self.open.insert(stream, None);
                Ok(Some(paired(relay, stream)))
            }
            (Role::Data, Some(Half::Error(error))) => {
                let relay = self.connection(stream, wanted.port);
                Ok(Some(paired(relay, error)))
            }
            (Role::Error, None) => {
                self.open.insert(stream, None);
                self.waiting.insert(wanted.request, Half::Error(stream));
                Ok(None)
            }
            (Role::Data, None) => {
                let relay = self.connection(stream, wanted.port);
                self.waiting.insert(wanted.request, Half::Data(relay));
                Ok(None)
            }
            (_, Some(taken)) => {
                self.waiting.insert(wanted.request, taken);
                Err(Refused::Request)
            }
        }
    }

    /// A connection whose error stream is yet to be told.
    fn connection(&mut self, data: StreamId, port: u16) -> Relay {
        let (inlet, from_client) = queue();
        let reset = CancellationToken::new();
        let open = Open {
            inlet: Some(inlet),
            reset: reset.clone(),
        };
        self.open.insert(data, Some(open));
        Relay {
            voice: Voice::Streams { data, error: 0 },
            port,
            from_client,
            reset,
        }
    }

    /// Where bytes of `stream` go; `None` where they are of no use any more.
    pub(crate) fn inlet(&self, stream: StreamId) -> Option<Inlet> {
        self.open.get(&stream)?.as_ref()?.inlet.clone()
    }

    /// The client has ended its direction of `stream`.
    pub(crate) fn finish(&mut self, stream: StreamId) {
        if let Some(Some(open)) = self.open.get_mut(&stream) {
            open.inlet = None;
        }
    }

    /// `stream` is no more, both ways.
    pub(crate) fn reset(&mut self, stream: StreamId) {
        if let Some(Some(open)) = self.open.remove(&stream) {
            open.reset.cancel();
        }
        self.waiting.retain(|_, half| match half {
            Half::Error(waiting) => *waiting != stream,
            Half::Data(relay) => !matches!(relay.voice, Voice::Streams { data, .. } if data == stream),
        });
    }

    /// A connection has ended, and with it both its streams.
    pub(crate) fn forget(&mut self, ended: [StreamId; 2]) {
        for stream in ended {
            self.open.remove(&stream);
        }
    }
}

/// The connection with its error stream.
fn paired(relay: Relay, error: StreamId) -> Relay {
    let voice = match relay.voice {
        Voice::Streams { data, .. } => Voice::Streams { data, error },
        channels @ Voice::Channels { .. } => channels,
    };
    Relay { voice, ..relay }
}
