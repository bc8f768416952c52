//! What the node remembers of its pods across a reboot: the pods with their last status, and the objects
//! they were started with, so that they start again while the API server is away.
//!
//! Everything is in memory; a thread of its own brings what changed to the disk. The file holds Secrets:
//! it is for root alone, as is the node's key beside it, with which the same Secrets can be read. It holds tokens
//! of service accounts, too: no pod of those that mount one could start again without.

mod database;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::warn;

use database::Database;

/// What a row holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The pod itself, with its last status.
    Pod,
    /// A ConfigMap that the pod refers to.
    ConfigMap,
    /// A Secret that the pod refers to.
    Secret,
    /// A token of the pod's service account.
    Token,
    /// Services that environments tell of, a row a namespace, of the [`NODE`].
    Service,
}

/// In place of a pod's UID: what belongs to all pods of the node.
pub const NODE: &str = "";

/// Which row: of which pod, what, and the object's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    uid: String,
    kind: Kind,
    name: String,
}

/// Why the cache could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The file cannot be made or opened.
    #[error("open the pod cache {path}")]
    Open {
        /// Where it lies.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// The file system refused.
    #[error("{verb} the pod cache {path}")]
    File {
        /// What was attempted.
        verb: &'static str,
        /// Where it lies.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Objects as JSON, by key.
type Rows = BTreeMap<Key, Arc<[u8]>>;

/// Rows as they are to be, and which of them the disk does not have yet.
#[derive(Debug, Default)]
struct Mirror {
    rows: Rows,
    dirty: BTreeSet<Key>,
    /// Whether the disk refused the last of it.
    refused: bool,
    closed: bool,
}

#[derive(Debug, Default)]
struct Shared {
    mirror: Mutex<Mirror>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Mirror> {
        self.mirror.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The cache. No call waits for the disk; what cannot be written is tried again.
#[derive(Debug)]
pub struct PodCache {
    shared: Arc<Shared>,
    writer: Option<std::thread::JoinHandle<()>>,
}

impl PodCache {
    /// Opens the file at `path`, making it with mode 0600 where there is none. A damaged one is set aside:
    /// what it held is known to the API too. Blocks.
    ///
    /// # Errors
    ///
    /// Where no file can be made, or the one there cannot be read now: another process has locked it, or the
    /// disk refuses.
    pub fn open(path: &Path) -> Result<Self, CacheError> {
        let (mut database, rows) = opened(path)?;
        let shared = Arc::new(Shared::default());
        shared.lock().rows = rows;
        let theirs = Arc::clone(&shared);
        let started = std::thread::Builder::new()
            .name("pod cache".to_owned())
            .spawn(move || writer::run(&theirs, &mut database));
        let writer = started.map_err(|source| CacheError::File {
            verb: "start the writer of",
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            shared,
            writer: Some(writer),
        })
    }

    /// One that remembers nothing after its end.
    #[must_use]
    pub fn in_memory() -> Self {
        Self {
            shared: Arc::default(),
            writer: None,
        }
    }

    /// Keeps `object` as what pod `uid` has under `kind` and `name`.
    pub fn keep<T: Serialize>(&self, uid: &str, kind: Kind, name: &str, object: &T) {
        match serde_json::to_vec(object) {
            Ok(bytes) => self.set(key(uid, kind, name), Some(bytes.into())),
            Err(error) => warn!(error = %error, uid, name, "object not kept for a reboot"),
        }
    }

    /// What pod `uid` has under `kind` and `name`.
    #[must_use]
    pub fn get<T: DeserializeOwned>(&self, uid: &str, kind: Kind, name: &str) -> Option<T> {
        let bytes = self.shared.lock().rows.get(&key(uid, kind, name)).cloned()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Everything of `kind`.
    #[must_use]
    pub fn all<T: DeserializeOwned>(&self, kind: Kind) -> Vec<T> {
        let mirror = self.shared.lock();
        let wanted = mirror.rows.iter().filter(|(key, _)| key.kind == kind);
        wanted
            .filter_map(|(_, bytes)| serde_json::from_slice(bytes).ok())
            .collect()
    }

    /// Forgets pod `uid` with all that it has.
    pub fn forget(&self, uid: &str) {
        self.drop_where(|key| key.uid == uid);
    }

    /// Forgets every pod but `uids`.
    pub fn retain(&self, uids: &BTreeSet<String>) {
        self.drop_where(|key| key.uid != NODE && !uids.contains(&key.uid));
    }

    /// Forgets the Services of every namespace but `namespaces`: those that have pods here.
    pub fn retain_services(&self, namespaces: &BTreeSet<String>) {
        self.drop_where(|key| key.kind == Kind::Service && !namespaces.contains(&key.name));
    }

    fn drop_where(&self, goes: impl Fn(&Key) -> bool) {
        let gone: Vec<Key> = self
            .shared
            .lock()
            .rows
            .keys()
            .filter(|key| goes(key))
            .cloned()
            .collect();
        for key in gone {
            self.set(key, None);
        }
    }

    fn set(&self, key: Key, value: Option<Arc<[u8]>>) {
        let mut mirror = self.shared.lock();
        if mirror.rows.get(&key) == value.as_ref() {
            return;
        }
        match value {
            Some(value) => drop(mirror.rows.insert(key.clone(), value)),
            None => drop(mirror.rows.remove(&key)),
        }
        mirror.dirty.insert(key);
        self.shared.changed.notify_one();
    }
}

impl Drop for PodCache {
    /// Waits until the disk has everything, or has refused it.
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_one();
        if let Some(writer) = self.writer.take() {
            drop(writer.join());
        }
    }
}

/// The file with what it holds; a new one where it is damaged.
fn opened(path: &Path) -> Result<(Database, Rows), CacheError> {
    let failed = |source| CacheError::Open {
        path: path.to_owned(),
        source,
    };
    let database = Database::open(path)?;
    match database.rows() {
        Ok(rows) => return Ok((database, rows)),
        Err(error) if is_damage(&error) => {
            warn!(error = %error, path = %path.display(), "damaged pod cache set aside");
        }
        // What is locked, or on a full disk, is whole.
        Err(error) => return Err(failed(error)),
    }
    drop(database);
    Database::set_aside(path)?;
    let database = Database::open(path)?;
    let rows = database.rows().map_err(failed)?;
    Ok((database, rows))
}

fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
}

fn key(uid: &str, kind: Kind, name: &str) -> Key {
    Key {
        uid: uid.to_owned(),
        kind,
        name: name.to_owned(),
    }
}

#[cfg(test)]
mod tests;
