//! The store of this server: its log, its state, and the port on which other servers are answered.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use controlplane_apiserver::{Metrics, Trouble};
use controlplane_pki::write_private;
use controlplane_raft::tls::{TlsListener, TlsTransport};
use controlplane_raft::{Drive, Members, Origin, Peer, Room, Server, ServerId, Setup, Tuning, state_error};
use controlplane_store::{Cause, ClusterId, Loaded, Options, State, StateError, Store};
use controlplane_store_sqlite::{Archive, Keep, SqliteState};
use controlplane_wal::{RealDisk, Wal};
use rand::RngExt;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::Config;
use crate::identities::Identities;
use crate::joining;
use crate::servers::Tokens;

/// Bytes that must be free beside what a write takes itself: what the state on disk and SQLite's own log need.
const SPARE: u64 = 4 << 20;

/// How long a reader of the file waits for it to have what memory has; it is behind for longer where the disk is full.
const SETTLE: Duration = Duration::from_secs(3);

/// The open store, and what answers other servers.
#[derive(Debug)]
pub(crate) struct Storage {
    server: Server,
    archive: Archive,
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
    tokens: Option<Tokens>,
}

/// This server's number, drawn on its first start.
///
/// # Errors
///
/// Where the file that keeps it cannot be read or written.
pub(crate) fn own_id(state_dir: &Path) -> anyhow::Result<ServerId> {
    let path = state_dir.join("server-id");
    match std::fs::read_to_string(&path) {
        Ok(text) => text
            .trim()
            .parse()
            .with_context(|| format!("{} holds no server's number", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            // Never used again by another server, so it is drawn from many; positive in every language.
            let id = rand::rng().random_range(1..=u64::try_from(i64::MAX)?);
            write_private(&path, &format!("{id}\n")).with_context(|| format!("write {}", path.display()))?;
            Ok(id)
        }
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}

/// What is opened before anything runs.
struct Opened {
    state: SqliteState,
    loaded: Loaded,
    log: Wal<RealDisk>,
}

impl Storage {
    /// Opens log and state, takes part in the group, and answers other servers on `listener`.
    ///
    /// # Errors
    ///
    /// Names the file that cannot be opened.
    pub(crate) async fn open(
        config: &Config,
        id: ServerId,
        identities: &Identities,
        listener: TcpListener,
    ) -> anyhow::Result<Self> {
        let folder = config.state_dir.clone();
        let joined = joining::cluster(&folder)?;
        // Loading reads the whole file, so it is done off the runtime's threads.
        let keep = config.history;
        let opened =
            tokio::task::spawn_blocking(move || open_files(&folder, keep, joined.as_ref())).await??;
        let archive = opened.state.archive();
        let cluster = opened.loaded.cluster_id.clone();
        let identity = identities.to_servers.clone();
        let server = Server::start(Setup {
            id,
            peer: own_peer(config),
            log: opened.log,
            state: opened.state,
            loaded: opened.loaded,
            transport: Arc::new(TlsTransport::new(identity.clone(), cluster.as_str())),
            folder: config.state_dir.join("snapshots"),
            options: Options::default(),
            tuning: Tuning::default(),
            room: Some(room(config.state_dir.clone())),
            drive: Drive::Threads,
            origin: match joining::cluster(&config.state_dir)? {
                Some(_) => Origin::Join,
                None => Origin::Found,
            },
        })
        .await
        .with_context(|| format!("cannot start the store in {}", config.state_dir.display()))?;
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let (door, tokens) = joining::door(config, identities, &server.members(), cluster.as_str())?;
        let answering =
            TlsListener::new(identity, cluster.as_str(), server.service().clone()).with_door(door);
        tasks.spawn(answering.serve(listener, stopped));
        joining::finish(&config.state_dir, &server, own_peer(config)).await?;
        Ok(Self {
            server,
            archive,
            tasks,
            stop,
            tokens: Some(tokens),
        })
    }

    /// Adds what the group's member tells of itself.
    pub(crate) fn register(&self, metrics: &mut Metrics) {
        self.server.register(metrics);
    }

    pub(crate) fn members(&self) -> Members {
        self.server.members()
    }

    /// What changes the join token; for the first who asks.
    pub(crate) fn tokens(&mut self) -> Option<Tokens> {
        self.tokens.take()
    }

    pub(crate) fn store(&self) -> &Store {
        self.server.store()
    }

    /// What reads the state's file beside it, and tells where that is damaged.
    pub(crate) fn archive(&self) -> Archive {
        let (owner, members) = (self.server.members(), self.server.members());
        let archive = self.archive.clone().settling(move || {
            if !owner.settle(SETTLE) {
                tracing::warn!(
                    "the state on disk is behind: what is read from it may lack the newest writes"
                );
            }
        });
        archive.reporting(move |error| {
            let why = std::error::Error::source(error).map(ToString::to_string);
            members.damaged(why.unwrap_or_else(|| error.to_string()));
        })
    }

    /// Tells of damage that is not mended yet.
    pub(crate) fn trouble(&self) -> Trouble {
        let members = self.server.members();
        Trouble::new(move || {
            match members.trouble()?.as_ref() {
            // What exactly names objects, and anybody may ask.
            StateError::Corrupt(_) => Some(
                "the state on disk is damaged and could not be written anew; the log of floe-controlplane on this server \
                 says what and where"
                    .to_owned(),
            ),
            _ => None,
        }
        })
    }

    /// Hands over to another server, carries out what is queued, and closes log and state.
    pub(crate) async fn close(mut self) {
        // Still answering: whoever takes over asks this server for its vote.
        self.server.stop().await;
        self.stop.send_replace(true);
        self.tasks.shutdown().await;
    }
}

/// How other servers reach this one.
pub(crate) fn own_peer(config: &Config) -> Peer {
    let host = config.advertise.ip();
    Peer {
        name: config.server_name.clone(),
        address: std::net::SocketAddr::new(host, config.peer_listen.port()).to_string(),
        api: config.advertise.to_string(),
    }
}

/// Opens the state, which holds the lock of both, and then reads log and state at the same time.
fn open_files(folder: &Path, keep: Keep, joined: Option<&ClusterId>) -> anyhow::Result<Opened> {
    let path = folder.join("store.db");
    let what = || format!("cannot open the store {}", path.display());
    let mut state = SqliteState::keeping(&path, keep).with_context(what)?;
    if let Some(cluster) = joined {
        state.adopt(cluster).with_context(what)?;
    }
    std::thread::scope(|scope| {
        let log = scope.spawn(|| open_log(&folder.join("log")));
        let loaded = state.load().with_context(what)?;
        let log = log
            .join()
            .map_err(|_| anyhow::anyhow!("the thread that read the log panicked"))??;
        Ok(Opened { state, loaded, log })
    })
}

fn open_log(path: &Path) -> anyhow::Result<Wal<RealDisk>> {
    let what = || format!("cannot open the log {}", path.display());
    let disk = RealDisk::open(path).with_context(what)?;
    let options = controlplane_wal::Options::default();
    let (log, recovered) = Wal::open(disk, options).map_err(state_error).with_context(what)?;
    if let Some(cut) = recovered.cut {
        tracing::info!(
            ?cut,
            "the end of the log was not written to the end, and was cut off"
        );
    }
    Ok(log)
}

/// Refuses what would fill the disk, before any server has promised it: a log that cannot be written stops.
fn room(folder: PathBuf) -> Room {
    Arc::new(move |bytes| {
        let Ok(disk) = rustix::fs::statvfs(&folder) else {
            return Ok(());
        };
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let needed = SPARE.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(2));
        match free < needed {
            true => Err(StateError::Full(Cause::from(format!(
                "{free} bytes are free in {}, a write needs {needed}",
                folder.display()
            )))),
            false => Ok(()),
        }
    })
}
