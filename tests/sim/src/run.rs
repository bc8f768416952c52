use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::world::World;
use crate::{Recorder, check, entropy};

/// From this seed on disks take time and bits flip. Earlier ones run in the world that they always had, so that what they
/// found stays found.
pub const FIRST_OF_ALL: u64 = 10_000;

/// Seeds that once found a bug; `tests/DESIGN.md` says which.
pub const REGRESSIONS: [u64; 12] = [8, 21, 55, 1414, 1531, 5214, 5761, 5829, 8017, 8065, 8299, 8367];

/// What runs are meant to bring about.
pub const MEANT: [&str; 20] = [
    "bit flipped",
    "call failed",
    "damage refused",
    "disk failed",
    "disk full",
    "disk slow",
    "message lost",
    "outcome unknown",
    "power cut",
    "power cut within a sync",
    "server added",
    "server rebuilt",
    "server removed",
    "snapshot installed",
    "state lost what was not synced",
    "state mended",
    "torn log cut",
    "watch fell behind history",
    "watch resumed",
    "write refused",
];

/// What may go wrong in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kinds {
    /// What the first simulation had.
    First,
    /// Slow disks and flipped bits, too.
    All,
}

impl Kinds {
    /// Those of `seed`.
    #[must_use]
    pub(crate) fn of(seed: u64) -> Self {
        match seed {
            ..FIRST_OF_ALL => Self::First,
            FIRST_OF_ALL.. => Self::All,
        }
    }
}

/// A mistake that is made on purpose, to see that it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// Disks say that they have synced and have not.
    LyingDisks,
    /// A client takes whatever a server has for up to date.
    CarelessReads,
}

/// How a run went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What it followed from.
    pub seed: u64,
    /// How many servers it began with.
    pub servers: u64,
    /// Everything that was wrong.
    pub wrong: Vec<String>,
    /// A hash of all that happened, and how much that was.
    pub trace: (u64, u64),
    /// Calls that clients made, and those of them that were answered.
    pub calls: (usize, usize),
    /// Transactions applied.
    pub revisions: u64,
    /// Faults that struck.
    pub faults: u64,
    /// Simulated time.
    pub time: Duration,
    /// How often things happened that a run is meant to bring about.
    pub counts: BTreeMap<&'static str, u64>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seed {}: {} servers, {} s simulated, {} calls, {} answered, {} revisions, {} faults, trace {:016x}",
            self.seed,
            self.servers,
            self.time.as_secs(),
            self.calls.0,
            self.calls.1,
            self.revisions,
            self.faults,
            self.trace.0
        )
    }
}

/// Runs the simulation of `seed` on a thread of its own.
///
/// # Errors
///
/// Where the thread cannot be started or the code under test panics.
pub fn run(seed: u64, bug: Option<Bug>, print: bool) -> Result<Report, String> {
    let thread = std::thread::Builder::new().name(format!("seed {seed}"));
    // Its own, so that everything of a thread that depends on chance begins anew.
    let handle = thread.spawn(move || {
        entropy::seed_thread(seed);
        controlplane_raft::seed_thread(seed);
        simulate(seed, bug, print)
    });
    let handle = handle.map_err(|error| format!("start a thread: {error}"))?;
    handle.join().map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        format!("seed {seed}: panic: {}", text.unwrap_or_default())
    })?
}

fn simulate(seed: u64, bug: Option<Bug>, print: bool) -> Result<Report, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|error| format!("make a runtime: {error}"))?;
    let recorder = if print {
        Recorder::printing()
    } else {
        Recorder::default()
    };
    let folder = tempfile::tempdir().map_err(|error| format!("make a folder: {error}"))?;
    let recorded = recorder.clone();
    let (servers, faults, time) = runtime.block_on(async {
        let begin = crate::history::start();
        let mut world = World::new(seed, bug, folder.path().to_owned(), recorded);
        world.run().await;
        (
            world.servers(),
            world.faults(),
            tokio::time::Instant::now().duration_since(begin),
        )
    });
    let history = recorder.history();
    Ok(Report {
        seed,
        servers,
        wrong: check(&history),
        trace: recorder.trace(),
        calls: (
            history.calls.len(),
            history.calls.iter().filter(|call| call.end.is_some()).count(),
        ),
        revisions: history.applied.len() as u64,
        faults,
        time,
        counts: history.counts,
    })
}
