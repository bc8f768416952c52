//! What is said of a forwarded connection, in the words of the client's. Pure.

use agent_streams::channel::Form;
use agent_streams::spdy::{self, ResetReason, StreamId};
use bytes::Bytes;

/// How a connection's bytes and its failure are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Voice {
    /// By two streams of SPDY.
    Streams {
        /// Carries the bytes.
        data: StreamId,
        /// Carries what went wrong.
        error: StreamId,
    },
    /// By two channels of a WebSocket, which cannot be ended one by one.
    Channels {
        /// How messages are written.
        form: Form,
        /// Carries the bytes.
        data: u8,
        /// Carries what went wrong.
        error: u8,
    },
}

impl Voice {
    /// Bytes from the pod.
    pub(crate) fn data(self, bytes: &[u8]) -> Bytes {
        match self {
            Self::Streams { data, .. } => spdy::data(data, bytes),
            Self::Channels { form, data, .. } => form.message(data, bytes),
        }
    }

    /// Why there is no connection.
    pub(crate) fn failure(self, message: &str) -> Bytes {
        match self {
            Self::Streams { error, .. } => spdy::data(error, message.as_bytes()),
            Self::Channels { form, error, .. } => form.message(error, message.as_bytes()),
        }
    }

    /// The pod has said all.
    pub(crate) fn end(self) -> Option<Bytes> {
        match self {
            Self::Streams { data, .. } => Some(spdy::finish(data)),
            Self::Channels { .. } => None,
        }
    }

    /// The connection broke.
    pub(crate) fn broken(self) -> Option<Bytes> {
        match self {
            Self::Streams { data, .. } => Some(spdy::reset(data, ResetReason::Internal)),
            Self::Channels { .. } => None,
        }
    }

    /// Nothing more can go wrong.
    pub(crate) fn end_of_failures(self) -> Option<Bytes> {
        match self {
            Self::Streams { error, .. } => Some(spdy::finish(error)),
            Self::Channels { .. } => None,
        }
    }

    /// The pod has taken so many bytes.
    pub(crate) fn taken(self, count: usize) -> Option<Bytes> {
        match self {
            Self::Streams { data, .. } => u32::try_from(count)
                .ok()
                .map(|delta| spdy::window_update(data, delta)),
            Self::Channels { .. } => None,
        }
    }
}
