use std::sync::Arc;

use crate::{Key, Revision, StateError};

/// Why the store could not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// *Gone*: history before `compacted` is no longer kept; list again.
    #[error("read at revision {requested}: history before revision {compacted} has been compacted")]
    Compacted {
        /// What was asked for.
        requested: Revision,
        /// The oldest revision that can be read.
        compacted: Revision,
    },
    /// *Retry*: the store has not reached this revision.
    #[error("read at revision {requested}: the store is at revision {current}")]
    FutureRevision {
        /// What was asked for.
        requested: Revision,
        /// The newest revision.
        current: Revision,
    },
    /// *Invalid*: an operation set names a key twice.
    #[error("transaction changes {0} more than once")]
    DuplicateKey(Key),
    /// *Invalid*: a transaction is over [`Options::max_txn_bytes`](crate::Options).
    #[error("transaction of {size} bytes is larger than {limit}")]
    TooLarge {
        /// Its bytes.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// *Retry*: the disk took nothing of the transaction, and later ones may succeed.
    #[error("write to the store")]
    NotWritten(#[source] Arc<StateError>),
    /// *Unknown*: it cannot be told whether the transaction is, or will be, on the disks of a majority. Reads and
    /// watches go on with what was acknowledged.
    #[error("write to the store: outcome unknown")]
    Unknown(#[source] Arc<StateError>),
    /// *Retry*: no server leads, or none could be reached; nothing was changed.
    #[error("no server leads the cluster: a majority of the servers must be up and reach each other")]
    NoLeader,
    /// The stored state could not be read.
    #[error("open the store")]
    Open(#[source] Arc<StateError>),
    /// The proposer thread could not be started.
    #[error("start the store's proposer thread")]
    Thread(#[source] Arc<std::io::Error>),
    /// The store has been closed.
    #[error("the store is closed")]
    Closed,
}
