//! An upgraded connection: what is said goes out through a bounded queue, and the end comes in good order. WebSocket
//! or plain bytes, shared by every kind of stream.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;

use agent_streams::channel::Form;
use agent_streams::spdy;
use bytes::{Bytes, BytesMut};
use futures::future::{Either, select};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, interval_at, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};
use tracing::debug;

/// The bytes beneath.
type Io = TokioIo<Upgraded>;

/// A WebSocket.
pub(crate) type Socket = WebSocketStream<Io>;

/// Messages that wait to be sent; a full queue blocks those who fill it, and with them the process or pod.
const QUEUE: usize = 16;

/// How often an unasked-for pong is sent (RFC 6455, §5.5.3). While input is blocked, pings go unread; client-go
/// gives up after a minute without a pong, and takes any. It also finds out a client that is no more, for which SPDY
/// has pings of ours.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// How long the client may take to answer our Close.
const FAREWELL: Duration = Duration::from_secs(5);

/// Bytes read at a time from a connection without messages.
const PIECE: usize = 32 * 1024;

/// An upgraded connection.
pub(crate) enum Link {
    /// A WebSocket; what is sent are messages in this form.
    WebSocket(Box<Socket>, Form),
    /// SPDY/3.1.
    Spdy(Io),
}

/// What the client sends.
pub(crate) enum Incoming {
    /// Messages.
    WebSocket(SplitStream<Socket>),
    /// Bytes, in pieces that mean nothing.
    Spdy(ReadHalf<Io>),
}

impl Incoming {
    /// The next message or piece; `None` once the client is gone, by whatever end. Pings are answered beneath, by
    /// tungstenite. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        match self {
            Self::WebSocket(messages) => next_message(messages).await,
            Self::Spdy(bytes) => {
                let mut piece = BytesMut::with_capacity(PIECE);
                let read = bytes.read_buf(&mut piece).await;
                read.is_ok_and(|count| count > 0).then(|| piece.freeze())
            }
        }
    }
}

async fn next_message(messages: &mut SplitStream<Socket>) -> Option<Bytes> {
    loop {
        match messages.next().await {
            Some(Ok(Message::Binary(bytes))) => return Some(bytes),
            Some(Ok(Message::Text(text))) => return Some(text.into()),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
            Some(Ok(Message::Close(_))) | None => return None,
            Some(Err(error)) => {
                debug!(
                    error = &error as &dyn std::error::Error,
                    "client of a stream is gone"
                );
                return None;
            }
        }
    }
}

/// The connection to the client is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client is gone")]
pub(crate) struct Gone;

/// Why nothing can be sent.
#[derive(Debug, thiserror::Error)]
#[error("send to a client")]
enum SendError {
    WebSocket(#[from] Box<WsError>),
    Bytes(#[from] io::Error),
}

/// Where messages to the client are put. The connection is closed once every clone is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Outbox(mpsc::Sender<Bytes>);

impl Outbox {
    /// Queues one message, or bytes; waits while the queue is full.
    ///
    /// # Errors
    ///
    /// [`Gone`] once nothing can be sent any more.
    pub(crate) async fn send(&self, message: Bytes) -> Result<(), Gone> {
        self.0.send(message).await.map_err(|_| Gone)
    }

    /// As [`Outbox::send`], where there is something to say at all.
    ///
    /// # Errors
    ///
    /// As there.
    pub(crate) async fn send_any(&self, message: Option<Bytes>) -> Result<(), Gone> {
        match message {
            Some(message) => self.send(message).await,
            None => Ok(()),
        }
    }
}

/// Runs a conversation over `link`. It gets what the client sends and an [`Outbox`]; when it is over it hands
/// back the former, and all that was queued is sent before the connection is closed in good order. Where it hands
/// back nothing, or the client leaves first, the connection is cut.
pub(crate) async fn drive<T, F>(link: Link, talk: T)
where
    T: FnOnce(Incoming, Outbox) -> F,
    F: Future<Output = Option<Incoming>>,
{
    let (sink, incoming) = split(link);
    let (sender, queue) = mpsc::channel(QUEUE);
    let talk = pin!(talk(incoming, Outbox(sender)));
    let writer = pin!(write(sink, queue));
    match select(talk, writer).await {
        Either::Left((Some(incoming), writer)) => part(incoming, writer).await,
        Either::Left((None, _)) => {}
        Either::Right((Ok(()), _)) => {}
        Either::Right((Err(error), _)) => {
            debug!(
                error = &error as &dyn std::error::Error,
                "stream to a client broke off"
            );
        }
    }
}

fn split(link: Link) -> (Sink, Incoming) {
    match link {
        Link::WebSocket(socket, form) => {
            let (sink, messages) = (*socket).split();
            (Sink::WebSocket(sink, form), Incoming::WebSocket(messages))
        }
        Link::Spdy(io) => {
            let (bytes, sink) = tokio::io::split(io);
            (Sink::Spdy(sink, 0), Incoming::Spdy(bytes))
        }
    }
}

/// The sending half.
enum Sink {
    WebSocket(SplitSink<Socket, Message>, Form),
    /// With the number of the last ping; a server's are even (SPDY/3.1, §2.6.5).
    Spdy(WriteHalf<Io>, u32),
}

impl Sink {
    async fn send(&mut self, bytes: Bytes) -> Result<(), SendError> {
        match self {
            Self::WebSocket(sink, form) => Ok(sink.send(message(*form, bytes)).await.map_err(Box::new)?),
            Self::Spdy(sink, _) => {
                sink.write_all(&bytes).await?;
                Ok(sink.flush().await?)
            }
        }
    }

    async fn beat(&mut self) -> Result<(), SendError> {
        match self {
            Self::WebSocket(sink, _) => Ok(sink.send(Message::Pong(Bytes::new())).await.map_err(Box::new)?),
            Self::Spdy(_, last) => {
                *last = last.wrapping_add(2);
                let ping = spdy::ping(*last);
                self.send(ping).await
            }
        }
    }

    async fn close(&mut self) -> Result<(), SendError> {
        match self {
            Self::WebSocket(sink, _) => {
                let normal = CloseFrame {
                    code: CloseCode::Normal,
                    reason: "".into(),
                };
                let close = sink.send(Message::Close(Some(normal)));
                Ok(close.await.map_err(Box::new)?)
            }
            Self::Spdy(sink, _) => Ok(sink.shutdown().await?),
        }
    }
}

/// Text where the form promises it; what is no text goes as it is.
fn message(form: Form, bytes: Bytes) -> Message {
    match form {
        Form::Binary => Message::Binary(bytes),
        Form::Base64 => match bytes.clone().try_into() {
            Ok(text) => Message::Text(text),
            Err(_) => Message::Binary(bytes),
        },
    }
}

async fn write(mut sink: Sink, mut queue: mpsc::Receiver<Bytes>) -> Result<(), SendError> {
    let mut heartbeat = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
    loop {
        tokio::select! {
            // Cancel-safe: a message leaves the queue only when it is returned.
            next = queue.recv() => match next {
                Some(bytes) => sink.send(bytes).await?,
                None => break,
            },
            // Cancel-safe: a tick not taken stays due.
            _ = heartbeat.tick() => sink.beat().await?,
        }
    }
    sink.close().await
}

/// Sends the rest and our Close, then waits for the client's. What it still sends is read and dropped: closing
/// a socket with unread input resets it, and the reset would overtake our last words.
async fn part(incoming: Incoming, writer: impl Future<Output = Result<(), SendError>>) {
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
    match &mut incoming {
        // Beyond the client's Close: what follows sends the answer to it.
        Incoming::WebSocket(messages) => while let Some(Ok(_)) = messages.next().await {},
        Incoming::Spdy(_) => while incoming.next().await.is_some() {},
    }
}
