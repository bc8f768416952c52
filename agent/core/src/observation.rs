//! What the agent sees of one pod on its node: the input of [`crate::plan`] and [`crate::status`].

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;

use crate::probe::ProbeVerdicts;
use crate::resize::Resizing;

/// Everything known about one pod on this node at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// Whether the API still has the object.
    pub object: ObjectState,
    /// When the agent first saw the pod; becomes `status.startTime`.
    pub accepted_at: Timestamp,
    /// When the agent first saw that the pod is to be deleted, or that its grace was cut short since.
    pub termination_seen: Option<Timestamp>,
    /// Why the node refuses the pod for good, where it does.
    pub rejection: Option<Rejection>,
    /// The pod's network namespace, slice and address.
    pub sandbox: Sandbox,
    /// The pod's volumes.
    pub volumes: Volumes,
    /// What its containers are promised and have.
    pub resizing: Resizing,
    /// One entry for each container of the spec, by name.
    pub containers: BTreeMap<String, ContainerFacts>,
}

impl Observation {
    /// A pod that nothing has been done for yet.
    #[must_use]
    pub fn new(accepted_at: Timestamp) -> Self {
        Self {
            object: ObjectState::Present,
            accepted_at,
            termination_seen: None,
            rejection: None,
            sandbox: Sandbox::Absent,
            volumes: Volumes::Absent,
            resizing: Resizing::default(),
            containers: BTreeMap::new(),
        }
    }

    /// The facts of container `name`; those of a container never seen where it has none.
    #[must_use]
    pub fn container(&self, name: &str) -> ContainerFacts {
        self.containers.get(name).cloned().unwrap_or_default()
    }
}

/// Whether the pod's object exists in the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectState {
    /// It does, or the API could not be asked.
    Present,
    /// It was deleted there; what is left on the node is to be taken away.
    Gone,
}

/// A pod the node will not run; the pod is Failed with this reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// CamelCase, such as `OutOfpods`.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
}

/// A failed attempt and when it may be made again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The waiting reason shown in the API, such as `CreateContainerConfigError`.
    pub reason: String,
    /// What failed and why.
    pub message: String,
    /// When it failed.
    pub failed_at: Timestamp,
    /// When to try again.
    pub retry_at: Timestamp,
}

/// State of the pod's network namespace, slice and address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sandbox {
    /// Never made.
    Absent,
    /// Made, or adopted.
    Ready {
        /// The pod's addresses, or the node's for a pod on the host network.
        pod_ips: Vec<IpAddr>,
    },
    /// The last attempt failed; parts of it may be there.
    Failed(Failure),
    /// Was there and has been taken away for good.
    Freed,
}

/// State of the pod's volumes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Volumes {
    /// Not set up.
    Absent,
    /// Being put in place.
    Pending,
    /// All are in place.
    Ready,
    /// The last attempt failed.
    Failed(Failure),
}

/// What is known about one container.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ContainerFacts {
    /// Its image.
    pub image: ImageState,
    /// Hash in the bundle on disk, where there is one.
    pub bundle_hash: Option<String>,
    /// Its unit.
    pub unit: Unit,
    /// Whether systemd lists the unit as failed.
    pub unit_failed: bool,
    /// How it ended before.
    pub runs: Runs,
    /// Why it could not be created or started, where that failed.
    pub failure: Option<Failure>,
    /// Whether it was stopped to run anew with what has changed, whatever its policy says of how it ended.
    pub comes_back: bool,
    /// The stop in progress, where one is.
    pub stop: Option<StopProgress>,
    /// Whether its postStart hook has yet to end.
    pub post_start: PostStart,
    /// What the probes of the present run say.
    pub probes: ProbeVerdicts,
}

/// How far a stop that the agent began has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopProgress {
    /// preStop runs, or the unit's processes were asked to end.
    Asked,
    /// SIGKILL was sent.
    Killed,
    /// The service manager could not be asked, or refused.
    Refused {
        /// When to ask again.
        retry_at: Timestamp,
    },
}

/// State of a postStart hook in the present run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum PostStart {
    /// There is none, or it ended well.
    #[default]
    Done,
    /// It has not ended.
    Pending,
    /// It failed: the container must go.
    Failed(String),
}

/// Whether a container's image is on the node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ImageState {
    /// Not asked for yet.
    #[default]
    Unknown,
    /// In the node's store.
    Present {
        /// The image's ID, a digest.
        id: String,
        /// The reference the store knows it by.
        reference: String,
    },
    /// Not there; `reason` is `ErrImagePull`, `ErrImageNeverPull` or `InvalidImageName`.
    Failed(Failure),
}

/// State of a container's unit, as systemd has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Unit {
    /// There is none, or it is inactive or failed: nothing runs and nothing is going to.
    #[default]
    Absent,
    /// Being started, or waiting for its back-off.
    Starting,
    /// The container's init runs.
    Running {
        /// The unit's invocation: the identity of this run.
        invocation: String,
        /// When this run began.
        started_at: Timestamp,
    },
    /// On its way down.
    Stopping,
}

impl Unit {
    /// Whether systemd holds, starts or stops something for it.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        !matches!(self, Self::Absent)
    }
}

/// Finished runs of a container, from its records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Runs {
    /// How many runs have ended since the pod was created.
    pub finished: u32,
    /// The pause before the next start, counted from the end of the last run.
    pub pause: Duration,
    /// The latest.
    pub last: Option<Exit>,
    /// The one before.
    pub previous: Option<Exit>,
}

/// One finished run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// The unit's invocation ID.
    pub invocation: String,
    /// When it began, where it began at all.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Timestamp,
    /// How it ended.
    pub outcome: Outcome,
    /// The last words: a start error, or the termination message.
    pub message: Option<String>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The init exited by itself.
    Exited(i32),
    /// A signal ended it.
    Signalled(i32),
    /// The kernel killed it for memory.
    OutOfMemory,
    /// It was never executed: the command could not be found or run.
    StartFailed,
    /// Nothing is known, such as after the machine's reboot.
    Unknown,
}

impl Outcome {
    /// The exit code as Kubernetes shows it: 128 + n for signal n.
    #[must_use]
    pub const fn exit_code(self) -> i32 {
        match self {
            Self::Exited(code) => code,
            Self::Signalled(signal) => 128 + signal,
            Self::OutOfMemory | Self::Unknown => 137,
            Self::StartFailed => 128,
        }
    }

    /// Whether the run counts as a success.
    #[must_use]
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Exited(0))
    }

    /// `terminated.reason`.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Exited(0) => "Completed",
            Self::Exited(_) | Self::Signalled(_) => "Error",
            Self::OutOfMemory => "OOMKilled",
            Self::StartFailed => "StartError",
            Self::Unknown => "ContainerStatusUnknown",
        }
    }
}
