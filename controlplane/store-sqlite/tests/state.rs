//! What the state promises to the store above it.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must stop")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use controlplane_store::{Decided, Entry, Key, Machine, Reclaimed, Revision, State, StateError};
use controlplane_store_sqlite::{Keep, SqliteState};
use proptest::prelude::*;
use support::{Bench, assert_same, delete, object, open, put};

fn text(name: &str, text: &str) -> controlplane_store::Op {
    put(
        &format!("configmaps/a/{name}"),
        &object("ConfigMap", "a", name, text),
    )
}

#[test]
fn what_was_applied_is_loaded_with_its_history_and_position() {
    let mut bench = Bench::new();
    bench.commit("alice", vec![text("one", "1"), text("two", "1")]);
    bench.now += 5;
    bench.commit("bob", vec![text("one", "2")]);
    bench.commit("", vec![delete("configmaps/a/two"), text("one", "3")]);
    let machine = std::mem::replace(&mut bench.machine, Machine::restore(bench.state.load().unwrap()));
    let (_folder, loaded) = bench.reopen();
    assert_eq!(loaded.position, 3_u64.to_le_bytes());
    assert_eq!(loaded.compacted, Revision::EMPTY);
    assert_eq!(loaded.history.len(), 3);
    assert_eq!(
        (&*loaded.history[1].actor, loaded.history[1].at),
        ("bob", support::START + 5)
    );
    assert_same(&machine, &Machine::restore(loaded));
}

#[derive(Debug, Clone)]
enum Step {
    Put(u8),
    Delete(u8),
    Two(u8, u8),
    Compact(u8),
    Reclaim,
    Later,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..6_u8).prop_map(Step::Put),
        2 => (0..6_u8).prop_map(Step::Delete),
        2 => (0..3_u8, 3..6_u8).prop_map(|(one, other)| Step::Two(one, other)),
        1 => (0..5_u8).prop_map(Step::Compact),
        1 => Just(Step::Reclaim),
        1 => Just(Step::Later),
    ];
    proptest::collection::vec(step, 1..60)
}

fn carry_out(bench: &mut Bench, number: usize, step: &Step) {
    let name = |which: u8| format!("c{which}");
    let put = |which: u8| text(&name(which), &format!("{number} {}", "x".repeat(number * 40)));
    match step {
        Step::Put(which) => drop(bench.commit("alice", vec![put(*which)])),
        Step::Delete(which) => {
            let path = format!("configmaps/a/{}", name(*which));
            if bench.machine.get(&support::key(&path)).is_some() {
                bench.commit("bob", vec![delete(&path)]);
            }
        }
        Step::Two(one, other) => {
            let txns = [one, other].map(|which| Decided {
                actor: "".into(),
                ops: vec![put(*which)],
            });
            bench.command(txns.into(), Revision::from(0));
        }
        Step::Compact(behind) => {
            let through = bench.machine.revision().get().saturating_sub(u64::from(*behind));
            bench.compact(Revision::from(through));
        }
        Step::Reclaim => while bench.state.reclaim(bench.now).unwrap() == Reclaimed::More {},
        Step::Later => bench.now += 30,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn disk_and_memory_agree_whatever_was_done(steps in steps()) {
        let keep = Keep { versions: 12, seconds: 60, bytes: 20_000 };
        let mut bench = Bench::keeping(keep);
        for (number, step) in steps.iter().enumerate() {
            carry_out(&mut bench, number, step);
        }
        let loaded = bench.state.load().unwrap();
        prop_assert_eq!(loaded.compacted, bench.machine.history().compacted());
        assert_same(&bench.machine, &Machine::restore(loaded));
        let copy = bench.beside("copy.db");
        bench.state.snapshot(&copy).unwrap();
        let mut other = SqliteState::open(&bench.beside("other.db")).unwrap();
        let installed = other.install(&copy).unwrap();
        assert_same(&bench.machine, &Machine::restore(installed));
        assert_same(&bench.machine, &Machine::restore(other.load().unwrap()));
    }
}

#[test]
fn batches_that_leave_a_gap_are_refused_and_change_nothing() {
    let mut bench = Bench::new();
    bench.commit("alice", vec![text("one", "1")]);
    let mut ahead = Machine::restore(bench.state.load().unwrap());
    let mut command = |first: u64| {
        let txns = vec![Decided {
            actor: "x".into(),
            ops: vec![text("one", "2")],
        }];
        let first = Revision::from(first);
        let command = controlplane_store::Command {
            at: 1,
            first,
            txns,
            compact: Revision::from(0),
        };
        ahead.apply(&command).unwrap().batches
    };
    command(3);
    let late = command(4);
    let applied = controlplane_store::Applied {
        batches: &late,
        compacted: None,
        position: b"x",
    };
    let refused = bench.state.apply(&applied);
    assert!(matches!(refused, Err(StateError::NotWritten(_))), "{refused:?}");
    assert_same(&bench.machine, &Machine::restore(bench.state.load().unwrap()));
}

#[test]
fn a_snapshot_of_another_cluster_is_refused_by_all_but_an_empty_server() {
    let mut one = Bench::new();
    one.commit("alice", vec![text("one", "1")]);
    let copy = one.beside("copy.db");
    one.state.snapshot(&copy).unwrap();
    let mut other = Bench::new();
    other.commit("bob", vec![text("two", "1")]);
    let refused = other.state.install(&copy).unwrap_err();
    let cause = std::error::Error::source(&refused).unwrap().to_string();
    assert!(cause.contains("this server belongs to cluster"), "{cause}");
    assert_same(&other.machine, &Machine::restore(other.state.load().unwrap()));
    let mut empty = Bench::new();
    assert_same(
        &one.machine,
        &Machine::restore(empty.state.install(&copy).unwrap()),
    );
}

#[test]
fn a_snapshot_is_never_written_over_a_file() {
    let mut bench = Bench::new();
    let taken = bench.beside("taken");
    std::fs::write(&taken, "mine").unwrap();
    assert!(bench.state.snapshot(&taken).is_err());
    assert_eq!(std::fs::read(&taken).unwrap(), b"mine");
}

#[test]
fn history_on_disk_keeps_to_its_bounds_under_load_and_when_idle() {
    let keep = Keep {
        versions: 50,
        seconds: 100,
        bytes: 1 << 20,
    };
    let mut bench = Bench::keeping(keep);
    for round in 0..300 {
        bench.commit("alice", vec![text("one", &round.to_string())]);
    }
    let through = bench.machine.revision();
    bench.compact(through);
    for _ in 0..200 {
        bench.commit("alice", vec![text("one", "again")]);
    }
    let kept = |bench: &mut Bench, copy: &str| -> usize {
        let copy = bench.beside(copy);
        bench.state.snapshot(&copy).unwrap();
        support::rows(&copy, "SELECT 1 FROM history").len()
    };
    // What the store itself keeps for watches stays.
    assert_eq!(kept(&mut bench, "held"), 201);
    let through = bench.machine.revision();
    bench.compact(through);
    for _ in 0..160 {
        bench.commit("alice", vec![text("one", "last")]);
        let through = bench.machine.revision();
        bench.compact(through);
    }
    assert_eq!(kept(&mut bench, "bounded"), 51);
    bench.now += 200;
    while bench.state.reclaim(bench.now).unwrap() == Reclaimed::More {}
    assert_eq!(kept(&mut bench, "old"), 1);
}

#[test]
fn a_second_holder_is_refused_also_one_that_knows_no_lock_of_ours() {
    let bench = Bench::new();
    let refused = SqliteState::open(&bench.path());
    assert!(matches!(refused, Err(StateError::InUse(_))), "{refused:?}");
    assert!(
        !outsider(&bench.path()),
        "another process must not read beside us"
    );
    let path = bench.path();
    let folder = bench.close();
    assert!(outsider(&path));
    drop(open(&path));
    drop(folder);
}

const OUTSIDER: &str = "FLOE_TEST_OUTSIDER";

/// Whether another process, such as `sqlite3`, can read the file.
fn outsider(path: &std::path::Path) -> bool {
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "reads_as_any_program_would", "--ignored"])
        .env(OUTSIDER, path)
        .stdout(std::process::Stdio::null())
        .status();
    status.unwrap().success()
}

/// Not a test by itself: the other process of the one above.
#[test]
#[ignore = "started by another test of this file"]
fn reads_as_any_program_would() {
    let Some(path) = std::env::var_os(OUTSIDER) else {
        return;
    };
    assert!(!support::rows(std::path::Path::new(&path), "SELECT revision FROM meta").is_empty());
}

/// So many that they are read by several threads, where there are processors, and what one transaction deleted by two.
#[test]
fn many_objects_and_versions_are_read_back_as_they_were_and_each_is_in_memory_once() {
    let mut bench = Bench::new();
    let put_all = |names: std::ops::Range<usize>, mark: &str| {
        names
            .map(|name| text(&format!("c{name}"), mark))
            .collect::<Vec<_>>()
    };
    for begin in (0..15_000).step_by(3000) {
        bench.commit("alice", put_all(begin..begin + 3000, "first"));
    }
    bench.compact(bench.machine.revision().previous());
    bench.commit("alice", put_all(0..4000, "second"));
    let gone = (4000..8000).map(|name| delete(&format!("configmaps/a/c{name}")));
    bench.commit("bob", gone.collect());
    bench.commit("alice", put_all(8000..12_000, "second"));
    let machine = std::mem::replace(&mut bench.machine, Machine::restore(bench.state.load().unwrap()));
    let (_folder, loaded) = bench.reopen();
    let current: BTreeMap<&Key, &Arc<Entry>> =
        loaded.entries.iter().map(|entry| (&entry.key, entry)).collect();
    let made = loaded.history.iter().flat_map(|batch| &batch.events);
    let made = made.filter_map(controlplane_store::Event::current);
    let shared = made.filter(|made| current.get(&made.key).is_some_and(|now| Arc::ptr_eq(made, now)));
    assert_eq!(shared.count(), 3000 + 4000 + 4000);
    assert_same(&Machine::restore(loaded), &machine);
}
