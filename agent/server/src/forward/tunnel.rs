//! The tunnel: reads the client's frames and hands each to the stream it is for.

use agent_streams::spdy::{self, Decoder, Encoder, Frame, Headers, ResetReason, SpdyError, StreamId};
use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::relay::{Relay, STALL};
use super::request::StreamRequest;
use super::streams::{Refused, Streams};
use super::voice::Voice;
use crate::access::PodNetwork;
use crate::wire::{self, Gone, Incoming, Link, Outbox};

/// Forwards connections into `network` until the client leaves or `stop`.
pub(crate) async fn serve(link: Link, network: PodNetwork, stop: CancellationToken) {
    wire::drive(link, async move |incoming, outbox| {
        Some(converse(incoming, outbox, network, stop).await)
    })
    .await;
}

async fn converse(
    mut incoming: Incoming,
    outbox: Outbox,
    network: PodNetwork,
    stop: CancellationToken,
) -> Incoming {
    let served = async {
        let mut tunnel = Tunnel::new(outbox, network)?;
        let served = tunnel.run(&mut incoming).await;
        if let Err(TunnelError::Spdy(_)) = &served {
            tunnel
                .outbox
                .send(spdy::go_away(tunnel.streams.last(), 1))
                .await?;
        }
        served
    };
    // Dropping the tunnel drops its connections, which is what stopping means.
    match stop.run_until_cancelled(served).await {
        None | Some(Ok(())) => {}
        Some(Err(error)) => debug!(error = &error as &dyn std::error::Error, "port-forward broke off"),
    }
    incoming
}

/// Why a tunnel ends early.
#[derive(Debug, thiserror::Error)]
enum TunnelError {
    #[error("send to a port-forward client")]
    Gone(#[from] Gone),
    #[error("read from a port-forward client")]
    Spdy(#[from] SpdyError),
}

struct Tunnel {
    outbox: Outbox,
    network: PodNetwork,
    encoder: Encoder,
    streams: Streams,
    /// Each yields its streams when it has ended.
    connections: JoinSet<[StreamId; 2]>,
    /// The client has said GOAWAY.
    leaving: bool,
}

impl Tunnel {
    fn new(outbox: Outbox, network: PodNetwork) -> Result<Self, SpdyError> {
        Ok(Self {
            outbox,
            network,
            encoder: Encoder::new()?,
            streams: Streams::default(),
            connections: JoinSet::new(),
            leaving: false,
        })
    }

    async fn run(&mut self, incoming: &mut Incoming) -> Result<(), TunnelError> {
        let mut decoder = Decoder::new();
        loop {
            tokio::select! {
                // Cancel-safe: a connection that ended is kept until it is joined.
                Some(ended) = self.connections.join_next() => if let Ok(streams) = ended {
                    self.streams.forget(streams);
                },
                // Cancel-safe: the next message stays in the socket until it is returned.
                piece = incoming.next() => match piece {
                    None => return Ok(()),
                    Some(bytes) => {
                        decoder.feed(&bytes);
                        while let Some(frame) = decoder.next_frame()? {
                            self.take(frame).await?;
                        }
                    }
                },
            }
        }
    }

    async fn take(&mut self, frame: Frame) -> Result<(), TunnelError> {
        match frame {
            Frame::SynStream { stream, fin, headers } => self.open(stream, fin, &headers).await?,
            Frame::Data { stream, fin, bytes } => self.data(stream, fin, bytes).await?,
            Frame::RstStream { stream, .. } => self.streams.reset(stream),
            // Even numbers would answer pings of ours.
            Frame::Ping(id) if id % 2 == 1 => self.outbox.send(spdy::ping(id)).await?,
            Frame::GoAway { .. } => self.leaving = true,
            // Our own sending is held back by the socket alone: spdystream gives no windows back.
            Frame::Ping(_) | Frame::SynReply { .. } | Frame::WindowUpdate { .. } | Frame::Other(_) => {}
        }
        Ok(())
    }

    async fn open(&mut self, stream: StreamId, fin: bool, headers: &Headers) -> Result<(), TunnelError> {
        if self.leaving {
            return Ok(());
        }
        let wanted = StreamRequest::parse(stream, headers).ok_or(Refused::Request);
        let opened = match (self.streams.admit(stream), wanted) {
            (Ok(()), Ok(wanted)) => self.streams.open(stream, wanted),
            (Err(refused), _) | (_, Err(refused)) => Err(refused),
        };
        match opened {
            Err(Refused::Number) => {
                self.outbox
                    .send(spdy::reset(stream, ResetReason::Protocol))
                    .await?
            }
            Err(Refused::TooMany | Refused::Request) => {
                self.outbox
                    .send(spdy::reset(stream, ResetReason::Refused))
                    .await?;
            }
            Ok(relay) => {
                // spdystream drops data that overtakes the reply, so this is sent before the connection starts.
                let reply = self.encoder.syn_reply(stream, &Headers::default())?;
                self.outbox.send(reply).await?;
                if fin {
                    self.streams.finish(stream);
                }
                if let Some(relay) = relay {
                    self.start(relay);
                }
            }
        }
        Ok(())
    }

    fn start(&mut self, relay: Relay) {
        let (network, outbox) = (self.network.clone(), self.outbox.clone());
        self.connections.spawn(async move {
            let streams = match relay.voice {
                Voice::Streams { data, error } => [data, error],
                Voice::Channels { .. } => [0; 2],
            };
            if relay.run(&network, &outbox).await.is_err() {
                debug!("port-forward client left a connection");
            }
            streams
        });
    }

    async fn data(&mut self, stream: StreamId, fin: bool, bytes: Bytes) -> Result<(), TunnelError> {
        if let Some(inlet) = self.streams.inlet(stream)
            && !bytes.is_empty()
            && timeout(STALL, inlet.put(bytes)).await.is_err()
        {
            debug!(stream, "nobody reads a forwarded connection; reset");
            self.streams.reset(stream);
            self.outbox
                .send(spdy::reset(stream, ResetReason::FlowControl))
                .await?;
        }
        if fin {
            self.streams.finish(stream);
        }
        Ok(())
    }
}
