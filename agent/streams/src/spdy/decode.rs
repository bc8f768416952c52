//! Bytes to frames.

use bytes::{Buf, Bytes, BytesMut, TryGetError};

use super::headers::Inflater;
use super::{FLAG_FIN, Frame, MAX_FRAME, SpdyError, StreamId, VERSION, kind};

/// Bytes of a frame before its payload, §2.2.
const HEAD: usize = 8;

/// The bit that tells control frames from data.
const CONTROL: u32 = 1 << 31;

/// Reads a peer's frames from pieces of any size.
#[derive(Debug)]
pub struct Decoder {
    buffer: BytesMut,
    inflater: Inflater,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// For a new connection.
    #[must_use]
    pub fn new() -> Self {
        Self {
            buffer: BytesMut::new(),
            inflater: Inflater::new(),
        }
    }

    /// Takes what came.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame that is complete.
    ///
    /// # Errors
    ///
    /// What is not SPDY; the connection is then of no further use.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, SpdyError> {
        let Some(mut head) = self.buffer.get(..HEAD) else {
            return Ok(None);
        };
        let (word, last) = (head.get_u32(), head.get_u32());
        let [flags, length @ ..] = last.to_be_bytes();
        let length = length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        if length > MAX_FRAME {
            return Err(SpdyError::TooLarge(length));
        }
        if self.buffer.len() < HEAD.saturating_add(length) {
            return Ok(None);
        }
        self.buffer.advance(HEAD);
        let payload = self.buffer.split_to(length).freeze();
        self.frame(word, flags & FLAG_FIN != 0, payload).map(Some)
    }

    fn frame(&mut self, word: u32, fin: bool, payload: Bytes) -> Result<Frame, SpdyError> {
        if word & CONTROL == 0 {
            let stream = word;
            return Ok(Frame::Data {
                stream,
                fin,
                bytes: payload,
            });
        }
        let [high, low, kind @ ..] = word.to_be_bytes();
        let version = u16::from_be_bytes([high & 0x7f, low]);
        if version != VERSION {
            return Err(SpdyError::Version(version));
        }
        self.control(u16::from_be_bytes(kind), fin, payload)
    }

    fn control(&mut self, kind: u16, fin: bool, mut payload: Bytes) -> Result<Frame, SpdyError> {
        let short = |_: TryGetError| SpdyError::Short(kind);
        let mut number = || payload.try_get_u32().map_err(short);
        Ok(match kind {
            kind::SYN_STREAM => {
                let stream = id(number()?);
                // The associated stream, the priority and the credential have no meaning here.
                number()?;
                payload.try_get_u16().map_err(short)?;
                let headers = self.inflater.inflate(&payload)?;
                Frame::SynStream { stream, fin, headers }
            }
            kind::SYN_REPLY => Frame::SynReply {
                stream: id(number()?),
                headers: self.inflater.inflate(&payload)?,
            },
            kind::HEADERS => {
                // Without meaning, yet part of the compressed stream.
                number()?;
                self.inflater.inflate(&payload)?;
                Frame::Other(kind)
            }
            kind::RST_STREAM => Frame::RstStream {
                stream: id(number()?),
                reason: number()?,
            },
            kind::PING => Frame::Ping(number()?),
            kind::GOAWAY => Frame::GoAway {
                last: id(number()?),
                status: number()?,
            },
            kind::WINDOW_UPDATE => Frame::WindowUpdate {
                stream: id(number()?),
                delta: number()?,
            },
            other => Frame::Other(other),
        })
    }
}

/// The highest bit of a number is reserved.
fn id(raw: u32) -> StreamId {
    raw & !CONTROL
}
