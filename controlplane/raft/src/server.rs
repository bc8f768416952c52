use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use controlplane_store::{Loaded, Options, Replica, Replication, State, StateError, Store};
use openraft::{Config, SnapshotPolicy};
use prometheus_client::registry::Registry;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::warn;

use crate::handing;
use crate::health::Health;
use crate::keeper::Keeper;
use crate::log::Log;
use crate::log_store;
use crate::member::{Member, Parts, Room};
use crate::members::{self, ChangeError, MemberInfo};
use crate::memory::Memory;
use crate::message::{Change, Request};
use crate::metrics;
use crate::network::{Network, Transport};
use crate::service::Service;
use crate::standing;
use crate::state_machine::StateMachine;
use crate::types::{Peer, Raft, ServerId};
use crate::watcher;
use crate::wire::Position;

/// A leader is heard every so often; it is also how long one message of the log may take.
pub(crate) const HEARTBEAT: Duration = Duration::from_millis(150);
/// Silence after which a follower stands for election: the longer, then between the two. A first election that nobody wins
/// is followed by another one of these later, which is to be over two seconds after a leader is lost.
pub(crate) const ELECTION: (Duration, Duration) = (Duration::from_millis(300), Duration::from_millis(450));
/// How long the only server may take to apply its log at the start.
const REPLAY: Duration = Duration::from_secs(600);
/// How long each part's end may take.
const END: Duration = Duration::from_secs(15);

/// What a server is made of.
#[expect(
    missing_debug_implementations,
    reason = "logs and states of tests need not be shown"
)]
pub struct Setup<L, S> {
    /// Its number.
    pub id: ServerId,
    /// How others reach it.
    pub peer: Peer,
    /// Its log.
    pub log: L,
    /// Its state on disk.
    pub state: S,
    /// What that holds: what [`State::load`] returned.
    pub loaded: Loaded,
    /// The way to others.
    pub transport: Arc<dyn Transport>,
    /// Where snapshots on their way are kept; emptied at the start.
    pub folder: PathBuf,
    /// How the store behaves.
    pub options: Options,
    /// How the log is kept.
    pub tuning: Tuning,
    /// Whether there is space for a write; none where the log and the state alone tell.
    pub room: Option<Room>,
    /// Where log and state run.
    pub drive: Drive,
    /// What a server without any past does.
    pub origin: Origin,
}

/// How the log is kept; [`Tuning::default`] is meant for production.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuning {
    /// Entries after which the state is made durable and the log purged.
    pub snapshot_every: u64,
    /// Applied entries kept for peers that were away for a short time.
    pub keep_entries: u64,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            snapshot_every: 5000,
            keep_entries: 2000,
        }
    }
}

/// Where the log and the state, which block on the disk, run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drive {
    /// On a thread each.
    Threads,
    /// On tasks among the others, for simulation on one thread.
    Inline,
}

/// What a server without any past does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Begins a cluster, or goes on with the state of one that had no log yet.
    Found,
    /// Waits to be added by the leader of one.
    Join,
}

/// Why a server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state says things of its place in the log that cannot be read.
    #[error("read the state's place in the log")]
    State(#[source] StateError),
    /// The log could not be read.
    #[error("read the log")]
    Log(#[source] StateError),
    /// Both were read and do not belong together.
    #[error(
        "the log begins after entry {purged}, the state has applied {applied}: one of them was replaced by an older copy"
    )]
    Gap {
        /// The last entry that the log has forgotten.
        purged: u64,
        /// The last entry that the state holds.
        applied: String,
    },
    /// The folder for snapshots could not be made.
    #[error("prepare the folder for snapshots")]
    Folder(#[source] std::io::Error),
    /// A thread could not be started.
    #[error("start a thread")]
    Thread(#[source] std::io::Error),
    /// The consensus library refused.
    #[error("start the consensus: {0}")]
    Consensus(String),
    /// The only server did not get to lead.
    #[error("apply the log: it is not done after {} s", REPLAY.as_secs())]
    Slow,
}

/// A running server: one member of the group that keeps the store.
pub struct Server {
    member: Arc<Member>,
    store: Store,
    service: Service,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    owners: Vec<oneshot::Receiver<()>>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("id", &self.member.id)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Starts one on the current runtime. The only voter is ready to write when this returns; one of several may
    /// still be looking for a leader.
    ///
    /// # Errors
    ///
    /// Where state or log cannot be read, or do not belong together.
    pub async fn start<L: Log, S: State>(setup: Setup<L, S>) -> Result<Self, StartError> {
        prepare_folder(&setup.folder).map_err(StartError::Folder)?;
        let loaded = setup.loaded;
        let position = Position::decode(&loaded.position)
            .map_err(|error| StartError::State(StateError::Corrupt(error.into())))?;
        let health = Arc::<Health>::default();
        let (stop, stopped) = watch::channel(false);
        let (log, log_owner) = log_store::split(setup.log, Arc::clone(&health), stopped.clone())
            .await
            .map_err(StartError::Log)?;
        check_together(&log, &position)?;
        let replica = Replica::new(loaded);
        let memory = Memory::new(replica.clone(), position);
        let (keeper, state_owner) = Keeper::split(
            setup.state,
            memory.clone(),
            Arc::clone(&setup.options.clock),
            Arc::clone(&health),
            stopped,
        );
        let mut tasks = JoinSet::new();
        let log_end = drive(setup.drive, "store-log", &mut tasks, log_owner.run())?;
        let state_end = drive(setup.drive, "store-state", &mut tasks, state_owner.run())?;
        let network = Network::new(setup.transport, keeper.clone(), setup.folder.clone());
        let machine = StateMachine::new(memory, keeper.clone());
        let config = Arc::new(config(setup.tuning)?);
        let raft = Raft::new(setup.id, config, network.clone(), log.clone(), machine)
            .await
            .map_err(|error| StartError::Consensus(error.to_string()))?;
        let member = Arc::new(Member::new(Parts {
            id: setup.id,
            raft,
            replica: replica.clone(),
            network,
            log,
            keeper,
            health,
            folder: setup.folder,
            room: setup.room,
        }));
        let replication = Arc::<Member>::clone(&member);
        let (store, proposer) = Store::over(replica, replication, setup.options);
        tasks.spawn(watcher::watch(Arc::clone(&member)));
        tasks.spawn(watcher::keep_house(Arc::clone(&member)));
        tasks.spawn(handing::step_aside(Arc::clone(&member)));
        tasks.spawn(standing::stand_in(Arc::clone(&member)));
        tasks.spawn(proposer.run());
        let server = Self {
            service: Service::new(Arc::clone(&member), store.clone()),
            member,
            store,
            stop,
            tasks,
            owners: vec![log_end, state_end],
        };
        server.begin(setup.origin, setup.peer).await?;
        Ok(server)
    }

    async fn begin(&self, origin: Origin, peer: Peer) -> Result<(), StartError> {
        let failed = |error: &dyn fmt::Display| StartError::Consensus(error.to_string());
        let raft = &self.member.raft;
        let initialized = raft.is_initialized().await.map_err(|error| failed(&error))?;
        if !initialized {
            if origin == Origin::Join {
                return Ok(());
            }
            let members = BTreeMap::from([(self.member.id, peer)]);
            raft.initialize(members).await.map_err(|error| failed(&error))?;
        }
        let voters: Vec<ServerId> = self.member.metrics().membership_config.voter_ids().collect();
        if initialized && voters != [self.member.id] {
            return Ok(());
        }
        if initialized && self.member.metrics().current_leader.is_none() {
            raft.trigger().elect().await.map_err(|error| failed(&error))?;
        }
        self.lead(REPLAY).await
    }

    async fn lead(&self, within: Duration) -> Result<(), StartError> {
        let mut leads = self.member.leads();
        tokio::select! {
            // Cancel-safe: the condition stays. The member holds the sender, so there is no error but the deadline.
            led = timeout(within, leads.wait_for(|leads| *leads)) => led.map(drop).map_err(|_| StartError::Slow),
            // Cancel-safe, as it says.
            () = self.member.ended() => {
                let why = self.member.metrics().running_state.err();
                Err(StartError::Consensus(why.map_or("it ended".to_owned(), |why| why.to_string())))
            }
        }
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What answers other servers.
    #[must_use]
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// Adds what this server tells of itself to `registry`.
    pub fn register(&self, registry: &mut Registry) {
        metrics::register(registry, &self.member, self.service.refusals());
    }

    /// Lists and changes the members.
    #[must_use]
    pub fn members(&self) -> Members {
        Members(Arc::clone(&self.member))
    }

    /// Whether the consensus has ended by itself, as after a failure of the disk: the server does nothing more then, and must
    /// be started again.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.member.has_ended()
    }

    /// Hands over to another server where this one leads, then ends: carries out what is queued, writes the state,
    /// closes log and state.
    pub async fn stop(self) {
        let Self {
            member,
            store,
            service,
            stop,
            mut tasks,
            owners,
        } = self;
        handing::leave(&member).await;
        store.close().await;
        if let Err(error) = member.raft.shutdown().await {
            warn!(%error, "the consensus ended badly");
        }
        stop.send_replace(true);
        drop((service, member));
        for owner in owners {
            // An error means that it has ended already.
            if timeout(END, owner).await.is_err() {
                warn!("log or state did not end in time");
            }
        }
        tasks.abort_all();
        while tasks.join_next().await.is_some() {}
    }
}

/// Lists and changes the members. Clones share it.
#[derive(Debug, Clone)]
pub struct Members(Arc<Member>);

impl Members {
    /// This server's number.
    #[must_use]
    pub fn own_id(&self) -> ServerId {
        self.0.id
    }

    /// The members as this server knows them; how far behind they are is known where it leads.
    #[must_use]
    pub fn list(&self) -> Vec<MemberInfo> {
        let mut list = members::list(&self.0.metrics());
        for info in &mut list {
            info.heard = self.0.network.heard(info.id);
        }
        list
    }

    /// Changes whenever the members or the leader do.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<()> {
        self.0.changes()
    }

    /// Whether this server leads.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.0.leading()
    }

    /// Follows whether this server leads.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<bool> {
        self.0.leads()
    }

    /// Returns once this server [`has_failed`](Server::has_failed). Cancel-safe.
    pub async fn failed(&self) {
        self.0.ended().await;
    }

    /// Why this server takes no writes now: its log or state cannot be written, or the state on disk is damaged and not yet
    /// written anew.
    #[must_use]
    pub fn trouble(&self) -> Option<Arc<StateError>> {
        self.0.health.trouble()
    }

    /// Returns when the state on disk, which follows memory, has all that was applied before the call, or `within` is over, as
    /// on a full disk; tells which. Blocks its thread, which must be none of the runtime's.
    #[must_use]
    pub fn settle(&self, within: Duration) -> bool {
        self.0.keeper.settle(within)
    }

    /// Tells that somebody who read the state's file found it damaged: it is written anew from memory, and until that is done
    /// this server takes no writes and does not lead where others can.
    pub fn damaged(&self, why: String) {
        self.0.keeper.damaged(why);
    }

    /// Has `change` carried out by whoever leads.
    ///
    /// # Errors
    ///
    /// Where nobody leads, or the leader refuses.
    pub async fn change(&self, change: Change) -> Result<(), ChangeError> {
        members::change(&self.0, change).await
    }

    /// Asks the server `to`, which is reached at `peer`, to have `change` carried out: how a server joins.
    ///
    /// # Errors
    ///
    /// Where it cannot be reached, or refuses.
    pub async fn ask(&self, to: ServerId, peer: &Peer, change: Change) -> Result<(), ChangeError> {
        let request = Request::Change(change);
        let asked = self.0.network.ask(to, peer, &request, END).await;
        members::outcome(asked.map_err(|error| ChangeError::Refused(error.to_string()))?)
    }
}

fn config(tuning: Tuning) -> Result<Config, StartError> {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let config = Config {
        cluster_name: "floe".to_owned(),
        heartbeat_interval: millis(HEARTBEAT),
        election_timeout_min: millis(ELECTION.0),
        election_timeout_max: millis(ELECTION.1),
        snapshot_policy: SnapshotPolicy::LogsSinceLast(tuning.snapshot_every),
        max_in_snapshot_log_to_keep: tuning.keep_entries,
        purge_batch_size: 256,
        max_payload_entries: 256,
        install_snapshot_timeout: 300_000,
        ..Config::default()
    };
    config
        .validate()
        .map_err(|error| StartError::Consensus(error.to_string()))
}

fn prepare_folder(folder: &PathBuf) -> std::io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::os::unix::fs::DirBuilderExt::mode(std::fs::DirBuilder::new().recursive(true), 0o700).create(folder)
}

/// What the log has forgotten must be in the state.
fn check_together(log: &log_store::LogStore, position: &Position) -> Result<(), StartError> {
    match log.purged() {
        Some(purged)
            if position
                .applied
                .is_none_or(|applied| applied.index < purged.index) =>
        {
            Err(StartError::Gap {
                purged: purged.index,
                applied: position
                    .applied
                    .map_or("nothing".to_owned(), |applied| format!("up to {}", applied.index)),
            })
        }
        _ => Ok(()),
    }
}

/// Runs `owner` where `drive` says; the receiver ends when it has.
fn drive(
    drive: Drive,
    name: &str,
    tasks: &mut JoinSet<()>,
    owner: impl Future<Output = ()> + Send + 'static,
) -> Result<oneshot::Receiver<()>, StartError> {
    let (ended, end) = oneshot::channel();
    let owner = async move {
        owner.await;
        drop(ended);
    };
    match drive {
        Drive::Inline => {
            tasks.spawn(owner);
        }
        Drive::Threads => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .map_err(StartError::Thread)?;
            std::thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || runtime.block_on(owner))
                .map_err(StartError::Thread)?;
        }
    }
    Ok(end)
}
