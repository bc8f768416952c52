//! The simulation itself: it repeats itself and finds mistakes made on purpose. Seeds that found bugs run before all others, and
//! whether everything happens that is meant to is asked of the runs of `tests/run sim`.
#![expect(clippy::unwrap_used, reason = "a run that cannot be made must stop the test")]

use std::process::Command;

use tests_sim::{Bug, FIRST_OF_ALL, run};

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
fn a_seed_gives_the_same_run_every_time_and_another_seed_another() {
    let seeds = [1, FIRST_OF_ALL];
    let firsts = seeds.map(told);
    for (seed, first) in seeds.iter().zip(&firsts) {
        assert!(
            first.contains(&format!("seed {seed}:")) && first.contains("trace"),
            "{first}"
        );
        assert_eq!(told(*seed), *first);
    }
    let traces = firsts.map(|first| first.split_once("trace").map(|(_, trace)| trace.to_owned()));
    assert_ne!(traces[0], traces[1]);
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
