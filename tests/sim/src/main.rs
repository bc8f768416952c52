//! Runs simulations: `--seed N` one, `--seeds COUNT` several, `--soak SECONDS` as many as fit.

use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;
use tests_sim::run;

/// Deterministic simulation of the store.
#[derive(Debug, Parser)]
struct Flags {
    /// Runs this seed only.
    #[arg(long)]
    seed: Option<u64>,
    /// Prints all that happens, with --seed.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Runs so many seeds.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
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
        return here(seed, flags.trace);
    }
    let begin = Instant::now();
    let (first, count, until) = match flags.soak {
        // Seeds that no run had before.
        Some(seconds) => (now(), u64::MAX, Some(begin + Duration::from_secs(seconds))),
        None => (flags.first, flags.seeds, None),
    };
    let tally = Tally::default();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let offset = tally.next.fetch_add(1, Ordering::SeqCst);
                    if offset >= count || until.is_some_and(|until| Instant::now() >= until) {
                        return;
                    }
                    tally.add(there(first.wrapping_add(offset)));
                }
            });
        }
    });
    let (ran, failed) = (tally.ran.into_inner(), tally.failed.into_inner());
    say(&format!(
        "{ran} seeds from {first} in {} s, {failed} failed",
        begin.elapsed().as_secs()
    ));
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// What threads that run seeds share.
#[derive(Debug, Default)]
struct Tally {
    next: AtomicU64,
    ran: AtomicU64,
    failed: AtomicU64,
}

impl Tally {
    fn add(&self, passed: bool) {
        self.ran.fetch_add(1, Ordering::SeqCst);
        self.failed.fetch_add(u64::from(!passed), Ordering::SeqCst);
    }
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs() * 1_000_000)
}

/// Runs a seed in a process of its own: a runtime's chance depends on how many there were before it in the process.
fn there(seed: u64) -> bool {
    let output = std::env::current_exe()
        .and_then(|own| Command::new(own).arg("--seed").arg(seed.to_string()).output());
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            say(&format!("seed {seed}: start a process: {error}"));
            return false;
        }
    };
    if !output.status.success() {
        say(String::from_utf8_lossy(&output.stdout).trim_end());
        if output.stdout.is_empty() {
            say(&format!("seed {seed}: {}, {}", output.status, again(seed)));
        }
    }
    output.status.success()
}

/// Runs a seed in this process and says how it went.
fn here(seed: u64, trace: bool) -> ExitCode {
    let (line, wrong) = match run(seed, None, trace) {
        Ok(report) => (report.to_string(), report.wrong),
        Err(why) => (format!("seed {seed}"), vec![why]),
    };
    say(&line);
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
