//! Whether what clients saw can be explained by one store that does one thing at a time.
//!
//! The general question is NP-complete, and the testers at hand search: `stateright`'s `LinearizabilityTester` walks
//! through all interleavings without remembering where it has been, one call in flight for each thread; `porcupine` does
//! better and is Go. Here no search is needed, because the store tells its order: each transaction that changes something
//! has a revision of its own, and each list says the revision it speaks of. So the one possible order is known, and what
//! is left to check is that it explains every answer and never contradicts real time: what ended before something else
//! began must not come after it. A call of unknown outcome may have taken effect once, at any time after it began; its
//! transaction names it as actor, so that it is found in the order, or not.

mod truth;
mod watches;

use std::collections::BTreeMap;
use std::sync::Arc;

use controlplane_store::{Compare, Entry, Op, Range, Revision, Txn};

pub use truth::Truth;

use crate::history::{Answer, Asked, Call, History};

/// Everything that is wrong with `history`, in words; nothing for one that keeps all promises.
#[must_use]
pub fn check(history: &History) -> Vec<String> {
    let truth = match Truth::of(history) {
        Ok(truth) => truth,
        Err(wrong) => return history.found.iter().cloned().chain([wrong]).collect(),
    };
    let mut wrong = history.found.clone();
    truth.check(history, &mut wrong);
    check_calls(history, &truth, &mut wrong);
    for watched in &history.watches {
        watches::check(watched, &truth, history.goal, &mut wrong);
    }
    wrong
}

/// A call's bounds in the order of revisions.
#[derive(Debug)]
struct Order<'a> {
    truth: &'a Truth,
    /// The newest revision that a call had seen or made that ended before this one began.
    lowest: Revision,
    /// The newest revision made by a call that began before this one ended.
    highest: Revision,
}

/// Walks through beginnings and ends in the order in which they happened.
fn check_calls(history: &History, truth: &Truth, wrong: &mut Vec<String>) {
    let mut moments: BTreeMap<u64, (&Call, bool)> = BTreeMap::new();
    for call in &history.calls {
        moments.insert(call.begin, (call, true));
        if let Some(end) = call.end {
            moments.insert(end, (call, false));
        }
    }
    let (mut seen, mut begun) = (Revision::EMPTY, Revision::EMPTY);
    let mut lowest: BTreeMap<usize, Revision> = BTreeMap::new();
    for (call, begins) in moments.values() {
        if *begins {
            lowest.insert(call.number, seen);
            begun = begun.max(truth.revision_of(call.number).unwrap_or(Revision::EMPTY));
            continue;
        }
        let order = Order {
            truth,
            lowest: lowest.get(&call.number).copied().unwrap_or(Revision::EMPTY),
            highest: truth.with_expiries_after(begun),
        };
        match order.place(call) {
            Ok(place) => seen = seen.max(place.unwrap_or(seen)),
            Err(why) => wrong.push(format!("call {}: {why}", call.number)),
        }
    }
    check_unanswered(history, truth, &lowest, wrong);
}

/// A write of unknown outcome took effect after everything that had been seen when it began, or never.
fn check_unanswered(
    history: &History,
    truth: &Truth,
    lowest: &BTreeMap<usize, Revision>,
    wrong: &mut Vec<String>,
) {
    for call in &history.calls {
        let (Asked::Commit(txn), Answer::Unknown) = (&call.asked, &call.answer) else {
            continue;
        };
        let Some(revision) = truth.revision_of(call.number) else {
            continue;
        };
        let begin = lowest.get(&call.number).copied().unwrap_or(Revision::EMPTY);
        if revision <= begin {
            wrong.push(format!(
                "call {}: of unknown outcome took effect at {revision}, but {begin} had been seen before it began",
                call.number
            ));
        }
        wrong.extend(
            effect(truth, txn, revision)
                .err()
                .map(|why| format!("call {}: {why}", call.number)),
        );
    }
}

impl Order<'_> {
    /// Where in the order a call took place; none where it did not, as far as anybody knows.
    fn place(&self, call: &Call) -> Result<Option<Revision>, String> {
        match (&call.asked, &call.answer) {
            (_, Answer::Unknown) => Ok(None),
            (Asked::Commit(_), Answer::Nothing) => match self.truth.revision_of(call.number) {
                Some(revision) => Err(format!(
                    "said to have changed nothing, it took effect at {revision}"
                )),
                None => Ok(None),
            },
            (_, Answer::Nothing) => Ok(None),
            (Asked::Commit(txn), Answer::Committed(revision)) => {
                self.committed(call, txn, *revision).map(|()| Some(*revision))
            }
            (Asked::Commit(txn), Answer::Refused(current)) => {
                if let Some(revision) = self.truth.revision_of(call.number) {
                    return Err(format!("refused, it took effect at {revision}"));
                }
                self.refused(txn, current).map(Some)
            }
            (
                Asked::Consistent(range),
                Answer::Listed {
                    entries,
                    revision,
                    remaining,
                },
            ) => {
                self.listed(range, entries, *revision, *remaining)?;
                // A list of the past says nothing about the present.
                self.after_seen(*revision, range.at)
                    .map(|()| range.at.is_none().then_some(*revision))
            }
            (
                Asked::Local(range),
                Answer::Listed {
                    entries,
                    revision,
                    remaining,
                },
            ) => self.listed(range, entries, *revision, *remaining).map(|()| None),
            (asked, answer) => Err(format!("{asked:?} was answered {answer:?}")),
        }
    }

    fn after_seen(&self, revision: Revision, at: Option<Revision>) -> Result<(), String> {
        if at.is_none() && revision < self.lowest {
            return Err(format!(
                "stale: read at {revision}, although {} had been seen before it began",
                self.lowest
            ));
        }
        Ok(())
    }

    fn committed(&self, call: &Call, txn: &Txn, revision: Revision) -> Result<(), String> {
        if self.truth.revision_of(call.number) == Some(revision) {
            if revision <= self.lowest {
                return Err(format!(
                    "committed at {revision}, although {} had been seen before it began",
                    self.lowest
                ));
            }
            return effect(self.truth, txn, revision);
        }
        // It may have found nothing to change.
        let values = self
            .truth
            .values(revision)
            .ok_or(format!("lost: committed at {revision}, which is not there"))?;
        let changes = txn.ops.iter().any(|op| match op {
            Op::Put { .. } => true,
            Op::Delete { key } => values.contains_key(key),
        });
        if changes {
            return Err(format!(
                "lost: acknowledged at {revision}, where it changed nothing"
            ));
        }
        if revision < self.lowest || revision > self.highest {
            return Err(format!(
                "found nothing to change at {revision}, which is not in {}..={}",
                self.lowest, self.highest
            ));
        }
        Ok(())
    }

    /// There must be a revision at which its compares found what it says; the first is taken, which leaves most room for
    /// what comes after.
    fn refused(&self, txn: &Txn, current: &[Option<Arc<Entry>>]) -> Result<Revision, String> {
        let found = |revision: Revision| {
            let values = self.truth.values(revision)?;
            let same = txn
                .compares
                .iter()
                .zip(current)
                .all(|(compare, found)| values.get(compare.key()) == found.as_ref());
            let fails = txn
                .compares
                .iter()
                .any(|compare| !holds(compare, values.get(compare.key())));
            (same && fails).then_some(revision)
        };
        (self.lowest.get()..=self.highest.get())
            .map(Revision::from)
            .find_map(found)
            .ok_or(format!(
                "refused for a state that was never there from {} to {}",
                self.lowest, self.highest
            ))
    }

    /// A list shows exactly what was there at its revision.
    fn listed(
        &self,
        range: &Range,
        entries: &[Arc<Entry>],
        revision: Revision,
        remaining: u64,
    ) -> Result<(), String> {
        if range.at.is_some_and(|at| at != revision) {
            return Err(format!("asked for {:?}, it speaks of {revision}", range.at));
        }
        if revision > self.highest {
            return Err(format!("lists {revision}, which nobody had begun to write"));
        }
        let values = self
            .truth
            .values(revision)
            .ok_or(format!("lists {revision}, which is not there"))?;
        let within = |entry: &&Arc<Entry>| {
            entry.key.as_str().starts_with(&range.prefix)
                && range.after.as_ref().is_none_or(|after| entry.key > *after)
        };
        let all: Vec<&Arc<Entry>> = values.values().filter(within).collect();
        let shown = all.len().min(range.limit.unwrap_or(usize::MAX));
        let rest = u64::try_from(all.len() - shown).unwrap_or(u64::MAX);
        if !all.iter().take(shown).copied().eq(entries.iter()) || rest != remaining {
            return Err(format!(
                "lists something else than was there at {revision}: {entries:?}"
            ));
        }
        Ok(())
    }
}

fn holds(compare: &Compare, current: Option<&Arc<Entry>>) -> bool {
    compare.holds(current.map(AsRef::as_ref))
}

/// A transaction that took effect at `revision` did all it should, where all it compared held.
fn effect(truth: &Truth, txn: &Txn, revision: Revision) -> Result<(), String> {
    let (Some(before), Some(after)) = (truth.values(revision.previous()), truth.values(revision)) else {
        return Err(format!("took effect at {revision}, which is not there"));
    };
    if let Some(compare) = txn
        .compares
        .iter()
        .find(|compare| !holds(compare, before.get(compare.key())))
    {
        return Err(format!(
            "took effect at {revision}, where {compare:?} did not hold"
        ));
    }
    for op in &txn.ops {
        let done = match op {
            Op::Put {
                key,
                value,
                expires_at,
            } => after.get(key).is_some_and(|entry| {
                (&entry.value, &entry.expires_at, entry.mod_revision) == (value, expires_at, revision)
            }),
            Op::Delete { key } => !after.contains_key(key),
        };
        if !done {
            return Err(format!(
                "took effect at {revision} without its change of {}",
                op.key()
            ));
        }
    }
    let named = |key| txn.ops.iter().any(|op| op.key() == key);
    match truth
        .batch(revision)
        .into_iter()
        .flat_map(|batch| &batch.events)
        .find(|event| !named(event.key()))
    {
        Some(event) => Err(format!(
            "took effect at {revision} and changed {}, too",
            event.key()
        )),
        None => Ok(()),
    }
}
