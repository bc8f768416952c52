use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::{Batch, Entry, Event, Key, Machine, Op, Outcome, Revision, StoreError, Txn};

/// Decides a group of transactions on top of a machine without changing it: each sees what those before it
/// would do, and nobody else sees any of it until the group is durable.
#[derive(Debug)]
pub struct Stage<'a> {
    machine: &'a Machine,
    changed: BTreeMap<Key, Option<Arc<Entry>>>,
    revision: Revision,
    batches: Vec<Batch>,
}

impl<'a> Stage<'a> {
    /// Nothing decided yet.
    #[must_use]
    pub fn over(machine: &'a Machine) -> Self {
        Self {
            machine,
            changed: BTreeMap::new(),
            revision: machine.revision(),
            batches: Vec::new(),
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
            .into_iter()
            .filter_map(|op| self.event(op, revision))
            .collect();
        if !events.is_empty() {
            for event in &events {
                self.changed.insert(event.key().clone(), event.current().cloned());
            }
            self.revision = revision;
            self.batches.push(Batch { revision, events });
        }
        Ok(Outcome::Committed {
            revision: self.revision,
        })
    }

    /// What was decided, one batch for each revision.
    #[must_use]
    pub fn into_batches(self) -> Vec<Batch> {
        self.batches
    }

    fn get(&self, key: &Key) -> Option<&Arc<Entry>> {
        match self.changed.get(key) {
            Some(staged) => staged.as_ref(),
            None => self.machine.get(key),
        }
    }

    /// What `op` does at `revision`; nothing, where it deletes what is absent.
    fn event(&self, op: Op, revision: Revision) -> Option<Event> {
        let previous = self.get(op.key()).cloned();
        match op {
            Op::Put {
                key,
                value,
                expires_at,
            } => {
                let create_revision = previous.as_ref().map_or(revision, |old| old.create_revision);
                let entry = Entry {
                    key,
                    value,
                    create_revision,
                    mod_revision: revision,
                    expires_at,
                };
                Some(Event::Put {
                    entry: Arc::new(entry),
                    previous,
                })
            }
            Op::Delete { key } => Some(Event::Delete {
                key,
                revision,
                previous: previous?,
            }),
        }
    }
}

fn check_unique(ops: &[Op]) -> Result<(), StoreError> {
    let mut seen = BTreeSet::new();
    match ops.iter().find(|op| !seen.insert(op.key())) {
        Some(twice) => Err(StoreError::DuplicateKey(twice.key().clone())),
        None => Ok(()),
    }
}
