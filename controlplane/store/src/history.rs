use std::collections::VecDeque;
use std::sync::Arc;

use crate::{Batch, Revision};

/// How much history is kept; whichever bound is reached first compacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Revisions.
    pub revisions: usize,
    /// Seconds.
    pub seconds: u64,
    /// Bytes of values held only or also by history.
    pub bytes: usize,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            revisions: 10_000,
            seconds: 300,
            bytes: 64 << 20,
        }
    }
}

/// The batches after the compaction revision, one for every revision, oldest first.
#[derive(Debug)]
pub struct History {
    compacted: Revision,
    batches: VecDeque<Kept>,
    bytes: usize,
}

#[derive(Debug)]
struct Kept {
    batch: Arc<Batch>,
    at: u64,
    bytes: usize,
}

impl History {
    /// No history; everything up to `compacted` is forgotten.
    #[must_use]
    pub fn starting_at(compacted: Revision) -> Self {
        Self {
            compacted,
            batches: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Oldest revision that can be read, and after which a watch can begin.
    #[must_use]
    pub fn compacted(&self) -> Revision {
        self.compacted
    }

    /// Adds the batch of the next revision, committed at Unix time `at`.
    pub(crate) fn push(&mut self, batch: Arc<Batch>, at: u64) {
        let bytes = batch.events.iter().map(weight).sum();
        self.bytes = self.bytes.saturating_add(bytes);
        self.batches.push_back(Kept { batch, at, bytes });
    }

    /// The batch of `revision`, if it is kept.
    #[must_use]
    pub fn at(&self, revision: Revision) -> Option<&Arc<Batch>> {
        let index = revision.get().checked_sub(self.compacted.next().get())?;
        self.batches
            .get(usize::try_from(index).ok()?)
            .map(|kept| &kept.batch)
    }

    /// Batches after `revision`, oldest first.
    pub fn after(&self, revision: Revision) -> impl DoubleEndedIterator<Item = &Arc<Batch>> {
        let skipped = revision.get().saturating_sub(self.compacted.get());
        let skipped = usize::try_from(skipped)
            .unwrap_or(usize::MAX)
            .min(self.batches.len());
        self.batches.range(skipped..).map(|kept| &kept.batch)
    }

    /// Forgets at most `step` of the oldest batches that are beyond `retention` at Unix time `now`, and
    /// tells whether more are.
    pub(crate) fn compact(&mut self, retention: &Retention, now: u64, step: usize) -> bool {
        for _ in 0..step {
            if !self.is_due(retention, now) {
                return false;
            }
            if let Some(kept) = self.batches.pop_front() {
                self.bytes = self.bytes.saturating_sub(kept.bytes);
                self.compacted = kept.batch.revision;
            }
        }
        self.is_due(retention, now)
    }

    /// Unix time at which age alone makes the oldest batch due.
    #[must_use]
    pub fn due_at(&self, retention: &Retention) -> Option<u64> {
        self.batches
            .front()
            .map(|oldest| oldest.at.saturating_add(retention.seconds))
    }

    fn is_due(&self, retention: &Retention, now: u64) -> bool {
        self.batches.len() > retention.revisions
            || (self.bytes > retention.bytes && !self.batches.is_empty())
            || self.due_at(retention).is_some_and(|due| due <= now)
    }
}

/// Bytes that an event keeps alive: the version it made and the one it replaced.
fn weight(event: &crate::Event) -> usize {
    let bytes = |entry: Option<&Arc<crate::Entry>>| entry.map_or(0, |entry| entry.value.bytes().len());
    event.key().as_str().len() + bytes(event.current()) + bytes(event.previous())
}
