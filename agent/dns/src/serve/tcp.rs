//! Connections: RFC 7766.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::admission::Admission;
use crate::packet::Transport;
use crate::resolve::{Begun, Resolver};

/// Connections at once, and those of one client among them.
const MOST: usize = 256;
const MOST_EACH: usize = 32;
/// How long a connection may be idle, and a message may take to come or to go.
const IDLE: Duration = Duration::from_secs(10);
/// Pause after an error of the listener itself, such as too many open files.
const PAUSE: Duration = Duration::from_millis(50);

/// Answers connections to `listener` until `stop`.
pub(crate) async fn serve(listener: TcpListener, resolver: Arc<Resolver>, stop: CancellationToken) {
    let admission = Admission::new(MOST, MOST_EACH);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            // Cancel-safe: a token stays cancelled.
            () = stop.cancelled() => return,
            // Cancel-safe: a connection is taken only when this returns.
            accepted = listener.accept() => match accepted {
                Ok((stream, client)) => match admission.enter(client.ip()) {
                    // Closed at once: the client may ask another server.
                    None => resolver.counts.dropped.add(),
                    Some(place) => {
                        let resolver = Arc::clone(&resolver);
                        connections.spawn(async move {
                            if let Err(error) = converse(stream, &resolver).await {
                                debug!(error = &error as &dyn std::error::Error, %client, "connection ended");
                            }
                            drop(place);
                        });
                    }
                },
                Err(error) => {
                    debug!(error = &error as &dyn std::error::Error, "connection not accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            },
            // Cancel-safe: an ended task that was not taken is taken next time.
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Answers one message after the other, until the client closes or is silent for [`IDLE`].
async fn converse(mut stream: TcpStream, resolver: &Resolver) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    while let Some(length) = next_length(&mut stream).await? {
        buffer.resize(length.into(), 0);
        timeout(IDLE, stream.read_exact(&mut buffer)).await??;
        let (answer, rest) = match resolver.begin(&buffer, Transport::Tcp) {
            Begun::Answer(answer) => (answer, None),
            Begun::Wait(question) => resolver.finish(question).await,
            // Who sends what is no question has nothing to say that is worth waiting for.
            Begun::Drop => return Ok(()),
        };
        let written = timeout(IDLE, write(&mut stream, &answer)).await;
        if let Some(rest) = rest {
            rest.await;
        }
        written??;
    }
    Ok(())
}

/// The length of the next message; `None` at the end of the conversation.
async fn next_length(stream: &mut TcpStream) -> std::io::Result<Option<u16>> {
    match timeout(IDLE, stream.read_u16()).await {
        Ok(Ok(length)) => Ok(Some(length)),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
        Ok(Err(error)) => Err(error),
        Err(_) => Ok(None),
    }
}

async fn write(stream: &mut TcpStream, answer: &[u8]) -> std::io::Result<()> {
    let length = u16::try_from(answer.len()).map_err(std::io::Error::other)?;
    let mut framed = Vec::with_capacity(answer.len() + 2);
    framed.extend(length.to_be_bytes());
    framed.extend(answer);
    // One write, so that length and message travel in one packet.
    stream.write_all(&framed).await
}
