use std::sync::Arc;

use crate::{Entry, Key, Revision, Value};

/// A condition on one key that must hold for a transaction to commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compare {
    /// The key has no value.
    Absent(Key),
    /// The key has a value.
    Exists(Key),
    /// The key's value was last written at this revision.
    ModRevision(Key, Revision),
}

impl Compare {
    /// The key it looks at.
    #[must_use]
    pub fn key(&self) -> &Key {
        match self {
            Self::Absent(key) | Self::Exists(key) | Self::ModRevision(key, _) => key,
        }
    }

    /// Whether it holds where the key's value is `current`.
    #[must_use]
    pub fn holds(&self, current: Option<&Entry>) -> bool {
        match self {
            Self::Absent(_) => current.is_none(),
            Self::Exists(_) => current.is_some(),
            Self::ModRevision(_, revision) => current.is_some_and(|entry| entry.mod_revision == *revision),
        }
    }
}

/// A change to one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Writes a value.
    Put {
        /// Where.
        key: Key,
        /// What.
        value: Value,
        /// Unix time in seconds from which the store deletes it by itself.
        expires_at: Option<u64>,
    },
    /// Deletes the value; deleting what is absent does nothing.
    Delete {
        /// Where.
        key: Key,
    },
}

impl Op {
    /// The key it changes.
    #[must_use]
    pub fn key(&self) -> &Key {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }

    /// Bytes it carries.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Put { key, value, .. } => key.as_str().len() + value.bytes().len(),
            Self::Delete { key } => key.as_str().len(),
        }
    }
}

/// A transaction: if every compare holds, every operation is done, in one revision.
///
/// It is data and holds no closure, so that it can be replicated: times, names and UIDs are chosen before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Txn {
    /// Who asks for it, kept with history: a user name, empty for the store itself.
    pub actor: Arc<str>,
    /// All of them must hold.
    pub compares: Vec<Compare>,
    /// Each key at most once.
    pub ops: Vec<Op>,
}

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is durable. One that changed nothing reports the revision at which it found nothing to change.
    Committed {
        /// Its revision.
        revision: Revision,
    },
    /// A compare did not hold, nothing was changed.
    Refused {
        /// The value of each compare's key, in order.
        current: Vec<Option<Arc<Entry>>>,
    },
}
