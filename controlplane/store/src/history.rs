use std::collections::VecDeque;
use std::sync::Arc;

use crate::{Batch, Revision};

/// Revisions forgotten by one command: bounds how long it holds the state's lock.
const STEP: usize = 1024;

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

    /// Adds the batch of the next revision.
    pub(crate) fn push(&mut self, batch: Arc<Batch>) {
        let bytes = batch.events.iter().map(crate::Event::weight).sum();
        self.bytes = self.bytes.saturating_add(bytes);
        self.batches.push_back(Kept { batch, bytes });
    }

    /// Revision of the newest batch, or the compaction revision.
    #[must_use]
    pub fn newest(&self) -> Revision {
        self.batches
            .back()
            .map_or(self.compacted, |kept| kept.batch.revision)
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

    /// Forgets the batches up to `through`, and tells whether there were any.
    pub(crate) fn forget(&mut self, through: Revision) -> bool {
        let before = self.compacted;
        while let Some(kept) = self.batches.front().filter(|kept| kept.batch.revision <= through) {
            self.bytes = self.bytes.saturating_sub(kept.bytes);
            self.compacted = kept.batch.revision;
            self.batches.pop_front();
        }
        self.compacted != before
    }

    /// The revision up to which history is to be forgotten once batches of `added` bytes each were added, by
    /// `retention` at Unix time `now`: at most [`STEP`] revisions, 0 where nothing is due.
    #[must_use]
    pub fn due(&self, retention: &Retention, now: u64, added: &[usize]) -> Revision {
        let mut count = self.batches.len() + added.len();
        let mut bytes = self.bytes + added.iter().sum::<usize>();
        let mut through = Revision::from(0);
        for kept in self.batches.iter().take(STEP) {
            let old = kept.batch.at.saturating_add(retention.seconds) <= now;
            if count <= retention.revisions && bytes <= retention.bytes && !old {
                break;
            }
            count -= 1;
            bytes = bytes.saturating_sub(kept.bytes);
            through = kept.batch.revision;
        }
        through
    }

    /// Unix time at which age alone makes the oldest batch due.
    #[must_use]
    pub fn due_at(&self, retention: &Retention) -> Option<u64> {
        self.batches
            .front()
            .map(|oldest| oldest.batch.at.saturating_add(retention.seconds))
    }
}
