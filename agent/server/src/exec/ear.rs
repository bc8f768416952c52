//! What the client says, whatever the connection.

use agent_streams::remote_command::{Dialect, Input, decode};

use crate::exec::streams::Streams;
use crate::wire::Incoming;

/// Understands a client.
pub(crate) enum Ear {
    /// Messages of a WebSocket.
    Channels(Incoming, Dialect),
    /// Frames of SPDY.
    Streams(Box<Streams>),
}

impl Ear {
    /// The next thing that has a meaning; `None` once the client is gone.
    pub(crate) async fn next(&mut self) -> Option<Input> {
        match self {
            Self::Streams(streams) => streams.next().await,
            Self::Channels(incoming, dialect) => loop {
                let message = incoming.next().await?;
                if let Some(input) = decode(*dialect, message) {
                    return Some(input);
                }
            },
        }
    }

    /// What is left to be read when the conversation is over.
    pub(crate) fn into_incoming(self) -> Incoming {
        match self {
            Self::Channels(incoming, _) => incoming,
            Self::Streams(streams) => streams.into_incoming(),
        }
    }
}
