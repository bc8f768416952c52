use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::{mpsc, oneshot};

use crate::proposer::{Command, Proposer};
use crate::registry::Registry;
use crate::{
    ClusterId, Durability, Entry, Key, Listing, Machine, Op, Options, Outcome, Range, Revision, StoreError,
    Txn, Watch,
};

/// The store: reads from memory on any thread, writes through one proposer thread. Clones share it.
///
/// Memory is bounded by the current values, the history that [`Options::history`] allows, and
/// [`Options::queue`] waiting transactions. The store closes when its last handle is dropped.
#[derive(Debug, Clone)]
pub struct Store {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    max_txn_bytes: usize,
}

/// What readers, watches and the proposer share. Lock `state` before `registry`.
#[derive(Debug)]
pub(crate) struct Shared {
    state: RwLock<State>,
    registry: Mutex<Registry>,
    cluster_id: ClusterId,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) machine: Machine,
    pub(crate) closed: bool,
}

impl Shared {
    pub(crate) fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// Loads what `durability` holds and starts the proposer thread. Blocks while loading.
    ///
    /// # Errors
    ///
    /// Fails where the state cannot be read or the thread cannot be started.
    pub fn open(mut durability: impl Durability, options: Options) -> Result<Self, StoreError> {
        let loaded = durability
            .load()
            .map_err(|error| StoreError::Open(Arc::new(error)))?;
        let cluster_id = loaded.cluster_id.clone();
        let state = RwLock::new(State {
            machine: Machine::restore(loaded),
            closed: false,
        });
        let shared = Arc::new(Shared {
            state,
            registry: Mutex::default(),
            cluster_id,
        });
        // Bound: `queue` transactions; when full, callers of `commit` wait.
        let (commands, queue) = mpsc::channel(options.queue.max(1));
        let max_txn_bytes = options.max_txn_bytes;
        Proposer::new(Arc::clone(&shared), durability, options).spawn(queue)?;
        Ok(Self {
            shared,
            commands,
            max_txn_bytes,
        })
    }

    /// Commits `txn`; it is durable when this returns.
    ///
    /// Once queued, a transaction is carried out even if the caller goes away, and its outcome is then unknown
    /// to the caller; before that, dropping the future proposes nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotWritten`] promises that nothing was changed; [`StoreError::Unknown`] does not.
    pub async fn commit(&self, txn: Txn) -> Result<Outcome, StoreError> {
        let size = txn.ops.iter().map(Op::size).sum();
        if size > self.max_txn_bytes {
            return Err(StoreError::TooLarge {
                size,
                limit: self.max_txn_bytes,
            });
        }
        let (reply, outcome) = oneshot::channel();
        self.commands
            .send(Command::Commit { txn, reply })
            .await
            .map_err(|_| StoreError::Closed)?;
        outcome.await.map_err(|_| StoreError::Closed)?
    }

    /// The current value of `key`.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<Arc<Entry>> {
        self.shared.state().machine.get(key).cloned()
    }

    /// The values in `range`, all as of one revision.
    ///
    /// # Errors
    ///
    /// Refuses a revision that is compacted or not yet reached.
    pub fn list(&self, range: &Range) -> Result<Listing, StoreError> {
        self.shared.state().machine.list(range)
    }

    /// Changes under `prefix` with a revision above `after`.
    ///
    /// # Errors
    ///
    /// Refuses a revision that is compacted or not yet reached.
    pub fn watch(&self, prefix: &str, after: Revision) -> Result<Watch, StoreError> {
        let state = self.shared.state();
        let after = state.machine.check_revision(after)?;
        Ok(Watch::begin(&self.shared, &state.machine, prefix, after))
    }

    /// A list and the changes after it, with nothing between.
    ///
    /// # Errors
    ///
    /// Refuses a revision that is compacted or not yet reached.
    pub fn list_and_watch(&self, range: &Range) -> Result<(Listing, Watch), StoreError> {
        let state = self.shared.state();
        let listing = state.machine.list(range)?;
        let watch = Watch::begin(&self.shared, &state.machine, &range.prefix, listing.revision);
        Ok((listing, watch))
    }

    /// Revision of the last transaction.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.shared.state().machine.revision()
    }

    /// Oldest revision that can be read and watched from.
    #[must_use]
    pub fn compacted(&self) -> Revision {
        self.shared.state().machine.history().compacted()
    }

    /// The identity of the cluster whose state this is.
    #[must_use]
    pub fn cluster_id(&self) -> &str {
        self.shared.cluster_id.as_str()
    }

    /// How many watches are open.
    #[must_use]
    pub fn watches(&self) -> usize {
        self.shared.registry().len()
    }

    /// Expires and compacts what is due now instead of when the timer fires; for clocks that are set by hand.
    ///
    /// # Errors
    ///
    /// Fails where the store is closed.
    pub async fn tick(&self) -> Result<(), StoreError> {
        let (reply, done) = oneshot::channel();
        self.commands
            .send(Command::Tick { reply })
            .await
            .map_err(|_| StoreError::Closed)?;
        done.await.map_err(|_| StoreError::Closed)
    }

    /// Carries out what is queued, then closes the durability; returns when that is done. Other handles can
    /// still read, and get [`StoreError::Closed`] for writes.
    pub async fn close(self) {
        let (reply, done) = oneshot::channel();
        if self.commands.send(Command::Close { reply }).await.is_ok() {
            // An error means that the proposer has ended already, which is what was asked for.
            done.await.unwrap_or_default();
        }
    }
}
