use std::fmt;
use std::sync::Arc;

use crate::{Batch, Entry, Revision};

/// The identity of one cluster's state, chosen when the state was created and never changed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClusterId(String);

impl ClusterId {
    /// A new identity.
    #[must_use]
    pub fn generate() -> Self {
        Self(uuid::Uuid::new_v4().to_string())
    }

    /// The identity that was read back from disk.
    #[must_use]
    pub fn from_stored(raw: String) -> Self {
        Self(raw)
    }

    /// Its text, a UUID.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The state as it is when it is opened.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The cluster this state belongs to.
    pub cluster_id: ClusterId,
    /// Revision of the last batch.
    pub revision: Revision,
    /// Oldest revision that can be read; equal to `revision` where no history is kept.
    pub compacted: Revision,
    /// Every current value, in any order.
    pub entries: Vec<Arc<Entry>>,
    /// The batches after `compacted`, one for every revision, oldest first, each event with the version it replaced.
    /// Versions that are current, or in several events, are best shared: this is how memory keeps them.
    pub history: Vec<Batch>,
    /// The position in the log that the last [`Applied`](crate::Applied) reached; empty where there was none.
    pub position: Vec<u8>,
}

impl Loaded {
    /// The state of a new cluster.
    #[must_use]
    pub fn empty(cluster_id: ClusterId) -> Self {
        Self {
            cluster_id,
            revision: Revision::EMPTY,
            compacted: Revision::EMPTY,
            entries: Vec::new(),
            history: Vec::new(),
            position: Vec::new(),
        }
    }
}

/// Whether [`State::reclaim`](crate::State::reclaim) has more to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reclaimed {
    /// Nothing is left to reclaim.
    Done,
    /// One bounded step was done and another would find work.
    More,
}

/// A boxed cause from whatever library keeps the state.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why state or log could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The disk is full: nothing was written; free space and try again.
    #[error("the disk that holds the store is full: free space on it")]
    Full(#[source] Cause),
    /// Nothing was written, for another reason than space.
    #[error("nothing was written")]
    NotWritten(#[source] Cause),
    /// It is unknown what was written, as after a failed fsync.
    #[error("it is unknown what was written")]
    Unknown(#[source] Cause),
    /// Another process holds the state.
    #[error("the store is in use by another process")]
    InUse(#[source] Cause),
    /// The state was written by a newer program.
    #[error(
        "the store has schema version {found}, this program knows versions up to {known}: use a newer one"
    )]
    NewerSchema {
        /// The version on disk.
        found: u32,
        /// The newest this program reads.
        known: u32,
    },
    /// What was read cannot be right.
    #[error("the store's state is damaged")]
    Corrupt(#[source] Cause),
}

impl StateError {
    /// Whether a write that failed so has left nothing behind.
    #[must_use]
    pub fn is_not_written(&self) -> bool {
        match self {
            Self::Full(_) | Self::NotWritten(_) | Self::InUse(_) | Self::NewerSchema { .. } => true,
            Self::Unknown(_) | Self::Corrupt(_) => false,
        }
    }
}
