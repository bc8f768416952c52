//! A state that is killed between any two instructions, while it applies, forgets, copies itself and installs copies: what
//! it said was written is there, all of it or nothing of each call.
//!
//! The process is this test program started again; it prints a line for each call that returned.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must stop")]

mod support;

use std::path::PathBuf;
use std::time::Duration;

use controlplane_store::{Applied, Machine, Revision, State};
use controlplane_store_sqlite::{Keep, SqliteState};
use support::{START, object, put};
use tests_kill::Victim;

const FOLDER: &str = "FLOE_TEST_KILL_FOLDER";

/// Not a test by itself: what the test below starts and kills.
#[test]
#[ignore = "started by the other test of this file"]
fn writer() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else {
        return;
    };
    let keep = Keep {
        versions: 60,
        ..Keep::default()
    };
    let mut state = SqliteState::keeping(&folder.join("store.db"), keep).unwrap();
    let mut machine = Machine::restore(state.load().unwrap());
    for round in machine.revision().get().. {
        step(&mut state, &mut machine, round);
        println!("reached {}", machine.revision());
        state.reclaim(START + round).unwrap();
        if round % 16 == 0 {
            let copy = folder.join(format!("copy-{round}"));
            state.snapshot(&copy).unwrap();
            machine = Machine::restore(state.install(&copy).unwrap());
            std::fs::remove_file(&copy).unwrap();
        }
    }
}

/// Two objects in one transaction, so that half of one would show.
fn step(state: &mut SqliteState, machine: &mut Machine, round: u64) {
    let text = format!("{round} {}", "x".repeat(3000));
    let ops = ["one", "two"].map(|name| {
        put(
            &format!("configmaps/a/{name}"),
            &object("ConfigMap", "a", name, &text),
        )
    });
    let command = controlplane_store::Command {
        at: START + round,
        first: machine.revision().next(),
        txns: vec![controlplane_store::Decided {
            actor: "alice".into(),
            ops: ops.into(),
        }],
        compact: Revision::from(round.saturating_sub(20)),
    };
    let change = machine.apply(&command).unwrap();
    let position = machine.revision().get().to_le_bytes();
    let (batches, compacted) = (&change.batches[..], change.compacted);
    state
        .apply(&Applied {
            batches,
            compacted,
            position: &position,
        })
        .unwrap();
}

#[test]
fn what_was_applied_or_installed_is_there_when_killed_at_any_moment() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut before = 0;
    // On a busy machine a writer takes longer to begin than the first of these are given.
    for run in 0..200_u64 {
        if run >= 25 && before > 40 {
            break;
        }
        let mut writer = Victim::start("writer", [(FOLDER, folder.path().as_os_str())]);
        std::thread::sleep(Duration::from_millis(30 + run * 5));
        writer.kill();
        let said = writer.said("reached ");
        let reached = said.last().map_or(before, |number| number.parse().unwrap());
        let loaded = support::open(&path).load().unwrap();
        let found = loaded.revision.get();
        assert!(
            found == reached || found == reached + 1,
            "was told {reached}, found {found}"
        );
        if found > 1 {
            assert_eq!(
                loaded.position,
                found.to_le_bytes(),
                "the position is that of the rows"
            );
            assert!(
                loaded
                    .entries
                    .iter()
                    .all(|entry| entry.mod_revision.get() == found)
            );
        }
        let machine = Machine::restore(loaded);
        assert!(
            machine.history().newest() == machine.revision(),
            "history has no gap"
        );
        before = found;
    }
    assert!(before > 40, "only {before} writes in all");
}
