use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use controlplane_store::{
    Applied, Batch, Cause, ClusterId, Loaded, MemoryState, Reclaimed, Revision, State, StateError,
};

use crate::{Random, Recorder};

/// A server's state on disk as SQLite keeps it behind a log: what was applied since the last sync may be lost at a
/// crash, the newest first. It tells the recorder what every server applies. Clones are handles on the same disk.
#[derive(Debug, Clone)]
pub(crate) struct SimState {
    inner: Arc<Mutex<Inner>>,
    server: Arc<str>,
    recorder: Recorder,
    boot: u64,
}

#[derive(Debug)]
struct Inner {
    durable: MemoryState,
    pending: Vec<Step>,
    random: Random,
    boot: u64,
    full: bool,
    damaged: bool,
}

#[derive(Debug)]
struct Step {
    batches: Vec<Arc<Batch>>,
    compacted: Option<Revision>,
    position: Vec<u8>,
}

impl SimState {
    /// The empty state of `server`.
    #[must_use]
    pub(crate) fn new(server: &str, random: Random, recorder: Recorder) -> Self {
        let inner = Inner {
            durable: MemoryState::of(ClusterId::from_stored("simulated".to_owned())),
            pending: Vec::new(),
            random,
            boot: 0,
            full: false,
            damaged: false,
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
            server: Arc::from(server),
            recorder,
            boot: 0,
        }
    }

    /// Cuts the power, or only ends the process, which loses nothing; handles from before are dead. Returns the state
    /// as the next start finds it.
    #[must_use]
    pub(crate) fn restart(&self, power_cut: bool) -> Self {
        let mut inner = self.inner();
        inner.boot += 1;
        if power_cut {
            let pending = inner.pending.len() as u64;
            let kept = inner.random.below(pending + 1);
            if kept < pending {
                self.recorder.count("state lost what was not synced");
            }
            inner.pending.truncate(usize::try_from(kept).unwrap_or(0));
        }
        Self {
            boot: inner.boot,
            ..self.clone()
        }
    }

    /// While `full`, applying fails.
    pub(crate) fn set_full(&self, full: bool) {
        self.inner().full = full;
    }

    /// Damages what is on disk, which is found when it is next looked at.
    pub(crate) fn damage(&self) {
        self.inner().damaged = true;
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> Result<MutexGuard<'_, Inner>, StateError> {
        let inner = self.inner();
        if inner.boot == self.boot {
            return Ok(inner);
        }
        Err(StateError::NotWritten(Cause::from(
            "the simulated machine is off",
        )))
    }
}

impl Inner {
    fn check(&self) -> Result<(), StateError> {
        match self.damaged {
            true => Err(StateError::Corrupt(Cause::from(
                "a bit has flipped in simulation",
            ))),
            false => Ok(()),
        }
    }

    fn settle(&mut self) -> Result<(), StateError> {
        for step in self.pending.drain(..) {
            self.durable.apply(&Applied {
                batches: &step.batches,
                compacted: step.compacted,
                position: &step.position,
            })?;
        }
        Ok(())
    }
}

impl State for SimState {
    fn load(&mut self) -> Result<Loaded, StateError> {
        let mut inner = self.running()?;
        inner.check()?;
        inner.settle()?;
        inner.durable.load()
    }

    fn apply(&mut self, applied: &Applied<'_>) -> Result<(), StateError> {
        let mut inner = self.running()?;
        inner.check()?;
        if inner.full {
            return Err(StateError::Full(Cause::from("no space left in simulation")));
        }
        for batch in applied.batches {
            self.recorder.applied(&self.server, batch);
        }
        inner.pending.push(Step {
            batches: applied.batches.to_vec(),
            compacted: applied.compacted,
            position: applied.position.to_vec(),
        });
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StateError> {
        let mut inner = self.running()?;
        inner.check()?;
        inner.settle()
    }

    fn reclaim(&mut self, _now: u64) -> Result<Reclaimed, StateError> {
        self.running()?.check().map(|()| Reclaimed::Done)
    }

    fn snapshot(&mut self, into: &Path) -> Result<(), StateError> {
        let mut inner = self.running()?;
        inner.check()?;
        inner.settle()?;
        inner.durable.snapshot(into)
    }

    fn install(&mut self, from: &Path) -> Result<Loaded, StateError> {
        let mut inner = self.running()?;
        inner.settle()?;
        self.recorder.count("snapshot installed");
        // Whatever was there before.
        let installed = inner.durable.install(from)?;
        inner.damaged = false;
        Ok(installed)
    }

    fn verify(&mut self) -> Result<(), StateError> {
        self.running()?.check()
    }

    fn mend(&mut self, memory: &Loaded) -> Result<(), StateError> {
        let mut inner = self.running()?;
        if inner.full {
            return Err(StateError::Full(Cause::from("no space left in simulation")));
        }
        inner.pending.clear();
        inner.durable.mend(memory)?;
        inner.damaged = false;
        self.recorder.count("state mended");
        // What was applied in memory and had not been written yet.
        for batch in &memory.history {
            self.recorder.applied(&self.server, &Arc::new(batch.clone()));
        }
        Ok(())
    }
}
