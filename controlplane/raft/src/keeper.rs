//! The state on disk: one task owns the [`State`] and writes what was applied in memory, off the write path.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use controlplane_store::{Applied, Batch, Clock, Event, Loaded, Reclaimed, Revision, State, StateError};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{error, info, warn};

use crate::health::{Health, Part, ended};
use crate::memory::Memory;

/// Commands applied in memory that may wait for the disk; when full, applying waits, and so does everybody who writes.
const QUEUE: usize = 256;
/// How soon a full disk is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// How long nothing is applied until upkeep is done.
const IDLE: Duration = Duration::from_millis(200);
/// How soon it is tried again to write a damaged state anew, where that failed.
const MEND_AGAIN: Duration = Duration::from_secs(5);
/// Time between two tries to get into a queue that is full.
const LOOK: Duration = Duration::from_millis(5);
/// How often upkeep looks at state that nobody changes.
const SELDOM: Duration = Duration::from_secs(600);
/// Writes between two steps of upkeep under constant load.
const UPKEEP_EVERY: u32 = 4;
/// How long steps are gathered: a page that several of them change is written once.
const GATHER: Duration = Duration::from_millis(100);
/// Bytes after which a write does not wait for more.
const GATHER_BYTES: usize = 2 << 20;
/// What an event counts beside its value.
const EVENT_BYTES: usize = 256;

type Reply<T> = oneshot::Sender<Result<T, StateError>>;

/// What one command did, on its way to the disk.
#[derive(Debug, Default)]
pub(crate) struct Step {
    pub(crate) batches: Vec<Arc<Batch>>,
    pub(crate) compacted: Option<Revision>,
    pub(crate) position: Vec<u8>,
    /// Steps are numbered in the order in which memory took them.
    pub(crate) number: u64,
}

impl Step {
    /// About how much is to be written.
    fn bytes(&self) -> usize {
        let events = self.batches.iter().flat_map(|batch| &batch.events);
        let value = |event: &Event| event.current().map_or(0, |entry| entry.value.bytes().len());
        events.map(|event| EVENT_BYTES + value(event)).sum()
    }

    /// Takes the step after this one into it.
    fn add(&mut self, next: Self) {
        self.batches.extend(next.batches);
        self.compacted = next.compacted.or(self.compacted);
        self.position = next.position;
        self.number = next.number;
    }
}

/// What the owner of the state is asked to do.
enum Job {
    Apply(Step),
    Sync {
        reply: Reply<Vec<u8>>,
    },
    Snapshot {
        into: PathBuf,
        reply: Reply<Vec<u8>>,
    },
    Install {
        from: PathBuf,
        reply: Reply<Loaded>,
    },
    /// Answers when everything before it is done.
    Settle {
        reply: std::sync::mpsc::SyncSender<()>,
    },
    /// Somebody who read the file found this.
    Damaged(StateError),
}

/// The handle on the state. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Keeper(mpsc::Sender<Job>);

/// Owns the state and does the jobs, in order.
pub(crate) struct StateOwner<S> {
    state: S,
    jobs: mpsc::Receiver<Job>,
    /// A job received while others were gathered.
    next: Option<Job>,
    position: Vec<u8>,
    /// From which a damaged state is written anew.
    memory: Memory,
    /// Number of the last step that was written.
    written: u64,
    /// What is wrong with the state on disk, while it is known to be damaged.
    damage: Option<String>,
    clock: Arc<dyn Clock>,
    health: Arc<Health>,
    stop: watch::Receiver<bool>,
    writes: u32,
    upkeep: bool,
}

impl Keeper {
    /// Takes `state`, which `memory` was loaded from: the handle, and what must run for it to answer.
    pub(crate) fn split<S: State>(
        state: S,
        memory: Memory,
        clock: Arc<dyn Clock>,
        health: Arc<Health>,
        stop: watch::Receiver<bool>,
    ) -> (Self, StateOwner<S>) {
        let (sender, jobs) = mpsc::channel(QUEUE);
        let owner = StateOwner {
            state,
            jobs,
            next: None,
            position: memory.position(),
            memory,
            written: 0,
            damage: None,
            clock,
            health,
            stop,
            writes: 0,
            upkeep: true,
        };
        (Self(sender), owner)
    }

    /// Hands over what was applied; waits where the disk is behind by more than the queue holds.
    pub(crate) async fn apply(&self, step: Step) -> Result<(), StateError> {
        self.0
            .send(Job::Apply(step))
            .await
            .map_err(|_| ended("the state"))
    }

    /// Makes everything handed over durable, and returns the position that it reaches.
    pub(crate) async fn sync(&self) -> Result<Vec<u8>, StateError> {
        self.ask(|reply| Job::Sync { reply }).await
    }

    /// Writes a copy of everything handed over, and returns the position that it reaches.
    pub(crate) async fn snapshot(&self, into: PathBuf) -> Result<Vec<u8>, StateError> {
        self.ask(|reply| Job::Snapshot { into, reply }).await
    }

    /// Replaces the state by a copy.
    pub(crate) async fn install(&self, from: PathBuf) -> Result<Loaded, StateError> {
        self.ask(|reply| Job::Install { from, reply }).await
    }

    /// Returns when everything handed over before is written, or `within` is over, as on a full disk; tells which. Blocks its
    /// thread, which must be none of the runtime's.
    pub(crate) fn settle(&self, within: Duration) -> bool {
        let (reply, settled) = std::sync::mpsc::sync_channel(1);
        let begun = Instant::now();
        let mut job = Job::Settle { reply };
        while let Err(mpsc::error::TrySendError::Full(back)) = self.0.try_send(job) {
            if begun.elapsed() >= within {
                return false;
            }
            job = back;
            std::thread::sleep(LOOK);
        }
        settled
            .recv_timeout(within.saturating_sub(begun.elapsed()))
            .is_ok()
    }

    /// Tells of damage that a reader of the file found.
    pub(crate) fn damaged(&self, why: String) {
        // Where the queue is full, the next reader tells again; where the state has ended, nobody is left to mend it.
        self.0
            .try_send(Job::Damaged(StateError::Corrupt(why.into())))
            .ok();
    }

    async fn ask<T>(&self, job: impl FnOnce(Reply<T>) -> Job) -> Result<T, StateError> {
        let (reply, answer) = oneshot::channel();
        let gone = || ended("the state");
        self.0.send(job(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

impl<S: State> StateOwner<S> {
    /// Does jobs until told to stop, or until every handle is gone. Blocks its thread on the disk.
    pub(crate) async fn run(mut self) {
        loop {
            match self.receive().await {
                Some(Job::Apply(first)) => self.apply(first).await,
                Some(Job::Sync { reply }) => {
                    let synced = self.try_on(S::sync).map(|()| self.position.clone());
                    answer(reply, synced);
                }
                Some(Job::Snapshot { into, reply }) => {
                    let made = self.try_on(|state| state.snapshot(&into));
                    answer(reply, made.map(|()| self.position.clone()));
                }
                // Whoever asked may have given up.
                Some(Job::Settle { reply }) => reply.send(()).unwrap_or_default(),
                Some(Job::Damaged(error)) => self.doubt(error),
                Some(Job::Install { from, reply }) => self.install(&from, reply),
                None => return,
            }
        }
    }

    /// The next job; upkeep is done while there is none.
    async fn receive(&mut self) -> Option<Job> {
        if let Some(job) = self.next.take() {
            return Some(job);
        }
        loop {
            let pause = match (self.damage.is_some(), self.upkeep) {
                (true, _) => MEND_AGAIN,
                (false, true) => IDLE,
                (false, false) => SELDOM,
            };
            tokio::select! {
                biased;
                // Cancel-safe: a job not returned stays in the queue.
                job = self.jobs.recv() => return job,
                // Cancel-safe: the value stays.
                _ = self.stop.wait_for(|stop| *stop) => return None,
                // Cancel-safe: a dropped sleep loses nothing.
                () = tokio::time::sleep(pause) => {}
            }
            self.reclaim().await;
        }
    }

    /// Writes one step, and those that wait behind it or come soon, in one go; whatever else is asked for ends the wait.
    async fn apply(&mut self, mut step: Step) {
        let soon = tokio::time::Instant::now() + GATHER;
        let mut gathered = step.bytes();
        loop {
            let job = match self.jobs.try_recv() {
                Ok(job) => Some(job),
                Err(_) if gathered < GATHER_BYTES => match self.next_before(soon).await {
                    Some(job) => job,
                    None => break,
                },
                Err(_) => break,
            };
            match job {
                Some(Job::Apply(next)) => {
                    gathered += next.bytes();
                    step.add(next);
                }
                other => {
                    self.next = other;
                    break;
                }
            }
        }
        self.write(step).await;
        self.writes += 1;
        self.upkeep = true;
        if self.writes.is_multiple_of(UPKEEP_EVERY) {
            self.reclaim_once();
        }
    }

    /// The next job, if there is one before `end`; an inner `None` is that there will be none.
    async fn next_before(&mut self, end: tokio::time::Instant) -> Option<Option<Job>> {
        tokio::select! {
            biased;
            // Cancel-safe: a job not returned stays in the queue.
            job = self.jobs.recv() => Some(job),
            // Cancel-safe: the value stays.
            _ = self.stop.wait_for(|stop| *stop) => None,
            // Cancel-safe: a dropped sleep loses nothing.
            () = tokio::time::sleep_until(end) => None,
        }
    }

    /// Writes `step`, again for as long as the disk is full; what it holds is in the log and cannot be taken back.
    async fn write(&mut self, step: Step) {
        let applied = Applied {
            batches: &step.batches,
            compacted: step.compacted,
            position: &step.position,
        };
        // Writing the state anew from memory has written this, too; a state that is still damaged will be.
        while step.number > self.written && self.damage.is_none() {
            match self.state.apply(&applied) {
                Ok(()) => {
                    self.health.set(Part::State, None);
                    self.position = step.position;
                    self.written = step.number;
                    return;
                }
                Err(error @ StateError::Corrupt(_)) => self.mend(error),
                Err(error) => {
                    error!(
                        error = &error as &dyn std::error::Error,
                        "the state could not be written, trying again"
                    );
                    self.health.set(Part::State, Some(Arc::new(error)));
                    if *self.stop.borrow() {
                        return;
                    }
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    fn install(&mut self, from: &std::path::Path, reply: Reply<Loaded>) {
        let installed = self.state.install(from);
        if let Ok(loaded) = &installed {
            self.position.clone_from(&loaded.position);
            // Whatever the file held before.
            self.damage = None;
            self.health.set(Part::State, None);
        }
        answer(reply, installed);
    }

    async fn reclaim(&mut self) {
        self.reclaim_once();
        // Lets others run where this shares a thread with them.
        tokio::task::yield_now().await;
    }

    /// Calls `work`, again where the state was damaged and could be mended.
    fn try_on(&mut self, mut work: impl FnMut(&mut S) -> Result<(), StateError>) -> Result<(), StateError> {
        if self.damage.is_none() {
            match work(&mut self.state) {
                Err(error @ StateError::Corrupt(_)) => self.mend(error),
                done => return done,
            }
        }
        match self.damage.clone() {
            Some(damage) => Err(StateError::Corrupt(damage.into())),
            None => work(&mut self.state),
        }
    }

    /// Mends the state where it is as damaged as a reader says: the reader may have seen what was mended meanwhile.
    fn doubt(&mut self, error: StateError) {
        match self.state.verify() {
            Ok(()) => info!("what a reader found damaged is not, or was mended"),
            Err(StateError::Corrupt(_)) => self.mend(error),
            Err(other) => warn!(
                error = &other as &dyn std::error::Error,
                "the state that a reader found damaged could not be checked"
            ),
        }
    }

    /// Writes the state anew from memory. Until that is done, nothing is written and the log keeps everything; this server
    /// takes no writes and hands over.
    fn mend(&mut self, error: StateError) {
        error!(
            error = &error as &dyn std::error::Error,
            "the state on disk is damaged, writing it anew from memory"
        );
        let cause = std::error::Error::source(&error);
        self.damage = Some(cause.map_or_else(|| error.to_string(), ToString::to_string));
        self.health.set(Part::State, Some(Arc::new(error)));
        // Where a snapshot is being taken over, memory and file change together in a moment.
        let Some((memory, number)) = self.memory.dump() else {
            return;
        };
        match self.state.mend(&memory) {
            Ok(()) => {
                self.position = memory.position;
                self.written = number;
                self.damage = None;
                self.health.set(Part::State, None);
                info!("the state on disk is whole again, written from memory; look after the disk");
            }
            Err(error) => error!(
                error = &error as &dyn std::error::Error,
                "the damaged state could not be written anew, trying again"
            ),
        }
    }

    fn reclaim_once(&mut self) {
        if let Some(damage) = self.damage.clone() {
            return self.mend(StateError::Corrupt(damage.into()));
        }
        self.upkeep = match self.state.reclaim(self.clock.unix_seconds()) {
            Ok(Reclaimed::More) => true,
            Ok(Reclaimed::Done) => false,
            Err(error @ StateError::Corrupt(_)) => {
                self.mend(error);
                true
            }
            Err(error) => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "upkeep of the state failed"
                );
                false
            }
        };
    }
}

fn answer<T>(reply: Reply<T>, answer: Result<T, StateError>) {
    if reply.send(answer).is_err() {
        tracing::trace!("nobody waits for the state any more");
    }
}
