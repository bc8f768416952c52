use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tracing::{error, warn};

use crate::{
    Cause, Command, Compare, Entry, Op, Options, Outcome, ProposeError, Replica, Replication, Stage,
    StateError, StoreError, Txn,
};

/// Longest sleep while something is due later; bounds the error after the clock was set.
const LONGEST_NAP: Duration = Duration::from_secs(60);
/// Shortest sleep between two rounds of housekeeping.
const SHORTEST_NAP: Duration = Duration::from_millis(500);
/// How soon a member that did not lead looks whether it has to keep house.
const FOLLOWER_NAP: Duration = Duration::from_secs(5);
/// How long a group waits for a leader, as through an election.
const PATIENCE: Duration = Duration::from_secs(5);
/// How soon it is looked again for one.
const RETRY: Duration = Duration::from_millis(50);
/// Bytes of a group beyond which no transaction joins it: peers take an entry within one heartbeat.
const GROUP_BYTES: usize = 1 << 20;

/// Turns given to others after which nobody is expected to ask again.
const IN_VAIN: usize = 2;

/// What handles of the store ask of the proposer.
#[derive(Debug)]
pub(crate) enum Request {
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

/// The one writer of a member: it drains the queue into groups, decides each, has it ordered and applied as one
/// command, and answers; between groups the leader expires values and compacts history.
///
/// [`run`](Self::run) it on a task or a thread of its own.
#[derive(Debug)]
pub struct Proposer {
    replica: Replica,
    replication: Arc<dyn Replication>,
    queue: mpsc::Receiver<Request>,
    options: Options,
    /// Set once the log has failed; from then on nothing is written.
    failed: Option<StoreError>,
    /// Unix time of the last housekeeping.
    kept_house_at: u64,
    /// How many requests were answered with the last two groups; whoever was, may ask again.
    answered: (usize, usize),
}

/// Tells watches and readers that the proposer has ended, also when it panicked.
#[derive(Debug)]
struct Closing(Replica);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Whom to answer what.
type Reply = oneshot::Sender<Result<Outcome, StoreError>>;

impl Proposer {
    pub(crate) fn new(
        replica: Replica,
        replication: Arc<dyn Replication>,
        queue: mpsc::Receiver<Request>,
        options: Options,
    ) -> Self {
        Self {
            replica,
            replication,
            queue,
            options,
            failed: None,
            kept_house_at: 0,
            answered: (0, 0),
        }
    }

    /// Runs until told to close, or until every handle of the store is gone.
    pub async fn run(mut self) {
        let closing = Closing(self.replica.clone());
        let mut requests = Vec::new();
        let mut asked = None;
        while asked.is_none() {
            let Some(received) = self.receive(&mut requests).await else {
                break;
            };
            asked = self.carry_out(&mut requests).await;
            // Under constant load no nap ends by itself, but every second's work is due all the same.
            if received == 0 || self.options.clock.unix_seconds() != self.kept_house_at {
                self.keep_house().await;
            }
        }
        self.replication.close();
        // Lets go of everything before anybody is told, so that it can be opened again at once.
        drop(self);
        drop(closing);
        if let Some(reply) = asked {
            answer(reply, ());
        }
    }

    /// Waits for requests, at most until something is due; the count is 0 then, and none when all handles are gone.
    async fn receive(&mut self, requests: &mut Vec<Request>) -> Option<usize> {
        let group = self.options.group.max(1);
        let received = match self.nap() {
            // Cancel-safe: recv_many takes nothing unless it returns.
            Some(nap) => tokio::time::timeout(nap, self.queue.recv_many(requests, group)).await,
            None => Ok(self.queue.recv_many(requests, group).await),
        };
        match received {
            Ok(0) => None,
            Ok(_) => {
                self.gather(requests, group).await;
                Some(requests.len())
            }
            Err(_) => Some(0),
        }
    }

    /// Lets those who were answered a moment ago ask again, for as long as more of them do: else the first of them alone would
    /// be the next group, and all others would wait for two.
    async fn gather(&mut self, requests: &mut Vec<Request>, group: usize) {
        let expected = (self.answered.0 + self.answered.1).min(group);
        let mut in_vain = 0;
        while requests.len() < expected && in_vain < IN_VAIN {
            let before = requests.len();
            tokio::task::yield_now().await;
            while requests.len() < group
                && let Ok(request) = self.queue.try_recv()
            {
                requests.push(request);
            }
            in_vain = if requests.len() == before { in_vain + 1 } else { 0 };
        }
    }

    /// How long nothing is due; none means for ever.
    fn nap(&self) -> Option<Duration> {
        if !self.replication.leading() {
            return Some(FOLLOWER_NAP);
        }
        let due = self.replica.0.state().due_at(&self.options.history);
        let due = match due {
            Some(due) => due,
            None if self.replication.is_alone() => return None,
            None => return Some(LONGEST_NAP),
        };
        let left = Duration::from_secs(due.saturating_sub(self.options.clock.unix_seconds()));
        Some(left.clamp(SHORTEST_NAP, LONGEST_NAP))
    }

    /// Carries out what was received, transactions in groups; returns whom to tell when closed.
    async fn carry_out(&mut self, requests: &mut Vec<Request>) -> Option<oneshot::Sender<()>> {
        self.answered = (self.answered.1, requests.len());
        let (mut txns, mut replies) = (Vec::new(), Vec::new());
        for request in requests.drain(..) {
            match request {
                Request::Commit { txn, reply } => {
                    txns.push(txn);
                    replies.push(reply);
                }
                Request::Tick { reply } => {
                    self.commit(std::mem::take(&mut txns), std::mem::take(&mut replies))
                        .await;
                    self.keep_house().await;
                    answer(reply, ());
                }
                Request::Close { reply } => {
                    self.commit(txns, replies).await;
                    return Some(reply);
                }
            }
        }
        self.commit(txns, replies).await;
        None
    }

    /// Has transactions carried out in groups of bounded size, and answers each caller.
    async fn commit(&mut self, txns: Vec<Txn>, replies: Vec<Reply>) {
        let mut replies = replies.into_iter();
        let mut waiting = txns.into_iter().peekable();
        while waiting.peek().is_some() {
            let mut bytes = 0;
            let mut group = Vec::new();
            while let Some(txn) = waiting.next_if(|_| bytes < GROUP_BYTES) {
                bytes += txn.ops.iter().map(Op::size).sum::<usize>();
                group.push(txn);
            }
            for outcome in self.carry_out_group(group).await {
                if let Some(reply) = replies.next() {
                    answer(reply, outcome);
                }
            }
        }
    }

    /// Has one group carried out, here or by the member that leads.
    async fn carry_out_group(&mut self, group: Vec<Txn>) -> Vec<Result<Outcome, StoreError>> {
        let until = tokio::time::Instant::now() + PATIENCE;
        let count = group.len();
        loop {
            let done = if self.replication.leading() {
                self.decide(&group).await
            } else {
                self.replication.forward(group.clone()).await.ok()
            };
            if let Some(outcomes) = done {
                return outcomes;
            }
            if tokio::time::Instant::now() >= until {
                return vec![Err(StoreError::NoLeader); count];
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Decides a group; none, where another leader's command came in between or this member leads no more, and
    /// nothing was ordered.
    async fn decide(&mut self, group: &[Txn]) -> Option<Vec<Result<Outcome, StoreError>>> {
        if let Some(failed) = &self.failed {
            return Some(vec![Err(failed.clone()); group.len()]);
        }
        let (outcomes, command) = self.stage(group.to_vec());
        let done = if command.txns.is_empty() {
            // What was refused, or changes nothing, was read here, so it must be known that nobody else leads, and
            // that nothing which others ordered has come in meanwhile.
            let passed = self.replication.barrier().await;
            if passed.is_ok() && self.replica.revision().next() != command.first {
                return None;
            }
            passed
        } else {
            match self.replication.propose(command).await {
                Err(ProposeError::OutOfStep(_) | ProposeError::NotLeading) => return None,
                done => done.map_err(|error| self.refusal(error)),
            }
        };
        Some(match done {
            Ok(()) => outcomes,
            Err(error) => vec![Err(error); group.len()],
        })
    }

    /// What a group comes to on top of what is applied now.
    fn stage(&self, txns: Vec<Txn>) -> (Vec<Result<Outcome, StoreError>>, Command) {
        let state = self.replica.0.state();
        let mut stage = Stage::over(&state);
        let outcomes = txns.into_iter().map(|txn| stage.propose(txn)).collect();
        (outcomes, self.conclude(stage))
    }

    fn conclude(&self, stage: Stage<'_>) -> Command {
        stage.into_command(&self.options.history, self.options.clock.unix_seconds())
    }

    fn refusal(&mut self, error: ProposeError) -> StoreError {
        match error {
            ProposeError::NotWritten(cause) => StoreError::NotWritten(cause),
            ProposeError::Unknown(cause) => {
                warn!(
                    error = &cause as &dyn std::error::Error,
                    "outcome of a write is unknown"
                );
                StoreError::Unknown(cause)
            }
            ProposeError::Failed(cause) => {
                error!(error = &cause as &dyn std::error::Error, "the log failed");
                let failed = StoreError::Unknown(cause);
                self.failed = Some(failed.clone());
                failed
            }
            ProposeError::NotLeading => StoreError::NoLeader,
            ProposeError::OutOfStep(error) => {
                StoreError::NotWritten(Arc::new(StateError::NotWritten(Cause::from(error))))
            }
        }
    }

    /// What is due by the clock: expired values are deleted as any transaction is, old history is forgotten.
    async fn keep_house(&mut self) {
        self.kept_house_at = self.options.clock.unix_seconds();
        while self.replication.leading() && self.failed.is_none() {
            let command = self.due();
            if command.is_empty() {
                return;
            }
            match self.replication.propose(command).await {
                Ok(()) => {}
                // Decided again, at the revision reached.
                Err(ProposeError::OutOfStep(_)) => {}
                Err(error) => {
                    let error = self.refusal(error);
                    warn!(error = &error as &dyn std::error::Error, "upkeep is put off");
                    return;
                }
            }
        }
    }

    /// One group of expired values to delete, and one step of history to forget.
    fn due(&self) -> Command {
        let state = self.replica.0.state();
        let now = self.options.clock.unix_seconds();
        let mut stage = Stage::over(&state);
        for entry in state.expired(now, self.options.group.max(1)) {
            if let Err(error) = stage.propose(expiry(&entry)) {
                warn!(error = &error as &dyn std::error::Error, key = %entry.key, "expiry refused");
            }
        }
        self.conclude(stage)
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::task::JoinSet;

    use super::*;
    use crate::alone::Alone;
    use crate::{Key, MemoryState, NoLeader, Pending, State, Store, Value};

    /// Counts what is ordered; each takes a while, as a disk does.
    #[derive(Debug)]
    struct Counted(Alone<MemoryState>, AtomicUsize);

    impl Replication for Counted {
        fn leading(&self) -> bool {
            true
        }

        fn propose(&self, command: Command) -> Pending<'_, Result<(), ProposeError>> {
            Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(1)).await;
                self.1.fetch_add(1, Ordering::SeqCst);
                self.0.propose(command).await
            })
        }

        fn forward(&self, _: Vec<Txn>) -> Pending<'_, Result<Vec<Result<Outcome, StoreError>>, NoLeader>> {
            Box::pin(async { Err(NoLeader) })
        }

        fn barrier(&self) -> Pending<'_, Result<(), StoreError>> {
            Box::pin(async { Ok(()) })
        }
    }

    #[tokio::test]
    async fn clients_that_were_answered_together_share_the_next_write_to_the_disk() {
        let (clients, times) = (16, 20);
        let mut state = MemoryState::default();
        let replica = Replica::new(state.load().unwrap());
        let counted = Arc::new(Counted(Alone::new(replica.clone(), state), AtomicUsize::new(0)));
        let replication = Arc::<Counted>::clone(&counted);
        let (store, proposer) = Store::over(replica, replication, Options::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(proposer.run());
        let mut writers = JoinSet::new();
        for client in 0..clients {
            let store = store.clone();
            writers.spawn(async move {
                let key = Key::parse(&format!("/registry/{client}")).unwrap();
                for _ in 0..times {
                    // Not all are as quick to come back.
                    for _ in 0..client {
                        tokio::task::yield_now().await;
                    }
                    let value = Value::encode(&serde_json::json!({})).unwrap();
                    let put = Op::Put {
                        key: key.clone(),
                        value,
                        expires_at: None,
                    };
                    let txn = Txn {
                        actor: Arc::from("me"),
                        compares: Vec::new(),
                        ops: vec![put],
                    };
                    store.commit(txn).await.unwrap();
                }
            });
        }
        writers.join_all().await;
        let ordered = counted.1.load(Ordering::SeqCst);
        assert!(
            ordered <= times + 2,
            "{ordered} groups for {times} times {clients} writes"
        );
    }
}
