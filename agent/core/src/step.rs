//! The steps a plan consists of.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

/// One thing to do for a pod. Performing a step makes no choice and can be repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Set up every volume of the pod.
    MountVolumes,
    /// Make the network namespace, the address, the slice, `/etc/hosts` and `resolv.conf`.
    CreateSandbox,
    /// Promise the pod what its spec asks for, where it fits beside the others; note why not, where it does not.
    AllocateResources,
    /// Give the units of these containers, which go on running, what is promised to them, and the pod's slice its sum.
    ResizeContainers {
        /// Their names.
        containers: Vec<String>,
    },
    /// Find the container's image in the node's store.
    EnsureImage {
        /// The container that needs it.
        container: String,
    },
    /// Write the bundle and start the unit.
    StartContainer {
        /// Its name.
        container: String,
    },
    /// Run preStop and end the container.
    StopContainer {
        /// Its name.
        container: String,
        /// From now to SIGKILL, preStop included.
        grace: Duration,
        /// Whether it may come back.
        mode: StopMode,
        /// Why, in the words of the `Killing` event.
        cause: StopCause,
    },
    /// Send SIGKILL to everything in the unit: the grace is over.
    KillContainer {
        /// Its name.
        container: String,
    },
    /// Take the container's unit off systemd's list of failed ones: it did not fail.
    ForgetFailure {
        /// Its name.
        container: String,
    },
    /// Take away volumes, address, network namespace and slice; records stay.
    FreeSandbox,
    /// Delete the object in the API, by UID and with no grace.
    DeleteObject,
    /// Remove the pod's files on the node; the worker ends after it.
    RemoveFiles,
    /// Nothing can be done before this moment; plan again then.
    WaitUntil(Timestamp),
}

/// What a stopped container may do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// `StopUnit`: it stays away.
    Remove,
    /// `KillUnit` of the main process: systemd restarts it where its policy says so.
    Restart,
}

/// Why a container is stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopCause {
    /// The pod is being deleted.
    Deletion,
    /// Its spec differs from the bundle's.
    SpecChanged,
    /// Its policy has it restarted for other sizes.
    Resize,
    /// The pod has run longer than `activeDeadlineSeconds`.
    Deadline,
    /// The liveness probe failed.
    Liveness,
    /// The startup probe failed.
    Startup,
    /// The postStart hook failed.
    PostStart,
    /// A sidecar whose pod's main containers have all ended.
    PodFinished,
}

impl StopCause {
    /// The message of the `Killing` event for container `name`, as upstream words it.
    #[must_use]
    pub fn message(&self, name: &str) -> String {
        match self {
            Self::Deletion | Self::Deadline | Self::PodFinished => format!("Stopping container {name}"),
            Self::SpecChanged => format!("Container {name} definition changed, will be restarted"),
            Self::Resize => format!("Container {name} resize requires restart"),
            Self::Liveness => format!("Container {name} failed liveness probe, will be restarted"),
            Self::Startup => format!("Container {name} failed startup probe, will be restarted"),
            Self::PostStart => "FailedPostStartHook".to_owned(),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MountVolumes => f.write_str("mount volumes"),
            Self::CreateSandbox => f.write_str("create sandbox"),
            Self::AllocateResources => f.write_str("allocate resources"),
            Self::ResizeContainers { containers } => write!(f, "resize {}", containers.join(" and ")),
            Self::EnsureImage { container } => write!(f, "ensure image of {container}"),
            Self::StartContainer { container } => write!(f, "start {container}"),
            Self::StopContainer {
                container,
                grace,
                mode,
                cause,
            } => {
                let verb = match mode {
                    StopMode::Remove => "stop",
                    StopMode::Restart => "restart",
                };
                write!(f, "{verb} {container} within {}s ({cause:?})", grace.as_secs())
            }
            Self::KillContainer { container } => write!(f, "kill {container}"),
            Self::ForgetFailure { container } => write!(f, "forget failure of {container}"),
            Self::FreeSandbox => f.write_str("free sandbox"),
            Self::DeleteObject => f.write_str("delete object"),
            Self::RemoveFiles => f.write_str("remove files"),
            Self::WaitUntil(when) => write!(f, "wait until {when}"),
        }
    }
}
