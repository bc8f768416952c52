//! The checker finds each mistake that a replicated store is known for, planted into a history that is right.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a history that cannot be made must stop the test"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use controlplane_store::{
    Batch, ClusterId, Compare, Entry, Event, Key, Loaded, Machine, Op, Outcome, Range, Retention, Revision,
    Stage, Txn, Value,
};
use tests_sim::{Answer, Asked, Call, Delivery, History, Watched, check};

/// A history that grows call by call, each ended before the next begins.
struct Story {
    machine: Machine,
    history: History,
    now: u64,
}

const PODS: &str = "/registry/pods/";

fn key(name: &str) -> Key {
    Key::parse(&format!("{PODS}{name}")).unwrap()
}

fn put(name: &str, number: usize) -> Op {
    Op::Put {
        key: key(name),
        value: Value::encode(&serde_json::json!({"call": number})).unwrap(),
        expires_at: None,
    }
}

impl Story {
    fn new() -> Self {
        Self {
            machine: Machine::restore(Loaded::empty(ClusterId::generate())),
            history: History::default(),
            now: 0,
        }
    }

    fn record(&mut self, asked: Asked, answer: Answer) -> usize {
        let number = self.history.calls.len();
        self.now += 2;
        self.history.calls.push(Call {
            number,
            begin: self.now,
            end: Some(self.now + 1),
            asked,
            answer,
        });
        number
    }

    fn commit(&mut self, compares: Vec<Compare>, ops: Vec<Op>) -> usize {
        let actor = Arc::from(format!("call-{}", self.history.calls.len()));
        let txn = Txn { actor, compares, ops };
        let mut stage = Stage::over(&self.machine);
        let outcome = stage.propose(txn.clone()).unwrap();
        let command = stage.into_command(&Retention::default(), 1);
        for batch in self.machine.apply(&command).unwrap().batches {
            self.history.applied.insert(batch.revision, batch);
        }
        let answer = match outcome {
            Outcome::Committed { revision } => Answer::Committed(revision),
            Outcome::Refused { current } => Answer::Refused(current),
        };
        self.record(Asked::Commit(txn), answer)
    }

    fn list(&mut self) -> usize {
        let range = Range::prefix(PODS);
        let listing = self.machine.list(&range).unwrap();
        let answer = Answer::Listed {
            entries: listing.entries,
            revision: listing.revision,
            remaining: listing.remaining,
        };
        self.record(Asked::Consistent(range), answer)
    }

    fn watch(&mut self, after: u64, bookmark: bool) {
        let after = Revision::from(after);
        let batches = self
            .history
            .applied
            .range(after.next()..)
            .map(|(_, batch)| Arc::clone(batch));
        let mut delivered: Vec<Delivery> = batches.map(Delivery::Batch).collect();
        if bookmark {
            delivered.push(Delivery::Bookmark(self.machine.revision()));
        }
        self.history.watches.push(Watched {
            prefix: PODS.to_owned(),
            after,
            delivered,
            complete_to: Some(self.machine.revision()),
        });
    }
}

/// Three writes, one of two keys, a refusal, a delete, lists between, and watches over all of it.
fn story() -> Story {
    let mut story = Story::new();
    story.commit(vec![Compare::Absent(key("a"))], vec![put("a", 0)]);
    story.list();
    story.commit(vec![], vec![put("b", 2), put("c", 2)]);
    story.commit(vec![Compare::Absent(key("a"))], vec![put("a", 3)]);
    story.commit(vec![], vec![Op::Delete { key: key("b") }]);
    story.list();
    story.commit(vec![], vec![put("a", 6)]);
    story.commit(vec![], vec![Op::Delete { key: key("absent") }]);
    story.list();
    story.watch(1, true);
    story.watch(3, false);
    story
}

fn good() -> History {
    story().history
}

fn found(plant: impl FnOnce(&mut History)) -> String {
    let mut history = good();
    plant(&mut history);
    check(&history).join("\n")
}

/// Removes a revision from the truth and moves those after it up, as if it had never been.
fn forget(history: &mut History, revision: u64) {
    let mut machine = Machine::restore(Loaded::empty(ClusterId::generate()));
    let mut applied = BTreeMap::new();
    for (_, batch) in history.applied.iter().filter(|(at, _)| at.get() != revision) {
        let op = |event: &Event| match event {
            Event::Put { entry, .. } => Op::Put {
                key: entry.key.clone(),
                value: entry.value.clone(),
                expires_at: None,
            },
            Event::Delete { key, .. } => Op::Delete { key: key.clone() },
        };
        let txn = Txn {
            actor: Arc::clone(&batch.actor),
            compares: vec![],
            ops: batch.events.iter().map(op).collect(),
        };
        let mut stage = Stage::over(&machine);
        stage.propose(txn).unwrap();
        let command = stage.into_command(&Retention::default(), 1);
        for batch in machine.apply(&command).unwrap().batches {
            applied.insert(batch.revision, batch);
        }
    }
    history.applied = applied;
}

fn list(history: &mut History, number: usize) -> (&mut Vec<Arc<Entry>>, &mut Revision) {
    match &mut history.calls[number].answer {
        Answer::Listed {
            entries, revision, ..
        } => (entries, revision),
        other => panic!("call {number} is {other:?}"),
    }
}

#[test]
fn a_history_that_keeps_all_promises_passes() {
    assert_eq!(check(&good()), Vec::<String>::new());
}

#[test]
fn a_lost_write_is_found() {
    let wrong = found(|history| {
        forget(history, 3);
        history.watches.clear();
    });
    assert!(wrong.contains("call 2: lost"), "{wrong}");
}

#[test]
fn a_missing_revision_is_found() {
    let wrong = found(|history| drop(history.applied.remove(&Revision::from(3))));
    assert!(wrong.contains("revision 3 was never applied"), "{wrong}");
}

#[test]
fn a_stale_read_is_found() {
    let wrong = found(|history| history.calls[5].answer = history.calls[1].answer.clone());
    assert!(wrong.contains("call 5: stale"), "{wrong}");
}

#[test]
fn a_read_of_the_future_is_found() {
    let wrong = found(|history| history.calls[1].answer = history.calls[5].answer.clone());
    assert!(
        wrong.contains("call 1: lists 4, which nobody had begun to write"),
        "{wrong}"
    );
}

#[test]
fn a_read_that_shows_something_else_is_found() {
    let wrong = found(|history| drop(list(history, 5).0.pop()));
    assert!(wrong.contains("call 5: lists something else"), "{wrong}");
}

#[test]
fn a_write_that_says_it_did_nothing_is_found() {
    let wrong = found(|history| history.calls[2].answer = Answer::Nothing);
    assert!(wrong.contains("call 2: said to have changed nothing"), "{wrong}");
}

#[test]
fn a_refused_write_that_took_effect_is_found() {
    let wrong = found(|history| history.calls[2].answer = Answer::Refused(vec![]));
    assert!(wrong.contains("call 2: refused, it took effect"), "{wrong}");
}

#[test]
fn a_refusal_for_an_old_state_is_found() {
    let wrong = found(|history| history.calls[3].answer = Answer::Refused(vec![None]));
    assert!(
        wrong.contains("call 3: refused for a state that was never there"),
        "{wrong}"
    );
}

#[test]
fn a_write_against_its_condition_is_found() {
    let wrong = found(|history| {
        if let Asked::Commit(txn) = &mut history.calls[2].asked {
            txn.compares = vec![Compare::Exists(key("b"))];
        }
    });
    assert!(wrong.contains("call 2: took effect at 3, where"), "{wrong}");
}

#[test]
fn a_write_that_took_effect_twice_is_found() {
    let wrong = found(|history| {
        let last = Batch::clone(&history.applied[&Revision::from(5)]);
        let again = Batch {
            actor: Arc::from("call-2"),
            ..last
        };
        history.applied.insert(Revision::from(5), Arc::new(again));
    });
    assert!(wrong.contains("call 2 took effect twice"), "{wrong}");
}

#[test]
fn a_write_that_nobody_asked_for_is_found() {
    let wrong = found(|history| {
        let batch = Batch {
            actor: Arc::default(),
            ..Batch::clone(&history.applied[&Revision::from(4)])
        };
        history.applied.insert(Revision::from(4), Arc::new(batch));
    });
    assert!(wrong.contains("revision 4: nobody asked"), "{wrong}");
}

#[test]
fn an_unknown_write_may_take_effect_late_but_not_before_it_began() {
    let unknown = |history: &mut History, number: usize| {
        history.calls[number].answer = Answer::Unknown;
        history.calls[number].end = None;
    };
    assert_eq!(found(|history| unknown(history, 6)), "");
    let wrong = found(|history| {
        unknown(history, 2);
        history.calls[2].begin = 1000;
    });
    assert!(
        wrong.contains("call 2: of unknown outcome took effect at 3, but"),
        "{wrong}"
    );
}

#[test]
fn writes_acknowledged_in_another_order_than_they_were_made_are_found() {
    let wrong = found(|history| {
        let (second, fourth) = (history.calls[2].begin, history.calls[4].begin);
        (history.calls[2].begin, history.calls[2].end) = (fourth, Some(fourth + 1));
        (history.calls[4].begin, history.calls[4].end) = (second, Some(second + 1));
    });
    assert!(wrong.contains("call 2: committed at 3, although 4"), "{wrong}");
}

#[test]
fn a_server_that_ends_with_something_else_is_found() {
    let wrong = found(|history| {
        history
            .finals
            .push(("server-1".to_owned(), Revision::from(5), vec![]))
    });
    assert!(wrong.contains("server-1 holds other values at 5"), "{wrong}");
}

fn plant_in_watch(plant: impl FnOnce(&mut Vec<Delivery>)) -> String {
    found(|history| plant(&mut history.watches[0].delivered))
}

#[test]
fn watch_duplicate_event_is_found() {
    let wrong = plant_in_watch(|delivered| delivered.insert(1, delivered[0].clone()));
    assert!(wrong.contains("not ordered or not unique: 2 after 2"), "{wrong}");
}

#[test]
fn watch_out_of_order_is_found() {
    let wrong = plant_in_watch(|delivered| delivered.swap(0, 1));
    assert!(wrong.contains("not ordered or not unique: 2 after 3"), "{wrong}");
}

#[test]
fn watch_skipped_event_is_found() {
    let wrong = plant_in_watch(|delivered| drop(delivered.remove(1)));
    assert!(wrong.contains("not reliable: skipped revision 3"), "{wrong}");
}

#[test]
fn watch_event_missing_at_the_end_is_found() {
    let wrong = plant_in_watch(|delivered| {
        delivered.pop();
        delivered.pop();
    });
    assert!(wrong.contains("not reliable: skipped revision 5"), "{wrong}");
}

#[test]
fn watch_delete_lost_at_compaction_is_found() {
    // Begun after 3, the compaction revision, the delete at 4 must be the first event.
    let wrong = found(|history| drop(history.watches[1].delivered.remove(0)));
    assert!(wrong.contains("not reliable: skipped revision 4"), "{wrong}");
}

#[test]
fn watch_torn_transaction_is_found() {
    let wrong = plant_in_watch(|delivered| match &mut delivered[1] {
        Delivery::Batch(batch) => drop(Arc::make_mut(batch).events.pop()),
        Delivery::Bookmark(_) => panic!("the second delivery is a transaction"),
    });
    assert!(wrong.contains("not atomic: revision 3"), "{wrong}");
}

#[test]
fn watch_event_of_no_transaction_is_found() {
    let wrong = plant_in_watch(|delivered| match &mut delivered[3] {
        Delivery::Batch(batch) => Arc::make_mut(batch).revision = Revision::from(9),
        Delivery::Bookmark(_) => panic!("the fourth delivery is a transaction"),
    });
    assert!(
        wrong.contains("delivers revision 9, which was never applied"),
        "{wrong}"
    );
}

#[test]
fn watch_bookmark_that_overtakes_is_found() {
    let wrong = plant_in_watch(|delivered| delivered.insert(1, Delivery::Bookmark(Revision::from(4))));
    assert!(wrong.contains("a bookmark at 4 overtakes"), "{wrong}");
}

#[test]
fn watch_bookmark_that_goes_back_is_found() {
    let wrong = plant_in_watch(|delivered| delivered.push(Delivery::Bookmark(Revision::from(2))));
    assert!(wrong.contains("a bookmark goes back from 5 to 2"), "{wrong}");
}
