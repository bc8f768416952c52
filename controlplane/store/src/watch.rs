use std::sync::Arc;

use crate::registry::Waiter;
use crate::replica::Shared;
use crate::{Batch, Event, Machine, Revision};

/// The changes under a prefix, one [`Batch`] for each transaction that made any.
///
/// A watch holds no queue: it reads the store's history at its own pace, so its memory is the history's.
/// One that falls behind the compaction revision ends with [`WatchError::Lagged`] and skips nothing.
#[derive(Debug)]
pub struct Watch {
    shared: Arc<Shared>,
    prefix: String,
    waiter: Arc<Waiter>,
}

/// Why a watch has ended; it stays ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// *Gone*: the next event is no longer kept; list again and watch from there.
    #[error("watch {prefix} fell behind: history before revision {compacted} has been compacted")]
    Lagged {
        /// What was watched.
        prefix: String,
        /// The oldest revision that can be watched from.
        compacted: Revision,
    },
    /// The store has been closed and every event was delivered.
    #[error("watch {prefix}: the store is closed")]
    Closed {
        /// What was watched.
        prefix: String,
    },
}

impl Watch {
    /// Joins the watches; `machine` is the locked state of `shared`, and `after` can be watched from.
    pub(crate) fn begin(shared: &Arc<Shared>, machine: &Machine, prefix: &str, after: Revision) -> Self {
        let waiter = Arc::new(Waiter::default());
        waiter.set_oldest(next_match(machine, prefix, after));
        shared.registry().add(prefix, Arc::clone(&waiter));
        Self {
            shared: Arc::clone(shared),
            prefix: prefix.to_owned(),
            waiter,
        }
    }

    /// The next transaction's events under the prefix.
    ///
    /// Cancel-safe: a batch counts as delivered only when this returns it.
    ///
    /// # Errors
    ///
    /// Ends as [`WatchError`] says.
    pub async fn next(&mut self) -> Result<Arc<Batch>, WatchError> {
        loop {
            if let Some(batch) = self.try_next()? {
                return Ok(batch);
            }
            self.waiter.woken().await;
        }
    }

    /// The next transaction's events if they have been committed already.
    ///
    /// # Errors
    ///
    /// Ends as [`WatchError`] says.
    pub fn try_next(&mut self) -> Result<Option<Arc<Batch>>, WatchError> {
        // Asked first, so that nothing is offered between the two.
        let closed = self.shared.is_closed();
        if self.waiter.oldest().is_none() {
            return match closed {
                true => Err(WatchError::Closed {
                    prefix: self.prefix.clone(),
                }),
                false => Ok(None),
            };
        }
        let state = self.shared.state();
        // Once there is one, only this watch moves it; the lock makes it agree with history.
        let Some(revision) = self.waiter.oldest() else {
            return Ok(None);
        };
        let Some(batch) = state.history().at(revision) else {
            let compacted = state.history().compacted();
            return Err(WatchError::Lagged {
                prefix: self.prefix.clone(),
                compacted,
            });
        };
        let batch = only(batch, &self.prefix);
        self.waiter.set_oldest(next_match(&state, &self.prefix, revision));
        Ok(Some(batch))
    }

    /// The newest revision up to which every event has been delivered: what a bookmark may say.
    #[must_use]
    pub fn progress(&self) -> Revision {
        let state = self.shared.state();
        self.waiter.oldest().map_or(state.revision(), Revision::previous)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.registry().remove(&self.prefix, &self.waiter);
    }
}

/// Revision of the first batch after `after` that concerns `prefix`.
fn next_match(machine: &Machine, prefix: &str, after: Revision) -> Option<Revision> {
    let concerns = |batch: &&Arc<Batch>| {
        batch
            .events
            .iter()
            .any(|event| event.key().as_str().starts_with(prefix))
    };
    machine
        .history()
        .after(after)
        .find(concerns)
        .map(|batch| batch.revision)
}

/// The part of `batch` under `prefix`: mostly all of it, which is shared.
fn only(batch: &Arc<Batch>, prefix: &str) -> Arc<Batch> {
    let concerns = |event: &&Event| event.key().as_str().starts_with(prefix);
    if batch.events.iter().all(|event| concerns(&event)) {
        return Arc::clone(batch);
    }
    Arc::new(Batch {
        revision: batch.revision,
        at: batch.at,
        actor: Arc::clone(&batch.actor),
        events: batch.events.iter().filter(concerns).cloned().collect(),
    })
}
