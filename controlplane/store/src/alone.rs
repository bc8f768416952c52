use std::sync::{Arc, Mutex, PoisonError};

use crate::replication::Pending;
use crate::{
    Applied, Batch, Command, NoLeader, Outcome, ProposeError, Replica, Replication, Revision, Stage, State,
    StoreError, Txn,
};

/// One member without a log: each command is made durable by the state itself before it is applied. For tests and
/// tools; a server keeps a log even where it is the only one.
#[derive(Debug)]
pub(crate) struct Alone<S> {
    replica: Replica,
    /// None once closed.
    kept: Mutex<Option<Kept<S>>>,
}

#[derive(Debug)]
struct Kept<S> {
    state: S,
    /// History that was forgotten in memory and not yet in `state`.
    compacted: Option<Revision>,
}

impl<S: State> Alone<S> {
    pub(crate) fn new(replica: Replica, state: S) -> Self {
        Self {
            replica,
            kept: Mutex::new(Some(Kept {
                state,
                compacted: None,
            })),
        }
    }

    fn write(&self, command: &Command) -> Result<(), ProposeError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = kept.as_mut().ok_or(ProposeError::NotLeading)?;
        let batches = self.preview(command);
        let applied = Applied {
            batches: &batches,
            compacted: kept.compacted,
            position: b"",
        };
        let written = kept.state.apply(&applied);
        written.map_err(|cause| match cause.is_not_written() {
            true => ProposeError::NotWritten(Arc::new(cause)),
            false => ProposeError::Failed(Arc::new(cause)),
        })?;
        kept.state
            .sync()
            .map_err(|cause| ProposeError::Failed(Arc::new(cause)))?;
        kept.compacted = self.replica.apply(command)?.compacted;
        Ok(())
    }

    /// What applying `command` will do.
    fn preview(&self, command: &Command) -> Vec<Arc<Batch>> {
        let state = self.replica.0.state();
        let mut stage = Stage::over(&state);
        for decided in &command.txns {
            let txn = Txn {
                actor: Arc::clone(&decided.actor),
                compares: Vec::new(),
                ops: decided.ops.clone(),
            };
            // Decided once already, so it is not refused now.
            stage.propose(txn).ok();
        }
        stage.batches(command.at).into_iter().map(Arc::new).collect()
    }
}

impl<S: State + std::fmt::Debug> Replication for Alone<S> {
    fn leading(&self) -> bool {
        true
    }

    fn propose(&self, command: Command) -> Pending<'_, Result<(), ProposeError>> {
        Box::pin(async move { self.write(&command) })
    }

    fn forward(&self, _txns: Vec<Txn>) -> Pending<'_, Result<Vec<Result<Outcome, StoreError>>, NoLeader>> {
        Box::pin(async { Err(NoLeader) })
    }

    fn barrier(&self) -> Pending<'_, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }

    fn close(&self) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn is_alone(&self) -> bool {
        true
    }
}
