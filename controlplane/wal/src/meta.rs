use std::io;

use crate::segment::create_whole;
use crate::{Damage, Disk, DiskFile, WalError, record};

/// Most bytes of the caller's that the log keeps beside its records.
pub const MAX_META: usize = 4000;

pub(crate) const NAME: &str = "meta";
/// Bytes that the file takes on disk.
pub(crate) const BYTES: u64 = 2 * SLOT as u64;
const SLOT: usize = 4096;
const HEAD: usize = 40;
const MAGIC: &[u8; 8] = b"FLOEMETA";
const FORMAT: u32 = 1;

/// What the file says: each slot has all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Content {
    /// Counts the changes; the slot with the higher number is the newer.
    number: u64,
    /// Records before it do not count any more.
    pub(crate) first: u64,
    /// The caller's.
    pub(crate) data: Vec<u8>,
}

/// The file with the caller's bytes, twice.
///
/// A change writes and syncs one slot, then the other, so at any time one of them is whole; a slot damaged later
/// is covered by the other. Both are overwritten in place: a full disk does not stop a vote.
#[derive(Debug)]
pub(crate) struct Meta<F> {
    file: F,
    content: Content,
    /// The slot that may be torn, to be written first.
    suspect: usize,
}

impl<F: DiskFile> Meta<F> {
    /// Makes the file of a new log.
    pub(crate) fn create<D: Disk<File = F>>(disk: &D) -> Result<Self, WalError> {
        let content = Content::default();
        let slot = encode(&content);
        let file = create_whole(disk, NAME, "make the log", |file| {
            file.write_at(0, &slot)?;
            file.write_at(SLOT as u64, &slot)
        })?;
        Ok(Self {
            file,
            content,
            suspect: 0,
        })
    }

    /// Reads the file and makes both slots whole again.
    pub(crate) fn open<D: Disk<File = F>>(disk: &D) -> Result<Self, WalError> {
        let read = |source| WalError::Read {
            file: NAME.to_owned(),
            source,
        };
        let file = disk.open(NAME).map_err(read)?;
        let mut slots = [0; 2 * SLOT];
        file.read_at(0, &mut slots).map_err(read)?;
        let (first, second) = slots.split_at(SLOT);
        let (content, suspect) = match (decode(first)?, decode(second)?) {
            (Some(first), Some(second)) if second.number > first.number => (second, 0),
            (Some(first), _) => (first, 1),
            (None, Some(second)) => (second, 0),
            (None, None) => {
                return Err(WalError::Corrupt {
                    file: NAME.to_owned(),
                    offset: 0,
                    damage: Damage::Meta,
                });
            }
        };
        let mut meta = Self {
            file,
            content: Content::default(),
            suspect,
        };
        meta.store(content)?;
        Ok(meta)
    }

    pub(crate) fn content(&self) -> &Content {
        &self.content
    }

    /// Replaces what the file says; it is durable when this returns.
    pub(crate) fn set(&mut self, first: u64, data: Vec<u8>) -> Result<(), WalError> {
        self.store(Content {
            number: self.content.number + 1,
            first,
            data,
        })
    }

    fn store(&mut self, content: Content) -> Result<(), WalError> {
        let slot = encode(&content);
        let written = self
            .write(self.suspect, &slot)
            .and_then(|()| self.write(1 - self.suspect, &slot));
        written.map_err(|source| WalError::Failed {
            action: "write the log's meta file",
            source,
        })?;
        self.content = content;
        Ok(())
    }

    fn write(&self, which: usize, slot: &[u8]) -> io::Result<()> {
        self.file.write_at((which * SLOT) as u64, slot)?;
        self.file.sync()
    }
}

fn encode(content: &Content) -> Vec<u8> {
    let mut slot = vec![0; HEAD];
    record::put(&mut slot, 0, MAGIC);
    record::put(&mut slot, 8, &FORMAT.to_le_bytes());
    record::put(&mut slot, 16, &content.number.to_le_bytes());
    record::put(&mut slot, 24, &content.first.to_le_bytes());
    record::put(&mut slot, 32, &(content.data.len() as u64).to_le_bytes());
    slot.extend_from_slice(&content.data);
    slot.resize(SLOT, 0);
    let sum = checksum(&slot);
    record::put(&mut slot, 12, &sum.to_le_bytes());
    slot
}

/// The content of a slot; none where its checksum does not match.
fn decode(slot: &[u8]) -> Result<Option<Content>, WalError> {
    if !slot.starts_with(MAGIC) || checksum(slot) != record::u32_at(slot, 12) {
        return Ok(None);
    }
    let found = record::u32_at(slot, 8);
    if found > FORMAT {
        return Err(WalError::NewerFormat {
            file: NAME.to_owned(),
            found,
            known: FORMAT,
        });
    }
    let length = usize::try_from(record::u64_at(slot, 32)).unwrap_or(usize::MAX);
    let data = slot.get(HEAD..).and_then(|rest| rest.get(..length));
    Ok(data.map(|data| Content {
        number: record::u64_at(slot, 16),
        first: record::u64_at(slot, 24),
        data: data.to_vec(),
    }))
}

fn checksum(slot: &[u8]) -> u32 {
    let (before, after) = slot.split_at_checked(12).unwrap_or_default();
    record::checksum(0, before, after.get(4..).unwrap_or_default())
}
