//! The one binary encoding: what the log holds and what members send each other.
//!
//! Numbers are little-endian and of fixed width, texts and lists are preceded by a length of 32 bits. Reading never
//! panics and takes memory in proportion to its input.

use bytes::Bytes;

/// Why bytes could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// They end too early, or announce more than there is.
    #[error("the bytes end too early")]
    Short,
    /// Something follows the end.
    #[error("{0} bytes follow the end")]
    Trailing(usize),
    /// They were written by a newer program, or by none.
    #[error("version {found} of the encoding is unknown")]
    Version {
        /// The version found.
        found: u8,
    },
    /// No variant has this tag.
    #[error("tag {found} is unknown")]
    Tag {
        /// The tag found.
        found: u8,
    },
    /// A text is not UTF-8.
    #[error("a text is not UTF-8")]
    Text(#[from] std::str::Utf8Error),
    /// A part breaks its own rules.
    #[error("a part of the bytes is invalid")]
    Invalid(#[source] crate::Cause),
}

/// Collects bytes.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// One that takes about `bytes` bytes without growing.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// What was written.
    #[must_use]
    pub fn finish(self) -> Bytes {
        Bytes::from(self.0)
    }

    /// One byte.
    pub fn u8(&mut self, number: u8) {
        self.0.push(number);
    }

    /// A number of 32 bits.
    pub fn u32(&mut self, number: u32) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    /// A number of 64 bits.
    pub fn u64(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    /// The length of a list or text. Nothing that the store takes comes near 4 GiB; longer would read as an error.
    pub fn length(&mut self, length: usize) {
        self.u32(u32::try_from(length).unwrap_or(u32::MAX));
    }

    /// Bytes and their length.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    /// A text and its length.
    pub fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// A byte that says whether there is something, then that.
    pub fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.u8(u8::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }
}

/// Takes bytes apart.
#[derive(Debug, Clone)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Reads `bytes` from the start.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, tail) = self.0.split_first_chunk::<N>().ok_or(DecodeError::Short)?;
        self.0 = tail;
        Ok(*head)
    }

    /// One byte.
    ///
    /// # Errors
    ///
    /// Where there is none.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        self.take().map(u8::from_le_bytes)
    }

    /// A number of 32 bits.
    ///
    /// # Errors
    ///
    /// Where the bytes end too early.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.take().map(u32::from_le_bytes)
    }

    /// A number of 64 bits.
    ///
    /// # Errors
    ///
    /// Where the bytes end too early.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.take().map(u64::from_le_bytes)
    }

    /// Bytes after their length.
    ///
    /// # Errors
    ///
    /// Where the bytes end too early.
    pub fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = usize::try_from(self.u32()?).map_err(|_| DecodeError::Short)?;
        let (head, tail) = self.0.split_at_checked(length).ok_or(DecodeError::Short)?;
        self.0 = tail;
        Ok(head)
    }

    /// A text after its length.
    ///
    /// # Errors
    ///
    /// Where the bytes end too early or are not UTF-8.
    pub fn text(&mut self) -> Result<&'a str, DecodeError> {
        Ok(std::str::from_utf8(self.bytes()?)?)
    }

    /// What [`Writer::option`] wrote.
    ///
    /// # Errors
    ///
    /// Where the bytes end too early, or `read` fails.
    pub fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        match self.u8()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            found => Err(DecodeError::Tag { found }),
        }
    }

    /// A list after its length.
    ///
    /// # Errors
    ///
    /// Where the list is longer than the bytes that are left, or `read` fails.
    pub fn list<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let length = usize::try_from(self.u32()?).map_err(|_| DecodeError::Short)?;
        // Each element takes a byte at least.
        if length > self.0.len() {
            return Err(DecodeError::Short);
        }
        // Not reserved at once: an element in memory is larger than the least that encodes it.
        let mut list = Vec::new();
        for _ in 0..length {
            list.push(read(self)?);
        }
        Ok(list)
    }

    /// Bytes that are left.
    #[must_use]
    pub fn left(&self) -> usize {
        self.0.len()
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    ///
    /// Where something is.
    pub fn end(&self) -> Result<(), DecodeError> {
        match self.0.len() {
            0 => Ok(()),
            left => Err(DecodeError::Trailing(left)),
        }
    }
}
