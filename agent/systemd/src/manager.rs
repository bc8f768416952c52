//! The seam: what the agent asks of the service manager.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;

use tokio::sync::broadcast;

use crate::{Limits, ServiceSpec, SliceSpec, UnitName};

/// The calls the agent makes on the service manager.
///
/// Every method may be repeated. Facts about the past (exit codes, restarts) are not here: a unit
/// that ended well is forgotten within half a second, so they come from the records on disk.
pub trait UnitManager: Send + Sync {
    /// Makes and starts a transient slice; does nothing where it is active.
    fn start_slice(&self, spec: &SliceSpec) -> impl Future<Output = Result<(), UnitError>> + Send;

    /// Makes and starts a transient service and waits for its start job. A failed unit of that
    /// name is reset first. `Type=forking` ends the job when `ExecStart=` and `ExecStartPost=` did.
    fn start_service(&self, spec: &ServiceSpec) -> impl Future<Output = Result<(), UnitError>> + Send;

    /// Gives `unit`, which is loaded, these limits from now on, through its restarts too; what is absent is lifted. A
    /// unit that is made anew has its own again.
    fn set_limits(
        &self,
        unit: &UnitName,
        limits: &Limits,
    ) -> impl Future<Output = Result<(), UnitError>> + Send;

    /// Stops `unit` by a job and waits for the job; does nothing where it is absent.
    fn stop(&self, unit: &UnitName) -> impl Future<Output = Result<(), UnitError>> + Send;

    /// Sends signal number `signal` to the processes of `unit`.
    fn kill(
        &self,
        unit: &UnitName,
        who: KillWho,
        signal: i32,
    ) -> impl Future<Output = Result<(), UnitError>> + Send;

    /// Forgets that `unit` failed, so that its name is free again; does nothing where it is absent.
    fn reset_failed(&self, unit: &UnitName) -> impl Future<Output = Result<(), UnitError>> + Send;

    /// The loaded units whose names match the glob `pattern`, such as `floe-*.service`.
    fn list(
        &self,
        pattern: &str,
    ) -> impl Future<Output = Result<BTreeMap<UnitName, UnitState>, UnitError>> + Send;

    /// Notices of changed units from now on.
    fn changes(&self) -> Changes;
}

/// Whom a signal is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KillWho {
    /// The main process: a container's init.
    Main,
    /// Every process of the unit.
    All,
}

/// What a unit is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitState {
    /// The state all kinds of unit share.
    pub active: ActiveState,
    /// The kind's own word, such as `running`, `start` or `stop-sigterm`.
    pub sub: String,
}

/// `ActiveState` of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActiveState {
    /// Running, or a slice that exists.
    Active,
    /// Between start and active: for a container, in its back-off or being created; also `reloading`.
    Activating,
    /// Stopping.
    Deactivating,
    /// Ended well, or never started.
    Inactive,
    /// Ended badly and will not be restarted.
    Failed,
}

impl ActiveState {
    /// systemd's word for it; an unknown word counts as inactive.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        match word {
            "active" | "refreshing" => Self::Active,
            "activating" | "reloading" => Self::Activating,
            "deactivating" => Self::Deactivating,
            "failed" => Self::Failed,
            _ => Self::Inactive,
        }
    }
}

/// One notice of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// This unit changed, appeared or went.
    Unit(UnitName),
    /// Notices may have been lost (a slow reader, a lost connection): look at every unit again.
    All,
}

/// Receives [`Change`]s. Bounded: a reader that lags gets one [`Change::All`] for what it missed.
#[derive(Debug)]
pub struct Changes(broadcast::Receiver<Change>);

impl Changes {
    pub(crate) fn new(receiver: broadcast::Receiver<Change>) -> Self {
        Self(receiver)
    }

    /// The next notice; `None` once the manager is gone. Cancel-safe.
    pub async fn next(&mut self) -> Option<Change> {
        match self.0.recv().await {
            Ok(change) => Some(change),
            Err(broadcast::error::RecvError::Lagged(_)) => Some(Change::All),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

/// What was asked of the manager, for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Start or create.
    Start,
    /// Stop.
    Stop,
    /// Change limits.
    Limit,
    /// Send a signal.
    Kill,
    /// Reset the failed state.
    Reset,
    /// List units.
    List,
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Limit => "set the limits of",
            Self::Kill => "kill",
            Self::Reset => "reset",
            Self::List => "list",
        })
    }
}

/// How a job ended, other than well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobResult {
    /// Another job took its place.
    Canceled,
    /// The unit failed.
    Failed,
    /// It took longer than the unit allows.
    Timeout,
    /// A unit it depends on failed.
    Dependency,
    /// Any other word of systemd's.
    Other(String),
}

/// What a caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// Try again later.
    Retry,
    /// Something of that name is in the way.
    Conflict,
    /// There is no such unit.
    Gone,
    /// The request is wrong: repeating it is useless.
    Invalid,
    /// The unit itself failed; the records say why.
    Failed,
}

/// Why the service manager did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum UnitError {
    /// It could not be reached; the call may or may not have been heard.
    #[error("reach the service manager to {verb} {unit}")]
    Unreachable {
        /// What was asked.
        verb: Verb,
        /// Of which unit or pattern.
        unit: String,
        /// What the bus said.
        #[source]
        source: Box<zbus::Error>,
    },
    /// It refused.
    #[error("{verb} {unit}: the service manager refused ({name}): {detail}")]
    Refused {
        /// What was asked.
        verb: Verb,
        /// Of which unit or pattern.
        unit: String,
        /// The D-Bus error's name.
        name: String,
        /// Its text.
        detail: String,
    },
    /// A unit of that name is loaded already.
    #[error("{verb} {unit}: a unit of that name exists")]
    Exists {
        /// What was asked.
        verb: Verb,
        /// Of which unit.
        unit: String,
    },
    /// There is no such unit.
    #[error("{verb} {unit}: no such unit")]
    NotFound {
        /// What was asked.
        verb: Verb,
        /// Of which unit.
        unit: String,
    },
    /// The job ended badly.
    #[error(
        "{verb} {unit}: the job ended as {result:?}; `systemctl status` and the journal of the unit say why"
    )]
    Job {
        /// What was asked.
        verb: Verb,
        /// Of which unit.
        unit: String,
        /// How it ended.
        result: JobResult,
    },
    /// No answer in time; the job may still be running.
    #[error("{verb} {unit}: not done within {seconds} s")]
    Deadline {
        /// What was asked.
        verb: Verb,
        /// Of which unit or pattern.
        unit: String,
        /// The deadline.
        seconds: u64,
    },
}

impl UnitError {
    /// What the caller can do about it.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Unreachable { .. } | Self::Deadline { .. } => ErrorClass::Retry,
            Self::Refused { .. } => ErrorClass::Invalid,
            Self::Exists { .. } => ErrorClass::Conflict,
            Self::NotFound { .. } => ErrorClass::Gone,
            Self::Job { result, .. } => match result {
                JobResult::Canceled => ErrorClass::Retry,
                JobResult::Failed | JobResult::Timeout | JobResult::Dependency | JobResult::Other(_) => {
                    ErrorClass::Failed
                }
            },
        }
    }
}
