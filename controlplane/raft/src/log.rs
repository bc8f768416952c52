use std::future::Future;
use std::ops::Range;

use bytes::Bytes;
use controlplane_store::{Cause, StateError};

/// A durable log of numbered records: what `controlplane-wal` is on disk and [`MemoryLog`] in memory.
///
/// Called from one thread only. Records `first()..next()` are there; a new log begins at 0. What writes may block its
/// thread, or wait where time is simulated; when it is dropped half way, it is unknown what was written.
pub trait Log: Send + 'static {
    /// The first index that was not purged.
    fn first(&self) -> u64;

    /// The index that the next record must have.
    fn next(&self) -> u64;

    /// What was last given to [`set_meta`](Self::set_meta); empty in a new log.
    fn meta(&self) -> Vec<u8>;

    /// Appends records whose indexes continue the log; they are durable when this returns.
    ///
    /// # Errors
    ///
    /// [`StateError::Full`] and [`StateError::NotWritten`] promise that nothing was changed.
    fn append(&mut self, records: &[(u64, Bytes)]) -> impl Future<Output = Result<(), StateError>> + Send;

    /// Records of `range` from its start on, as many as `max_bytes` holds and at least one.
    ///
    /// # Errors
    ///
    /// Where they are not there or are damaged.
    fn read(&self, range: Range<u64>, max_bytes: usize) -> Result<Vec<(u64, Bytes)>, StateError>;

    /// Forgets records from `index` on, durably.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    fn truncate_from(&mut self, index: u64) -> impl Future<Output = Result<(), StateError>> + Send;

    /// Forgets records up to `index`; where that is past the end, the log goes on after it.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    fn purge_through(&mut self, index: u64) -> impl Future<Output = Result<(), StateError>> + Send;

    /// Replaces the small data kept beside the records, durably and whole.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    fn set_meta(&mut self, data: &[u8]) -> impl Future<Output = Result<(), StateError>> + Send;
}

/// A log in memory, for tests. Clones are handles on the same log, so that one survives a server that ends.
#[derive(Debug, Clone, Default)]
pub struct MemoryLog(std::sync::Arc<std::sync::Mutex<Records>>);

#[derive(Debug, Default)]
struct Records {
    first: u64,
    records: std::collections::VecDeque<Bytes>,
    meta: Vec<u8>,
    full: bool,
}

impl Records {
    fn next(&self) -> u64 {
        self.first + self.records.len() as u64
    }

    fn check(&self) -> Result<(), StateError> {
        match self.full {
            true => Err(StateError::Full(Cause::from("no space left in memory"))),
            false => Ok(()),
        }
    }
}

impl MemoryLog {
    /// While `full`, appending fails as on a full disk.
    pub fn set_full(&self, full: bool) {
        self.records().full = full;
    }

    fn records(&self) -> std::sync::MutexGuard<'_, Records> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Log for MemoryLog {
    fn first(&self) -> u64 {
        self.records().first
    }

    fn next(&self) -> u64 {
        self.records().next()
    }

    fn meta(&self) -> Vec<u8> {
        self.records().meta.clone()
    }

    async fn append(&mut self, records: &[(u64, Bytes)]) -> Result<(), StateError> {
        let mut log = self.records();
        log.check()?;
        for (index, record) in records {
            if *index != log.next() {
                let gap = format!("record {index} after {}", log.next());
                return Err(StateError::Corrupt(Cause::from(gap)));
            }
            log.records.push_back(record.clone());
        }
        Ok(())
    }

    fn read(&self, range: Range<u64>, max_bytes: usize) -> Result<Vec<(u64, Bytes)>, StateError> {
        let log = self.records();
        let mut bytes = 0;
        let mut read = Vec::new();
        for index in range {
            let at = index
                .checked_sub(log.first)
                .and_then(|at| usize::try_from(at).ok());
            let Some(record) = at.and_then(|at| log.records.get(at)) else {
                return Err(StateError::Corrupt(Cause::from(format!("no record {index}"))));
            };
            bytes += record.len();
            if bytes > max_bytes && !read.is_empty() {
                break;
            }
            read.push((index, record.clone()));
        }
        Ok(read)
    }

    async fn truncate_from(&mut self, index: u64) -> Result<(), StateError> {
        let mut log = self.records();
        let kept = usize::try_from(index.saturating_sub(log.first)).unwrap_or(usize::MAX);
        log.records.truncate(kept);
        Ok(())
    }

    async fn purge_through(&mut self, index: u64) -> Result<(), StateError> {
        let mut log = self.records();
        while log.first <= index && log.records.pop_front().is_some() {
            log.first += 1;
        }
        log.first = log.first.max(index + 1);
        Ok(())
    }

    async fn set_meta(&mut self, data: &[u8]) -> Result<(), StateError> {
        self.records().meta = data.to_vec();
        Ok(())
    }
}
