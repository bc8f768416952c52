//! systemd over D-Bus.
//!
//! One connection, one task that receives and dispatches every signal (a stream nobody polls
//! stalls the whole connection), calls bounded in number and each with a deadline.

mod dispatch;
mod jobs;
mod link;
mod private_socket;
mod refusal;
mod unit_path;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::task::JoinSet;
use tracing::warn;
use zbus::{OwnedObjectPath, Variant};

use self::jobs::Jobs;
use self::link::{Asked, Link};
use crate::properties::{self, Property};
use crate::{
    ActiveState, Changes, JobResult, KillWho, Limits, ServiceSpec, SliceSpec, UnitError, UnitManager,
    UnitName, UnitState, Verb,
};

/// Notices kept for a reader that lags; it then gets one [`Change::All`](crate::Change::All).
const CHANGES: usize = 1024;

/// Tries to take a name that systemd has not yet let go of.
const NAME_TRIES: u32 = 5;

/// One row of `ListUnitsByPatterns`.
type Row = (
    String,
    String,
    String,
    String,
    String,
    String,
    OwnedObjectPath,
    u32,
    String,
    OwnedObjectPath,
);

/// How [`Systemd`] behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// Calls under way at once; more wait their turn.
    pub concurrency: usize,
    /// Longest wait for the answer to one call.
    pub call_deadline: Duration,
    /// Longest wait for a start or stop job.
    pub job_deadline: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            concurrency: 16,
            call_deadline: Duration::from_secs(25),
            job_deadline: Duration::from_secs(600),
        }
    }
}

/// PID 1. A lost connection (`systemctl daemon-reexec` closes it) is made again by itself; readers of
/// [`changes`](UnitManager::changes) are then told to look at everything.
#[derive(Debug)]
pub struct Systemd {
    link: Arc<Link>,
    version: u32,
    /// The dispatching task; dropped with this.
    _dispatcher: JoinSet<()>,
}

impl Systemd {
    /// Connects: by the private socket where this process may, else by the system bus.
    ///
    /// # Errors
    ///
    /// [`UnitError::Unreachable`] where neither answers.
    pub async fn connect(options: Options) -> Result<Self, UnitError> {
        let asked = Asked::new(Verb::List, "version");
        let connection = link::connect().await.map_err(|e| asked.unreachable(e))?;
        let link = Arc::new(Link::new(
            options,
            connection.clone(),
            Jobs::default(),
            broadcast::channel(CHANGES).0,
        ));
        let mut dispatcher = JoinSet::new();
        dispatcher.spawn(dispatch::run(Arc::clone(&link), connection));
        let version = link.version(&asked).await?;
        Ok(Self {
            link,
            version,
            _dispatcher: dispatcher,
        })
    }

    /// systemd's version, asked once, such as 252.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Creates a transient unit and waits for its job.
    async fn create(&self, asked: &Asked, properties: Vec<Property>) -> Result<(), UnitError> {
        let mut properties = properties;
        let aux: Vec<(&str, Vec<(&str, Variant<'_>)>)> = Vec::new();
        loop {
            let body = (asked.unit(), "fail", &properties, &aux);
            match self.link.job(asked, "StartTransientUnit", &body).await {
                Err(UnitError::Refused { name, detail, .. })
                    if refusal::drop_refused(&mut properties, &name, &detail) =>
                {
                    warn!(
                        unit = asked.unit(),
                        detail, "systemd refuses a property; going on without it"
                    );
                }
                other => return other,
            }
        }
    }
}

impl UnitManager for Systemd {
    async fn start_slice(&self, spec: &SliceSpec) -> Result<(), UnitError> {
        let asked = Asked::new(Verb::Start, spec.name.as_str());
        match self.create(&asked, properties::slice(spec)).await {
            Err(UnitError::Exists { .. }) => Ok(()),
            other => other,
        }
    }

    async fn start_service(&self, spec: &ServiceSpec) -> Result<(), UnitError> {
        let asked = Asked::new(Verb::Start, spec.name.as_str());
        let mut tries = 0;
        loop {
            let result = self.create(&asked, properties::service(spec)).await;
            tries += 1;
            if !matches!(result, Err(UnitError::Exists { .. })) || tries == NAME_TRIES {
                return result;
            }
            // Failed, or ended and about to be forgotten, or really there.
            let state = self.list(spec.name.as_str()).await?.remove(&spec.name);
            match state.map(|s| s.active) {
                None => {}
                Some(ActiveState::Failed | ActiveState::Inactive) => self.reset_failed(&spec.name).await?,
                Some(ActiveState::Active | ActiveState::Activating | ActiveState::Deactivating) => {
                    return result;
                }
            }
            tokio::time::sleep(Duration::from_millis(u64::from(5 * tries))).await;
        }
    }

    async fn set_limits(&self, unit: &UnitName, limits: &Limits) -> Result<(), UnitError> {
        let asked = Asked::new(Verb::Limit, unit.as_str());
        let mut properties = properties::replaced_limits(limits);
        // At run time: systemd keeps them as files beside the transient unit's own, which go with it.
        loop {
            let body = (unit.as_str(), true, &properties);
            match self.link.call(&asked, "SetUnitProperties", &body).await {
                Err(UnitError::Refused { name, detail, .. })
                    if refusal::drop_refused(&mut properties, &name, &detail) =>
                {
                    warn!(
                        unit = asked.unit(),
                        detail, "systemd refuses a limit; going on without it"
                    );
                }
                other => return other.map(drop),
            }
        }
    }

    async fn stop(&self, unit: &UnitName) -> Result<(), UnitError> {
        let asked = Asked::new(Verb::Stop, unit.as_str());
        match self
            .link
            .job(&asked, "StopUnit", &(unit.as_str(), "replace"))
            .await
        {
            Err(UnitError::NotFound { .. }) => Ok(()),
            other => other,
        }
    }

    async fn kill(&self, unit: &UnitName, who: KillWho, signal: i32) -> Result<(), UnitError> {
        let asked = Asked::new(Verb::Kill, unit.as_str());
        let whom = match who {
            KillWho::Main => "main",
            KillWho::All => "all",
        };
        self.link
            .call(&asked, "KillUnit", &(unit.as_str(), whom, signal))
            .await
            .map(drop)
    }

    async fn reset_failed(&self, unit: &UnitName) -> Result<(), UnitError> {
        let asked = Asked::new(Verb::Reset, unit.as_str());
        match self.link.call(&asked, "ResetFailedUnit", &unit.as_str()).await {
            Ok(_) | Err(UnitError::NotFound { .. }) => Ok(()),
            Err(e) => Err(e),
        }
    }

    async fn list(&self, pattern: &str) -> Result<BTreeMap<UnitName, UnitState>, UnitError> {
        let asked = Asked::new(Verb::List, pattern);
        let states: [&str; 0] = [];
        let reply = self
            .link
            .call(
                &asked,
                "ListUnitsByPatterns",
                &(states.as_slice(), [pattern].as_slice()),
            )
            .await?;
        let rows: Vec<Row> = reply.body().deserialize().map_err(|e| asked.unreachable(e))?;
        Ok(rows.into_iter().filter_map(row).collect())
    }

    fn changes(&self) -> Changes {
        self.link.changes()
    }
}

/// A row as name and state; rows of names we never make (devices, mounts) and of units that are
/// only referred to fall away.
fn row((name, _, load, active, sub, ..): Row) -> Option<(UnitName, UnitState)> {
    let name = UnitName::parse(&name).ok().filter(|_| load != "not-found")?;
    Some((
        name,
        UnitState {
            active: ActiveState::parse(&active),
            sub,
        },
    ))
}

/// systemd's word for a job's end; `None` is a good one.
fn job_result(word: &str) -> Option<JobResult> {
    match word {
        // Skipped: a condition did not hold, which transient units have none of.
        "done" | "skipped" => None,
        "canceled" => Some(JobResult::Canceled),
        "failed" => Some(JobResult::Failed),
        "timeout" => Some(JobResult::Timeout),
        "dependency" => Some(JobResult::Dependency),
        other => Some(JobResult::Other(other.to_owned())),
    }
}
