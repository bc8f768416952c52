//! SPDY/3.1 frames as bytes and back. Pure.
//!
//! Source: "SPDY Protocol - Draft 3.1", §2.2 to §2.6, of which moby/spdystream, the only client, is the measure.

mod decode;
mod dictionary;
mod encode;
mod headers;
#[cfg(test)]
mod tests;

use bytes::Bytes;

pub use decode::Decoder;
pub use encode::{Encoder, data, finish, go_away, ping, reset, window_update};
pub use headers::Headers;

/// The version in every control frame; 3.1 differs from 3 in flow control only.
const VERSION: u16 = 3;

/// Largest frame taken, in bytes. The format allows 16 MiB; clients send 32 KiB.
const MAX_FRAME: usize = 1024 * 1024;

/// Set on the last frame of a direction of a stream.
const FLAG_FIN: u8 = 1;

/// Number of a stream: odd where the client opened it.
pub type StreamId = u32;

/// Numbers of the control frames, §2.6.
mod kind {
    pub(super) const SYN_STREAM: u16 = 1;
    pub(super) const SYN_REPLY: u16 = 2;
    pub(super) const RST_STREAM: u16 = 3;
    pub(super) const PING: u16 = 6;
    pub(super) const GOAWAY: u16 = 7;
    pub(super) const HEADERS: u16 = 8;
    pub(super) const WINDOW_UPDATE: u16 = 9;
}

/// Why a stream is reset, §2.6.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetReason {
    /// The stream breaks a rule.
    Protocol = 1,
    /// It was not taken on.
    Refused = 3,
    /// The connection behind it broke.
    Internal = 6,
    /// More came than is taken.
    FlowControl = 7,
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Opens a stream.
    SynStream {
        /// Its number.
        stream: StreamId,
        /// Nothing follows from the opener.
        fin: bool,
        /// What the opener says of it.
        headers: Headers,
    },
    /// Takes a stream on.
    SynReply {
        /// Its number.
        stream: StreamId,
        /// What there is to say.
        headers: Headers,
    },
    /// Ends a stream both ways at once.
    RstStream {
        /// Its number.
        stream: StreamId,
        /// Why.
        reason: u32,
    },
    /// To be sent back as it is.
    Ping(u32),
    /// No new streams from now on.
    GoAway {
        /// The last stream that was taken on.
        last: StreamId,
        /// 0 for a regular end.
        status: u32,
    },
    /// More may be sent on a stream.
    WindowUpdate {
        /// Its number.
        stream: StreamId,
        /// So many bytes.
        delta: u32,
    },
    /// Bytes of a stream.
    Data {
        /// Its number.
        stream: StreamId,
        /// Nothing follows.
        fin: bool,
        /// The bytes.
        bytes: Bytes,
    },
    /// A frame without meaning here: SETTINGS, late HEADERS, and numbers nobody has defined.
    Other(u16),
}

/// Why a peer's bytes are no SPDY; the connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum SpdyError {
    /// Not version 3.
    #[error("read a SPDY frame: version {0} instead of {VERSION}")]
    Version(u16),
    /// Larger than we take.
    #[error("read a SPDY frame: {0} bytes, more than {MAX_FRAME}")]
    TooLarge(usize),
    /// Shorter than its kind demands.
    #[error("read a SPDY frame of kind {0}: it is too short")]
    Short(u16),
    /// The header block does not decompress, or is larger than we take.
    #[error("decompress the headers of a SPDY frame")]
    Inflate(#[source] Option<flate2::DecompressError>),
    /// The header block is not what it should be inside.
    #[error("read the headers of a SPDY frame: {0}")]
    Headers(&'static str),
    /// A header block could not be compressed.
    #[error("compress the headers of a SPDY frame")]
    Deflate(#[source] Option<flate2::CompressError>),
}
