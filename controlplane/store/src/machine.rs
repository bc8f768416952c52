use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use crate::stage::event;
use crate::{
    Batch, ClusterId, Command, Decided, Entry, Event, History, Key, Loaded, Retention, Revision, StoreError,
};

/// Which values to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Range {
    /// Keys that begin with this text. End it with `/` to mean a folder: `/registry/pods/a` also
    /// begins the key of every pod of the namespace `ab`.
    pub prefix: String,
    /// Only keys after this one, for the next page.
    pub after: Option<Key>,
    /// At most this many.
    pub limit: Option<usize>,
    /// As of this revision; now, where it is none.
    pub at: Option<Revision>,
}

impl Range {
    /// Everything under `prefix`, now.
    #[must_use]
    pub fn prefix(prefix: impl Into<String>) -> Self {
        Self {
            prefix: prefix.into(),
            ..Self::default()
        }
    }
}

/// What applying a command did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// One batch for each revision.
    pub batches: Vec<Arc<Batch>>,
    /// The compaction revision, where it moved.
    pub compacted: Option<Revision>,
}

/// A command was decided at another revision than the one reached, as by a leader that lost its place in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a write was decided for revision {decided}, the next is {next}")]
pub struct OutOfStep {
    /// The revision it was decided for.
    pub decided: Revision,
    /// The revision that comes next.
    pub next: Revision,
}

/// A consistent list, ordered by the bytes of the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The values.
    pub entries: Vec<Arc<Entry>>,
    /// The revision at which all of them were current.
    pub revision: Revision,
    /// How many more there are after the last one.
    pub remaining: u64,
}

/// The pure state: current values, bounded history, expiry times.
///
/// It changes only by [`apply`](Self::apply), reads no clock and does no I/O.
#[derive(Debug)]
pub struct Machine {
    revision: Revision,
    /// Unix time of the last batch.
    at: u64,
    current: BTreeMap<Key, Arc<Entry>>,
    history: History,
    expiries: BTreeSet<(u64, Key)>,
}

impl Machine {
    /// The state as it was loaded.
    #[must_use]
    pub fn restore(loaded: Loaded) -> Self {
        let entries = loaded.entries.into_iter().map(|entry| (entry.key.clone(), entry));
        let current: BTreeMap<Key, Arc<Entry>> = entries.collect();
        let expiries = current
            .values()
            .filter_map(|entry| Some((entry.expires_at?, entry.key.clone())));
        let mut machine = Self {
            revision: loaded.revision,
            at: 0,
            expiries: expiries.collect(),
            history: History::starting_at(loaded.compacted),
            current,
        };
        machine.restore_history(loaded.history);
        machine
    }

    fn restore_history(&mut self, history: Vec<Batch>) {
        for batch in history {
            self.at = batch.at;
            self.history.push(Arc::new(batch));
        }
        // A state that kept less history than it says would serve watches with a gap.
        if self.history.newest() != self.revision {
            self.history = History::starting_at(self.revision);
        }
    }

    /// The state as [`restore`](Self::restore) takes it, of the cluster `cluster_id` and without a position.
    #[must_use]
    pub fn dump(&self, cluster_id: ClusterId) -> Loaded {
        let compacted = self.history.compacted();
        let history = self.history.after(compacted);
        Loaded {
            cluster_id,
            revision: self.revision,
            compacted,
            entries: self.current.values().cloned().collect(),
            history: history.map(|batch| Batch::clone(batch)).collect(),
            position: Vec::new(),
        }
    }

    /// Revision of the last batch applied.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The batches since the compaction revision.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The current value of `key`.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&Arc<Entry>> {
        self.current.get(key)
    }

    /// Unix time in seconds of the last batch that is known.
    #[must_use]
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Carries `command` out. Every member that applies the same commands in the same order holds the same state.
    ///
    /// # Errors
    ///
    /// [`OutOfStep`], with nothing changed, where it was decided at another revision than this one.
    pub fn apply(&mut self, command: &Command) -> Result<Change, OutOfStep> {
        if !command.txns.is_empty() && command.first != self.revision.next() {
            return Err(OutOfStep {
                decided: command.first,
                next: self.revision.next(),
            });
        }
        let batches = command
            .txns
            .iter()
            .map(|txn| self.apply_txn(command.at, txn))
            .collect();
        let compacted = self.history.forget(command.compact);
        Ok(Change {
            batches,
            compacted: compacted.then(|| self.history.compacted()),
        })
    }

    fn apply_txn(&mut self, at: u64, txn: &Decided) -> Arc<Batch> {
        let revision = self.revision.next();
        let events: Vec<Event> = txn
            .ops
            .iter()
            .filter_map(|op| event(op, revision, self.current.get(op.key())))
            .collect();
        events.iter().for_each(|event| self.apply_event(event));
        let batch = Arc::new(Batch {
            revision,
            at,
            actor: Arc::clone(&txn.actor),
            events,
        });
        self.revision = revision;
        self.at = at;
        self.history.push(Arc::clone(&batch));
        batch
    }

    fn apply_event(&mut self, event: &Event) {
        if let Some((at, key)) = event
            .previous()
            .and_then(|old| Some((old.expires_at?, old.key.clone())))
        {
            self.expiries.remove(&(at, key));
        }
        match event {
            Event::Put { entry, .. } => {
                if let Some(at) = entry.expires_at {
                    self.expiries.insert((at, entry.key.clone()));
                }
                self.current.insert(entry.key.clone(), Arc::clone(entry));
            }
            Event::Delete { key, .. } => {
                self.current.remove(key);
            }
        }
    }

    /// The values in `range`, as of its revision.
    ///
    /// # Errors
    ///
    /// Refuses a revision that is compacted or not yet reached.
    pub fn list(&self, range: &Range) -> Result<Listing, StoreError> {
        let revision = self.check_revision(range.at.unwrap_or(self.revision))?;
        if revision == self.revision {
            let live = self.current_in(range).map(|(_, entry)| entry);
            return Ok(page(live, revision, range.limit));
        }
        let changed = self.changed_since(revision, range);
        let untouched = self
            .current_in(range)
            .filter(|(key, _)| !changed.contains_key(*key));
        let mut then: BTreeMap<&Key, &Arc<Entry>> = untouched.collect();
        then.extend(changed.into_iter().filter_map(|(key, entry)| Some((key, entry?))));
        Ok(page(then.into_values(), revision, range.limit))
    }

    /// What the keys of `range` that changed after `revision` held at it: an event's previous version
    /// undoes it, and the oldest event after `revision` has the last word.
    fn changed_since(&self, revision: Revision, range: &Range) -> BTreeMap<&Key, Option<&Arc<Entry>>> {
        let newest_first = self.history.after(revision).rev();
        newest_first
            .flat_map(|batch| &batch.events)
            .filter(|event| in_range(event.key(), range))
            .map(|event| (event.key(), event.previous()))
            .collect()
    }

    /// Passes `revision` on if it can be read and watched from.
    ///
    /// # Errors
    ///
    /// Refuses a revision that is compacted or not yet reached.
    pub fn check_revision(&self, revision: Revision) -> Result<Revision, StoreError> {
        let (compacted, current) = (self.history.compacted(), self.revision);
        if revision < compacted {
            return Err(StoreError::Compacted {
                requested: revision,
                compacted,
            });
        }
        if revision > current {
            return Err(StoreError::FutureRevision {
                requested: revision,
                current,
            });
        }
        Ok(revision)
    }

    fn current_in<'a>(&'a self, range: &'a Range) -> impl Iterator<Item = (&'a Key, &'a Arc<Entry>)> {
        let prefix = range.prefix.as_str();
        let start = match &range.after {
            Some(after) if after.as_str() >= prefix => Bound::Excluded(after.as_str()),
            _ => Bound::Included(prefix),
        };
        self.current
            .range::<str, _>((start, Bound::Unbounded))
            .take_while(move |(key, _)| key.as_str().starts_with(prefix))
    }

    /// At most `limit` values whose time had come at Unix time `now`, soonest first.
    #[must_use]
    pub fn expired(&self, now: u64, limit: usize) -> Vec<Arc<Entry>> {
        let due = self.expiries.iter().take_while(|(at, _)| *at <= now);
        due.filter_map(|(_, key)| self.current.get(key))
            .take(limit)
            .cloned()
            .collect()
    }

    /// Unix time at which something is due: a value expires, or history is too old.
    #[must_use]
    pub fn due_at(&self, retention: &Retention) -> Option<u64> {
        let expiry = self.expiries.first().map(|(at, _)| *at);
        [expiry, self.history.due_at(retention)]
            .into_iter()
            .flatten()
            .min()
    }
}

fn in_range(key: &Key, range: &Range) -> bool {
    key.as_str().starts_with(&range.prefix) && range.after.as_ref().is_none_or(|after| key > after)
}

/// Cuts `entries` at `limit` and counts the rest.
fn page<'a>(
    mut entries: impl Iterator<Item = &'a Arc<Entry>>,
    revision: Revision,
    limit: Option<usize>,
) -> Listing {
    let taken = entries
        .by_ref()
        .take(limit.unwrap_or(usize::MAX))
        .cloned()
        .collect();
    let remaining = u64::try_from(entries.count()).unwrap_or(u64::MAX);
    Listing {
        entries: taken,
        revision,
        remaining,
    }
}

#[cfg(test)]
mod tests;
