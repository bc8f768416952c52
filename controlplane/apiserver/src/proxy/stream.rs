//! A connection to a pod's port, by one pair of channels of a port-forward WebSocket.
//!
//! Source: kubelet, `pkg/cri/streaming/portforward/websocket.go`: channel 0 is the data, channel 1 what went wrong; the
//! first message of each is the port.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

const DATA: u8 = 0;
const ERROR: u8 = 1;

/// Bytes of one message at most.
const PIECE: usize = 32 * 1024;

/// The connection as a stream of bytes.
#[derive(Debug)]
pub(super) struct Forwarded<S> {
    socket: WebSocketStream<S>,
    /// What came and was not read yet.
    waiting: Bytes,
    /// Whether the port has come on each channel.
    begun: [bool; 2],
}

impl<S> Forwarded<S> {
    pub(super) fn new(socket: WebSocketStream<S>) -> Self {
        Self {
            socket,
            waiting: Bytes::new(),
            begun: [false; 2],
        }
    }

    /// Takes a message in.
    ///
    /// # Errors
    ///
    /// What the node says went wrong.
    fn take(&mut self, mut message: Bytes) -> io::Result<()> {
        if message.is_empty() {
            return Ok(());
        }
        let channel = message.split_to(1).first().copied().unwrap_or_default();
        let Some(begun) = self.begun.get_mut(usize::from(channel)) else {
            return Ok(());
        };
        if !std::mem::replace(begun, true) {
            message.advance(message.len().min(2));
        }
        match channel {
            DATA => self.waiting = message,
            ERROR if !message.is_empty() => {
                let text = String::from_utf8_lossy(&message).into_owned();
                return Err(io::Error::other(text));
            }
            _ => {}
        }
        Ok(())
    }
}

fn failed(error: WsError) -> io::Error {
    match error {
        WsError::Io(error) => error,
        WsError::ConnectionClosed | WsError::AlreadyClosed => io::ErrorKind::BrokenPipe.into(),
        other => io::Error::other(other),
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Forwarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.waiting.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) => self.take(bytes)?,
                Some(Ok(Message::Close(_))) | None => return Poll::Ready(Ok(())),
                Some(Ok(_)) => {}
                Some(Err(WsError::ConnectionClosed | WsError::AlreadyClosed)) => return Poll::Ready(Ok(())),
                Some(Err(error)) => return Poll::Ready(Err(failed(error))),
            }
        }
        let count = self.waiting.len().min(buf.remaining());
        buf.put_slice(&self.waiting.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Forwarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let piece = bytes.get(..PIECE).unwrap_or(bytes);
        ready!(Pin::new(&mut self.socket).poll_ready(cx)).map_err(failed)?;
        let mut message = BytesMut::with_capacity(piece.len().saturating_add(1));
        message.put_u8(DATA);
        message.put_slice(piece);
        let message = Message::Binary(message.freeze());
        Pin::new(&mut self.socket).start_send(message).map_err(failed)?;
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx).map_err(failed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.socket).poll_close(cx)) {
            Err(WsError::ConnectionClosed | WsError::AlreadyClosed) | Ok(()) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(failed(error))),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::{SinkExt, StreamExt};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::*;

    async fn pair() -> (Forwarded<DuplexStream>, WebSocketStream<DuplexStream>) {
        let (near, far) = duplex(64 * 1024);
        let near = WebSocketStream::from_raw_socket(near, Role::Client, None).await;
        let far = WebSocketStream::from_raw_socket(far, Role::Server, None).await;
        (Forwarded::new(near), far)
    }

    async fn says(far: &mut WebSocketStream<DuplexStream>, messages: &[&'static [u8]]) {
        for message in messages {
            let message = Message::Binary(Bytes::from_static(message));
            far.send(message).await.unwrap();
        }
    }

    #[tokio::test]
    async fn bytes_pass_both_ways_without_channels_and_ports() {
        let (mut near, mut far) = pair().await;
        near.write_all(b"hello").await.unwrap();
        near.flush().await.unwrap();
        assert_eq!(
            far.next().await.unwrap().unwrap().into_data().as_ref(),
            b"\0hello"
        );
        says(
            &mut far,
            &[b"\0\x50\0", b"\x01\x50\0", b"\0wor", b"", b"\x07x", b"\0ld"],
        )
        .await;
        far.close(None).await.unwrap();
        let mut said = String::new();
        near.read_to_string(&mut said).await.unwrap();
        assert_eq!(said, "world");
    }

    #[tokio::test]
    async fn what_went_wrong_is_an_error() {
        let (mut near, mut far) = pair().await;
        says(&mut far, &[b"\0\x50\0", b"\x01\x50\0", b"\x01connection refused"]).await;
        let error = near.read_u8().await.unwrap_err();
        assert_eq!(error.to_string(), "connection refused");
    }

    #[tokio::test]
    async fn a_far_end_that_reads_nothing_holds_the_writer_back() {
        let (mut near, _far) = pair().await;
        let flood = async {
            for _ in 0..10_000 {
                near.write_all(&[0; 10_000]).await.unwrap();
                near.flush().await.unwrap();
            }
        };
        let held = tokio::time::timeout(std::time::Duration::from_millis(300), flood).await;
        assert!(held.is_err(), "a hundred megabytes went nowhere");
    }
}
