use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use controlplane_raft::{Drive, Members, Origin, Peer, Server, ServerId, Setup, StartError, Tuning};
use controlplane_store::{Options, Retention, StateError};
use controlplane_wal::{SimDisk, Wal};
use tokio::time::{sleep, timeout};

use crate::clock::SimClock;
use crate::pace::{Pace, PacedLog};
use crate::state::SimState;
use crate::{Net, Random, Recorder};

/// How the servers of a run are set up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    /// How the log lies on disk.
    pub log: controlplane_wal::Options,
    /// When the log is purged.
    pub tuning: Tuning,
    /// How much history is kept.
    pub history: Retention,
    /// How long a sync takes.
    pub sync: Duration,
    /// Whether disks only say that they sync: a planted bug.
    pub lying_disks: bool,
}

/// How a server ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Its machine loses power, and with it what was not synced.
    PowerCut,
    /// Its process is killed.
    Killed,
    /// It is told to stop.
    Stopped,
}

/// A machine with its disk, on which a server may run.
#[derive(Debug)]
pub(crate) struct Host {
    /// The server's number.
    pub id: ServerId,
    /// Its disk, for faults.
    pub disk: SimDisk,
    /// Its clock.
    pub clock: SimClock,
    /// How fast its disk is.
    pub pace: Pace,
    /// Whether a bit of its disk has flipped.
    pub rotten: bool,
    /// Whether it refuses to start for that, and must be replaced.
    pub refuses: bool,
    state: SimState,
    folder: PathBuf,
    origin: Origin,
    layout: Layout,
    server: Option<Server>,
    recorder: Recorder,
}

/// How a server is reached.
#[must_use]
pub(crate) fn peer(id: ServerId) -> Peer {
    Peer {
        name: format!("server-{id}"),
        address: format!("server-{id}:6444"),
        api: format!("server-{id}:6443"),
    }
}

impl Host {
    /// A machine with an empty disk.
    #[must_use]
    pub(crate) fn new(
        id: ServerId,
        origin: Origin,
        layout: Layout,
        folder: PathBuf,
        random: &mut Random,
        recorder: &Recorder,
    ) -> Self {
        let seed = random.draw();
        let disk = SimDisk::new(seed);
        disk.lie(layout.lying_disks);
        let state = SimState::new(&format!("server-{id}"), random.fork(), recorder.clone());
        Self {
            id,
            disk,
            clock: SimClock::default(),
            // Drawn from nothing that others draw from, so that the seeds of before have the world of before.
            pace: Pace::new(layout.sync, Random::new(!seed)),
            rotten: false,
            refuses: false,
            state,
            folder,
            origin,
            layout,
            server: None,
            recorder: recorder.clone(),
        }
    }

    /// Whether a server runs on it and its disk has power.
    #[must_use]
    pub(crate) fn is_up(&self) -> bool {
        self.server.as_ref().is_some_and(|server| !server.has_failed()) && self.disk.is_on()
    }

    /// Lists and changes members through it.
    #[must_use]
    pub(crate) fn members(&self) -> Option<Members> {
        self.server.as_ref().map(Server::members)
    }

    /// Sets whether there is space on its disk.
    pub(crate) fn set_full(&self, full: bool) {
        self.disk.set_capacity(full.then(|| self.disk.used()));
        self.state.set_full(full);
    }

    /// Flips a bit of the log, or damages the state, and returns what it was.
    pub(crate) fn rot(&mut self, random: &mut Random) -> Option<String> {
        if random.chance(30) {
            self.state.damage();
            self.rotten = true;
            return Some("the state".to_owned());
        }
        let names = controlplane_wal::Disk::list(&self.disk).ok()?;
        let name = random.pick(&names)?;
        let file = controlplane_wal::Disk::open(&self.disk, name).ok()?;
        let bits = controlplane_wal::DiskFile::size(&file).ok()? * 8;
        let bit = usize::try_from(random.below(bits)).ok()?;
        self.disk.flip_bit(name, bit).ok()?;
        self.rotten = true;
        Some(format!("bit {bit} of {name}"))
    }

    /// Starts the server, unless it runs. One that does not come up in time, or fails, is killed; it is tried again later.
    pub(crate) async fn start(&mut self, net: &Net) {
        if self.server.is_some() || self.refuses {
            return;
        }
        let started = timeout(Duration::from_secs(20), self.open(net)).await;
        match started {
            Ok(Ok(server)) => {
                self.recorder.note(&format_args!("server {} started", self.id));
                net.plug(self.id, server.service().clone(), server.store().clone());
                self.server = Some(server);
            }
            Ok(Err(error)) => {
                self.check_start(&error);
                self.end(net, End::Killed).await;
            }
            Err(_) => {
                self.recorder
                    .note(&format_args!("server {} does not start in time", self.id));
                self.end(net, End::Killed).await;
            }
        }
    }

    /// With power and without a fault, what was left on disk must do to start.
    fn check_start(&mut self, error: &StartError) {
        let text = chain(error);
        self.recorder
            .note(&format_args!("server {} did not start: {text}", self.id));
        let damaged = matches!(error, StartError::Gap { .. })
            || matches!(
                error,
                StartError::State(StateError::Corrupt(_)) | StartError::Log(StateError::Corrupt(_))
            );
        if damaged && self.rotten {
            self.recorder.count("damage refused");
            self.refuses = true;
        } else if damaged && self.disk.is_on() {
            self.recorder
                .found(format!("server {} finds its own disk damaged: {text}", self.id));
        }
    }

    async fn open(&self, net: &Net) -> Result<Server, StartError> {
        let log = Wal::open(self.disk.clone(), self.layout.log);
        let (log, found) = log.map_err(|error| StartError::Log(controlplane_raft::state_error(error)))?;
        if found.cut.is_some() {
            self.recorder.count("torn log cut");
        }
        let mut state = self.state.clone();
        let loaded = controlplane_store::State::load(&mut state).map_err(StartError::State)?;
        let options = Options {
            history: self.layout.history,
            clock: Arc::new(self.clock.clone()),
            ..Options::default()
        };
        let setup = Setup {
            id: self.id,
            peer: peer(self.id),
            log: PacedLog {
                wal: log,
                pace: self.pace.clone(),
            },
            state,
            loaded,
            transport: Arc::new(net.wire(self.id)),
            folder: self.folder.clone(),
            options,
            tuning: self.layout.tuning,
            room: None,
            drive: Drive::Inline,
            origin: self.origin,
        };
        Server::start(setup).await
    }

    /// Ends the server; what its machine then has on disk is what the next start finds.
    pub(crate) async fn end(&mut self, net: &Net, how: End) {
        self.recorder
            .note(&format_args!("server {} ends: {how:?}", self.id));
        if how == End::Stopped
            && let Some(server) = self.server.take()
        {
            // It hands over first, so the network stays.
            let stopped = timeout(Duration::from_secs(30), server.stop()).await;
            if stopped.is_err() && self.disk.is_on() {
                self.recorder
                    .note(&format_args!("server {} did not stop in time", self.id));
            }
        }
        let syncing = self.pace.is_syncing();
        net.unplug(self.id);
        self.server = None;
        let power_cut = how == End::PowerCut || !self.disk.is_on();
        if power_cut {
            self.recorder.count("power cut");
            if syncing {
                self.recorder.count("power cut within a sync");
            }
            self.disk = self.disk.restart();
        }
        self.state = self.state.restart(power_cut);
        // Lets its tasks come to their end before anything is opened again.
        sleep(Duration::from_millis(1)).await;
    }
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
