use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use controlplane_store::{
    Cause, Command, NoLeader, Outcome, Pending, ProposeError, Replica, Replication, StateError, StoreError,
    Txn,
};
use openraft::error::{ClientWriteError, RaftError};
use openraft::{LogIdOptionExt, ServerState};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::health::Health;
use crate::keeper::Keeper;
use crate::log_store::LogStore;
use crate::message::{Refusal, Reply, Request};
use crate::network::{Network, TransportError};
use crate::standing::Standing;
use crate::types::{Answer, Metrics, Payload, Peer, Raft, ServerId};

/// How long a command may take until its outcome counts as unknown.
const PROPOSE_DEADLINE: Duration = Duration::from_secs(5);
/// How long forwarded transactions may take: the leader's patience and its own deadline.
const FORWARD_DEADLINE: Duration = Duration::from_secs(11);
/// How long a read may wait for a leader and a majority, and how long for one answer.
const BARRIER_DEADLINE: Duration = Duration::from_secs(5);
const READ_INDEX_DEADLINE: Duration = Duration::from_millis(1500);
/// How soon a leader is looked for again.
const RETRY: Duration = Duration::from_millis(50);
/// Without word from a majority for so long, a leader counts as cut off.
const CUT_OFF_MILLIS: u64 = 2000;

/// Refuses a write for want of space, before it is too late to refuse it; given its bytes.
pub type Room = Arc<dyn Fn(usize) -> Result<(), StateError> + Send + Sync>;

/// What a member is made of.
pub(crate) struct Parts {
    pub(crate) id: ServerId,
    pub(crate) raft: Raft,
    pub(crate) replica: Replica,
    pub(crate) network: Network,
    pub(crate) log: LogStore,
    pub(crate) keeper: Keeper,
    pub(crate) health: Arc<Health>,
    pub(crate) folder: PathBuf,
    pub(crate) room: Option<Room>,
}

/// One member of the group, as everything here needs it.
pub(crate) struct Member {
    parts: Parts,
    /// The term in which this member leads and has applied everything before; 0 for none.
    pub(crate) leading_term: AtomicU64,
    /// Whether it leads, as [`Replication::leading`] said last, for those who wait for a change.
    leads: watch::Sender<bool>,
    /// Sent to when the members or the leader have changed.
    changes: watch::Sender<()>,
    /// Set while it hands over; it decides nothing more.
    pub(crate) leaving: AtomicBool,
    pub(crate) standing: Standing,
    barriers: Barriers,
}

impl Deref for Member {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

/// Reads that wait for one round of asking share it.
#[derive(Debug, Default)]
struct Barriers {
    started: AtomicU64,
    /// The newest round that succeeded, by the order of starting.
    passed: AtomicU64,
    /// The newest round that ended, whatever came of it.
    ended: AtomicU64,
    round: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// The peer `id` as the members know it.
pub(crate) fn peer_of(metrics: &Metrics, id: ServerId) -> Option<Peer> {
    metrics.membership_config.membership().get_node(&id).cloned()
}

impl Member {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            parts,
            leading_term: AtomicU64::new(0),
            leads: watch::Sender::new(false),
            changes: watch::Sender::new(()),
            leaving: AtomicBool::new(false),
            standing: Standing::default(),
            barriers: Barriers::default(),
        }
    }

    pub(crate) fn metrics(&self) -> Metrics {
        self.raft.metrics().borrow().clone()
    }

    /// Follows whether this member leads.
    pub(crate) fn leads(&self) -> watch::Receiver<bool> {
        self.leads.subscribe()
    }

    /// Tells those who follow it whether this member leads, where that has changed.
    pub(crate) fn tell_whether_it_leads(&self) {
        let now = self.leading();
        self.leads
            .send_if_modified(|told| std::mem::replace(told, now) != now);
    }

    /// Follows changes of members and leader.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Tells those who follow it that members or leader have changed.
    pub(crate) fn tell_of_a_change(&self) {
        self.changes.send_replace(());
    }

    /// Returns once the consensus has ended, by itself or at a stop. Cancel-safe.
    pub(crate) async fn ended(&self) {
        let mut metrics = self.raft.server_metrics();
        // The consensus takes its end of the channel along.
        while metrics.changed().await.is_ok() {}
    }

    /// Whether [`ended`](Self::ended) would return at once.
    pub(crate) fn has_ended(&self) -> bool {
        self.raft.server_metrics().has_changed().is_err()
    }

    fn is_leader(&self) -> bool {
        self.raft.metrics().borrow().state == ServerState::Leader
    }

    /// Another member that leads, as far as this one knows.
    fn other_leader(&self) -> Option<(ServerId, Peer)> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let leader = metrics.current_leader.filter(|leader| *leader != self.id)?;
        Some((leader, peer_of(&metrics, leader)?))
    }

    async fn write(&self, command: Command) -> Result<(), ProposeError> {
        let bytes = command
            .txns
            .iter()
            .flat_map(|txn| &txn.ops)
            .map(controlplane_store::Op::size)
            .sum();
        self.check_room(bytes)?;
        let payload = Payload::new(command);
        let unknown = |cause: Cause| ProposeError::Unknown(Arc::new(StateError::Unknown(cause)));
        let written = tokio::select! {
            // Dropped once withdrawn: what is written then changes nothing.
            written = timeout(PROPOSE_DEADLINE, self.raft.client_write(payload.clone())) => written,
            // Cancel-safe, as it says.
            why = payload.withdrawn() => return Err(ProposeError::NotWritten(why)),
        };
        let Ok(written) = written else {
            return Err(unknown("no majority of the servers has answered in time".into()));
        };
        match written {
            Ok(written) => match written.data {
                Answer::Done => Ok(()),
                Answer::OutOfStep(error) => Err(error.into()),
            },
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) if !payload.was_appended() => {
                Err(ProposeError::NotLeading)
            }
            Err(RaftError::APIError(error)) => Err(unknown(Cause::from(error.to_string()))),
            Err(RaftError::Fatal(error)) => {
                let cause = Cause::from(error.to_string());
                Err(ProposeError::Failed(Arc::new(StateError::Unknown(cause))))
            }
        }
    }

    /// Whether there is space for a write of so many bytes.
    pub(crate) fn check_room(&self, bytes: usize) -> Result<(), ProposeError> {
        if let Some(trouble) = self.health.trouble() {
            return Err(ProposeError::NotWritten(trouble));
        }
        match &self.room {
            Some(room) => room(bytes).map_err(|error| ProposeError::NotWritten(Arc::new(error))),
            None => Ok(()),
        }
    }

    async fn hand_on(&self, txns: Vec<Txn>) -> Result<Vec<Result<Outcome, StoreError>>, NoLeader> {
        let (leader, peer) = self.other_leader().ok_or(NoLeader)?;
        let count = txns.len();
        let unknown = |cause: Cause| {
            let error = StoreError::Unknown(Arc::new(StateError::Unknown(cause)));
            Ok(vec![Err(error); count])
        };
        let request = Request::Forward(txns);
        let mut places = self.raft.server_metrics();
        let asked = tokio::select! {
            asked = self.network.ask(leader, &peer, &request, FORWARD_DEADLINE) => asked,
            // Cancel-safe. The one that was asked may be paused or cut off, and nobody who waits here needs to wait for it;
            // what is dropped may yet have been carried out.
            _ = places.wait_for(|now| now.current_leader.is_some_and(|other| other != leader)) => {
                return unknown("another server was elected meanwhile".into());
            }
        };
        let (revision, answers) = match asked {
            Ok(Reply::Forward(revision, answers)) if answers.len() == count => (revision, answers),
            Ok(Reply::NotLeading) | Err(TransportError::NotSent { .. }) => return Err(NoLeader),
            Ok(other) => return unknown(format!("the leader answered {other:?}").into()),
            Err(error) => return unknown(error.into()),
        };
        if timeout(PROPOSE_DEADLINE, self.replica.reached(revision))
            .await
            .is_err()
        {
            return unknown("this server does not keep up with the leader".into());
        }
        Ok(answers
            .into_iter()
            .map(|answer| answer.map_err(Refusal::into_error))
            .collect())
    }

    /// One round of asking: the log index that must be applied for reads to be up to date.
    pub(crate) async fn read_index(&self) -> Option<u64> {
        if self.is_leader() {
            // After a restart the library may lead on in its old term, and knows then of less than it had acknowledged.
            if self.leading_term.load(Ordering::SeqCst) != self.metrics().vote.leader_id.term {
                return None;
            }
            let asked = timeout(READ_INDEX_DEADLINE, self.raft.get_read_log_id()).await;
            return asked.ok()?.ok().map(|(index, _)| index.index().unwrap_or(0));
        }
        let (leader, peer) = self.other_leader()?;
        let reply = self
            .network
            .ask(leader, &peer, &Request::ReadIndex, READ_INDEX_DEADLINE)
            .await;
        match reply {
            Ok(Reply::ReadIndex(index)) => Some(index),
            Ok(_) => None,
            Err(error) => {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "the leader cannot be asked"
                );
                None
            }
        }
    }

    async fn round(&self) -> Result<(), StoreError> {
        let until = Instant::now() + BARRIER_DEADLINE;
        loop {
            if let Some(index) = self.read_index().await {
                let left = until.saturating_duration_since(Instant::now());
                let wait = self.raft.wait(Some(left));
                let applied = wait.applied_index_at_least(Some(index), "read barrier").await;
                return applied.map(drop).map_err(|_| StoreError::NoLeader);
            }
            if Instant::now() >= until {
                return Err(StoreError::NoLeader);
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn pass_barrier(&self) -> Result<(), StoreError> {
        // A round that starts after this call is as good as one of one's own.
        let needed = self.barriers.started.load(Ordering::SeqCst) + 1;
        let _turn = self.barriers.round.lock().await;
        if self.barriers.passed.load(Ordering::SeqCst) >= needed {
            return Ok(());
        }
        // Nor would another find a leader: those who wait would otherwise be refused one after the other.
        if self.barriers.ended.load(Ordering::SeqCst) >= needed {
            return Err(StoreError::NoLeader);
        }
        let number = self.barriers.started.fetch_add(1, Ordering::SeqCst) + 1;
        let asked = self.round().await;
        if asked.is_ok() {
            self.barriers.passed.store(number, Ordering::SeqCst);
        }
        self.barriers.ended.store(number, Ordering::SeqCst);
        asked
    }
}

impl Refusal {
    fn into_error(self) -> StoreError {
        match self {
            Self::NotWritten { full: true, why } => {
                StoreError::NotWritten(Arc::new(StateError::Full(Cause::from(why))))
            }
            Self::NotWritten { full: false, why } => {
                StoreError::NotWritten(Arc::new(StateError::NotWritten(Cause::from(why))))
            }
            Self::Unknown(why) => StoreError::Unknown(Arc::new(StateError::Unknown(Cause::from(why)))),
            Self::Closed => StoreError::NoLeader,
            Self::NoLeader => StoreError::NoLeader,
            Self::Invalid(why) => StoreError::NotWritten(Arc::new(StateError::NotWritten(Cause::from(why)))),
        }
    }

    pub(crate) fn of(error: &StoreError) -> Self {
        match error {
            StoreError::NotWritten(cause) => Self::NotWritten {
                full: matches!(**cause, StateError::Full(_)),
                why: chain(cause.as_ref()),
            },
            StoreError::Unknown(cause) => Self::Unknown(chain(cause.as_ref())),
            StoreError::Closed => Self::Closed,
            StoreError::NoLeader => Self::NoLeader,
            other => Self::Invalid(chain(other)),
        }
    }
}

/// The error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

impl Replication for Member {
    fn leading(&self) -> bool {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let term = self.leading_term.load(Ordering::SeqCst);
        metrics.state == ServerState::Leader
            && term != 0
            && metrics.vote.leader_id.term == term
            && !self.leaving.load(Ordering::SeqCst)
            && !is_cut_off(&metrics)
    }

    fn propose(&self, command: Command) -> Pending<'_, Result<(), ProposeError>> {
        Box::pin(self.write(command))
    }

    fn forward(&self, txns: Vec<Txn>) -> Pending<'_, Result<Vec<Result<Outcome, StoreError>>, NoLeader>> {
        Box::pin(self.hand_on(txns))
    }

    fn barrier(&self) -> Pending<'_, Result<(), StoreError>> {
        Box::pin(async {
            match self.is_alone() {
                true => Ok(()),
                false => self.pass_barrier().await,
            }
        })
    }

    /// The only voter that leads decides alone what is true; with others to come, it must first agree to them.
    fn is_alone(&self) -> bool {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let configs = metrics.membership_config.membership().get_joint_config();
        let only = configs.len() == 1
            && configs
                .iter()
                .all(|config| config.len() == 1 && config.contains(&self.id));
        only && self.leading_term.load(Ordering::SeqCst) == metrics.vote.leader_id.term
            && metrics.state == ServerState::Leader
    }
}

fn is_cut_off(metrics: &Metrics) -> bool {
    metrics.membership_config.voter_ids().count() > 1
        && metrics
            .millis_since_quorum_ack
            .is_some_and(|millis| millis > CUT_OFF_MILLIS)
}
