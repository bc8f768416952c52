//! The log as the consensus library wants it: one task owns the [`Log`], the newest entries are kept decoded.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use controlplane_store::StateError;
use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{AnyError, EntryPayload, LogState, OptionalSend, RaftLogReader};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tracing::warn;

use crate::health::{Health, Part, ended};
use crate::log::Log;
use crate::types::{Entry, LogId, Payload, StorageError, StorageIoError, Types, Vote};
use crate::wire::{Meta, decode_entry, encode_entry, payload_size};

/// Jobs that may wait for the log; the library has at most one append under way.
const QUEUE: usize = 64;
/// Newest entries kept decoded, by number and by bytes.
const TAIL_ENTRIES: usize = 4096;
const TAIL_BYTES: usize = 16 << 20;
/// Bytes of entries sent to a peer at once; one entry may be larger.
const MAX_READ: usize = 1 << 20;
/// How soon a full disk is tried again.
const RETRY: Duration = Duration::from_millis(500);

type Reply<T> = oneshot::Sender<Result<T, StateError>>;

/// What the owner of the log is asked to do.
pub(crate) enum Job {
    Append {
        entries: Vec<Entry>,
        flushed: LogFlushed<Types>,
    },
    Meta {
        meta: Meta,
        reply: Reply<()>,
    },
    Truncate {
        from: u64,
        reply: Reply<()>,
    },
    Purge {
        meta: Meta,
        through: u64,
        reply: Reply<()>,
    },
    Read {
        range: Range<u64>,
        max_bytes: usize,
        reply: Reply<Vec<Entry>>,
    },
}

/// What changes the log.
#[derive(Debug, Clone, Copy)]
enum Write<'a> {
    Append(&'a [(u64, Bytes)]),
    Meta(&'a [u8]),
    Truncate(u64),
    Purge(u64),
}

/// The handle that the library holds. Clones share the log.
#[derive(Debug, Clone)]
pub(crate) struct LogStore {
    jobs: mpsc::Sender<Job>,
    tail: Arc<Mutex<Tail>>,
}

/// The newest entries, and what is known of the rest.
#[derive(Debug)]
struct Tail {
    meta: Meta,
    last: Option<LogId>,
    entries: VecDeque<(Entry, usize)>,
    bytes: usize,
    /// Bytes appended since the log was last purged.
    since_purge: usize,
}

/// Owns the log and does the jobs, in order.
#[derive(Debug)]
pub(crate) struct LogOwner<L> {
    log: L,
    jobs: mpsc::Receiver<Job>,
    health: Arc<Health>,
    stop: watch::Receiver<bool>,
}

/// Takes `log` over: the handle, and what must run for it to answer.
///
/// # Errors
///
/// Where what the log holds cannot be read.
pub(crate) async fn split<L: Log>(
    mut log: L,
    health: Arc<Health>,
    stop: watch::Receiver<bool>,
) -> Result<(LogStore, LogOwner<L>), StateError> {
    let meta = Meta::decode(&log.meta()).map_err(|error| StateError::Corrupt(error.into()))?;
    if let Some(purged) = meta.purged
        && log.first() <= purged.index
    {
        // A crash came between noting the purge and doing it.
        log.purge_through(purged.index).await?;
    }
    let last = match log.next().checked_sub(1).filter(|last| *last >= log.first()) {
        Some(last) => read(&log, last..last + 1, MAX_READ)?
            .first()
            .map(|entry| entry.log_id),
        None => meta.purged,
    };
    let (sender, jobs) = mpsc::channel(QUEUE);
    let tail = Tail {
        meta,
        last,
        entries: VecDeque::new(),
        bytes: 0,
        since_purge: 0,
    };
    let store = LogStore {
        jobs: sender,
        tail: Arc::new(Mutex::new(tail)),
    };
    Ok((
        store,
        LogOwner {
            log,
            jobs,
            health,
            stop,
        },
    ))
}

impl<L: Log> LogOwner<L> {
    /// Does jobs until told to stop, or until every handle is gone. Blocks its thread on the disk.
    pub(crate) async fn run(mut self) {
        while let Some(job) = self.receive().await {
            self.carry_out(job).await;
        }
    }

    async fn receive(&mut self) -> Option<Job> {
        tokio::select! {
            biased;
            // Cancel-safe: a job not returned stays in the queue.
            job = self.jobs.recv() => job,
            // Cancel-safe: the value stays.
            _ = self.stop.wait_for(|stop| *stop) => None,
        }
    }

    async fn carry_out(&mut self, job: Job) {
        match job {
            Job::Append { entries, flushed } => {
                let appended = self.append(&entries).await;
                flushed.log_io_completed(appended.map_err(std::io::Error::other));
            }
            Job::Meta { meta, reply } => {
                let meta = meta.encode();
                answer(reply, self.patiently(Write::Meta(&meta)).await);
            }
            Job::Truncate { from, reply } => {
                answer(reply, self.patiently(Write::Truncate(from)).await);
            }
            Job::Purge { meta, through, reply } => {
                let meta = meta.encode();
                let mut purged = self.patiently(Write::Meta(&meta)).await;
                if purged.is_ok() {
                    purged = self.patiently(Write::Purge(through)).await;
                }
                answer(reply, purged);
            }
            Job::Read {
                range,
                max_bytes,
                reply,
            } => answer(reply, read(&self.log, range, max_bytes)),
        }
    }

    /// Appends `entries`. Where the disk is full, those that were decided here and seen by nobody yet are withdrawn, so that
    /// their clients learn that nothing was written; the library counts on the entries themselves.
    async fn append(&mut self, entries: &[Entry]) -> Result<(), StateError> {
        let began = Instant::now();
        let appended = self.log.append(&records(entries)).await;
        let took = began.elapsed().as_secs_f64();
        self.health.append_seconds.observe(took);
        match appended {
            Err(error) if error.is_not_written() && !*self.stop.borrow() => {
                let error = Arc::new(error);
                // First, so that whoever learns of it decides nothing more.
                self.health.set(Part::Log, Some(Arc::clone(&error)));
                commands(entries).for_each(|payload| payload.withdraw(&error));
            }
            Err(error) => return Err(error),
            Ok(()) => {
                self.health.set(Part::Log, None);
                return Ok(());
            }
        }
        let records = records(entries);
        self.patiently(Write::Append(&records)).await
    }

    /// Does `write` again for as long as the disk is full: an error would end the member, which has no better disk.
    async fn patiently(&mut self, write: Write<'_>) -> Result<(), StateError> {
        loop {
            let written = match write {
                Write::Append(records) => self.log.append(records).await,
                Write::Meta(meta) => self.log.set_meta(meta).await,
                Write::Truncate(from) => self.log.truncate_from(from).await,
                Write::Purge(through) => self.log.purge_through(through).await,
            };
            match written {
                Ok(()) => {
                    self.health.set(Part::Log, None);
                    return Ok(());
                }
                Err(error) if error.is_not_written() && !*self.stop.borrow() => {
                    warn!(
                        error = &error as &dyn std::error::Error,
                        "the log could not be written, trying again"
                    );
                    self.health.set(Part::Log, Some(Arc::new(error)));
                    tokio::time::sleep(RETRY).await;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

fn records(entries: &[Entry]) -> Vec<(u64, Bytes)> {
    let record = |entry: &Entry| (entry.log_id.index, encode_entry(entry));
    entries.iter().map(record).collect()
}

fn commands(entries: &[Entry]) -> impl Iterator<Item = &Payload> {
    entries.iter().filter_map(|entry| match &entry.payload {
        EntryPayload::Normal(payload) => Some(payload),
        EntryPayload::Blank | EntryPayload::Membership(_) => None,
    })
}

fn read<L: Log>(log: &L, range: Range<u64>, max_bytes: usize) -> Result<Vec<Entry>, StateError> {
    let range = range.start.max(log.first())..range.end.min(log.next());
    if range.is_empty() {
        return Ok(Vec::new());
    }
    let records = log.read(range, max_bytes)?;
    let decode = |(index, record): (u64, Bytes)| {
        let entry = decode_entry(&record).map_err(|error| StateError::Corrupt(error.into()))?;
        match entry.log_id.index == index {
            true => Ok(entry),
            false => Err(StateError::Corrupt(
                "a record has another index than its place".into(),
            )),
        }
    };
    records.into_iter().map(decode).collect()
}

fn answer<T>(reply: Reply<T>, answer: Result<T, StateError>) {
    if reply.send(answer).is_err() {
        tracing::trace!("nobody waits for the log any more");
    }
}

impl Tail {
    fn push(&mut self, entry: Entry) {
        let size = payload_size(&entry) + 64;
        self.last = Some(entry.log_id);
        self.entries.push_back((entry, size));
        self.bytes += size;
        self.since_purge += size;
        while self.entries.len() > TAIL_ENTRIES || (self.bytes > TAIL_BYTES && self.entries.len() > 1) {
            self.pop_front();
        }
    }

    fn pop_front(&mut self) {
        if let Some((_, size)) = self.entries.pop_front() {
            self.bytes -= size;
        }
    }

    fn truncate(&mut self, from: u64) {
        while self
            .entries
            .back()
            .is_some_and(|(entry, _)| entry.log_id.index >= from)
        {
            if let Some((_, size)) = self.entries.pop_back() {
                self.bytes -= size;
            }
        }
    }

    /// The entries of `range` up to `max_bytes`, at least one, where the first of them is here.
    fn get(&self, range: &Range<u64>, max_bytes: usize) -> Option<Vec<Entry>> {
        let first = self.entries.front()?.0.log_id.index;
        let skipped = usize::try_from(range.start.checked_sub(first)?).ok()?;
        let mut bytes = 0;
        let found = self.entries.iter().skip(skipped).take_while(|(entry, size)| {
            let fits = bytes == 0 || bytes + size <= max_bytes;
            bytes += size;
            fits && entry.log_id.index < range.end
        });
        let found: Vec<Entry> = found.map(|(entry, _)| entry.clone()).collect();
        (!found.is_empty()).then_some(found)
    }
}

impl LogStore {
    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last entry that the log has forgotten.
    pub(crate) fn purged(&self) -> Option<LogId> {
        self.tail().meta.purged
    }

    /// Bytes appended since the log was last purged.
    pub(crate) fn since_purge(&self) -> usize {
        self.tail().since_purge
    }

    async fn ask<T>(&self, job: impl FnOnce(Reply<T>) -> Job) -> Result<T, StateError> {
        let (reply, answer) = oneshot::channel();
        let gone = || ended("the log");
        self.jobs.send(job(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    async fn get(&self, range: Range<u64>, max_bytes: usize) -> Result<Vec<Entry>, StorageError> {
        if let Some(entries) = self.tail().get(&range, max_bytes) {
            return Ok(entries);
        }
        self.ask(|reply| Job::Read {
            range,
            max_bytes,
            reply,
        })
        .await
        .map_err(|error| StorageIoError::read_logs(AnyError::new(&error)).into())
    }
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, StorageError> {
        let mut start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(start) => start + 1,
            Bound::Unbounded => 0,
        };
        let known = self.tail().last.map_or(0, |last| last.index + 1);
        let end = match range.end_bound() {
            Bound::Included(end) => end + 1,
            Bound::Excluded(end) => *end,
            Bound::Unbounded => known,
        };
        let end = end.min(known);
        // The library asks for few entries here, and counts on all of them.
        let mut entries = Vec::new();
        while start < end {
            let some = self.get(start..end, usize::MAX).await?;
            let Some(last) = some.last() else { break };
            start = last.log_id.index + 1;
            entries.extend(some);
        }
        Ok(entries)
    }

    /// What is sent to other servers.
    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, StorageError> {
        let entries = self.get(start..end, MAX_READ).await?;
        commands(&entries).for_each(Payload::show);
        Ok(entries)
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, StorageError> {
        let tail = self.tail();
        Ok(LogState {
            last_purged_log_id: tail.meta.purged,
            last_log_id: tail.last.max(tail.meta.purged),
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        let meta = Meta {
            vote: Some(*vote),
            ..self.tail().meta.clone()
        };
        self.ask(|reply| Job::Meta {
            meta: meta.clone(),
            reply,
        })
        .await
        .map_err(|error| StorageIoError::write_vote(AnyError::new(&error)))?;
        self.tail().meta = meta;
        Ok(())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        Ok(self.tail().meta.vote)
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<Types>) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        {
            let mut tail = self.tail();
            commands(&entries).for_each(Payload::mark_appended);
            for entry in &entries {
                tail.push(entry.clone());
            }
        }
        let job = Job::Append {
            entries,
            flushed: callback,
        };
        let sent = self.jobs.send(job).await;
        sent.map_err(|_| StorageIoError::write_logs(AnyError::new(&ended("the log"))).into())
    }

    async fn truncate(&mut self, log_id: LogId) -> Result<(), StorageError> {
        self.tail().truncate(log_id.index);
        self.ask(|reply| Job::Truncate {
            from: log_id.index,
            reply,
        })
        .await
        .map_err(|error| StorageIoError::write_logs(AnyError::new(&error)))?;
        let before = match log_id.index.checked_sub(1) {
            Some(index) => self
                .get(index..index + 1, MAX_READ)
                .await?
                .first()
                .map(|entry| entry.log_id),
            None => None,
        };
        let mut tail = self.tail();
        tail.last = before.or(tail.meta.purged);
        Ok(())
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), StorageError> {
        let meta = {
            let mut tail = self.tail();
            while tail
                .entries
                .front()
                .is_some_and(|(entry, _)| entry.log_id.index <= log_id.index)
            {
                tail.pop_front();
            }
            tail.since_purge = tail.bytes;
            tail.meta.purged = tail.meta.purged.max(Some(log_id));
            tail.last = tail.last.max(Some(log_id));
            tail.meta.clone()
        };
        self.ask(|reply| Job::Purge {
            meta,
            through: log_id.index,
            reply,
        })
        .await
        .map_err(|error| StorageIoError::write_logs(AnyError::new(&error)).into())
    }
}
