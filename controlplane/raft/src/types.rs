use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use controlplane_store::Command;
use openraft::impls::OneshotResponder;

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
}

impl Payload {
    pub(crate) fn new(command: Command) -> Self {
        Self(Arc::new(Inner {
            command,
            appended: AtomicBool::new(false),
        }))
    }

    pub(crate) fn command(&self) -> &Command {
        &self.0.command
    }

    /// Notes that this server's log has been asked to take it: from here on its outcome may be unknown.
    pub(crate) fn mark_appended(&self) {
        self.0.appended.store(true, Ordering::SeqCst);
    }

    pub(crate) fn was_appended(&self) -> bool {
        self.0.appended.load(Ordering::SeqCst)
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
