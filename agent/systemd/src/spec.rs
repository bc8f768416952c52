//! Transient units as data.

use std::path::PathBuf;
use std::time::Duration;

use crate::{SliceName, UnitName};

/// One command line of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exec {
    /// Absolute path of the program.
    pub program: PathBuf,
    /// Arguments after the program's own name.
    pub args: Vec<String>,
    /// Whether a failure of it is ignored (systemd's `-` prefix).
    pub ignore_failure: bool,
}

impl Exec {
    /// `program` with `args`, whose failure counts.
    pub fn new<A: Into<String>>(program: impl Into<PathBuf>, args: impl IntoIterator<Item = A>) -> Self {
        Self {
            program: program.into(),
            args: args.into_iter().map(Into::into).collect(),
            ignore_failure: false,
        }
    }
}

/// `Type=` of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceType {
    /// Started once the program is executed.
    Exec,
    /// Started once `ExecStart=` ended; the main process is the one named in `pid_file`.
    Forking {
        /// File that holds the main process's id.
        pid_file: PathBuf,
    },
    /// Started once the program says so, sd_notify(3).
    Notify,
    /// Runs to its end and then counts as started.
    Oneshot,
}

/// `Restart=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// Never.
    No,
    /// Unless it ended with status 0 or a signal systemd counts as clean.
    OnFailure,
    /// Whenever it ends by itself.
    Always,
}

/// `KillMode=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KillMode {
    /// The main process first, everything else at the end of the grace.
    Mixed,
    /// Every process at once.
    ControlGroup,
}

/// `OOMPolicy=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OomPolicy {
    /// The unit goes on.
    Continue,
    /// The unit is killed as a whole and fails with `oom-kill`.
    Kill,
}

/// Resource limits of a slice or a service; `None` leaves systemd's default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// `CPUWeight=`, 1 to 10000.
    pub cpu_weight: Option<u64>,
    /// `CPUQuota=`: CPU time a second of wall time.
    pub cpu_quota_per_sec: Option<Duration>,
    /// `MemoryMax=`, bytes.
    pub memory_max: Option<u64>,
    /// `MemoryLow=`, bytes.
    pub memory_low: Option<u64>,
    /// `TasksMax=`.
    pub tasks_max: Option<u64>,
}

/// A transient slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SliceSpec {
    /// Its name; dashes nest it in its parents.
    pub name: SliceName,
    /// `Description=`.
    pub description: String,
    /// Its limits.
    pub limits: Limits,
}

/// A transient service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSpec {
    /// Its name, ending in `.service`.
    pub name: UnitName,
    /// `Slice=`.
    pub slice: SliceName,
    /// `Description=`.
    pub description: String,
    /// `Type=`, with `PIDFile=`.
    pub service_type: ServiceType,
    /// `ExecStart=`.
    pub exec_start: Exec,
    /// `ExecStartPost=`, in order.
    pub exec_start_post: Vec<Exec>,
    /// `ExecStopPost=`, in order.
    pub exec_stop_post: Vec<Exec>,
    /// `Restart=`.
    pub restart: Restart,
    /// `RestartSec=`.
    pub restart_sec: Duration,
    /// `RestartForceExitStatus=`, signals by number.
    pub restart_force_signals: Vec<i32>,
    /// `KillMode=`.
    pub kill_mode: KillMode,
    /// `KillSignal=`, by number.
    pub kill_signal: i32,
    /// `TimeoutStopSec=`; never less than a second (0 would mean for ever).
    pub timeout_stop: Duration,
    /// Whether a process of the service may prolong its stop (`NotifyAccess=all`, sd_notify(3)
    /// `EXTEND_TIMEOUT_USEC=`). Its commands are not told where to, for crun would take it as meant for
    /// the container.
    pub stop_extendable: bool,
    /// `OOMPolicy=`.
    pub oom_policy: OomPolicy,
    /// `OOMScoreAdjust=`, -1000 to 1000.
    pub oom_score_adjust: Option<i32>,
    /// `Delegate=`.
    pub delegate: bool,
    /// Limits of the service's own cgroup.
    pub limits: Limits,
    /// `LogExtraFields=`: journal fields of every line.
    pub log_extra_fields: Vec<(String, String)>,
    /// `SyslogIdentifier=`.
    pub syslog_identifier: Option<String>,
    /// `Wants=` and `After=`.
    pub wants: Vec<String>,
    /// `After=` beyond `wants`.
    pub after: Vec<String>,
}

impl ServiceSpec {
    /// A service with `exec_start` and the defaults that suit one: `Type=exec`, no restart,
    /// SIGTERM, 30 s of grace, killed as a whole when out of memory.
    #[must_use]
    pub fn new(name: UnitName, slice: SliceName, exec_start: Exec) -> Self {
        Self {
            description: name.to_string(),
            name,
            slice,
            service_type: ServiceType::Exec,
            exec_start,
            exec_start_post: Vec::new(),
            exec_stop_post: Vec::new(),
            restart: Restart::No,
            restart_sec: Duration::from_millis(20),
            restart_force_signals: Vec::new(),
            kill_mode: KillMode::Mixed,
            kill_signal: 15,
            timeout_stop: Duration::from_secs(30),
            stop_extendable: false,
            oom_policy: OomPolicy::Kill,
            oom_score_adjust: None,
            delegate: false,
            limits: Limits::default(),
            log_extra_fields: Vec::new(),
            syslog_identifier: None,
            wants: Vec::new(),
            after: Vec::new(),
        }
    }
}
