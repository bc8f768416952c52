use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tracing::{error, warn};

use crate::store::Shared;
use crate::{
    Batch, Command as Entries, Compare, Durability, Entry, Op, Options, Outcome, Reclaimed, Stage,
    StoreError, Txn,
};

/// Longest sleep while something is due later; bounds the error after the clock was set.
const LONGEST_NAP: Duration = Duration::from_secs(60);
/// Shortest sleep between two rounds of housekeeping.
const SHORTEST_NAP: Duration = Duration::from_millis(500);
/// Groups between two steps of reclaiming space under constant load.
const RECLAIM_EVERY: u32 = 64;

/// What handles of the store ask of the proposer thread.
#[derive(Debug)]
pub(crate) enum Command {
    Commit {
        txn: Txn,
        reply: oneshot::Sender<Result<Outcome, StoreError>>,
    },
    Tick {
        reply: oneshot::Sender<()>,
    },
    Close {
        reply: oneshot::Sender<()>,
    },
}

/// The one writer: it drains the queue into groups, makes each group durable with one append, only then applies
/// it in memory and answers; between groups it expires values, compacts history and reclaims space.
#[derive(Debug)]
pub(crate) struct Proposer<D> {
    shared: Arc<Shared>,
    durability: D,
    options: Options,
    /// Set once an append's outcome is unknown; from then on nothing is written.
    failed: Option<StoreError>,
    groups_since_reclaim: u32,
    reclaim_wanted: bool,
    /// Unix time of the last housekeeping.
    kept_house_at: u64,
}

/// Tells watches and readers that the proposer has ended, also when it panicked.
#[derive(Debug)]
struct Closing(Arc<Shared>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.state_mut().closed = true;
        self.0.registry().wake_all();
    }
}

/// What a group of transactions comes to.
#[derive(Debug)]
struct Decision {
    command: Entries,
    batches: Vec<Batch>,
}

/// A transaction and whom to answer.
type Proposal = (Txn, oneshot::Sender<Result<Outcome, StoreError>>);

impl<D: Durability> Proposer<D> {
    pub(crate) fn new(shared: Arc<Shared>, durability: D, options: Options) -> Self {
        Self {
            shared,
            durability,
            options,
            failed: None,
            groups_since_reclaim: 0,
            reclaim_wanted: true,
            kept_house_at: 0,
        }
    }

    /// Starts the thread; it ends when told to close or when every handle of the store is gone.
    pub(crate) fn spawn(self, queue: mpsc::Receiver<Command>) -> Result<(), StoreError>
    where
        D: Durability,
    {
        let failed = |error| StoreError::Thread(Arc::new(error));
        let timer = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(failed)?;
        let thread = std::thread::Builder::new().name("store-proposer".to_owned());
        thread.spawn(move || self.run(&timer, queue)).map_err(failed)?;
        Ok(())
    }

    fn run(mut self, timer: &tokio::runtime::Runtime, mut queue: mpsc::Receiver<Command>) {
        let closing = Closing(Arc::clone(&self.shared));
        let mut commands = Vec::new();
        let mut asked = None;
        while asked.is_none() {
            let Some(received) = self.receive(timer, &mut queue, &mut commands) else {
                break;
            };
            asked = self.carry_out(&mut commands);
            // Under constant load no nap ends by itself, but every second's work is due all the same.
            if received == 0 || self.options.clock.unix_seconds() != self.kept_house_at {
                self.keep_house();
            }
        }
        // Lets go of the durability before anybody is told, so that it can be opened again at once.
        drop(self);
        drop(closing);
        if let Some(reply) = asked {
            answer(reply, ());
        }
    }

    /// Waits for commands, at most until something is due; the count is 0 then, and none when all handles are gone.
    fn receive(
        &self,
        timer: &tokio::runtime::Runtime,
        queue: &mut mpsc::Receiver<Command>,
        commands: &mut Vec<Command>,
    ) -> Option<usize> {
        let group = self.options.group.max(1);
        let nap = self.nap();
        let received = timer.block_on(async {
            match nap {
                // Cancel-safe: recv_many takes nothing unless it returns.
                Some(nap) => tokio::time::timeout(nap, queue.recv_many(commands, group))
                    .await
                    .ok(),
                None => Some(queue.recv_many(commands, group).await),
            }
        });
        match received {
            Some(0) => None,
            Some(count) => Some(count),
            None => Some(0),
        }
    }

    /// How long nothing is due; none means for ever.
    fn nap(&self) -> Option<Duration> {
        if self.reclaim_wanted {
            return Some(SHORTEST_NAP);
        }
        let due = self.shared.state().machine.due_at(&self.options.history)?;
        let left = Duration::from_secs(due.saturating_sub(self.options.clock.unix_seconds()));
        Some(left.clamp(SHORTEST_NAP, LONGEST_NAP))
    }

    /// Carries out what was received, transactions in groups; returns whom to tell when closed.
    fn carry_out(&mut self, commands: &mut Vec<Command>) -> Option<oneshot::Sender<()>> {
        let mut group: Vec<Proposal> = Vec::new();
        for command in commands.drain(..) {
            match command {
                Command::Commit { txn, reply } => group.push((txn, reply)),
                Command::Tick { reply } => {
                    self.commit(std::mem::take(&mut group));
                    self.keep_house();
                    answer(reply, ());
                }
                Command::Close { reply } => {
                    self.commit(group);
                    return Some(reply);
                }
            }
        }
        self.commit(group);
        None
    }

    /// Decides, writes and applies one group, then answers each caller.
    fn commit(&mut self, group: Vec<Proposal>) {
        if group.is_empty() {
            return;
        }
        if let Some(failed) = &self.failed {
            group
                .into_iter()
                .for_each(|(_, reply)| answer(reply, Err(failed.clone())));
            return;
        }
        let (outcomes, decision) = self.decide(group);
        let written = self.write(decision);
        for (outcome, reply) in outcomes {
            answer(reply, written.clone().and(outcome));
        }
        self.groups_since_reclaim += 1;
        self.reclaim_wanted = self.failed.is_none();
        if self.reclaim_wanted && self.groups_since_reclaim >= RECLAIM_EVERY {
            self.reclaim();
        }
    }

    #[expect(
        clippy::type_complexity,
        reason = "used once, and a name would hide that it is a pair of lists"
    )]
    fn decide(
        &self,
        group: Vec<Proposal>,
    ) -> (
        Vec<(
            Result<Outcome, StoreError>,
            oneshot::Sender<Result<Outcome, StoreError>>,
        )>,
        Decision,
    ) {
        let state = self.shared.state();
        let mut stage = Stage::over(&state.machine);
        let outcomes = group
            .into_iter()
            .map(|(txn, reply)| (stage.propose(txn), reply))
            .collect();
        (outcomes, self.conclude(stage))
    }

    fn conclude(&self, stage: Stage<'_>) -> Decision {
        let now = self.options.clock.unix_seconds();
        let batches = stage.batches(now);
        Decision {
            batches,
            command: stage.into_command(&self.options.history, now),
        }
    }

    /// Makes `batches` durable, then visible. Nobody sees a batch before it is on disk.
    fn write(&mut self, decision: Decision) -> Result<(), StoreError> {
        if decision.batches.is_empty() {
            return Ok(());
        }
        if let Err(cause) = self.durability.append(&decision.batches) {
            error!(
                error = &cause as &dyn std::error::Error,
                "write to the store failed"
            );
            return Err(self.write_failed(cause));
        }
        self.publish(&decision.command);
        Ok(())
    }

    fn write_failed(&mut self, cause: crate::StateError) -> StoreError {
        let not_written = cause.is_not_written();
        let cause = Arc::new(cause);
        if not_written {
            return StoreError::NotWritten(cause);
        }
        let failed = StoreError::Unknown(cause);
        self.failed = Some(failed.clone());
        failed
    }

    fn publish(&mut self, command: &Entries) {
        let mut state = self.shared.state_mut();
        let registry = self.shared.registry();
        match state.machine.apply(command) {
            Ok(change) => change.batches.iter().for_each(|batch| registry.offer(batch)),
            Err(error) => error!(
                error = &error as &dyn std::error::Error,
                "decided for another revision"
            ),
        }
    }

    /// What is due by the clock: expired values are deleted as any transaction is, old history is forgotten, space
    /// is given back.
    fn keep_house(&mut self) {
        self.kept_house_at = self.options.clock.unix_seconds();
        while self.failed.is_none() && self.expire() {}
        self.compact();
        // A damaged disk is left as it is until the next start has looked at it.
        if self.failed.is_none() {
            self.reclaim();
        }
    }

    /// Deletes one group of expired values, and tells whether it did and should be called again.
    fn expire(&mut self) -> bool {
        let now = self.options.clock.unix_seconds();
        let expired = self
            .shared
            .state()
            .machine
            .expired(now, self.options.group.max(1));
        if expired.is_empty() {
            return false;
        }
        let decision = {
            let state = self.shared.state();
            let mut stage = Stage::over(&state.machine);
            for entry in expired {
                if let Err(error) = stage.propose(expiry(&entry)) {
                    warn!(error = &error as &dyn std::error::Error, key = %entry.key, "expiry refused");
                }
            }
            self.conclude(stage)
        };
        self.write(decision).is_ok()
    }

    fn compact(&mut self) {
        loop {
            let decision = {
                let state = self.shared.state();
                self.conclude(Stage::over(&state.machine))
            };
            if decision.command.is_empty() {
                return;
            }
            self.publish(&decision.command);
        }
    }

    fn reclaim(&mut self) {
        self.groups_since_reclaim = 0;
        self.reclaim_wanted = match self.durability.reclaim() {
            Ok(Reclaimed::More) => true,
            Ok(Reclaimed::Done) => false,
            Err(error) => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "reclaim space of the store"
                );
                false
            }
        };
    }
}

/// The transaction that deletes `entry` unless it was written again.
fn expiry(entry: &Entry) -> Txn {
    Txn {
        actor: Arc::default(),
        compares: vec![Compare::ModRevision(entry.key.clone(), entry.mod_revision)],
        ops: vec![Op::Delete {
            key: entry.key.clone(),
        }],
    }
}

/// Answers a caller who may have gone away, which is no error.
fn answer<T>(reply: oneshot::Sender<T>, answer: T) {
    if reply.send(answer).is_err() {
        tracing::trace!("caller went away before its answer");
    }
}
