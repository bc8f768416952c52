//! Frames to bytes.

use bytes::{BufMut, Bytes, BytesMut};

use super::headers::Deflater;
use super::{FLAG_FIN, Frame, Headers, ResetReason, SpdyError, StreamId, VERSION, kind};

/// Writes the frames that carry headers. These depend on all before them, so there is one encoder, and its
/// frames are sent in the order they were made. Every other frame is a free function.
#[derive(Debug)]
pub struct Encoder(Deflater);

impl Encoder {
    /// For a new connection.
    ///
    /// # Errors
    ///
    /// Where the compression cannot be set up.
    pub fn new() -> Result<Self, SpdyError> {
        Deflater::new().map(Self)
    }

    /// SYN_REPLY, §2.6.2: takes `stream` on.
    ///
    /// # Errors
    ///
    /// Where the headers cannot be compressed.
    pub fn syn_reply(&mut self, stream: StreamId, headers: &Headers) -> Result<Bytes, SpdyError> {
        let block = self.0.deflate(headers)?;
        Ok(control(kind::SYN_REPLY, 0, &[&stream.to_be_bytes(), &block]))
    }

    /// SYN_STREAM, §2.6.1: opens `stream`.
    ///
    /// # Errors
    ///
    /// Where the headers cannot be compressed.
    pub fn syn_stream(&mut self, stream: StreamId, fin: bool, headers: &Headers) -> Result<Bytes, SpdyError> {
        let block = self.0.deflate(headers)?;
        let flags = if fin { FLAG_FIN } else { 0 };
        // No associated stream, highest priority, no credential.
        let fixed = [0; 6];
        Ok(control(
            kind::SYN_STREAM,
            flags,
            &[&stream.to_be_bytes(), &fixed, &block],
        ))
    }

    /// Any frame.
    ///
    /// # Errors
    ///
    /// Where the headers cannot be compressed.
    pub fn encode(&mut self, frame: &Frame) -> Result<Bytes, SpdyError> {
        Ok(match frame {
            Frame::SynStream { stream, fin, headers } => self.syn_stream(*stream, *fin, headers)?,
            Frame::SynReply { stream, headers } => self.syn_reply(*stream, headers)?,
            Frame::RstStream { stream, reason } => control(
                kind::RST_STREAM,
                0,
                &[&stream.to_be_bytes(), &reason.to_be_bytes()],
            ),
            Frame::Ping(id) => ping(*id),
            Frame::GoAway { last, status } => go_away(*last, *status),
            Frame::WindowUpdate { stream, delta } => window_update(*stream, *delta),
            Frame::Data { stream, fin, bytes } => {
                let flags = if *fin { FLAG_FIN } else { 0 };
                framed(*stream, flags, &[bytes])
            }
            Frame::Other(kind) => control(*kind, 0, &[]),
        })
    }
}

/// DATA, §2.2.2.
#[must_use]
pub fn data(stream: StreamId, bytes: &[u8]) -> Bytes {
    framed(stream, 0, &[bytes])
}

/// An empty DATA that ends our direction of `stream`.
#[must_use]
pub fn finish(stream: StreamId) -> Bytes {
    framed(stream, FLAG_FIN, &[])
}

/// RST_STREAM, §2.6.3.
#[must_use]
pub fn reset(stream: StreamId, reason: ResetReason) -> Bytes {
    control(
        kind::RST_STREAM,
        0,
        &[&stream.to_be_bytes(), &(reason as u32).to_be_bytes()],
    )
}

/// PING, §2.6.5.
#[must_use]
pub fn ping(id: u32) -> Bytes {
    control(kind::PING, 0, &[&id.to_be_bytes()])
}

/// GOAWAY, §2.6.6; `status` 0 is a regular end, 1 a protocol error.
#[must_use]
pub fn go_away(last: StreamId, status: u32) -> Bytes {
    control(kind::GOAWAY, 0, &[&last.to_be_bytes(), &status.to_be_bytes()])
}

/// WINDOW_UPDATE, §2.6.8.
#[must_use]
pub fn window_update(stream: StreamId, delta: u32) -> Bytes {
    control(
        kind::WINDOW_UPDATE,
        0,
        &[&stream.to_be_bytes(), &delta.to_be_bytes()],
    )
}

fn control(kind: u16, flags: u8, parts: &[&[u8]]) -> Bytes {
    let word = 1 << 31 | u32::from(VERSION) << 16 | u32::from(kind);
    framed(word, flags, parts)
}

/// A head of eight bytes, §2.2, and `parts` behind it. What we send is far below the 24 bits of a length.
fn framed(word: u32, flags: u8, parts: &[&[u8]]) -> Bytes {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut frame = BytesMut::with_capacity(length.saturating_add(8));
    frame.put_u32(word);
    frame.put_u8(flags);
    frame.put_uint(u64::try_from(length).unwrap_or(u64::MAX), 3);
    for part in parts {
        frame.put_slice(part);
    }
    frame.freeze()
}
