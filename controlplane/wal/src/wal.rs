use std::ops::Range;

use bytes::Bytes;

use crate::meta::{self, MAX_META};
use crate::record::{self, MAX_PAYLOAD};
use crate::recover::{Files, recover};
use crate::segment::Segment;
use crate::{Disk, DiskFile, Options, Recovered, WalError, file};

/// The log; see the crate's documentation.
///
/// Records `first()..next()` are there. A new log begins at index 0.
#[derive(Debug)]
pub struct Wal<D: Disk> {
    disk: D,
    options: Options,
    files: Files<D::File>,
    buffer: Vec<u8>,
    synced: u64,
    stopped: bool,
}

/// A buffer that grew beyond it for one large append is given back.
const BUFFER_KEPT: usize = 1 << 20;

impl<D: Disk> Wal<D> {
    /// Opens the log on `disk`, or makes a new one where there is none. Everything that [`Recovered`] tells of is durable.
    ///
    /// # Errors
    ///
    /// [`WalError::Corrupt`] where anything that was acknowledged cannot be read back.
    pub fn open(disk: D, options: Options) -> Result<(Self, Recovered), WalError> {
        let (files, cut) = recover(&disk, &options)?;
        let wal = Self {
            disk,
            options,
            synced: files.active.next,
            files,
            buffer: Vec::new(),
            stopped: false,
        };
        let recovered = Recovered {
            first: wal.first(),
            last: wal.last(),
            meta: wal.meta().to_vec(),
            cut,
        };
        Ok((wal, recovered))
    }

    /// The first index that was not purged.
    pub fn first(&self) -> u64 {
        self.files.meta.content().first
    }

    /// The index that the next record must have.
    pub fn next(&self) -> u64 {
        self.files.active.next.max(self.first())
    }

    /// The last record's index, if there is any.
    pub fn last(&self) -> Option<u64> {
        (self.next() > self.first()).then(|| self.next() - 1)
    }

    /// Everything before this index survives a power cut.
    pub fn synced(&self) -> u64 {
        self.synced.max(self.first())
    }

    /// What was last given to [`set_meta`](Self::set_meta).
    pub fn meta(&self) -> &[u8] {
        &self.files.meta.content().data
    }

    /// Bytes that the log takes on disk.
    pub fn bytes(&self) -> u64 {
        let sealed: u64 = self.files.sealed.iter().map(|segment| segment.filled).sum();
        sealed + self.files.active.filled + meta::BYTES
    }

    /// Writes records, whose indexes continue the log, with one system call. They are durable after [`sync`](Self::sync).
    ///
    /// # Errors
    ///
    /// All or nothing, unless [`WalError::Failed`].
    pub fn append(&mut self, records: &[(u64, Bytes)]) -> Result<(), WalError> {
        self.check_running()?;
        self.check(records)?;
        if records.is_empty() {
            return Ok(());
        }
        let length: u64 = records.iter().map(|(_, payload)| size(payload)).sum();
        self.make_room(length)?;
        self.write(records, length)?;
        let active = &mut self.files.active;
        for (_, payload) in records {
            active.grow(size(payload));
        }
        Ok(())
    }

    fn check(&self, records: &[(u64, Bytes)]) -> Result<(), WalError> {
        for (expected, (found, payload)) in (self.next()..).zip(records) {
            if *found != expected {
                return Err(WalError::NotContiguous {
                    expected,
                    found: *found,
                });
            }
            if payload.len() > MAX_PAYLOAD {
                return Err(WalError::TooLarge {
                    what: "log record",
                    size: payload.len(),
                    limit: MAX_PAYLOAD,
                });
            }
        }
        Ok(())
    }

    /// Sees to it that `length` bytes can be written over zeros, before any of them is, so that a full disk is met here.
    fn make_room(&mut self, length: u64) -> Result<(), WalError> {
        let active = &self.files.active;
        let is_full = active.end + length > self.options.segment_bytes && active.next > active.first;
        if is_full || active.next != self.next() {
            self.start_segment(self.next())?;
        }
        let active = &mut self.files.active;
        let end = active.end + length;
        if end > active.filled {
            let filled = end.next_multiple_of(self.options.fill_bytes.max(1));
            file::fill(&active.file, active.filled, filled)
                .map_err(|source| WalError::not_written("append to the log", source))?;
            active.filled = filled;
        }
        Ok(())
    }

    fn write(&mut self, records: &[(u64, Bytes)], length: u64) -> Result<(), WalError> {
        let active = &mut self.files.active;
        self.buffer.clear();
        for (index, payload) in records {
            record::encode(active.seed, *index, active.synced, payload, &mut self.buffer);
        }
        let written = active.file.write_at(active.end, &self.buffer);
        self.buffer.shrink_to(BUFFER_KEPT);
        let Err(source) = written else {
            return Ok(());
        };
        // Some of it may be there, and must not be found after a crash.
        let end = active.end;
        let erased = file::fill(&active.file, end, end + length).and_then(|()| active.file.sync());
        let action = "append to the log";
        if erased.is_err() {
            return self.stop(WalError::Failed { action, source });
        }
        active.synced = end;
        self.synced = active.next;
        Err(WalError::not_written(action, source))
    }

    /// Makes everything appended survive a power cut.
    ///
    /// # Errors
    ///
    /// [`WalError::Failed`]: it is unknown what would be there after a power cut, and the log takes no more writes.
    pub fn sync(&mut self) -> Result<(), WalError> {
        self.check_running()?;
        let active = &mut self.files.active;
        if active.synced == active.end {
            return Ok(());
        }
        match active.file.sync() {
            Ok(()) => {
                active.synced = active.end;
                self.synced = active.next;
                Ok(())
            }
            Err(source) => self.stop(WalError::Failed {
                action: "sync the log",
                source,
            }),
        }
    }

    /// Records from the beginning of `range`: at least one, unless it is empty, and at most as many as fit into `max_bytes`;
    /// fewer where the next one is in another file.
    ///
    /// # Errors
    ///
    /// [`WalError::OutOfRange`] where the log does not hold all of it.
    pub fn read(&self, range: Range<u64>, max_bytes: usize) -> Result<Vec<(u64, Bytes)>, WalError> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        self.check_held(range.start)?;
        self.check_held(range.end - 1)?;
        let mut read = Vec::new();
        let holds = |segment: &&Segment<D::File>| segment.first <= range.start && range.start < segment.next;
        let all = self.files.sealed.iter().chain([&self.files.active]);
        if let Some(segment) = all.rev().find(holds) {
            segment.read(range, max_bytes, &mut read)?;
        }
        Ok(read)
    }

    fn check_held(&self, index: u64) -> Result<(), WalError> {
        let (first, next) = (self.first(), self.next());
        if index < first || index >= next {
            return Err(WalError::OutOfRange { index, first, next });
        }
        Ok(())
    }

    /// Forgets the records from `index` on; durable when it returns, as is everything before them. An index beyond the end
    /// changes nothing.
    ///
    /// # Errors
    ///
    /// [`WalError::OutOfRange`] for an index that was purged.
    pub fn truncate_from(&mut self, index: u64) -> Result<(), WalError> {
        self.check_running()?;
        if index >= self.next() {
            return Ok(());
        }
        self.check_held(index)?;
        self.start_segment(index)?;
        self.synced = index;
        Ok(())
    }

    /// Forgets the records up to and including `index`; durable when it returns. An index beyond the end leaves the log
    /// empty and makes it continue after `index`.
    ///
    /// # Errors
    ///
    /// The records are forgotten even where a file could not be removed; the next purge tries again.
    pub fn purge_through(&mut self, index: u64) -> Result<(), WalError> {
        self.check_running()?;
        if index >= self.first() {
            let data = self.meta().to_vec();
            let stored = self.files.meta.set(index.saturating_add(1), data);
            self.or_stop(stored)?;
        }
        self.remove_purged()
    }

    fn remove_purged(&mut self) -> Result<(), WalError> {
        let first = self.first();
        while let Some(oldest) = self.files.sealed.front().filter(|oldest| oldest.next <= first) {
            match self.disk.remove(&oldest.name) {
                Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                    return Err(WalError::NotWritten {
                        action: "remove a purged segment of the log",
                        source,
                    });
                }
                _ => drop(self.files.sealed.pop_front()),
            }
        }
        Ok(())
    }

    /// Keeps up to [`MAX_META`] bytes beside the records, in place of what was kept before; durable when it returns. It
    /// takes no space, so it works on a full disk, too.
    ///
    /// # Errors
    ///
    /// [`WalError::Failed`]: either the old or the new bytes will be there.
    pub fn set_meta(&mut self, data: &[u8]) -> Result<(), WalError> {
        self.check_running()?;
        if data.len() > MAX_META {
            return Err(WalError::TooLarge {
                what: "data beside the log",
                size: data.len(),
                limit: MAX_META,
            });
        }
        let stored = self.files.meta.set(self.first(), data.to_vec());
        self.or_stop(stored)
    }

    /// Continues the log with `first` in a new segment; the one before is synced, so that what it lacks later is damage.
    fn start_segment(&mut self, first: u64) -> Result<(), WalError> {
        self.sync()?;
        let sequence = self.files.active.sequence + 1;
        let created = Segment::create(&self.disk, sequence, first, self.options.fill_bytes);
        let created = self.or_stop(created)?;
        let finished = std::mem::replace(&mut self.files.active, created);
        self.files.sealed.push_back(finished);
        // From `first` on earlier segments are hidden.
        for segment in &mut self.files.sealed {
            segment.next = segment.next.min(first);
        }
        Ok(())
    }

    fn check_running(&self) -> Result<(), WalError> {
        if self.stopped {
            return Err(WalError::Stopped);
        }
        Ok(())
    }

    fn or_stop<T>(&mut self, result: Result<T, WalError>) -> Result<T, WalError> {
        match result {
            Err(error @ WalError::Failed { .. }) => self.stop(error),
            other => other,
        }
    }

    fn stop<T>(&mut self, error: WalError) -> Result<T, WalError> {
        self.stopped = true;
        Err(error)
    }
}

fn size(payload: &Bytes) -> u64 {
    record::size(payload.len()) as u64
}

#[cfg(test)]
mod tests;
