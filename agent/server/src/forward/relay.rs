//! One forwarded connection: a TCP connection in the pod on one side, two streams on the other.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::dial::dial;
use super::spdy::{self, ResetReason, StreamId};
use crate::access::PodNetwork;
use crate::refusal::chain;
use crate::wire::{Gone, Outbox};

/// Bytes of one DATA frame at most.
const PIECE: usize = 32 * 1024;

/// A connection to make, and the streams it is for.
#[derive(Debug)]
pub(crate) struct Relay {
    /// The stream that carries the bytes.
    pub(crate) data: StreamId,
    /// The stream that carries what went wrong.
    pub(crate) error: StreamId,
    /// Port in the pod.
    pub(crate) port: u16,
    /// What the client sends; its end is the client's end of the connection.
    pub(crate) from_client: mpsc::Receiver<Bytes>,
    /// The client has no more use for the connection.
    pub(crate) reset: CancellationToken,
}

/// How forwarding failed.
enum Failure {
    /// The client is gone.
    Gone,
    /// The connection in the pod broke.
    Pod(io::Error),
}

impl From<Gone> for Failure {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Pod(error)
    }
}

impl Relay {
    /// Forwards until both directions have ended, one breaks, or the client resets. Whatever happens, the error
    /// stream is ended: client-go waits for that before it lets go of its local connection.
    pub(crate) async fn run(mut self, network: &PodNetwork, to: &Outbox) -> Result<(), Gone> {
        let reset = self.reset.clone();
        match reset.run_until_cancelled(self.forward(network, to)).await {
            None | Some(Ok(())) => {}
            Some(Err(Failure::Gone)) => return Err(Gone),
            Some(Err(Failure::Pod(error))) => {
                // No message: client-go would give up all its connections for the sake of this one.
                debug!(
                    error = &error as &dyn std::error::Error,
                    port = self.port,
                    "forwarded connection broke"
                );
                to.send(spdy::reset(self.data, ResetReason::Internal)).await?;
            }
        }
        to.send(spdy::finish(self.error)).await
    }

    async fn forward(&mut self, network: &PodNetwork, to: &Outbox) -> Result<(), Failure> {
        let stream = match dial(network, self.port).await {
            Ok(stream) => stream,
            Err(error) => {
                let message = format!("error forwarding port {} to pod: {}", self.port, chain(&error));
                debug!(port = self.port, "{message}");
                to.send(spdy::data(self.error, message.as_bytes())).await?;
                return Ok(to.send(spdy::finish(self.data)).await?);
            }
        };
        self.copy(stream, to).await
    }

    async fn copy(&mut self, stream: TcpStream, to: &Outbox) -> Result<(), Failure> {
        let (from_pod, to_pod) = stream.into_split();
        let up = upwards(self.data, &mut self.from_client, to_pod, to);
        let down = downwards(self.data, from_pod, to);
        futures::try_join!(up, down)?;
        Ok(())
    }
}

/// From the client to the pod. What the pod has taken is given back to the client's window.
async fn upwards(
    stream: StreamId,
    from: &mut mpsc::Receiver<Bytes>,
    mut pod: OwnedWriteHalf,
    to: &Outbox,
) -> Result<(), Failure> {
    while let Some(bytes) = from.recv().await {
        pod.write_all(&bytes).await?;
        let delta = u32::try_from(bytes.len()).unwrap_or_default();
        to.send(spdy::window_update(stream, delta)).await?;
    }
    Ok(pod.shutdown().await?)
}

/// From the pod to the client.
async fn downwards(stream: StreamId, mut pod: OwnedReadHalf, to: &Outbox) -> Result<(), Failure> {
    let mut piece = BytesMut::with_capacity(PIECE);
    loop {
        piece.clear();
        if pod.read_buf(&mut piece).await? == 0 {
            return Ok(to.send(spdy::finish(stream)).await?);
        }
        to.send(spdy::data(stream, &piece)).await?;
    }
}
