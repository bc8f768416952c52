use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::{
    Batch, Command, Decided, Entry, Event, Key, Machine, Op, Outcome, Retention, Revision, StoreError, Txn,
};

/// Decides a group of transactions on top of a machine without changing it: each sees what those before it
/// would do, and nobody else sees any of it until the group is durable.
#[derive(Debug)]
pub struct Stage<'a> {
    machine: &'a Machine,
    changed: BTreeMap<Key, Option<Arc<Entry>>>,
    revision: Revision,
    decided: Vec<Decided>,
    /// Bytes that each decided transaction adds to history.
    weights: Vec<usize>,
    events: Vec<Vec<Event>>,
}

impl<'a> Stage<'a> {
    /// Nothing decided yet.
    #[must_use]
    pub fn over(machine: &'a Machine) -> Self {
        Self {
            machine,
            changed: BTreeMap::new(),
            revision: machine.revision(),
            decided: Vec::new(),
            weights: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Decides `txn`.
    ///
    /// # Errors
    ///
    /// Refuses a transaction that names a key twice, and forgets it.
    pub fn propose(&mut self, txn: Txn) -> Result<Outcome, StoreError> {
        check_unique(&txn.ops)?;
        let found = |compare: &crate::Compare| self.get(compare.key()).cloned();
        if txn
            .compares
            .iter()
            .any(|compare| !compare.holds(found(compare).as_deref()))
        {
            return Ok(Outcome::Refused {
                current: txn.compares.iter().map(found).collect(),
            });
        }
        let revision = self.revision.next();
        let events: Vec<Event> = txn
            .ops
            .iter()
            .filter_map(|op| event(op, revision, self.get(op.key())))
            .collect();
        if !events.is_empty() {
            self.weights.push(events.iter().map(Event::weight).sum());
            for event in &events {
                self.changed.insert(event.key().clone(), event.current().cloned());
            }
            self.revision = revision;
            self.decided.push(Decided {
                actor: txn.actor,
                ops: txn.ops,
            });
            self.events.push(events);
        }
        Ok(Outcome::Committed {
            revision: self.revision,
        })
    }

    /// What was decided at Unix time `now`, with the history that `retention` then no longer keeps.
    #[must_use]
    pub fn into_command(self, retention: &Retention, now: u64) -> Command {
        let at = now.max(self.machine.at());
        Command {
            at,
            first: self.machine.revision().next(),
            compact: self.machine.history().due(retention, now, &self.weights),
            txns: self.decided,
        }
    }

    /// What carrying out `command`, which [`into_command`](Self::into_command) made, will do.
    #[must_use]
    pub fn batches(&self, now: u64) -> Vec<Batch> {
        let at = now.max(self.machine.at());
        let parts = self.decided.iter().zip(&self.events);
        let revisions = std::iter::successors(Some(self.machine.revision().next()), |last| Some(last.next()));
        revisions
            .zip(parts)
            .map(|(revision, (txn, events))| Batch {
                revision,
                at,
                actor: Arc::clone(&txn.actor),
                events: events.clone(),
            })
            .collect()
    }

    fn get(&self, key: &Key) -> Option<&Arc<Entry>> {
        match self.changed.get(key) {
            Some(staged) => staged.as_ref(),
            None => self.machine.get(key),
        }
    }
}

/// What `op` does at `revision` where its key holds `previous`; nothing, where it deletes what is absent.
pub(crate) fn event(op: &Op, revision: Revision, previous: Option<&Arc<Entry>>) -> Option<Event> {
    let previous = previous.cloned();
    match op {
        Op::Put {
            key,
            value,
            expires_at,
        } => {
            let create_revision = previous.as_ref().map_or(revision, |old| old.create_revision);
            let entry = Entry {
                key: key.clone(),
                value: value.clone(),
                create_revision,
                mod_revision: revision,
                expires_at: *expires_at,
            };
            Some(Event::Put {
                entry: Arc::new(entry),
                previous,
            })
        }
        Op::Delete { key } => Some(Event::Delete {
            key: key.clone(),
            revision,
            previous: previous?,
        }),
    }
}

/// Refuses a key that is named twice.
pub(crate) fn check_unique(ops: &[Op]) -> Result<(), StoreError> {
    let mut seen = BTreeSet::new();
    match ops.iter().find(|op| !seen.insert(op.key())) {
        Some(twice) => Err(StoreError::DuplicateKey(twice.key().clone())),
        None => Ok(()),
    }
}
