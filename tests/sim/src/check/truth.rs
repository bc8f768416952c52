use std::collections::BTreeMap;
use std::sync::Arc;

use controlplane_store::{Batch, Event, Revision};

use crate::history::{Asked, History, Values};

/// What was applied, and what was there after each transaction.
#[derive(Debug)]
pub struct Truth {
    batches: BTreeMap<Revision, Arc<Batch>>,
    /// By revision, beginning with the empty store.
    values: Vec<Values>,
    /// The revision of each call that took effect.
    by_call: BTreeMap<usize, Revision>,
    /// What is wrong with the truth itself.
    wrong: Vec<String>,
}

impl Truth {
    /// Puts together what was applied.
    ///
    /// # Errors
    ///
    /// Where a revision is missing: nothing after it can be judged.
    pub fn of(history: &History) -> Result<Self, String> {
        let mut truth = Self {
            batches: history.applied.clone(),
            values: vec![Values::new()],
            by_call: BTreeMap::new(),
            wrong: Vec::new(),
        };
        let mut expected = Revision::EMPTY.next();
        for batch in history.applied.values() {
            if batch.revision != expected {
                return Err(format!(
                    "revision {expected} was never applied, {} was",
                    batch.revision
                ));
            }
            let after = truth.after(batch);
            truth.values.push(after);
            truth.attribute(batch);
            expected = expected.next();
        }
        Ok(truth)
    }

    /// What is there after `batch`; what it says of before must be so.
    fn after(&mut self, batch: &Batch) -> Values {
        let mut values = self.values.last().cloned().unwrap_or_default();
        for event in &batch.events {
            let before = values.get(event.key());
            if before != event.previous() {
                self.wrong.push(format!(
                    "revision {}: {} was not {:?}",
                    batch.revision,
                    event.key(),
                    event.previous()
                ));
            }
            match event {
                Event::Put { entry, .. } => {
                    let created = before.map_or(batch.revision, |before| before.create_revision);
                    if entry.mod_revision != batch.revision || entry.create_revision != created {
                        self.wrong.push(format!(
                            "revision {}: {entry:?} has wrong revisions",
                            batch.revision
                        ));
                    }
                    values.insert(entry.key.clone(), Arc::clone(entry));
                }
                Event::Delete { key, .. } => {
                    values.remove(key);
                }
            }
        }
        values
    }

    /// Finds whose transaction it was: a call's, or the store's own, which deletes only what has expired.
    fn attribute(&mut self, batch: &Batch) {
        if let Some(number) = batch
            .actor
            .strip_prefix("call-")
            .and_then(|number| number.parse().ok())
        {
            if let Some(before) = self.by_call.insert(number, batch.revision) {
                self.wrong.push(format!(
                    "call {number} took effect twice, at {before} and {}",
                    batch.revision
                ));
            }
            return;
        }
        let expired = |event: &Event| {
            let due = event.previous().and_then(|previous| previous.expires_at);
            matches!(event, Event::Delete { .. }) && due.is_some_and(|due| due <= batch.at)
        };
        if !batch.actor.is_empty() || !batch.events.iter().all(expired) {
            self.wrong
                .push(format!("revision {}: nobody asked for {batch:?}", batch.revision));
        }
    }

    /// What is wrong with the truth itself, and with what servers held in the end.
    pub(crate) fn check(&self, history: &History, wrong: &mut Vec<String>) {
        wrong.extend(self.wrong.iter().cloned());
        for (number, revision) in &self.by_call {
            let asked = history.calls.get(*number).map(|call| &call.asked);
            if !matches!(asked, Some(Asked::Commit(_))) {
                wrong.push(format!(
                    "revision {revision}: call {number} asked for no transaction"
                ));
            }
        }
        for (server, revision, entries) in &history.finals {
            if *revision < history.goal.unwrap_or(*revision) {
                wrong.push(format!(
                    "{server} is at {revision} in the end, others had got to {:?}",
                    history.goal
                ));
            }
            if !self
                .values(*revision)
                .is_some_and(|values| values.values().eq(entries))
            {
                wrong.push(format!(
                    "{server} holds other values at {revision} in the end than were written: {entries:?}"
                ));
            }
        }
    }

    /// The last revision.
    #[must_use]
    pub fn newest(&self) -> Revision {
        self.batches
            .keys()
            .next_back()
            .copied()
            .unwrap_or(Revision::EMPTY)
    }

    /// The transaction of `revision`.
    #[must_use]
    pub fn batch(&self, revision: Revision) -> Option<&Arc<Batch>> {
        self.batches.get(&revision)
    }

    /// The transactions after `revision`, up to and including `last`.
    pub(crate) fn between(&self, revision: Revision, last: Revision) -> impl Iterator<Item = &Arc<Batch>> {
        self.batches
            .range(revision.next()..)
            .map(|(_, batch)| batch)
            .take_while(move |batch| batch.revision <= last)
    }

    /// What was there at `revision`.
    #[must_use]
    pub fn values(&self, revision: Revision) -> Option<&Values> {
        let index = revision.get().checked_sub(Revision::EMPTY.get())?;
        self.values.get(usize::try_from(index).ok()?)
    }

    /// The revision at which call `number` took effect, if it did.
    #[must_use]
    pub fn revision_of(&self, number: usize) -> Option<Revision> {
        self.by_call.get(&number).copied()
    }

    /// `revision`, or the last of the store's own transactions that follow it at once, which nobody is known to have begun.
    pub(crate) fn with_expiries_after(&self, revision: Revision) -> Revision {
        let mut last = revision;
        while self
            .batches
            .get(&last.next())
            .is_some_and(|batch| batch.actor.is_empty())
        {
            last = last.next();
        }
        last
    }
}
