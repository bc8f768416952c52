//! Upkeep without an operator: the file stays small, and no step of it is long.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot be set up must stop"
)]

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use controlplane_store::{Decided, Reclaimed, Revision, State};
use controlplane_store_sqlite::Keep;
use support::{Bench, object, put};

const KEYS: u64 = 1000;
const VALUE: usize = 1000;

/// Updates in one transaction of SQLite, as a busy server groups them.
const GROUP: u64 = 100;

/// How long each apply and each step of upkeep took.
#[derive(Debug, Default)]
struct Times {
    apply: Vec<Duration>,
    upkeep: Vec<Duration>,
}

/// The time that `share` of a thousand did not exceed.
fn per_mille(times: &mut [Duration], share: usize) -> Duration {
    times.sort();
    times[(times.len() * share / 1000).min(times.len() - 1)]
}

/// Updates `updates` times, a step of upkeep after each group, as the store does it.
fn churn(bench: &mut Bench, updates: u64) -> Times {
    let mut times = Times::default();
    let text = "x".repeat(VALUE);
    for group in 0..updates / GROUP {
        let txns = (0..GROUP).map(|place| {
            let name = format!("c{}", (group * GROUP + place) * 7919 % KEYS);
            let value = object("ConfigMap", "a", &name, &format!("{group} {text}"));
            Decided {
                actor: "alice".into(),
                ops: vec![put(&format!("configmaps/a/{name}"), &value)],
            }
        });
        let compact = bench.machine.revision().get().saturating_sub(5000);
        let txns = txns.collect();
        let begun = Instant::now();
        bench.command(txns, Revision::from(compact));
        times.apply.push(begun.elapsed());
        upkeep(bench, &mut times);
    }
    for _ in 0..1000 {
        if upkeep(bench, &mut times) == Reclaimed::Done {
            break;
        }
    }
    times
}

fn upkeep(bench: &mut Bench, times: &mut Times) -> Reclaimed {
    let begun = Instant::now();
    let reclaimed = bench.state.reclaim(bench.now).unwrap();
    times.upkeep.push(begun.elapsed());
    reclaimed
}

fn sizes(path: &Path, bench: &mut Bench, copy: &str) -> (u64, u64) {
    let copy = bench.beside(copy);
    bench.state.snapshot(&copy).unwrap();
    let live = support::rows(&copy, "SELECT current_bytes + past_bytes FROM meta");
    let log = path.with_file_name("store.db-wal");
    let on_disk = [path, &log].map(|file| file.metadata().map_or(0, |found| found.len()));
    (on_disk.iter().sum(), live[0].parse().unwrap())
}

#[test]
fn after_many_updates_the_file_is_under_twice_its_live_data() {
    let keep = Keep {
        versions: 10_000,
        ..Keep::default()
    };
    let mut bench = Bench::keeping(keep);
    churn(&mut bench, 60_000);
    let (on_disk, live) = sizes(&bench.path(), &mut bench, "copy");
    // The log of 4 MiB and as many spare pages are left for the writes to come.
    assert!(
        on_disk < 2 * live + (8 << 20),
        "{on_disk} on disk for {live} of live data"
    );
    let file = bench.path().metadata().unwrap().len();
    assert!(file < 2 * live, "a file of {file} for {live} of live data");
}

#[test]
fn space_of_what_was_deleted_is_given_back_in_steps() {
    let mut bench = Bench::keeping(Keep {
        versions: 0,
        ..Keep::default()
    });
    churn(&mut bench, 20_000);
    let before = bench.path().metadata().unwrap().len();
    let deletes = (0..KEYS).map(|key| Decided {
        actor: "alice".into(),
        ops: vec![support::delete(&format!("configmaps/a/c{key}"))],
    });
    bench.command(deletes.collect(), Revision::from(0));
    let through = bench.machine.revision();
    bench.compact(through);
    let mut times = Times::default();
    while upkeep(&mut bench, &mut times) == Reclaimed::More {}
    let after = bench.path().metadata().unwrap().len();
    // Free pages beyond the spare ones are given back once the log was moved to its place.
    assert!(after <= before && after <= 6 << 20, "from {before} to {after}");
}

/// The whole of it, with times: `cargo test --release -p controlplane-store-sqlite --test upkeep -- --ignored --nocapture`.
#[test]
#[ignore = "a million updates take a minute"]
fn after_a_million_updates_of_a_thousand_keys_no_step_took_long() {
    let mut bench = Bench::new();
    let begun = Instant::now();
    let mut times = churn(&mut bench, 1_000_000);
    let took = begun.elapsed();
    let (on_disk, live) = sizes(&bench.path(), &mut bench, "copy");
    println!("{on_disk} bytes on disk, {live} bytes of live data, {took:?} in all");
    for (name, times) in [("apply", &mut times.apply), ("upkeep", &mut times.upkeep)] {
        let shares = [500, 990, 999, 1000].map(|share| per_mille(times, share));
        println!("{name}: p50, p99, p99.9, longest {shares:?}");
    }
    assert!(on_disk < 2 * live);
    // What is longer waited for the disk, which others use, too.
    assert!(per_mille(&mut times.upkeep, 999) < Duration::from_millis(50));
}
