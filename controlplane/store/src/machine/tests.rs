//! Properties of the pure machine against a model that keeps a whole copy for every revision.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{ClusterId, Compare, Op, Outcome, Stage, Txn, Value};

/// Everything at every revision, in the simplest form there is.
type Model = BTreeMap<u64, BTreeMap<String, (String, u64)>>;

#[derive(Debug, Clone)]
enum Step {
    Put(u8, u16),
    Delete(u8),
    PutIfAbsent(u8, u16),
    PutIfUnchanged(u8, u64, u16),
    Move(u8, u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0..6u8;
    let step = prop_oneof![
        (key.clone(), any::<u16>()).prop_map(|(k, v)| Step::Put(k, v)),
        key.clone().prop_map(Step::Delete),
        (key.clone(), any::<u16>()).prop_map(|(k, v)| Step::PutIfAbsent(k, v)),
        (key.clone(), 0..40u64, any::<u16>()).prop_map(|(k, r, v)| Step::PutIfUnchanged(k, r, v)),
        (key.clone(), key).prop_map(|(from, to)| Step::Move(from, to)),
    ];
    proptest::collection::vec(step, 0..40)
}

fn key(index: u8) -> Key {
    // Namespaces `a` and `a-b`, so that the order of bytes matters.
    let namespace = if index.is_multiple_of(2) { "a" } else { "a-b" };
    Key::parse(&format!("/registry/pods/{namespace}/{index}")).unwrap()
}

fn put(index: u8, text: u16) -> Op {
    let value = Value::encode(&json!({"text": text.to_string()})).unwrap();
    Op::Put {
        key: key(index),
        value,
        expires_at: None,
    }
}

fn txn(step: &Step, model: &BTreeMap<String, (String, u64)>) -> Txn {
    let (compares, ops) = match *step {
        Step::Put(k, v) => (vec![], vec![put(k, v)]),
        Step::Delete(k) => (vec![], vec![Op::Delete { key: key(k) }]),
        Step::PutIfAbsent(k, v) => (vec![Compare::Absent(key(k))], vec![put(k, v)]),
        Step::PutIfUnchanged(k, r, v) => (
            vec![Compare::ModRevision(key(k), Revision::from(r))],
            vec![put(k, v)],
        ),
        Step::Move(from, to) if from == to => (vec![Compare::Exists(key(from))], vec![]),
        Step::Move(from, to) => {
            let text = model
                .get(key(from).as_str())
                .map_or(0, |(text, _)| text.parse().unwrap());
            (
                vec![Compare::Exists(key(from))],
                vec![Op::Delete { key: key(from) }, put(to, text)],
            )
        }
    };
    Txn {
        actor: "test".into(),
        compares,
        ops,
    }
}

/// What the model makes of a transaction at revision `next`; none, where a compare fails.
fn expect(
    txn: &Txn,
    now: &BTreeMap<String, (String, u64)>,
    next: u64,
) -> Option<BTreeMap<String, (String, u64)>> {
    for compare in &txn.compares {
        let found = now.get(compare.key().as_str());
        let holds = match compare {
            Compare::Absent(_) => found.is_none(),
            Compare::Exists(_) => found.is_some(),
            Compare::ModRevision(_, revision) => found.is_some_and(|(_, at)| *at == revision.get()),
        };
        if !holds {
            return None;
        }
    }
    let mut after = now.clone();
    for op in &txn.ops {
        match op {
            Op::Put { key, value, .. } => after.insert(key.to_string(), (text(value), next)),
            Op::Delete { key } => after.remove(key.as_str()),
        };
    }
    Some(after)
}

fn text(value: &Value) -> String {
    value.to_json(Revision::EMPTY).unwrap()["text"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn empty() -> Machine {
    Machine::restore(Loaded::empty(ClusterId::generate()))
}

fn contents(listing: &Listing) -> BTreeMap<String, (String, u64)> {
    let entry = |entry: &Arc<Entry>| {
        (
            entry.key.to_string(),
            (text(&entry.value), entry.mod_revision.get()),
        )
    };
    listing.entries.iter().map(entry).collect()
}

/// Runs `steps` in groups of `group`, as the proposer does, and returns the model beside the machine.
fn run(steps: &[Step], group: usize) -> (Machine, Model) {
    let mut machine = empty();
    let mut model = Model::from([(1, BTreeMap::new())]);
    for group in steps.chunks(group) {
        let mut stage = Stage::over(&machine);
        for step in group {
            let (at, now) = model.last_key_value().unwrap();
            let (next, txn) = (at + 1, txn(step, now));
            let expected = expect(&txn, now, next);
            let changes = expected.as_ref().is_some_and(|after| after != now);
            let outcome = stage.propose(txn).unwrap();
            assert_eq!(
                matches!(outcome, Outcome::Committed { .. }),
                expected.is_some(),
                "{step:?}"
            );
            if changes {
                model.insert(next, expected.unwrap());
            }
        }
        let command = stage.into_command(&KEEP_ALL, 0);
        let command = Command::decode(&command.encode()).unwrap();
        machine.apply(&command).unwrap();
    }
    (machine, model)
}

proptest! {
    #[test]
    fn every_kept_revision_reads_as_the_model_remembers_it(steps in steps(), group in 1..8usize) {
        let (machine, model) = run(&steps, group);
        prop_assert_eq!(machine.revision().get(), *model.last_key_value().unwrap().0);
        for (revision, expected) in &model {
            let range = Range { at: Some(Revision::from(*revision)), ..Range::prefix("/registry/") };
            prop_assert_eq!(&contents(&machine.list(&range).unwrap()), expected);
        }
    }

    #[test]
    fn replaying_history_over_an_old_read_gives_the_present(steps in steps(), from in 1..40u64) {
        let (machine, _) = run(&steps, 3);
        let from = Revision::from(from.min(machine.revision().get()));
        let range = Range { at: Some(from), ..Range::prefix("/registry/") };
        let mut state = contents(&machine.list(&range).unwrap());
        for event in machine.history().after(from).flat_map(|batch| &batch.events) {
            match event.current() {
                Some(entry) => state.insert(entry.key.to_string(), (text(&entry.value), entry.mod_revision.get())),
                None => state.remove(event.key().as_str()),
            };
        }
        prop_assert_eq!(state, contents(&machine.list(&Range::prefix("/registry/")).unwrap()));
    }

    #[test]
    fn compaction_forgets_the_past_and_changes_no_present(steps in steps(), kept in 0..20usize) {
        let (mut machine, model) = run(&steps, 4);
        let retention = Retention { revisions: kept, ..Retention::default() };
        let command = Stage::over(&machine).into_command(&retention, 0);
        machine.apply(&command).unwrap();
        prop_assert!(machine.history().after(Revision::EMPTY).count() <= kept);
        for (revision, expected) in &model {
            let range = Range { at: Some(Revision::from(*revision)), ..Range::prefix("/registry/") };
            match machine.list(&range) {
                Ok(listing) => prop_assert_eq!(&contents(&listing), expected),
                Err(error) => {
                    let gone = matches!(error, StoreError::Compacted { .. });
                    prop_assert!(gone && *revision < machine.history().compacted().get());
                }
            }
        }
    }

    #[test]
    fn pages_of_any_size_make_the_whole(steps in steps(), limit in 1..5usize, at in 1..40u64) {
        let (machine, _) = run(&steps, 4);
        let at = Some(Revision::from(at.min(machine.revision().get())));
        let whole = machine.list(&Range { at, ..Range::prefix("/registry/pods/a") }).unwrap();
        let (mut paged, mut after) = (Vec::new(), None);
        loop {
            let range = Range { prefix: "/registry/pods/a".to_owned(), after, limit: Some(limit), at };
            let page = machine.list(&range).unwrap();
            paged.extend(page.entries);
            if page.remaining == 0 {
                break;
            }
            after = paged.last().map(|entry: &Arc<Entry>| entry.key.clone());
        }
        prop_assert_eq!(paged, whole.entries);
    }

    #[test]
    fn restoring_what_is_current_loses_nothing(steps in steps()) {
        let (machine, _) = run(&steps, 4);
        let now = machine.list(&Range::prefix("/registry/")).unwrap();
        let entries = now.entries.iter().rev().cloned().collect();
        let loaded = Loaded { revision: machine.revision(), entries, ..Loaded::empty(ClusterId::generate()) };
        prop_assert_eq!(Machine::restore(loaded).list(&Range::prefix("/registry/")).unwrap(), now);
    }
    #[test]
    fn restored_history_serves_old_reads_and_watches_as_before(steps in steps(), kept in 0..20usize) {
        let (mut machine, model) = run(&steps, 4);
        let retention = Retention { revisions: kept, ..Retention::default() };
        let command = Stage::over(&machine).into_command(&retention, 0);
        machine.apply(&command).unwrap();
        let compacted = machine.history().compacted();
        let now = machine.list(&Range::prefix("/registry/")).unwrap();
        let restored = Machine::restore(Loaded {
            revision: machine.revision(),
            compacted,
            entries: now.entries.clone(),
            history: machine.history().after(compacted).map(|batch| Batch::clone(batch)).collect(),
            ..Loaded::empty(ClusterId::generate())
        });
        prop_assert!(restored.history().after(compacted).eq(machine.history().after(compacted)));
        for (revision, expected) in model.range(compacted.get()..) {
            let range = Range { at: Some(Revision::from(*revision)), ..Range::prefix("/registry/") };
            prop_assert_eq!(&contents(&restored.list(&range).unwrap()), expected);
        }
    }

    #[test]
    fn a_command_of_another_revision_changes_nothing(steps in steps(), first in 0..50u64) {
        let (mut machine, _) = run(&steps, 4);
        let before = (machine.revision(), machine.list(&Range::prefix("/registry/")).unwrap());
        let txns = vec![Decided { actor: "x".into(), ops: vec![put(1, 1)] }];
        let command = Command { at: 0, first: first.into(), txns, compact: Revision::from(0) };
        let fits = before.0.next() == Revision::from(first);
        prop_assert_eq!(machine.apply(&command).is_ok(), fits);
        if !fits {
            prop_assert_eq!((machine.revision(), machine.list(&Range::prefix("/registry/")).unwrap()), before);
        }
    }
}

/// Retention that forgets nothing by itself.
const KEEP_ALL: Retention = Retention {
    revisions: usize::MAX,
    seconds: u64::MAX,
    bytes: usize::MAX,
};
