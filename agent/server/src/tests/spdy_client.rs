//! A port-forward client: client-go's `handleConnection`, with the frames of the server's own code.

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;

use super::client::WebSocket;
use crate::forward::spdy::{Decoder, Encoder, Frame, Headers, StreamId};

/// What came on a stream, or everything else.
#[derive(Debug, Default)]
pub(super) struct Received {
    pub(super) data: Vec<u8>,
    pub(super) fin: bool,
}

pub(super) struct SpdyClient {
    socket: WebSocket,
    encoder: Encoder,
    decoder: Decoder,
    next: StreamId,
    /// Bytes the server gave back to our windows.
    pub(super) returned: usize,
}

impl SpdyClient {
    pub(super) fn new(socket: WebSocket) -> Self {
        Self {
            socket,
            encoder: Encoder::new().unwrap(),
            decoder: Decoder::new(),
            next: 1,
            returned: 0,
        }
    }

    /// Sends a frame, cut in two to show that messages are no frames.
    pub(super) async fn send(&mut self, frame: Frame) {
        let mut bytes = self.encoder.encode(&frame);
        let first = bytes.split_to(bytes.len() / 2);
        for part in [first, bytes] {
            self.socket.send(Message::Binary(part)).await.unwrap();
        }
    }

    pub(super) async fn data(&mut self, stream: StreamId, bytes: &[u8], fin: bool) {
        let bytes = Bytes::copy_from_slice(bytes);
        self.send(Frame::Data { stream, fin, bytes }).await;
    }

    pub(super) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.decoder.next().unwrap() {
                return Some(frame);
            }
            match self.socket.next().await?.ok()? {
                Message::Binary(bytes) => self.decoder.feed(&bytes),
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }

    /// Opens one stream and waits for its reply, as client-go does; the frame that came instead otherwise.
    pub(super) async fn open(&mut self, role: &str, port: u16, request: &str) -> Result<StreamId, Frame> {
        let stream = self.next;
        self.next += 2;
        let port = port.to_string();
        let headers = Headers::from([("streamtype", role), ("port", &port), ("requestid", request)]);
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
