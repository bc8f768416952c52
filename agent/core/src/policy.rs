//! Restart policies, and what the spec says of a container's part in its pod.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

use crate::observation::{ContainerFacts, Runs};

/// The grace of a pod that names none, seconds.
const DEFAULT_GRACE: i64 = 30;

/// A container's part in its pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Runs to success before the next one starts.
    Init,
    /// An init container with `restartPolicy: Always`: starts in order and keeps running.
    Sidecar,
    /// One of `spec.containers`.
    Main,
    /// Put into a pod that runs, to look into it: starts once, and counts for nothing.
    Ephemeral,
}

/// When a container that has ended is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartPolicy {
    /// Whenever it ended.
    Always,
    /// When it did not exit with 0.
    OnFailure,
    /// Never.
    Never,
}

impl RestartPolicy {
    /// Of a container in `role`: a sidecar's is Always, an ephemeral container's Never,
    /// and Always means OnFailure for an init container.
    #[must_use]
    pub fn of(spec: &PodSpec, role: Role) -> Self {
        let pod = match spec.restart_policy.as_deref() {
            Some("Never") => Self::Never,
            Some("OnFailure") => Self::OnFailure,
            _ => Self::Always,
        };
        match (role, pod) {
            (Role::Sidecar, _) => Self::Always,
            (Role::Ephemeral, _) => Self::Never,
            (Role::Init, Self::Always) => Self::OnFailure,
            (Role::Init | Role::Main, policy) => policy,
        }
    }

    /// Whether a container with these finished runs starts (again).
    #[must_use]
    pub fn restarts(self, runs: &Runs) -> bool {
        match (&runs.last, self) {
            (None, _) | (Some(_), Self::Always) => true,
            (Some(exit), Self::OnFailure) => !exit.outcome.is_success(),
            (Some(_), Self::Never) => false,
        }
    }
}

/// Every lasting container of `spec` with its role: init containers in order, then main containers.
pub fn containers(spec: &PodSpec) -> impl Iterator<Item = (Role, &Container)> {
    let init = spec.init_containers.iter().flatten().map(|container| {
        let sidecar = container.restart_policy.as_deref() == Some("Always");
        (if sidecar { Role::Sidecar } else { Role::Init }, container)
    });
    init.chain(spec.containers.iter().map(|container| (Role::Main, container)))
}

/// The containers that run for as long as the pod does, whose ports count: all but init containers that end.
pub fn lasting(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    let lasts = |(role, _): &(Role, &Container)| *role != Role::Init;
    containers(spec).filter(lasts).map(|(_, container)| container)
}

/// When the back-off of a container that ended is over; none where it does not wait.
#[must_use]
pub fn back_off_until(facts: &ContainerFacts) -> Option<Timestamp> {
    let last = facts.runs.last.as_ref()?;
    let delay = facts.runs.pause;
    if delay.is_zero() {
        return None;
    }
    last.finished_at
        .checked_add(SignedDuration::try_from(delay).ok()?)
        .ok()
}

/// `terminationGracePeriodSeconds` of `pod`: what its containers have between the stop signal and SIGKILL
/// where nobody asks for more or less; at least a second.
#[must_use]
pub fn pod_grace(pod: &Pod) -> Duration {
    let spec = pod.spec.as_ref();
    let seconds = spec.and_then(|spec| spec.termination_grace_period_seconds);
    grace_of(seconds.unwrap_or(DEFAULT_GRACE))
}

/// `seconds` as a grace: at least one, since none would be for ever to systemd.
pub(crate) fn grace_of(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0).max(1))
}

/// Whether `pod` has `deletionTimestamp`.
#[must_use]
pub const fn is_terminating(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}
