use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::{Command, OutOfStep, Outcome, StateError, StoreError, Txn};

/// A future behind a trait object.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What puts commands in one order for all members of a cluster and makes them durable before any is applied.
///
/// An implementation applies every command, in order, to its [`Replica`](crate::Replica).
pub trait Replication: Debug + Send + Sync + 'static {
    /// Whether this member decides transactions now: it leads, and has applied everything of leaders before it.
    fn leading(&self) -> bool;

    /// Orders `command`; returns when this member has applied it.
    fn propose(&self, command: Command) -> Pending<'_, Result<(), ProposeError>>;

    /// Hands transactions to the member that leads. The answers are in order; what they say has then been applied
    /// by this member, too.
    fn forward(&self, txns: Vec<Txn>) -> Pending<'_, Result<Vec<Result<Outcome, StoreError>>, NoLeader>>;

    /// Returns once this member has applied everything that any member acknowledged before the call.
    fn barrier(&self) -> Pending<'_, Result<(), StoreError>>;

    /// Lets go of what it holds open; called when the proposer ends.
    fn close(&self) {}

    /// Whether [`barrier`](Self::barrier) has nothing to wait for, as where there is one member.
    fn is_alone(&self) -> bool {
        false
    }
}

/// No other member that leads took anything: try again, which may find that this one leads now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no server that leads could be reached")]
pub struct NoLeader;

/// Why a command was not applied.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ProposeError {
    /// *Retry*: it was ordered, but decided at another revision, and changed nothing.
    #[error(transparent)]
    OutOfStep(#[from] OutOfStep),
    /// *Retry*: another member leads, or none does; nothing was ordered.
    #[error("this server does not lead")]
    NotLeading,
    /// *Retry*: the disk took nothing of it.
    #[error("write to the log")]
    NotWritten(#[source] Arc<StateError>),
    /// *Unknown*: it may have been ordered, and may yet be applied.
    #[error("write to the log: outcome unknown")]
    Unknown(#[source] Arc<StateError>),
    /// *Unknown*: as before, and nothing can be written until the server is started again.
    #[error("the log failed")]
    Failed(#[source] Arc<StateError>),
}
