use std::io;

use crate::{DiskFile, WalError};

/// Reads a file in large pieces, for scans that want small ones.
#[derive(Debug)]
pub(crate) struct Window<'a, F> {
    file: &'a F,
    name: &'a str,
    start: u64,
    bytes: Vec<u8>,
    piece: usize,
}

impl<'a, F: DiskFile> Window<'a, F> {
    /// A window that reads at least `piece` bytes at once.
    pub(crate) fn over(file: &'a F, name: &'a str, piece: usize) -> Self {
        Self {
            file,
            name,
            start: 0,
            bytes: Vec::new(),
            piece,
        }
    }

    /// The `length` bytes at `offset`, fewer at the end of the file.
    pub(crate) fn at(&mut self, offset: u64, length: usize) -> Result<&[u8], WalError> {
        if self.held(offset, length).is_none() {
            self.load(offset, length).map_err(|source| WalError::Read {
                file: self.name.to_owned(),
                source,
            })?;
        }
        let skip = usize::try_from(offset.saturating_sub(self.start)).unwrap_or(usize::MAX);
        let rest = self.bytes.get(skip..).unwrap_or_default();
        Ok(rest.get(..length).unwrap_or(rest))
    }

    fn held(&self, offset: u64, length: usize) -> Option<&[u8]> {
        let skip = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        self.bytes.get(skip..skip.checked_add(length)?)
    }

    fn load(&mut self, offset: u64, length: usize) -> io::Result<()> {
        self.start = offset;
        self.bytes.clear();
        self.bytes.resize(length.max(self.piece), 0);
        let read = self.file.read_at(offset, &mut self.bytes)?;
        self.bytes.truncate(read);
        Ok(())
    }
}

/// Writes zeros from `start` to `end`, in pieces that bound the memory.
pub(crate) fn fill(file: &impl DiskFile, start: u64, end: u64) -> io::Result<()> {
    static ZEROS: [u8; 256 << 10] = [0; 256 << 10];
    let mut at = start;
    while at < end {
        let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(ZEROS.len());
        file.write_at(at, ZEROS.get(..length).unwrap_or_default())?;
        at += u64::try_from(length).unwrap_or(u64::MAX);
    }
    Ok(())
}
