//! Exec and attach over SPDY: a stream for each of the process's, opened by the client.
//!
//! Source: kubelet, `pkg/cri/streaming/remotecommand/httpstream.go`.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use agent_streams::remote_command::{Input, Sizes, Version};
use agent_streams::spdy::{self, Decoder, Encoder, Frame, Headers, ResetReason, SpdyError, StreamId};
use bytes::Bytes;
use tokio::time::timeout;
use tracing::debug;

use crate::access::ExecOptions;
use crate::exec::voice::Heard;
use crate::wire::{Gone, Incoming, Outbox};

/// How long a client may take to open its streams (kubelet, `DefaultStreamCreationTimeout`).
const OPENING: Duration = Duration::from_secs(30);

/// Bytes that a client may say before it has opened all its streams.
const MAX_EARLY: usize = 256 * 1024;

/// What a stream is for, by its header `streamtype` (core/v1, `StreamType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Error,
    Stdin,
    Stdout,
    Stderr,
    Resize,
}

impl Role {
    fn of(headers: &Headers) -> Option<Self> {
        Some(match headers.get("streamtype")? {
            "error" => Self::Error,
            "stdin" => Self::Stdin,
            "stdout" => Self::Stdout,
            "stderr" => Self::Stderr,
            "resize" => Self::Resize,
            _ => return None,
        })
    }

    /// The streams that a client of `version` opens for `options`.
    pub(crate) fn expected(options: &ExecOptions, version: Version) -> Vec<Self> {
        let wanted = [
            (Self::Error, true),
            (Self::Stdin, options.stdin),
            (Self::Stdout, options.stdout),
            (Self::Stderr, options.stderr),
            (Self::Resize, options.tty && version >= Version::V3),
        ];
        wanted
            .into_iter()
            .filter_map(|(role, asked)| asked.then_some(role))
            .collect()
    }
}

/// Why a conversation does not begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StreamsError {
    #[error("the client is gone")]
    Gone,
    #[error("read from a client")]
    Spdy(#[from] SpdyError),
    #[error("timed out waiting for the client to create its streams")]
    Late,
    #[error("the client said more than {MAX_EARLY} bytes before it had opened its streams")]
    Early,
}

impl From<Gone> for StreamsError {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

/// The client's streams.
pub(crate) struct Streams {
    incoming: Incoming,
    outbox: Outbox,
    decoder: Decoder,
    encoder: Encoder,
    /// Those that are still to be opened.
    missing: Vec<Role>,
    open: BTreeMap<StreamId, Role>,
    last: StreamId,
    sizes: Sizes,
    /// Understood and not yet asked for.
    understood: VecDeque<Input>,
}

impl Streams {
    /// Begins on a new connection, where `expected` are to be opened.
    pub(crate) fn new(incoming: Incoming, outbox: Outbox, encoder: Encoder, expected: Vec<Role>) -> Self {
        Self {
            incoming,
            outbox,
            decoder: Decoder::new(),
            encoder,
            missing: expected,
            open: BTreeMap::new(),
            last: 0,
            sizes: Sizes::default(),
            understood: VecDeque::new(),
        }
    }

    /// Waits until all streams are open. What the client says meanwhile is kept.
    ///
    /// # Errors
    ///
    /// Where that takes too long, or the client says what it should not.
    pub(crate) async fn opened(&mut self) -> Result<Heard, StreamsError> {
        let all = async {
            while !self.missing.is_empty() {
                self.read().await?;
                let early: usize = self.understood.iter().map(said).sum();
                if early > MAX_EARLY {
                    return Err(StreamsError::Early);
                }
            }
            Ok(())
        };
        timeout(OPENING, all).await.map_err(|_| StreamsError::Late)??;
        let of = |role| self.open.iter().find(|(_, is)| **is == role).map(|(id, _)| *id);
        Ok(Heard {
            stdout: of(Role::Stdout),
            stderr: of(Role::Stderr),
            error: of(Role::Error),
        })
    }

    /// The next thing the client says; `None` once it is gone, or talks nonsense.
    pub(crate) async fn next(&mut self) -> Option<Input> {
        loop {
            if let Some(input) = self.understood.pop_front() {
                return Some(input);
            }
            if let Err(error) = self.read().await {
                self.send_away(&error).await;
                return None;
            }
        }
    }

    /// Tells a client that is still there why this is the end.
    pub(crate) async fn send_away(&mut self, why: &StreamsError) {
        debug!(
            error = why as &dyn std::error::Error,
            "client of a session is gone or sent away"
        );
        let there = !matches!(why, StreamsError::Gone);
        if there && self.outbox.send(spdy::go_away(self.last, 1)).await.is_err() {
            debug!("client left first");
        }
    }

    pub(crate) fn into_incoming(self) -> Incoming {
        self.incoming
    }

    async fn read(&mut self) -> Result<(), StreamsError> {
        let piece = self.incoming.next().await.ok_or(StreamsError::Gone)?;
        self.decoder.feed(&piece);
        while let Some(frame) = self.decoder.next_frame()? {
            self.take(frame).await?;
        }
        Ok(())
    }

    async fn take(&mut self, frame: Frame) -> Result<(), StreamsError> {
        match frame {
            Frame::SynStream { stream, fin, headers } => self.open(stream, fin, &headers).await?,
            Frame::Data { stream, fin, bytes } => {
                self.data(stream, bytes).await?;
                if fin {
                    self.ended(stream);
                }
            }
            Frame::RstStream { stream, .. } => {
                self.ended(stream);
                self.open.remove(&stream);
            }
            // Even numbers answer pings of ours.
            Frame::Ping(id) if id % 2 == 1 => self.outbox.send(spdy::ping(id)).await?,
            // Our own sending is held back by the socket alone: spdystream gives no windows back.
            Frame::Ping(_)
            | Frame::GoAway { .. }
            | Frame::SynReply { .. }
            | Frame::WindowUpdate { .. }
            | Frame::Other(_) => {}
        }
        Ok(())
    }

    async fn open(&mut self, stream: StreamId, fin: bool, headers: &Headers) -> Result<(), StreamsError> {
        if stream.is_multiple_of(2) || stream <= self.last {
            return Ok(self
                .outbox
                .send(spdy::reset(stream, ResetReason::Protocol))
                .await?);
        }
        self.last = stream;
        let wanted =
            Role::of(headers).and_then(|role| self.missing.iter().position(|missing| *missing == role));
        let Some(place) = wanted else {
            return Ok(self
                .outbox
                .send(spdy::reset(stream, ResetReason::Refused))
                .await?);
        };
        let role = self.missing.swap_remove(place);
        self.open.insert(stream, role);
        let reply = self.encoder.syn_reply(stream, &Headers::default())?;
        self.outbox.send(reply).await?;
        if fin {
            self.ended(stream);
        }
        Ok(())
    }

    /// Bytes of a stream that is not open are dropped.
    async fn data(&mut self, stream: StreamId, bytes: Bytes) -> Result<(), Gone> {
        let taken = u32::try_from(bytes.len()).unwrap_or_default();
        let Some(role) = self.open.get(&stream).filter(|_| taken > 0) else {
            return Ok(());
        };
        match role {
            Role::Stdin => self.understood.push_back(Input::Stdin(bytes)),
            Role::Resize => self.understood.extend(self.sizes.take(&bytes).map(Input::Resize)),
            Role::Error | Role::Stdout | Role::Stderr => {}
        }
        self.outbox.send(spdy::window_update(stream, taken)).await
    }

    /// The client's direction of `stream` is over.
    fn ended(&mut self, stream: StreamId) {
        if self.open.get(&stream) == Some(&Role::Stdin) {
            self.understood.push_back(Input::StdinEnd);
        }
    }
}

fn said(input: &Input) -> usize {
    match input {
        Input::Stdin(bytes) => bytes.len(),
        Input::StdinEnd | Input::Resize(_) => 1,
    }
}
