//! The promises of watches: ordered, unique, atomic, reliable, resumable, bookmarkable. A watch here is what a client
//! has, through all the servers that it went on with, so that what is resumed must keep them, too.

use controlplane_store::{Batch, Revision};

use super::Truth;
use crate::history::{Delivery, Watched};

/// Adds what is wrong with `watched` to `wrong`.
pub(crate) fn check(watched: &Watched, truth: &Truth, goal: Option<Revision>, wrong: &mut Vec<String>) {
    let mut seen = watched.after;
    let mut say = |what: String| {
        wrong.push(format!(
            "watch of {} after {}: {what}",
            watched.prefix, watched.after
        ))
    };
    for delivery in &watched.delivered {
        match delivery {
            Delivery::Batch(batch) if batch.revision <= seen => {
                say(format!(
                    "not ordered or not unique: {} after {seen}",
                    batch.revision
                ));
            }
            Delivery::Batch(batch) => {
                skipped(watched, truth, seen, batch.revision.previous())
                    .into_iter()
                    .for_each(&mut say);
                whole(watched, truth, batch).into_iter().for_each(&mut say);
                seen = batch.revision;
            }
            Delivery::Bookmark(revision) => {
                if *revision < seen {
                    say(format!("a bookmark goes back from {seen} to {revision}"));
                }
                let overtaken = skipped(watched, truth, seen, *revision);
                overtaken
                    .into_iter()
                    .for_each(|what| say(format!("a bookmark at {revision} overtakes: {what}")));
                seen = seen.max(*revision);
            }
        }
    }
    if let Some(last) = watched.complete_to {
        if goal.is_some_and(|goal| last < goal) {
            say(format!("ends at {last}, others had got to {goal:?}"));
        }
        skipped(watched, truth, seen, last).into_iter().for_each(&mut say);
    }
}

/// The events under the watch's prefix after `seen`, up to `last`: none may be there.
fn skipped(watched: &Watched, truth: &Truth, seen: Revision, last: Revision) -> Option<String> {
    let missed = truth
        .between(seen, last)
        .find(|batch| !part(watched, batch).events.is_empty());
    missed.map(|batch| format!("not reliable: skipped revision {}", batch.revision))
}

/// What was delivered is all of the transaction's events under the prefix, and nothing else.
fn whole(watched: &Watched, truth: &Truth, delivered: &Batch) -> Option<String> {
    let Some(batch) = truth.batch(delivered.revision) else {
        return Some(format!(
            "delivers revision {}, which was never applied",
            delivered.revision
        ));
    };
    let expected = part(watched, batch);
    (expected.events != delivered.events || expected.events.is_empty()).then(|| {
        format!(
            "not atomic: revision {} is {:?}, delivered as {:?}",
            batch.revision, expected.events, delivered.events
        )
    })
}

fn part(watched: &Watched, batch: &Batch) -> Batch {
    let concerned = |event: &&controlplane_store::Event| event.key().as_str().starts_with(&watched.prefix);
    Batch {
        events: batch.events.iter().filter(concerned).cloned().collect(),
        ..batch.clone()
    }
}
