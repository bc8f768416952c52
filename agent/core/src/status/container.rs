//! The status of one container.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
    ContainerStatus, Pod, PodSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::phase::Phase;
use super::whole_seconds;
use crate::backoff::go_duration;
use crate::observation::{ContainerFacts, Exit, Failure, ImageState, Observation, PostStart, Unit};
use crate::plan::{is_initialized, lost_target};
use crate::policy::{RestartPolicy, Role, back_off_until};
use crate::resize::is_resizable;

/// How long a failed pull is shown as itself before it is shown as a back-off.
const PULL_ERROR_SHOWN: SignedDuration = SignedDuration::from_secs(3);

pub(super) struct Input<'a> {
    pub(super) pod: &'a Pod,
    pub(super) spec: &'a PodSpec,
    pub(super) observed: &'a Observation,
    pub(super) role: Role,
    pub(super) phase: Phase,
    pub(super) now: Timestamp,
}

pub(super) fn of(input: &Input<'_>, container: &Container) -> ContainerStatus {
    let facts = input.observed.container(&container.name);
    let state = state(input, container, &facts);
    let running = state.running.is_some();
    // A run before a reboot is known as the previous one, though none has ended since.
    let last = if state.terminated.is_some() {
        &facts.runs.previous
    } else {
        facts
            .runs
            .last
            .as_ref()
            .map_or(&facts.runs.previous, |_| &facts.runs.last)
    };
    let done = state.terminated.as_ref().is_some_and(|t| t.exit_code == 0);
    let image = container.image.clone().unwrap_or_default();
    let (image, image_id) = match &facts.image {
        ImageState::Present { id, reference } => (reference.clone(), id.clone()),
        ImageState::Unknown | ImageState::Failed(_) => (image, String::new()),
    };
    ContainerStatus {
        name: container.name.clone(),
        image,
        image_id,
        container_id: container_id(&state, &facts),
        ready: match input.role {
            Role::Init => done,
            Role::Sidecar | Role::Main => running && facts.probes.ready(container),
            Role::Ephemeral => false,
        },
        started: (input.role != Role::Ephemeral).then(|| running && facts.probes.started(container)),
        restart_count: i32::try_from(restarts(&state, &facts)).unwrap_or(i32::MAX),
        last_state: last.as_ref().map(terminated),
        state: Some(state),
        ..sizes(input, container)
    }
}

/// A status with what the container has and what is promised to it, where it can be resized. By its `resources` the API
/// server knows that this node resizes what runs.
fn sizes(input: &Input<'_>, container: &Container) -> ContainerStatus {
    if !is_resizable(input.role) {
        return ContainerStatus::default();
    }
    let resizing = &input.observed.resizing;
    let allocated = resizing.allocated(container);
    let live = input.observed.container(&container.name).unit.is_live();
    ContainerStatus {
        allocated_resources: allocated.requests.clone(),
        resources: Some(if live {
            resizing.applied(container)
        } else {
            allocated
        }),
        ..ContainerStatus::default()
    }
}

/// Starts but the first.
fn restarts(state: &ContainerState, facts: &ContainerFacts) -> u32 {
    let begun = facts.runs.finished + u32::from(state.running.is_some());
    begun.saturating_sub(1)
}

fn container_id(state: &ContainerState, facts: &ContainerFacts) -> Option<String> {
    let current = match &facts.unit {
        Unit::Running { invocation, .. } if state.running.is_some() => Some(invocation.clone()),
        Unit::Running { .. } | Unit::Absent | Unit::Starting | Unit::Stopping => None,
    };
    let id = current.or_else(|| facts.runs.last.as_ref().map(|exit| exit.invocation.clone()))?;
    Some(format!("floe://{id}"))
}

fn state(input: &Input<'_>, container: &Container, facts: &ContainerFacts) -> ContainerState {
    match (&facts.unit, &facts.runs.last) {
        (Unit::Running { started_at, .. }, _) if facts.post_start == PostStart::Done => running(*started_at),
        (Unit::Running { .. }, _) => waiting("ContainerCreating", None),
        // Whoever has seen an OnFailure container end well never sees it run again: the API refuses that. So an end that
        // makes room for the next run is told as the last one alone.
        (Unit::Stopping | Unit::Absent | Unit::Starting, Some(_)) if facts.comes_back => {
            facts.failure.as_ref().map_or_else(
                || waiting("ContainerCreating", None),
                |failure| waiting(&failure.reason, Some(failure.message.clone())),
            )
        }
        (Unit::Stopping, None) => waiting("ContainerCreating", None),
        (Unit::Stopping, Some(exit)) => terminated(exit),
        (Unit::Absent | Unit::Starting, None) => first_wait(input, container, facts),
        (Unit::Absent | Unit::Starting, Some(exit)) => after(input, container, facts, exit),
    }
}

/// Of a container that ended: its back-off, or its end.
fn after(input: &Input<'_>, container: &Container, facts: &ContainerFacts, exit: &Exit) -> ContainerState {
    let comes_back = !input.phase.is_over()
        && input.pod.metadata.deletion_timestamp.is_none()
        && RestartPolicy::of(input.spec, input.role).restarts(&facts.runs);
    let until = back_off_until(facts).filter(|until| comes_back && *until > input.now);
    if until.is_some() {
        return waiting(
            "CrashLoopBackOff",
            Some(back_off_message(input.pod, container, facts)),
        );
    }
    match (&facts.failure, comes_back) {
        (Some(failure), true) => waiting(&failure.reason, Some(failure.message.clone())),
        (Some(_), false) | (None, _) => terminated(exit),
    }
}

fn back_off_message(pod: &Pod, container: &Container, facts: &ContainerFacts) -> String {
    let part = |text: &Option<String>| text.clone().unwrap_or_default();
    let meta = &pod.metadata;
    format!(
        "back-off {} restarting failed container={} pod={}_{}({})",
        go_duration(facts.runs.pause),
        container.name,
        part(&meta.name),
        part(&meta.namespace),
        part(&meta.uid),
    )
}

/// Of a container that never ran.
fn first_wait(input: &Input<'_>, container: &Container, facts: &ContainerFacts) -> ContainerState {
    if let ImageState::Failed(failure) = &facts.image {
        return pull_failure(container, failure, input.now);
    }
    if let Some(failure) = &facts.failure {
        return waiting(&failure.reason, Some(failure.message.clone()));
    }
    if let (ImageState::Present { .. }, Some(target)) =
        (&facts.image, lost_target(input.spec, container, input.observed))
    {
        return without_target(input.observed, target);
    }
    let has_init = input
        .spec
        .init_containers
        .as_ref()
        .is_some_and(|list| !list.is_empty());
    let initialized = is_initialized(input.spec, input.observed);
    let reason = if has_init && !(initialized && input.role == Role::Main) {
        "PodInitializing"
    } else {
        "ContainerCreating"
    };
    waiting(reason, None)
}

/// Of an ephemeral container whose target does not run, in the kubelet's words and, for one that ran, containerd's.
fn without_target(observed: &Observation, target: &str) -> ContainerState {
    let facts = observed.container(target);
    if facts.runs.last.is_none() && !facts.unit.is_live() {
        let message = format!("unable to find target container {target}");
        return waiting("CreateContainerConfigError", Some(message));
    }
    let message = format!("invalid target container: container {target} is not running");
    waiting("CreateContainerError", Some(message))
}

fn pull_failure(container: &Container, failure: &Failure, now: Timestamp) -> ContainerState {
    let fresh = now.duration_since(failure.failed_at) < PULL_ERROR_SHOWN;
    if failure.reason != "ErrImagePull" || fresh {
        return waiting(&failure.reason, Some(failure.message.clone()));
    }
    let image = container.image.as_deref().unwrap_or_default();
    let message = format!(
        "Back-off pulling image \"{image}\": ErrImagePull: {}",
        failure.message
    );
    waiting("ImagePullBackOff", Some(message))
}

fn waiting(reason: &str, message: Option<String>) -> ContainerState {
    let waiting = ContainerStateWaiting {
        reason: Some(reason.to_owned()),
        message,
    };
    ContainerState {
        waiting: Some(waiting),
        ..ContainerState::default()
    }
}

fn running(started_at: Timestamp) -> ContainerState {
    let running = ContainerStateRunning {
        started_at: Some(Time(whole_seconds(started_at))),
    };
    ContainerState {
        running: Some(running),
        ..ContainerState::default()
    }
}

fn terminated(exit: &Exit) -> ContainerState {
    let terminated = ContainerStateTerminated {
        container_id: Some(format!("floe://{}", exit.invocation)),
        exit_code: exit.outcome.exit_code(),
        reason: Some(exit.outcome.reason().to_owned()),
        message: exit.message.clone(),
        started_at: exit.started_at.map(|at| Time(whole_seconds(at))),
        finished_at: Some(Time(whole_seconds(exit.finished_at))),
        signal: None,
    };
    ContainerState {
        terminated: Some(terminated),
        ..ContainerState::default()
    }
}
