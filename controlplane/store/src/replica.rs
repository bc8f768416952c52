use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::watch;

use crate::registry::Registry;
use crate::{Change, ClusterId, Command, Loaded, Machine, OutOfStep, Revision};

/// One member's copy of the state in memory, to which commands are applied in the order of the log. Clones share it.
#[derive(Debug, Clone)]
pub struct Replica(pub(crate) Arc<Shared>);

/// What readers, watches and whoever applies share. Lock `state` before `registry`.
#[derive(Debug)]
pub(crate) struct Shared {
    state: RwLock<Machine>,
    /// Set when nothing is applied any more.
    closed: AtomicBool,
    registry: Mutex<Registry>,
    reached: watch::Sender<Revision>,
    cluster_id: ClusterId,
}

impl Shared {
    pub(crate) fn state(&self) -> RwLockReadGuard<'_, Machine> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, Machine> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing is applied any more. What was applied before was offered to the watches before this is set.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    pub(crate) fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn cluster_id(&self) -> &ClusterId {
        &self.cluster_id
    }
}

impl Replica {
    /// A copy that begins with what was loaded.
    #[must_use]
    pub fn new(loaded: Loaded) -> Self {
        let cluster_id = loaded.cluster_id.clone();
        let machine = Machine::restore(loaded);
        let (reached, _) = watch::channel(machine.revision());
        Self(Arc::new(Shared {
            state: RwLock::new(machine),
            closed: AtomicBool::new(false),
            registry: Mutex::default(),
            reached,
            cluster_id,
        }))
    }

    /// Applies `command` and wakes the watches that it concerns.
    ///
    /// # Errors
    ///
    /// Changes nothing where it was decided at another revision.
    pub fn apply(&self, command: &Command) -> Result<Change, OutOfStep> {
        let mut state = self.0.state_mut();
        let change = state.apply(command)?;
        let revision = state.revision();
        let registry = self.0.registry();
        change.batches.iter().for_each(|batch| registry.offer(batch));
        drop(state);
        change.batches.iter().for_each(|batch| registry.wake(batch));
        drop(registry);
        if !change.batches.is_empty() {
            self.0.reached.send_replace(revision);
        }
        Ok(change)
    }

    /// Replaces everything by a snapshot that was installed. A watch whose next events are not in it ends with
    /// [`WatchError::Lagged`](crate::WatchError::Lagged); every other goes on without a gap.
    pub fn install(&self, loaded: Loaded) {
        let machine = Machine::restore(loaded);
        let mut state = self.0.state_mut();
        let before = state.revision();
        *state = machine;
        let registry = self.0.registry();
        let history = state.history();
        if before < history.compacted() {
            registry.outrun(before.next());
        }
        for batch in history.after(before.max(history.compacted())) {
            registry.offer(batch);
        }
        let revision = state.revision();
        drop(state);
        registry.wake_all();
        drop(registry);
        self.0.reached.send_replace(revision);
    }

    /// All of it, without a position; holds up whoever applies meanwhile.
    #[must_use]
    pub fn dump(&self) -> Loaded {
        self.0.state().dump(self.0.cluster_id().clone())
    }

    /// Revision of the last transaction applied.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.0.state().revision()
    }

    /// The identity of the cluster whose state this is.
    #[must_use]
    pub fn cluster_id(&self) -> &ClusterId {
        self.0.cluster_id()
    }

    /// Returns once `revision` has been applied. Cancel-safe.
    pub async fn reached(&self, revision: Revision) {
        let mut reached = self.0.reached.subscribe();
        // The sender is held by `self`, so this ends only with the condition.
        reached.wait_for(|at| *at >= revision).await.ok();
    }

    /// Ends watches after their last event; reads go on.
    pub(crate) fn close(&self) {
        self.0.closed.store(true, Ordering::SeqCst);
        self.0.registry().wake_all();
    }
}
