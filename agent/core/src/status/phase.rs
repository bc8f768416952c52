//! The pod's phase.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodSpec};

use crate::ephemeral::every_container;
use crate::observation::{ObjectState, Observation, Unit};
use crate::plan::is_initialized;
use crate::policy::{RestartPolicy, Role, containers, is_terminating};

/// Where a pod is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Pending,
    Running,
    Succeeded,
    Failed,
}

impl Phase {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }

    pub(super) const fn is_over(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// A phase with the pod-level reason and message, where there are any.
pub(super) struct Verdict {
    pub(super) phase: Phase,
    pub(super) reason: Option<String>,
    pub(super) message: Option<String>,
}

impl From<Phase> for Verdict {
    fn from(phase: Phase) -> Self {
        Self {
            phase,
            reason: None,
            message: None,
        }
    }
}

/// The phase, by the rules of the kubelet's `getPhase`. It is not over before every container has ended:
/// whoever sees Succeeded or Failed may rely on nothing running any more.
pub(super) fn of(pod: &Pod, spec: &PodSpec, observed: &Observation, now: Timestamp) -> Verdict {
    let verdict = verdict(pod, spec, observed, now);
    let live = every_container(spec).any(|(_, c)| observed.container(&c.name).unit.is_live());
    if live && verdict.phase.is_over() {
        Phase::Running.into()
    } else {
        verdict
    }
}

fn verdict(pod: &Pod, spec: &PodSpec, observed: &Observation, now: Timestamp) -> Verdict {
    if past_deadline(spec, observed, now) {
        return Verdict {
            phase: Phase::Failed,
            reason: Some("DeadlineExceeded".to_owned()),
            message: Some("Pod was active on the node longer than the specified deadline".to_owned()),
        };
    }
    by_containers(
        spec,
        observed,
        is_terminating(pod) || observed.object == ObjectState::Gone,
    )
    .into()
}

fn past_deadline(spec: &PodSpec, observed: &Observation, now: Timestamp) -> bool {
    let Some(seconds) = spec.active_deadline_seconds else {
        return false;
    };
    let end = observed
        .accepted_at
        .checked_add(SignedDuration::from_secs(seconds));
    end.is_ok_and(|end| end <= now)
}

#[derive(Default)]
struct Counts {
    waiting: usize,
    running: usize,
    stopped: usize,
    succeeded: usize,
}

fn by_containers(spec: &PodSpec, observed: &Observation, terminating: bool) -> Phase {
    let init_failed = containers(spec).any(|(role, c)| {
        let facts = observed.container(&c.name);
        role == Role::Init
            && !facts.unit.is_live()
            && facts
                .runs
                .last
                .as_ref()
                .is_some_and(|exit| !exit.outcome.is_success())
            && !RestartPolicy::of(spec, role).restarts(&facts.runs)
    });
    if init_failed {
        return Phase::Failed;
    }
    if !is_initialized(spec, observed) {
        return Phase::Pending;
    }
    let counts = count(spec, observed);
    if counts.waiting > 0 {
        Phase::Pending
    } else if counts.running > 0 {
        Phase::Running
    } else {
        ended(spec, &counts, terminating)
    }
}

fn count(spec: &PodSpec, observed: &Observation) -> Counts {
    let mut counts = Counts::default();
    for (_, container) in containers(spec).filter(|(role, _)| *role == Role::Main) {
        let facts = observed.container(&container.name);
        match (&facts.unit, &facts.runs.last) {
            (Unit::Running { .. } | Unit::Stopping, _) => counts.running += 1,
            (Unit::Absent | Unit::Starting, None) => counts.waiting += 1,
            (Unit::Absent | Unit::Starting, Some(_)) if facts.comes_back => counts.running += 1,
            (Unit::Absent | Unit::Starting, Some(exit)) => {
                counts.stopped += 1;
                counts.succeeded += usize::from(exit.outcome.is_success());
            }
        }
    }
    counts
}

fn ended(spec: &PodSpec, counts: &Counts, terminating: bool) -> Phase {
    let succeeded = counts.stopped == counts.succeeded;
    if terminating {
        return if succeeded {
            Phase::Succeeded
        } else {
            Phase::Failed
        };
    }
    match RestartPolicy::of(spec, Role::Main) {
        RestartPolicy::Always => Phase::Running,
        RestartPolicy::OnFailure | RestartPolicy::Never if succeeded => Phase::Succeeded,
        RestartPolicy::OnFailure => Phase::Running,
        RestartPolicy::Never => Phase::Failed,
    }
}
