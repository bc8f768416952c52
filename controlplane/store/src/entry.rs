use std::fmt;
use std::sync::Arc;

use crate::{Key, Value};

/// A point in the store's history; one committed transaction is one revision.
///
/// The empty store is at revision 1, so that `0` and `1` stay usable as "none" and "the beginning".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(u64);

impl Revision {
    /// The revision of a store into which nothing was written yet.
    pub const EMPTY: Self = Self(1);

    /// The number itself, as clients see it in `resourceVersion`.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The revision of the transaction after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The revision before this one.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl From<u64> for Revision {
    fn from(raw: u64) -> Self {
        Self(raw)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One version of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it is stored.
    pub key: Key,
    /// The object's bytes.
    pub value: Value,
    /// Revision that created the object.
    pub create_revision: Revision,
    /// Revision that wrote this version; the object's `resourceVersion`.
    pub mod_revision: Revision,
    /// Unix time in seconds from which the store deletes the object by itself.
    pub expires_at: Option<u64>,
}

/// What one transaction did to one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The key has a new version.
    Put {
        /// The new version.
        entry: Arc<Entry>,
        /// The version it replaced; none where the key is new.
        previous: Option<Arc<Entry>>,
    },
    /// The key is gone.
    Delete {
        /// The key.
        key: Key,
        /// Revision of the deleting transaction.
        revision: Revision,
        /// The version that was deleted.
        previous: Arc<Entry>,
    },
}

impl Event {
    /// The key that changed.
    #[must_use]
    pub fn key(&self) -> &Key {
        match self {
            Self::Put { entry, .. } => &entry.key,
            Self::Delete { key, .. } => key,
        }
    }

    /// The version before the event.
    #[must_use]
    pub fn previous(&self) -> Option<&Arc<Entry>> {
        match self {
            Self::Put { previous, .. } => previous.as_ref(),
            Self::Delete { previous, .. } => Some(previous),
        }
    }

    /// Bytes that the event keeps in memory: the version it made and the one it replaced.
    #[must_use]
    pub fn weight(&self) -> usize {
        let bytes = |entry: Option<&Arc<Entry>>| entry.map_or(0, |entry| entry.value.bytes().len());
        self.key().as_str().len() + bytes(self.current()) + bytes(self.previous())
    }

    /// The version after the event.
    #[must_use]
    pub fn current(&self) -> Option<&Arc<Entry>> {
        match self {
            Self::Put { entry, .. } => Some(entry),
            Self::Delete { .. } => None,
        }
    }
}

/// All that one transaction did, in the order of its operations; a key occurs once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The transaction's revision.
    pub revision: Revision,
    /// Unix time in seconds at which it was decided; never earlier than that of the revision before.
    pub at: u64,
    /// Who asked for it: a user name of the API server, empty for the store itself.
    pub actor: Arc<str>,
    /// Its events; a watch sees those under its prefix.
    pub events: Vec<Event>,
}
