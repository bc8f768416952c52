//! Compressed streams, told apart by their first bytes, with a bound on what comes out.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

/// More came out of a stream than was allowed.
#[derive(Debug, thiserror::Error)]
#[error("more than {limit} come out of it")]
pub(crate) struct OverLimit {
    pub(crate) limit: u64,
}

impl OverLimit {
    /// The limit that was hit, when that is what `error` is about.
    pub(crate) fn of(error: &io::Error) -> Option<u64> {
        error.get_ref()?.downcast_ref::<Self>().map(|over| over.limit)
    }

    fn error(limit: u64) -> io::Error {
        io::Error::other(Self { limit })
    }
}

/// Undoes gzip or zstd where `reader` begins with their magic; passes everything else through.
pub(crate) fn decompress<'a, R: Read + 'a>(reader: R) -> io::Result<Box<dyn Read + 'a>> {
    let mut reader = BufReader::with_capacity(128 * 1024, reader);
    let head = reader.fill_buf()?;
    if head.starts_with(&[0x1f, 0x8b]) {
        Ok(Box::new(MultiGzDecoder::new(reader)))
    } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Ok(Box::new(zstd::stream::read::Decoder::with_buffer(reader)?))
    } else {
        Ok(Box::new(reader))
    }
}

/// Whether a file that begins with `head` is compressed.
pub(crate) fn is_compressed(head: &[u8]) -> bool {
    head.starts_with(&[0x1f, 0x8b]) || head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
}

/// Fails once more than `limit` bytes passed.
pub(crate) struct Bounded<R> {
    inner: R,
    limit: u64,
    left: u64,
}

impl<R: Read> Bounded<R> {
    pub(crate) fn new(inner: R, limit: u64) -> Self {
        Self {
            inner,
            limit,
            left: limit,
        }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        let read = n as u64;
        self.left = self
            .left
            .checked_sub(read)
            .ok_or_else(|| OverLimit::error(self.limit))?;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn gzip_zstd_and_plain_come_out_alike() {
        let plain = b"hello layer".repeat(100);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(&plain).unwrap();
        let forms = [
            plain.clone(),
            gzip.finish().unwrap(),
            zstd::encode_all(&plain[..], 3).unwrap(),
        ];
        for form in forms {
            let mut out = Vec::new();
            decompress(&form[..]).unwrap().read_to_end(&mut out).unwrap();
            assert_eq!(out, plain);
        }
    }

    #[test]
    fn a_bomb_is_stopped_at_the_limit() {
        let bomb = zstd::encode_all(io::repeat(0).take(1 << 26), 3).unwrap();
        let mut bounded = Bounded::new(decompress(&bomb[..]).unwrap(), 1 << 20);
        let error = io::copy(&mut bounded, &mut io::sink()).unwrap_err();
        assert_eq!(OverLimit::of(&error), Some(1 << 20));
    }
}
