//! Header blocks: pairs of texts, compressed by one zlib stream for each direction of a connection.
//!
//! Source: SPDY/3.1, §2.6.10. Names are lower case, several values of a name are parted by a zero byte.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

use super::SpdyError;
use super::dictionary::DICTIONARY;

/// Largest header block taken, in bytes.
const MAX_BLOCK: usize = 64 * 1024;

/// Room added to the output at a time.
const STEP: usize = 4096;

/// The headers of a frame.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(BTreeMap<String, String>);

impl Headers {
    /// The value of `name`, which is lower case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Adds those of `other`.
    #[cfg(test)]
    pub(super) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    fn to_block(&self) -> BytesMut {
        let mut block = BytesMut::new();
        block.put_u32(length(self.0.len()));
        for text in self.0.iter().flat_map(|(name, value)| [name, value]) {
            block.put_u32(length(text.len()));
            block.put_slice(text.as_bytes());
        }
        block
    }

    fn from_block(mut block: Bytes) -> Result<Self, SpdyError> {
        let count = number(&mut block)?;
        let mut headers = BTreeMap::new();
        for _ in 0..count {
            let (name, value) = (text(&mut block)?, text(&mut block)?);
            if name.is_empty() || headers.insert(name.to_ascii_lowercase(), value).is_some() {
                return Err(SpdyError::Headers("a name is empty or comes twice"));
            }
        }
        Ok(Self(headers))
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Headers {
    fn from(pairs: [(&str, &str); N]) -> Self {
        Self(
            pairs
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        )
    }
}

fn length(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(u32::MAX)
}

fn number(block: &mut Bytes) -> Result<u32, SpdyError> {
    block
        .try_get_u32()
        .map_err(|_| SpdyError::Headers("a number is cut off"))
}

fn text(block: &mut Bytes) -> Result<String, SpdyError> {
    let length = usize::try_from(number(block)?).unwrap_or(usize::MAX);
    if length > block.len() {
        return Err(SpdyError::Headers("a text is cut off"));
    }
    let bytes = block.split_to(length);
    String::from_utf8(bytes.to_vec()).map_err(|_| SpdyError::Headers("a text is not UTF-8"))
}

/// The sending end of a direction.
#[derive(Debug)]
pub(super) struct Deflater(Compress);

impl Deflater {
    pub(super) fn new() -> Result<Self, SpdyError> {
        let mut zlib = Compress::new(Compression::default(), true);
        zlib.set_dictionary(&DICTIONARY)
            .map_err(|error| SpdyError::Deflate(Some(error)))?;
        Ok(Self(zlib))
    }

    /// Compresses a block and flushes, so that the peer can read all of it.
    pub(super) fn deflate(&mut self, headers: &Headers) -> Result<Vec<u8>, SpdyError> {
        let block = headers.to_block();
        let (start, mut output) = (self.0.total_in(), Vec::new());
        loop {
            let done = usize::try_from(self.0.total_in().wrapping_sub(start)).unwrap_or(usize::MAX);
            let rest = block.get(done..).unwrap_or_default();
            output.reserve(STEP);
            self.0
                .compress_vec(rest, &mut output, FlushCompress::Sync)
                .map_err(|error| SpdyError::Deflate(Some(error)))?;
            // zlib: the flush is complete once it left room in the output.
            if output.len() < output.capacity() {
                return Ok(output);
            }
        }
    }
}

/// The receiving end of a direction.
#[derive(Debug)]
pub(super) struct Inflater(Decompress);

impl Inflater {
    pub(super) fn new() -> Self {
        Self(Decompress::new(true))
    }

    /// Decompresses a block. An error leaves the direction unusable.
    pub(super) fn inflate(&mut self, block: &[u8]) -> Result<Headers, SpdyError> {
        let (start, mut output) = (self.0.total_in(), Vec::new());
        loop {
            let done = usize::try_from(self.0.total_in().wrapping_sub(start)).unwrap_or(usize::MAX);
            let rest = block.get(done..).unwrap_or_default();
            output.reserve(STEP);
            match self.0.decompress_vec(rest, &mut output, FlushDecompress::Sync) {
                Ok(_) => {}
                Err(error) if error.needs_dictionary().is_some() => {
                    self.0
                        .set_dictionary(&DICTIONARY)
                        .map_err(|error| SpdyError::Inflate(Some(error)))?;
                    continue;
                }
                Err(error) => return Err(SpdyError::Inflate(Some(error))),
            }
            if output.len() > MAX_BLOCK {
                return Err(SpdyError::Headers("the block is too large"));
            }
            if output.len() < output.capacity() {
                return Headers::from_block(output.into());
            }
        }
    }
}
