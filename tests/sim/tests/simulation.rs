//! The simulation itself: it repeats itself, it finds mistakes made on purpose, and seeds that found bugs stay clean.
#![expect(clippy::unwrap_used, reason = "a run that cannot be made must stop the test")]

use std::collections::BTreeMap;
use std::process::Command;

use tests_sim::{Bug, run};

/// Seeds that once found a bug; tests/DESIGN.md says which.
const REGRESSIONS: [u64; 10] = [8, 21, 55, 1414, 1531, 5214, 5761, 5829, 8017, 8065];

fn found_with(bug: Bug, what: &[&str]) -> bool {
    let wrong = |seed| run(seed, Some(bug), false).map_or_else(|panic| vec![panic], |report| report.wrong);
    (1..60).any(|seed| {
        wrong(seed)
            .iter()
            .any(|found| what.iter().any(|what| found.contains(what)))
    })
}

/// What the program says of `seed`, in a process of its own.
fn told(seed: u64) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_tests-sim"))
        .arg("--seed")
        .arg(seed.to_string())
        .output();
    String::from_utf8(output.unwrap().stdout).unwrap()
}

#[test]
fn a_seed_gives_the_same_run_every_time() {
    for seed in [1, 2, 3] {
        let first = told(seed);
        assert!(
            first.contains(&format!("seed {seed}:")) && first.contains("trace"),
            "{first}"
        );
        assert_eq!(told(seed), first);
    }
}

#[test]
fn seeds_give_different_runs() {
    assert_ne!(
        run(1, None, false).unwrap().trace,
        run(2, None, false).unwrap().trace
    );
}

/// A simulation that never gets where bugs are finds none.
#[test]
fn among_forty_seeds_everything_happens_that_they_are_meant_to_bring_about() {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in 100..140 {
        for (what, count) in run(seed, None, false).unwrap().counts {
            *counts.entry(what).or_default() += count;
        }
    }
    println!("{counts:#?}");
    for what in [
        "call failed",
        "disk failed",
        "disk full",
        "message lost",
        "outcome unknown",
        "power cut",
        "server added",
        "server removed",
        "snapshot installed",
        "state lost what was not synced",
        "torn log cut",
        "watch fell behind history",
        "watch resumed",
        "write refused",
    ] {
        assert!(counts.contains_key(what), "{what} never happened: {counts:?}");
    }
}

#[test]
fn seeds_that_found_bugs_stay_clean() {
    for seed in REGRESSIONS {
        assert_eq!(
            run(seed, None, false).unwrap().wrong,
            Vec::<String>::new(),
            "seed {seed}"
        );
    }
}

#[test]
fn acknowledged_writes_that_a_lying_disk_lost_are_found() {
    assert!(found_with(
        Bug::LyingDisks,
        &[
            "applied another transaction",
            "lost:",
            "damaged",
            "stale",
            "never applied"
        ]
    ));
}

#[test]
fn reads_that_do_not_ask_whether_they_are_up_to_date_are_found() {
    assert!(found_with(Bug::CarelessReads, &["stale"]));
}
