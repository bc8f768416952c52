//! A SPDY client: client-go's `handleConnection` and its exec, with the frames of the server's own code.

use bytes::{Bytes, BytesMut};
use futures::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;

use super::client::WebSocket;
use agent_streams::spdy::{Decoder, Encoder, Frame, Headers, StreamId};

/// What came on a stream, or everything else.
#[derive(Debug, Default)]
pub(super) struct Received {
    pub(super) data: Vec<u8>,
    pub(super) fin: bool,
}

/// Beneath the frames.
enum Wire {
    WebSocket(Box<WebSocket>),
    Bytes(TokioIo<Upgraded>),
}

pub(super) struct SpdyClient {
    wire: Wire,
    encoder: Encoder,
    decoder: Decoder,
    next: StreamId,
    /// Bytes the server gave back to our windows.
    pub(super) returned: usize,
}

impl SpdyClient {
    pub(super) fn new(socket: WebSocket) -> Self {
        Self::over(Wire::WebSocket(Box::new(socket)))
    }

    /// Without a WebSocket.
    pub(super) fn plain(io: Upgraded) -> Self {
        Self::over(Wire::Bytes(TokioIo::new(io)))
    }

    fn over(wire: Wire) -> Self {
        Self {
            wire,
            encoder: Encoder::new().unwrap(),
            decoder: Decoder::new(),
            next: 1,
            returned: 0,
        }
    }

    /// Sends a frame, cut in two to show that messages are no frames.
    pub(super) async fn send(&mut self, frame: Frame) {
        let bytes = self.encoder.encode(&frame).unwrap();
        self.send_raw(bytes).await.unwrap();
    }

    /// Sends any bytes.
    pub(super) async fn send_raw(&mut self, mut bytes: Bytes) -> Option<()> {
        let first = bytes.split_to(bytes.len() / 2);
        for part in [first, bytes] {
            match &mut self.wire {
                Wire::WebSocket(socket) => socket.send(Message::Binary(part)).await.ok()?,
                Wire::Bytes(io) => io.write_all(&part).await.ok()?,
            }
        }
        Some(())
    }

    pub(super) async fn data(&mut self, stream: StreamId, bytes: &[u8], fin: bool) {
        let bytes = Bytes::copy_from_slice(bytes);
        self.send(Frame::Data { stream, fin, bytes }).await;
    }

    pub(super) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                return Some(frame);
            }
            match &mut self.wire {
                Wire::WebSocket(socket) => match socket.next().await?.ok()? {
                    Message::Binary(bytes) => self.decoder.feed(&bytes),
                    Message::Close(_) => return None,
                    _ => {}
                },
                Wire::Bytes(io) => {
                    let mut bytes = BytesMut::new();
                    if io.read_buf(&mut bytes).await.ok()? == 0 {
                        return None;
                    }
                    self.decoder.feed(&bytes);
                }
            }
        }
    }

    /// Opens a stream of exec or attach, whose only header is its type.
    pub(super) async fn stream(&mut self, role: &str) -> Result<StreamId, Frame> {
        self.syn(Headers::from([("streamtype", role)])).await
    }

    /// Opens one stream and waits for its reply, as client-go does; the frame that came instead otherwise.
    pub(super) async fn open(&mut self, role: &str, port: u16, request: &str) -> Result<StreamId, Frame> {
        let port = port.to_string();
        let headers = Headers::from([("streamtype", role), ("port", &port), ("requestid", request)]);
        self.syn(headers).await
    }

    async fn syn(&mut self, headers: Headers) -> Result<StreamId, Frame> {
        let stream = self.next;
        self.next += 2;
        let fin = false;
        self.send(Frame::SynStream { stream, fin, headers }).await;
        match self.next().await.unwrap() {
            Frame::SynReply { stream: taken, .. } if taken == stream => Ok(stream),
            other => Err(other),
        }
    }

    /// Opens both streams of a connection: error, then data.
    pub(super) async fn connect(&mut self, port: u16, request: &str) -> (StreamId, StreamId) {
        let error = self.open("error", port, request).await.unwrap();
        self.data(error, b"", true).await;
        let data = self.open("data", port, request).await.unwrap();
        (error, data)
    }

    /// Reads until both streams have ended.
    pub(super) async fn finish(&mut self, error: StreamId, data: StreamId) -> (Received, Received) {
        let mut received = (Received::default(), Received::default());
        while !(received.0.fin && received.1.fin) {
            match self.next().await.expect("the tunnel stays open") {
                Frame::Data { stream, fin, bytes } => {
                    let of = if stream == error {
                        &mut received.0
                    } else {
                        &mut received.1
                    };
                    assert!([error, data].contains(&stream) && !of.fin, "stream {stream}");
                    of.data.extend_from_slice(&bytes);
                    of.fin = fin;
                }
                Frame::WindowUpdate { delta, .. } => self.returned += usize::try_from(delta).unwrap(),
                Frame::RstStream { stream, .. } if stream == data => received.1.fin = true,
                other => panic!("{other:?}"),
            }
        }
        received
    }
}
