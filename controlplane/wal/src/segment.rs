use std::io;
use std::ops::Range;

use bytes::Bytes;

use crate::file::{Window, fill};
use crate::record::{self, Decoded};
use crate::{Damage, Disk, DiskFile, WalError};

/// Bytes before the first record.
pub(crate) const HEADER: u64 = 64;
const MAGIC: &[u8; 8] = b"FLOEWAL\0";
const FORMAT: u32 = 1;
/// Distance of the places by which a read finds its record.
const MARK_EVERY: u64 = 64 << 10;
/// How much a scan reads at once.
const SCAN_PIECE: usize = 256 << 10;

/// One file of records. What counts of it is `first..next`; later segments may have hidden more that it holds.
#[derive(Debug)]
pub(crate) struct Segment<F> {
    pub(crate) sequence: u64,
    pub(crate) name: String,
    pub(crate) file: F,
    pub(crate) seed: u32,
    pub(crate) first: u64,
    pub(crate) next: u64,
    /// Where the next record goes.
    pub(crate) end: u64,
    /// Everything before it survives a power cut.
    pub(crate) synced: u64,
    /// The size of the file: zeros from `end` on.
    pub(crate) filled: u64,
    marks: Vec<(u64, u64)>,
}

/// The name of the segment with this sequence number.
pub(crate) fn name_of(sequence: u64) -> String {
    format!("{sequence:016x}.log")
}

/// The sequence number in a segment's name.
pub(crate) fn sequence_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log").filter(|digits| digits.len() == 16)?;
    u64::from_str_radix(digits, 16).ok()
}

/// Whether `name` is a file that was not finished when the program ended.
pub(crate) fn is_unfinished(name: &str) -> bool {
    name.ends_with(".new")
}

/// Makes a file whole before it has its name: `write` fills it, then it is synced and renamed.
pub(crate) fn create_whole<D: Disk>(
    disk: &D,
    name: &str,
    action: &'static str,
    write: impl FnOnce(&D::File) -> io::Result<()>,
) -> Result<D::File, WalError> {
    let unfinished = format!("{name}.new");
    let made = create_anew(disk, &unfinished).and_then(|file| {
        write(&file)?;
        file.sync()?;
        disk.rename(&unfinished, name)?;
        Ok(file)
    });
    let file = match made {
        Ok(file) => file,
        Err(source) => {
            // What cannot be removed now is removed when the log is opened, and replaced by the next attempt.
            drop(disk.remove(&unfinished));
            return Err(WalError::not_written(action, source));
        }
    };
    disk.sync()
        .map_err(|source| WalError::Failed { action, source })?;
    Ok(file)
}

fn create_anew<D: Disk>(disk: &D, name: &str) -> io::Result<D::File> {
    match disk.create(name) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            disk.remove(name)?;
            disk.create(name)
        }
        made => made,
    }
}

impl<F: DiskFile> Segment<F> {
    /// Makes the segment of `sequence`, which continues the log with `first`; it is durable when this returns.
    pub(crate) fn create<D: Disk<File = F>>(
        disk: &D,
        sequence: u64,
        first: u64,
        filled: u64,
    ) -> Result<Self, WalError> {
        let name = name_of(sequence);
        let header = header(sequence, first);
        let filled = filled.max(HEADER);
        let file = create_whole(disk, &name, "start a segment of the log", |file| {
            fill(file, HEADER, filled)?;
            file.write_at(0, &header)
        })?;
        Ok(Self::empty(sequence, name, file, seed_of(&header), first, filled))
    }

    /// Opens the segment of `sequence` and reads its header, no records.
    pub(crate) fn open<D: Disk<File = F>>(disk: &D, sequence: u64) -> Result<Self, WalError> {
        let name = name_of(sequence);
        let read = |source| WalError::Read {
            file: name.clone(),
            source,
        };
        let file = disk.open(&name).map_err(read)?;
        let filled = file.size().map_err(read)?;
        let mut header = [0; 64];
        file.read_at(0, &mut header).map_err(read)?;
        let first = check_header(&header, sequence, &name)?;
        Ok(Self::empty(sequence, name, file, seed_of(&header), first, filled))
    }

    fn empty(sequence: u64, name: String, file: F, seed: u32, first: u64, filled: u64) -> Self {
        Self {
            sequence,
            name,
            file,
            seed,
            first,
            next: first,
            end: HEADER,
            synced: HEADER,
            filled,
            marks: Vec::new(),
        }
    }

    /// Takes note of a record of `size` bytes at the end.
    pub(crate) fn grow(&mut self, size: u64) {
        if self
            .marks
            .last()
            .is_none_or(|(_, offset)| self.end - offset >= MARK_EVERY)
        {
            self.marks.push((self.next, self.end));
        }
        self.next += 1;
        self.end += size;
    }

    /// Reads records until one that is not readable or until `stop` is next, and returns up to where the segment had
    /// been synced when the last of them was written.
    pub(crate) fn scan(&mut self, stop: u64) -> Result<u64, WalError> {
        let mut found = Vec::new();
        let (mut at, mut next, mut synced) = (self.end, self.next, HEADER);
        let mut window = Window::over(&self.file, &self.name, SCAN_PIECE);
        while next < stop {
            let Decoded::Record {
                index,
                synced: then,
                size,
                ..
            } = decode_at(&mut window, self.seed, at)?
            else {
                break;
            };
            if index != next || then > at || then < synced {
                break;
            }
            let size = u64::try_from(size).unwrap_or(u64::MAX);
            found.push(size);
            (at, next, synced) = (at + size, next + 1, then);
        }
        for size in found {
            self.grow(size);
        }
        Ok(synced)
    }

    /// Reads all records up to before `stop`, each of which must be there.
    pub(crate) fn scan_whole(&mut self, stop: u64) -> Result<(), WalError> {
        self.scan(stop)?;
        self.synced = self.end;
        if self.next >= stop {
            return Ok(());
        }
        let mut window = Window::over(&self.file, &self.name, record::HEADER);
        let damage = match decode_at(&mut window, self.seed, self.end)? {
            Decoded::Blank => Damage::Missing(self.next),
            _ => Damage::Record,
        };
        Err(self.corrupt(self.end, damage))
    }

    /// Appends the records of `range`, which the segment holds, to `read`, at least one and up to `max_bytes` in all.
    pub(crate) fn read(
        &self,
        range: Range<u64>,
        max_bytes: usize,
        read: &mut Vec<(u64, Bytes)>,
    ) -> Result<(), WalError> {
        let after = self.marks.partition_point(|(index, _)| *index <= range.start);
        let Some((mut next, mut at)) = after
            .checked_sub(1)
            .and_then(|mark| self.marks.get(mark))
            .copied()
        else {
            return Err(self.corrupt(HEADER, Damage::Missing(range.start)));
        };
        let mut window = Window::over(&self.file, &self.name, max_bytes.clamp(4 << 10, SCAN_PIECE));
        let mut left = max_bytes;
        while next < range.end.min(self.next) {
            let Decoded::Record {
                index, payload, size, ..
            } = decode_at(&mut window, self.seed, at)?
            else {
                return Err(self.corrupt(at, Damage::Record));
            };
            if index != next {
                return Err(self.corrupt(at, Damage::Record));
            }
            if next >= range.start {
                if !read.is_empty() && payload.len() > left {
                    break;
                }
                left = left.saturating_sub(payload.len());
                let bytes = window.at(at, size)?.get(payload).unwrap_or_default();
                read.push((next, Bytes::copy_from_slice(bytes)));
            }
            (next, at) = (next + 1, at + u64::try_from(size).unwrap_or(u64::MAX));
        }
        Ok(())
    }

    pub(crate) fn corrupt(&self, offset: u64, damage: Damage) -> WalError {
        WalError::Corrupt {
            file: self.name.clone(),
            offset,
            damage,
        }
    }
}

/// What stands at `offset`, read as far as it takes to tell.
pub(crate) fn decode_at<F: DiskFile>(
    window: &mut Window<'_, F>,
    seed: u32,
    offset: u64,
) -> Result<Decoded, WalError> {
    let head = window.at(offset, record::HEADER)?;
    if head.len() < record::HEADER && record::is_zero(head) {
        return Ok(Decoded::Blank);
    }
    match record::decode(seed, head) {
        Decoded::Short(needed) => Ok(record::decode(seed, window.at(offset, needed)?)),
        decoded => Ok(decoded),
    }
}

fn header(sequence: u64, first: u64) -> [u8; 64] {
    let mut header = [0; 64];
    record::put(&mut header, 0, MAGIC);
    record::put(&mut header, 8, &FORMAT.to_le_bytes());
    record::put(&mut header, 16, &sequence.to_le_bytes());
    record::put(&mut header, 24, &first.to_le_bytes());
    let sum = seed_of(&header);
    record::put(&mut header, 12, &sum.to_le_bytes());
    header
}

/// The header's checksum, which is also the seed of the checksums of the segment's records.
fn seed_of(header: &[u8; 64]) -> u32 {
    let (before, after) = header.split_at(12);
    record::checksum(0, before, after.get(4..).unwrap_or_default())
}

fn check_header(header: &[u8; 64], sequence: u64, name: &str) -> Result<u64, WalError> {
    let found = record::u32_at(header, 8);
    let intact = seed_of(header) == record::u32_at(header, 12) && header.starts_with(MAGIC);
    if intact && found > FORMAT {
        return Err(WalError::NewerFormat {
            file: name.to_owned(),
            found,
            known: FORMAT,
        });
    }
    if !intact || record::u64_at(header, 16) != sequence {
        return Err(WalError::Corrupt {
            file: name.to_owned(),
            offset: 0,
            damage: Damage::Header,
        });
    }
    Ok(record::u64_at(header, 24))
}
