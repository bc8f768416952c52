//! The sending half of a WebSocket and the end of its conversation, shared by every kind of stream.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{Either, select};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval_at, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};
use tracing::debug;

/// An upgraded connection.
pub(crate) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// What the client sends.
pub(crate) type Incoming = SplitStream<Socket>;

/// Messages that wait to be sent; a full queue blocks those who fill it, and with them the process or pod.
const QUEUE: usize = 16;

/// How often an unasked-for pong is sent (RFC 6455, §5.5.3). While input is blocked, pings go unread; client-go
/// gives up after a minute without a pong, and takes any. It also finds out a client that is no more.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// How long the client may take to answer our Close.
const FAREWELL: Duration = Duration::from_secs(5);

/// The connection to the client is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client is gone")]
pub(crate) struct Gone;

/// Where messages to the client are put. The connection is closed once every clone is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Outbox(mpsc::Sender<Bytes>);

impl Outbox {
    /// Queues one binary message; waits while the queue is full.
    ///
    /// # Errors
    ///
    /// [`Gone`] once nothing can be sent any more.
    pub(crate) async fn send(&self, message: Bytes) -> Result<(), Gone> {
        self.0.send(message).await.map_err(|_| Gone)
    }
}

/// Runs a conversation over `socket`. It gets what the client sends and an [`Outbox`]; when it is over it hands
/// back the former, and all that was queued is sent before the connection is closed in good order. Where the
/// client leaves first, the conversation is dropped.
pub(crate) async fn drive<T, F>(socket: Socket, talk: T)
where
    T: FnOnce(Incoming, Outbox) -> F,
    F: Future<Output = Incoming>,
{
    let (sink, incoming) = socket.split();
    let (sender, queue) = mpsc::channel(QUEUE);
    let talk = pin!(talk(incoming, Outbox(sender)));
    let writer = pin!(write(sink, queue));
    match select(talk, writer).await {
        Either::Left((incoming, writer)) => part(incoming, writer).await,
        Either::Right((Ok(()), _)) => {}
        Either::Right((Err(error), _)) => {
            debug!(
                error = &error as &dyn std::error::Error,
                "stream to a client broke off"
            );
        }
    }
}

async fn write(
    mut sink: SplitSink<Socket, Message>,
    mut queue: mpsc::Receiver<Bytes>,
) -> Result<(), WsError> {
    let mut heartbeat = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
    loop {
        let message = tokio::select! {
            // Cancel-safe: a message leaves the queue only when it is returned.
            next = queue.recv() => match next {
                Some(bytes) => Message::Binary(bytes),
                None => break,
            },
            // Cancel-safe: a tick not taken stays due.
            _ = heartbeat.tick() => Message::Pong(Bytes::new()),
        };
        sink.send(message).await?;
    }
    let normal = CloseFrame {
        code: CloseCode::Normal,
        reason: "".into(),
    };
    sink.send(Message::Close(Some(normal))).await
}

/// Sends the rest and our Close, then waits for the client's. What it still sends is read and dropped: closing
/// a socket with unread input resets it, and the reset would overtake our last words.
async fn part(incoming: Incoming, writer: impl Future<Output = Result<(), WsError>>) {
    let mut discarded = pin!(discard(incoming));
    tokio::select! {
        // Dropping the writer is what remains to be done when the client is gone.
        () = &mut discarded => return,
        // The writer ends only once all is sent, or nothing can be.
        sent = writer => if sent.is_err() { return },
    }
    if timeout(FAREWELL, discarded).await.is_err() {
        debug!("client did not close its side in time");
    }
}

async fn discard(mut incoming: Incoming) {
    while let Some(Ok(_)) = incoming.next().await {}
}
