//! What the node says, in the words of the connection.

use agent_streams::channel::Form;
use agent_streams::remote_command::Channel;
use agent_streams::spdy::{self, StreamId};
use bytes::Bytes;

use crate::wire::{Gone, Outbox};

/// The streams that a SPDY client has opened for what the node says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) stdout: Option<StreamId>,
    pub(crate) stderr: Option<StreamId>,
    pub(crate) error: Option<StreamId>,
}

/// How what is said becomes bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Voice {
    /// Messages of a WebSocket.
    Channels(Form),
    /// Frames of SPDY.
    Streams(Heard),
}

impl Voice {
    /// `bytes` on `channel`; `None` where the client has no ear for it.
    fn say(self, channel: Channel, bytes: &[u8]) -> Option<Bytes> {
        match self {
            Self::Channels(form) => Some(form.message(channel.number(), bytes)),
            Self::Streams(heard) => heard.stream(channel).map(|stream| spdy::data(stream, bytes)),
        }
    }

    /// Nothing more comes on `channel`. WebSockets have no word for that.
    fn end(self, channel: Channel) -> Option<Bytes> {
        match self {
            Self::Channels(_) => None,
            Self::Streams(heard) => heard.stream(channel).map(spdy::finish),
        }
    }

    /// The session stands: an empty message, which older clients wait for. With SPDY, replies have said so.
    fn greet(self, channel: Channel) -> Option<Bytes> {
        match self {
            Self::Channels(_) => self.say(channel, b""),
            Self::Streams(_) => None,
        }
    }
}

impl Heard {
    fn stream(self, channel: Channel) -> Option<StreamId> {
        match channel {
            Channel::Stdout => self.stdout,
            Channel::Stderr => self.stderr,
            Channel::Error => self.error,
        }
    }
}

/// Speaks to a client.
#[derive(Debug)]
pub(crate) struct Speaker {
    pub(crate) voice: Voice,
    pub(crate) outbox: Outbox,
}

impl Speaker {
    /// Says `bytes` on `channel`, if the client hears it.
    ///
    /// # Errors
    ///
    /// [`Gone`] once nothing can be sent any more.
    pub(crate) async fn say(&self, channel: Channel, bytes: &[u8]) -> Result<(), Gone> {
        self.outbox.send_any(self.voice.say(channel, bytes)).await
    }

    /// Says that nothing more comes on `channel`.
    ///
    /// # Errors
    ///
    /// As [`Speaker::say`].
    pub(crate) async fn end(&self, channel: Channel) -> Result<(), Gone> {
        self.outbox.send_any(self.voice.end(channel)).await
    }

    /// Says on `channel` that the session stands.
    ///
    /// # Errors
    ///
    /// As [`Speaker::say`].
    pub(crate) async fn greet(&self, channel: Channel) -> Result<(), Gone> {
        self.outbox.send_any(self.voice.greet(channel)).await
    }
}
