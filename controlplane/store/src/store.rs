use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::alone::Alone;
use crate::proposer::{Proposer, Request};
use crate::replica::Shared;
use crate::stage::check_unique;
use crate::{
    Entry, Key, Listing, Op, Options, Outcome, Range, Replica, Replication, Revision, State, StoreError, Txn,
    Watch,
};

/// The store: reads from memory on any thread, writes through one proposer. Clones share it.
///
/// Memory is bounded by the current values, the history that [`Options::history`] allows, and
/// [`Options::queue`] waiting transactions. The store closes when its last handle is dropped.
#[derive(Debug, Clone)]
pub struct Store {
    shared: Arc<Shared>,
    requests: mpsc::Sender<Request>,
    replication: Arc<dyn Replication>,
    max_txn_bytes: usize,
}

impl Store {
    /// A store over one member's copy of the state. Whoever calls this runs the proposer.
    #[must_use]
    pub fn over(replica: Replica, replication: Arc<dyn Replication>, options: Options) -> (Self, Proposer) {
        // Bound: `queue` transactions; when full, callers of `commit` wait.
        let (requests, queue) = mpsc::channel(options.queue.max(1));
        let store = Self {
            shared: Arc::clone(&replica.0),
            requests,
            replication: Arc::clone(&replication),
            max_txn_bytes: options.max_txn_bytes,
        };
        (store, Proposer::new(replica, replication, queue, options))
    }

    /// A store of one member without a log, over `state` alone, with its proposer on a thread of its own: for tests
    /// and tools. Blocks while loading.
    ///
    /// # Errors
    ///
    /// Fails where the state cannot be read or the thread cannot be started.
    pub fn open(mut state: impl State + std::fmt::Debug, options: Options) -> Result<Self, StoreError> {
        let loaded = state.load().map_err(|error| StoreError::Open(Arc::new(error)))?;
        let replica = Replica::new(loaded);
        let alone = Arc::new(Alone::new(replica.clone(), state));
        let (store, proposer) = Self::over(replica, alone, options);
        let failed = |error| StoreError::Thread(Arc::new(error));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(failed)?;
        let thread = std::thread::Builder::new().name("store-proposer".to_owned());
        thread
            .spawn(move || runtime.block_on(proposer.run()))
            .map_err(failed)?;
        Ok(store)
    }

    /// Commits `txn`; it is durable on a majority when this returns.
    ///
    /// Once queued, a transaction is carried out even if the caller goes away, and its outcome is then unknown
    /// to the caller; before that, dropping the future proposes nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotWritten`] promises that nothing was changed; [`StoreError::Unknown`] does not.
    pub async fn commit(&self, txn: Txn) -> Result<Outcome, StoreError> {
        check_unique(&txn.ops)?;
        let size = txn.ops.iter().map(Op::size).sum();
        if size > self.max_txn_bytes {
            return Err(StoreError::TooLarge {
                size,
                limit: self.max_txn_bytes,
            });
        }
        let (reply, outcome) = oneshot::channel();
        self.requests
            .send(Request::Commit { txn, reply })
            .await
            .map_err(|_| StoreError::Closed)?;
        outcome.await.map_err(|_| StoreError::Closed)?
    }

    /// Returns once reads from here show everything that was acknowledged before the call, by any server.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoLeader`] where no server leads or a majority cannot be reached in time.
    pub async fn read_barrier(&self) -> Result<(), StoreError> {
        if self.replication.is_alone() {
            return Ok(());
        }
        self.replication.barrier().await
    }

    /// The current value of `key`, as this server knows it.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<Arc<Entry>> {
        self.shared.state().get(key).cloned()
    }

    /// The values in `range`, all as of one revision.
    ///
    /// # Errors
    ///
    /// Refuses a revision that is compacted or not yet reached.
    pub fn list(&self, range: &Range) -> Result<Listing, StoreError> {
        self.shared.state().list(range)
    }

    /// Changes under `prefix` with a revision above `after`.
    ///
    /// # Errors
    ///
    /// Refuses a revision that is compacted or not yet reached.
    pub fn watch(&self, prefix: &str, after: Revision) -> Result<Watch, StoreError> {
        let state = self.shared.state();
        let after = state.check_revision(after)?;
        Ok(Watch::begin(&self.shared, &state, prefix, after))
    }

    /// A list and the changes after it, with nothing between.
    ///
    /// # Errors
    ///
    /// Refuses a revision that is compacted or not yet reached.
    pub fn list_and_watch(&self, range: &Range) -> Result<(Listing, Watch), StoreError> {
        let state = self.shared.state();
        let listing = state.list(range)?;
        let watch = Watch::begin(&self.shared, &state, &range.prefix, listing.revision);
        Ok((listing, watch))
    }

    /// Revision of the last transaction.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.shared.state().revision()
    }

    /// Oldest revision that can be read and watched from.
    #[must_use]
    pub fn compacted(&self) -> Revision {
        self.shared.state().history().compacted()
    }

    /// The identity of the cluster whose state this is.
    #[must_use]
    pub fn cluster_id(&self) -> &str {
        self.shared.cluster_id().as_str()
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
        self.requests
            .send(Request::Tick { reply })
            .await
            .map_err(|_| StoreError::Closed)?;
        done.await.map_err(|_| StoreError::Closed)
    }

    /// Carries out what is queued, then takes no more writes; returns when that is done. Other handles can
    /// still read, and get [`StoreError::Closed`] for writes.
    pub async fn close(self) {
        let (reply, done) = oneshot::channel();
        if self.requests.send(Request::Close { reply }).await.is_ok() {
            // An error means that the proposer has ended already, which is what was asked for.
            done.await.unwrap_or_default();
        }
    }
}
