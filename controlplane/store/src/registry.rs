use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use crate::{Batch, Revision};

/// What the proposer and one watch share.
///
/// `oldest` is the revision of the oldest batch that the watch has not yet delivered, or 0. It is written
/// only under the state's lock (the proposer holds it for writing, the watch for reading), so both
/// always see it agree with history.
#[derive(Debug, Default)]
pub(crate) struct Waiter {
    oldest: AtomicU64,
    notify: Notify,
}

impl Waiter {
    pub(crate) fn oldest(&self) -> Option<Revision> {
        match self.oldest.load(Ordering::SeqCst) {
            0 => None,
            revision => Some(Revision::from(revision)),
        }
    }

    pub(crate) fn set_oldest(&self, revision: Option<Revision>) {
        self.oldest
            .store(revision.map_or(0, Revision::get), Ordering::SeqCst);
    }

    pub(crate) fn wake(&self) {
        self.notify.notify_one();
    }

    /// Returns once woken; a wake-up before the call counts, so none is lost in between. Cancel-safe.
    pub(crate) async fn woken(&self) {
        self.notify.notified().await;
    }

    fn offer(&self, revision: Revision) {
        if self.oldest().is_none() {
            self.set_oldest(Some(revision));
        }
    }
}

/// The open watches by prefix.
///
/// A key finds the watches above it by looking up its own beginnings, one for each length that any
/// prefix has, so a commit costs nothing for watches that it does not concern.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    by_prefix: HashMap<Vec<u8>, Vec<Arc<Waiter>>>,
    lengths: BTreeMap<usize, usize>,
}

impl Registry {
    pub(crate) fn add(&mut self, prefix: &str, waiter: Arc<Waiter>) {
        self.by_prefix
            .entry(prefix.as_bytes().to_vec())
            .or_default()
            .push(waiter);
        *self.lengths.entry(prefix.len()).or_default() += 1;
    }

    pub(crate) fn remove(&mut self, prefix: &str, waiter: &Arc<Waiter>) {
        let Some(waiters) = self.by_prefix.get_mut(prefix.as_bytes()) else {
            return;
        };
        let before = waiters.len();
        waiters.retain(|other| !Arc::ptr_eq(other, waiter));
        if waiters.len() == before {
            return;
        }
        if waiters.is_empty() {
            self.by_prefix.remove(prefix.as_bytes());
        }
        if let Some(count) = self.lengths.get_mut(&prefix.len()) {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&prefix.len());
            }
        }
    }

    /// Notes `batch` for every watch that it concerns. They are to be [woken](Self::wake) once the state is not locked any
    /// longer: those that are awake at once on other processors would wait for it.
    pub(crate) fn offer(&self, batch: &Batch) {
        self.concerned(batch)
            .for_each(|waiter| waiter.offer(batch.revision));
    }

    /// Wakes every watch that `batch` concerns.
    pub(crate) fn wake(&self, batch: &Batch) {
        self.concerned(batch).for_each(|waiter| waiter.wake());
    }

    fn concerned<'a>(&'a self, batch: &'a Batch) -> impl Iterator<Item = &'a Arc<Waiter>> {
        batch.events.iter().flat_map(|event| {
            let key = event.key().as_str().as_bytes();
            let beginnings = self.lengths.keys().map_while(move |length| key.get(..*length));
            beginnings
                .filter_map(|beginning| self.by_prefix.get(beginning))
                .flatten()
        })
    }

    /// Tells every watch that has delivered all it knows of that there was more, from `revision` on, which is gone.
    pub(crate) fn outrun(&self, revision: Revision) {
        for waiter in self.by_prefix.values().flatten() {
            waiter.offer(revision);
        }
    }

    /// Wakes every watch, so that it sees the store closed.
    pub(crate) fn wake_all(&self) {
        self.by_prefix.values().flatten().for_each(|waiter| waiter.wake());
    }

    /// How many watches are open.
    pub(crate) fn len(&self) -> usize {
        self.lengths.values().sum()
    }
}
