//! One forwarded connection: a TCP connection in the pod on one side, two streams or channels on the other.

use std::io;
use std::pin::pin;
use std::time::Duration;

use bytes::BytesMut;
use futures::future::{Either, select};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::dial::dial;
use super::queue::Piece;
use super::voice::Voice;
use crate::access::PodNetwork;
use crate::refusal::chain;
use crate::wire::{Gone, Outbox};

/// Bytes of one DATA frame at most.
const PIECE: usize = 32 * 1024;

/// How long a reader in the pod may hold up its client before its connection is reset.
pub(crate) const STALL: Duration = Duration::from_secs(30);

/// How long a client may still send once the pod has said all. kubectl 1.20 lets go of its local connection only when
/// the error stream ends, and ends its side only then (containerd waits as long).
const LINGER: Duration = Duration::from_secs(1);

/// A connection to make, and whom it is for.
#[derive(Debug)]
pub(crate) struct Relay {
    /// How the client is told.
    pub(crate) voice: Voice,
    /// Port in the pod.
    pub(crate) port: u16,
    /// What the client sends; its end is the client's end of the connection.
    pub(crate) from_client: mpsc::Receiver<Piece>,
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
                to.send_any(self.voice.broken()).await?;
            }
        }
        to.send_any(self.voice.end_of_failures()).await
    }

    async fn forward(&mut self, network: &PodNetwork, to: &Outbox) -> Result<(), Failure> {
        let stream = match dial(network, self.port).await {
            Ok(stream) => stream,
            Err(error) => {
                let message = format!("error forwarding port {} to pod: {}", self.port, chain(&error));
                debug!(port = self.port, "{message}");
                to.send(self.voice.failure(&message)).await?;
                return Ok(to.send_any(self.voice.end()).await?);
            }
        };
        self.copy(stream, to).await
    }

    async fn copy(&mut self, stream: TcpStream, to: &Outbox) -> Result<(), Failure> {
        let (from_pod, to_pod) = stream.into_split();
        let up = upwards(self.voice, &mut self.from_client, to_pod, to);
        let down = downwards(self.voice, from_pod, to);
        match (select(pin!(down), pin!(up)).await, self.voice) {
            (Either::Right((fed, down)), _) => fed.and(down.await),
            // A client of channels has no way to end its side: the pod's end is the connection's.
            (Either::Left((ended, _)), Voice::Channels { .. }) => ended,
            (Either::Left((ended, up)), Voice::Streams { .. }) => {
                ended?;
                timeout(LINGER, up).await.unwrap_or(Ok(()))
            }
        }
    }
}

/// From the client to the pod. What the pod has taken is given back to the client's window.
async fn upwards(
    voice: Voice,
    from: &mut mpsc::Receiver<Piece>,
    mut pod: OwnedWriteHalf,
    to: &Outbox,
) -> Result<(), Failure> {
    while let Some(piece) = from.recv().await {
        pod.write_all(&piece.bytes).await?;
        to.send_any(voice.taken(piece.bytes.len())).await?;
    }
    Ok(pod.shutdown().await?)
}

/// From the pod to the client.
async fn downwards(voice: Voice, mut pod: OwnedReadHalf, to: &Outbox) -> Result<(), Failure> {
    let mut piece = BytesMut::with_capacity(PIECE);
    loop {
        piece.clear();
        if pod.read_buf(&mut piece).await? == 0 {
            return Ok(to.send_any(voice.end()).await?);
        }
        to.send(voice.data(&piece)).await?;
    }
}
