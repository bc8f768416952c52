//! Runs simulations: `--seed N` one, `--seeds COUNT` several, `--soak SECONDS` as many as fit. Before several run those that
//! once found a bug; afterwards everything must have happened that runs are meant to bring about.

use std::collections::BTreeMap;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;
use tests_sim::{FIRST_OF_ALL, MEANT, REGRESSIONS, run};

/// Seeds that bring everything about; fewer are not held to it.
const ENOUGH: u64 = 200;

/// Deterministic simulation of the store.
#[derive(Debug, Parser)]
struct Flags {
    /// Runs this seed only.
    #[arg(long)]
    seed: Option<u64>,
    /// Prints all that happens, with --seed.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Prints what happened how often, too, with --seed.
    #[arg(long, requires = "seed", hide = true)]
    counts: bool,
    /// Runs so many seeds.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = FIRST_OF_ALL)]
    first: u64,
    /// Runs new seeds for so many seconds instead.
    #[arg(long, conflicts_with_all = ["seed", "seeds", "first"])]
    soak: Option<u64>,
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    if flags.trace {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .without_time()
            .init();
    }
    if let Some(seed) = flags.seed {
        return here(seed, flags.trace, flags.counts);
    }
    let begin = Instant::now();
    let (first, count, until) = match flags.soak {
        // Seeds that no run had before.
        Some(seconds) => (now(), u64::MAX, Some(begin + Duration::from_secs(seconds))),
        None => (flags.first, flags.seeds, None),
    };
    let tally = Tally::default();
    let known = REGRESSIONS.len() as u64;
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let turn = tally.next.fetch_add(1, Ordering::SeqCst);
                    let offset = turn.saturating_sub(known);
                    if offset >= count || until.is_some_and(|until| Instant::now() >= until) {
                        return;
                    }
                    let regression = usize::try_from(turn).ok().and_then(|turn| REGRESSIONS.get(turn));
                    tally.add(there(regression.copied().unwrap_or(first.wrapping_add(offset))));
                }
            });
        }
    });
    tally.conclude(first, begin.elapsed())
}

/// What threads that run seeds share.
#[derive(Debug, Default)]
struct Tally {
    next: AtomicU64,
    ran: AtomicU64,
    failed: AtomicU64,
    happened: Mutex<BTreeMap<String, u64>>,
}

impl Tally {
    /// Adds what a seed's process printed, where it passed.
    fn add(&self, printed: Option<String>) {
        self.ran.fetch_add(1, Ordering::SeqCst);
        self.failed
            .fetch_add(u64::from(printed.is_none()), Ordering::SeqCst);
        let mut happened = self.happened.lock().unwrap_or_else(PoisonError::into_inner);
        let printed = printed.unwrap_or_default();
        for (count, what) in printed
            .lines()
            .filter_map(|line| line.strip_prefix(COUNT)?.split_once(' '))
        {
            *happened.entry(what.to_owned()).or_default() += count.parse::<u64>().unwrap_or(0);
        }
    }

    /// Says how it went.
    fn conclude(self, first: u64, took: Duration) -> ExitCode {
        let (ran, failed) = (self.ran.into_inner(), self.failed.into_inner());
        let happened = self.happened.into_inner().unwrap_or_else(PoisonError::into_inner);
        let known = REGRESSIONS.len();
        say(&format!(
            "{ran} seeds, {known} known ones and those from {first}, in {} s, {failed} failed",
            took.as_secs()
        ));
        let all: Vec<String> = happened
            .iter()
            .map(|(what, count)| format!("{what} {count}"))
            .collect();
        say(&format!("happened: {}", all.join(", ")));
        // A simulation that never gets where bugs are finds none.
        let missing: Vec<&str> = MEANT
            .into_iter()
            .filter(|what| !happened.contains_key(*what))
            .collect();
        if ran >= ENOUGH && !missing.is_empty() {
            say(&format!("never happened in {ran} seeds: {}", missing.join(", ")));
            return ExitCode::FAILURE;
        }
        match failed {
            0 => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        }
    }
}

/// How a line begins that says how often something happened.
const COUNT: &str = "happened ";

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs() * 1_000_000)
}

/// Runs a seed in a process of its own: a runtime's chance depends on how many there were before it in the process. Returns
/// what it printed, where nothing was wrong.
fn there(seed: u64) -> Option<String> {
    // The program itself, also where its file has been replaced since: a soak is long, and somebody builds meanwhile.
    let output = Command::new("/proc/self/exe")
        .arg("--counts")
        .arg("--seed")
        .arg(seed.to_string())
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            say(&format!("seed {seed}: start a process: {error}"));
            return None;
        }
    };
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Some(printed);
    }
    printed
        .lines()
        .filter(|line| !line.starts_with(COUNT))
        .for_each(say);
    if printed.is_empty() {
        say(&format!("seed {seed}: {}, {}", output.status, again(seed)));
    }
    None
}

/// Runs a seed in this process and says how it went.
fn here(seed: u64, trace: bool, counts: bool) -> ExitCode {
    let (line, wrong, happened) = match run(seed, None, trace) {
        Ok(report) => (report.to_string(), report.wrong, report.counts),
        Err(why) => (format!("seed {seed}"), vec![why], BTreeMap::new()),
    };
    say(&line);
    for (what, count) in happened.iter().filter(|_| counts) {
        say(&format!("{COUNT}{count} {what}"));
    }
    for what in wrong.iter().take(10) {
        say(&format!("  {}", what.chars().take(1500).collect::<String>()));
    }
    if wrong.is_empty() {
        return ExitCode::SUCCESS;
    }
    say(&format!("  {} wrong, {}", wrong.len(), again(seed)));
    ExitCode::FAILURE
}

/// The one command that does it again.
fn again(seed: u64) -> String {
    format!("again: cargo run -p tests-sim -- --seed {seed} --trace")
}

#[expect(clippy::print_stdout, reason = "it is what the program is for")]
fn say(line: &str) {
    println!("{line}");
}
