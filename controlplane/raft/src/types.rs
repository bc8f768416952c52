use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, LazyLock};

use controlplane_store::{Command, Revision, StateError};
use openraft::impls::OneshotResponder;
use tokio::sync::watch;

use crate::runtime::Runtime;

/// The number of a server in the consensus; drawn once, never used again.
pub type ServerId = u64;

/// How a server is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peer {
    /// What people call it: the machine's host name.
    pub name: String,
    /// `host:port` of its peer port.
    pub address: String,
    /// `host:port` of its API.
    pub api: String,
}

/// A command on its way into the log, cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Payload(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    command: Command,
    appended: AtomicBool,
    /// [`OPEN`], and then one of the others for ever.
    fate: AtomicU8,
    /// Why it was withdrawn.
    withdrawn: watch::Sender<Option<Arc<StateError>>>,
}

/// It was decided here, and is in no log but this server's, if in that.
const OPEN: u8 = 0;
/// Others may have it.
const SHOWN: u8 = 1;
/// It is nothing: what is in the log in its place changes nothing.
const WITHDRAWN: u8 = 2;

/// What a withdrawn command is.
static NOTHING: LazyLock<Command> = LazyLock::new(|| Command {
    at: 0,
    first: Revision::from(0),
    txns: Vec::new(),
    compact: Revision::from(0),
});

impl Payload {
    /// One that is decided here.
    pub(crate) fn new(command: Command) -> Self {
        Self::with(command, OPEN)
    }

    /// One that was read from a log or a message.
    pub(crate) fn of_others(command: Command) -> Self {
        Self::with(command, SHOWN)
    }

    /// One that changes nothing.
    pub(crate) fn nothing() -> Self {
        Self::of_others(NOTHING.clone())
    }

    fn with(command: Command, fate: u8) -> Self {
        Self(Arc::new(Inner {
            command,
            appended: AtomicBool::new(false),
            fate: AtomicU8::new(fate),
            withdrawn: watch::Sender::new(None),
        }))
    }

    /// The command; one that changes nothing where it was withdrawn.
    pub(crate) fn command(&self) -> &Command {
        match self.0.fate.load(Ordering::SeqCst) {
            WITHDRAWN => &NOTHING,
            _ => &self.0.command,
        }
    }

    /// Notes that this server's log has been asked to take it: from here on its outcome may be unknown.
    pub(crate) fn mark_appended(&self) {
        self.0.appended.store(true, Ordering::SeqCst);
    }

    pub(crate) fn was_appended(&self) -> bool {
        self.0.appended.load(Ordering::SeqCst)
    }

    /// Notes that others are about to get it.
    pub(crate) fn show(&self) {
        self.leave_open_for(SHOWN);
    }

    /// Makes it nothing, because of `error`, unless others may have it.
    pub(crate) fn withdraw(&self, error: &Arc<StateError>) {
        if self.leave_open_for(WITHDRAWN) {
            self.0.withdrawn.send_replace(Some(Arc::clone(error)));
        }
    }

    fn leave_open_for(&self, fate: u8) -> bool {
        let left = self
            .0
            .fate
            .compare_exchange(OPEN, fate, Ordering::SeqCst, Ordering::SeqCst);
        left.is_ok()
    }

    /// Why it was withdrawn; waits until it is. Cancel-safe.
    pub(crate) async fn withdrawn(&self) -> Arc<StateError> {
        let mut withdrawn = self.0.withdrawn.subscribe();
        let why = withdrawn.wait_for(Option::is_some).await;
        match why.ok().and_then(|why| why.clone()) {
            Some(why) => why,
            // The sender is this payload's own, so it is there.
            None => std::future::pending().await,
        }
    }
}

/// What applying an entry came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It was applied, or is no command.
    Done,
    /// It was decided at another revision and changed nothing.
    OutOfStep(controlplane_store::OutOfStep),
}

/// A snapshot is a file; an empty path stands for one that is made when it is sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SnapshotFile(pub(crate) PathBuf);

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.name, self.address)
    }
}

openraft::declare_raft_types!(
    /// The types of the consensus library as this crate uses it.
    pub(crate) Types:
        D = Payload,
        R = Answer,
        NodeId = ServerId,
        Node = Peer,
        Entry = openraft::Entry<Types>,
        SnapshotData = SnapshotFile,
        AsyncRuntime = Runtime,
        Responder = OneshotResponder<Types>,
);

pub(crate) type Raft = openraft::Raft<Types>;
pub(crate) type Entry = openraft::Entry<Types>;
pub(crate) type LogId = openraft::LogId<ServerId>;
pub(crate) type Vote = openraft::Vote<ServerId>;
pub(crate) type Membership = openraft::Membership<ServerId, Peer>;
pub(crate) type StoredMembership = openraft::StoredMembership<ServerId, Peer>;
pub(crate) type StorageError = openraft::StorageError<ServerId>;
pub(crate) type StorageIoError = openraft::StorageIOError<ServerId>;
pub(crate) type Metrics = openraft::RaftMetrics<ServerId, Peer>;
/// What changes with places alone: who leads, who the members are.
pub(crate) type ServerMetrics = openraft::metrics::RaftServerMetrics<ServerId, Peer>;
