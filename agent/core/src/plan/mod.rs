//! What to do next for a pod.

mod resize;

use std::borrow::Cow;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

use crate::ephemeral::{every_container, target_of};
use crate::hash::spec_hash;
use crate::observation::{
    ContainerFacts, Failure, ImageState, ObjectState, Observation, PostStart, Sandbox, StopProgress, Unit,
    Volumes,
};
use crate::policy::{RestartPolicy, Role, containers, grace_of, is_terminating, pod_grace};
use crate::probe::Verdict;
use crate::step::{Step, StopCause, StopMode};

/// The steps that bring `observed` nearer to `desired`, each possible at once and in this order.
///
/// A plan goes only as far as the observation reaches: the caller performs it, observes again and asks
/// for the next one, until it is empty or only waits. Restarts are systemd's; the plan starts what has
/// never run, what systemd does not hold any more though the policy wants it, and what must differ.
#[must_use]
pub fn plan(desired: &Pod, observed: &Observation, now: Timestamp) -> Vec<Step> {
    let Some(spec) = desired.spec.as_ref() else {
        return Vec::new();
    };
    let planner = Planner {
        pod: desired,
        spec,
        observed,
        now,
    };
    if let Some(began) = planner.termination() {
        return planner.terminate(began);
    }
    let mut steps = planner.undeserved_failures();
    steps.extend(if planner.is_over() {
        planner.wind_down(&StopCause::PodFinished, planner.grace())
    } else {
        planner.advance()
    });
    steps
}

/// Whether every container of `pod` has ended for good, so that only its status is left.
#[must_use]
pub(crate) fn is_finished(spec: &PodSpec, observed: &Observation) -> bool {
    let ended = |role, container: &Container| {
        let facts = observed.container(&container.name);
        !facts.unit.is_live()
            && facts.runs.last.is_some()
            && !facts.comes_back
            && !RestartPolicy::of(spec, role).restarts(&facts.runs)
    };
    let init_failed = containers(spec).any(|(role, c)| {
        role == Role::Init && ended(role, c) && !last_succeeded(&observed.container(&c.name))
    });
    init_failed
        || containers(spec)
            .filter(|(role, _)| *role == Role::Main)
            .all(|(role, c)| ended(role, c))
}

/// Whether the init containers are behind: all ended well, or a main container has started.
#[must_use]
pub(crate) fn is_initialized(spec: &PodSpec, observed: &Observation) -> bool {
    let main_began = containers(spec).any(|(role, container)| {
        let facts = observed.container(&container.name);
        role == Role::Main && (facts.unit.is_live() || facts.runs.last.is_some())
    });
    main_began || containers(spec).all(|(role, container)| passed(role, container, observed))
}

/// Whether the containers after this one may start.
pub(crate) fn passed(role: Role, container: &Container, observed: &Observation) -> bool {
    let facts = observed.container(&container.name);
    match role {
        Role::Init => !facts.unit.is_live() && last_succeeded(&facts),
        Role::Sidecar => {
            matches!(facts.unit, Unit::Running { .. })
                && facts.post_start == PostStart::Done
                && facts.probes.started(container)
        }
        Role::Main | Role::Ephemeral => true,
    }
}

fn last_succeeded(facts: &ContainerFacts) -> bool {
    facts
        .runs
        .last
        .as_ref()
        .is_some_and(|exit| exit.outcome.is_success())
}

/// What a container has between the end of its preStop hook and SIGKILL, at the least.
const AFTER_PRE_STOP: SignedDuration = SignedDuration::from_secs(2);

struct Planner<'a> {
    pod: &'a Pod,
    spec: &'a PodSpec,
    observed: &'a Observation,
    now: Timestamp,
}

impl Planner<'_> {
    /// When the pod's end began, where it has to go.
    fn termination(&self) -> Option<Timestamp> {
        let wanted = self.observed.object == ObjectState::Gone || is_terminating(self.pod);
        wanted.then(|| self.observed.termination_seen.unwrap_or(self.now))
    }

    /// From SIGTERM to SIGKILL: what the deletion asks for, else what the pod has.
    fn grace(&self) -> Duration {
        let asked = self.pod.metadata.deletion_grace_period_seconds;
        asked.map_or_else(|| pod_grace(self.pod), grace_of)
    }

    /// Whether the pod has nothing left to run: ended, refused, or past its deadline.
    fn is_over(&self) -> bool {
        self.observed.rejection.is_some()
            || api_says_finished(self.pod)
            || is_finished(self.spec, self.observed)
            || self.deadline().is_some_and(|deadline| deadline <= self.now)
    }

    /// When `activeDeadlineSeconds` is over.
    fn deadline(&self) -> Option<Timestamp> {
        let seconds = self.spec.active_deadline_seconds?;
        self.observed
            .accepted_at
            .checked_add(SignedDuration::from_secs(seconds))
            .ok()
    }

    fn terminate(&self, began: Timestamp) -> Vec<Step> {
        let mut steps = self.wind_down(&StopCause::Deletion, self.grace());
        let stopping: Vec<Step> = self.kill_late(began);
        steps.extend(stopping);
        if !steps.is_empty() || self.any_live() {
            return steps;
        }
        match self.observed.object {
            ObjectState::Present => vec![Step::DeleteObject],
            ObjectState::Gone => vec![Step::RemoveFiles],
        }
    }

    /// SIGKILL for what is still there at the end of the grace, and the moment to look again before it.
    /// A preStop hook that took all of it leaves two seconds more.
    fn kill_late(&self, began: Timestamp) -> Vec<Step> {
        let grace = SignedDuration::try_from(self.grace()).unwrap_or(SignedDuration::MAX);
        let late = every_container(self.spec).filter(|(_, c)| {
            let facts = self.facts(c);
            facts.unit.is_live() && facts.stop != Some(StopProgress::Killed)
        });
        let (mut kills, mut next) = (Vec::new(), None);
        for (_, container) in late {
            let lifecycle = container.lifecycle.as_ref();
            let hook = lifecycle.is_some_and(|lifecycle| lifecycle.pre_stop.is_some());
            let more = if hook {
                AFTER_PRE_STOP
            } else {
                SignedDuration::ZERO
            };
            let end = began.checked_add(grace.saturating_add(more)).unwrap_or(self.now);
            if end > self.now {
                next = Some(next.map_or(end, |other: Timestamp| other.min(end)));
            } else {
                kills.push(Step::KillContainer {
                    container: container.name.clone(),
                });
            }
        }
        kills.extend(next.map(Step::WaitUntil));
        kills
    }

    /// Stops what runs (sidecars after the main containers, the last first), then frees the sandbox.
    fn wind_down(&self, cause: &StopCause, grace: Duration) -> Vec<Step> {
        let live: Vec<(Role, Cow<'_, Container>)> = every_container(self.spec)
            .filter(|(_, c)| self.facts(c).unit.is_live())
            .collect();
        if live.is_empty() {
            return if self.holds_resources() {
                vec![Step::FreeSandbox]
            } else {
                Vec::new()
            };
        }
        let main: Vec<&Container> = live
            .iter()
            .filter(|(role, _)| *role != Role::Sidecar)
            .map(|(_, c)| &**c)
            .collect();
        let next = if main.is_empty() {
            live.last().map(|(_, c)| &**c).into_iter().collect()
        } else {
            main
        };
        next.into_iter()
            .filter_map(|c| self.stop_now(c, stop(c, grace, StopMode::Remove, cause.clone())))
            .collect()
    }

    /// `step`, which stops `container`, unless a stop is under way or was refused a moment ago.
    fn stop_now(&self, container: &Container, step: Step) -> Option<Step> {
        match self.facts(container).stop {
            None => Some(step),
            Some(StopProgress::Refused { retry_at }) if retry_at <= self.now => Some(step),
            Some(StopProgress::Refused { retry_at }) => Some(Step::WaitUntil(retry_at)),
            Some(StopProgress::Asked | StopProgress::Killed) => None,
        }
    }

    /// A container that exited 0 before its start was through leaves a unit that systemd calls failed
    /// (`protocol`: its PID file names nobody). What is listed as failed should have failed. An ephemeral one never
    /// did: a shell ends with the code of its last command.
    fn undeserved_failures(&self) -> Vec<Step> {
        let undeserved = |role, facts: &ContainerFacts| {
            facts.unit_failed
                && !facts.unit.is_live()
                && (last_succeeded(facts) || role == Role::Ephemeral)
                && !RestartPolicy::of(self.spec, role).restarts(&facts.runs)
        };
        every_container(self.spec)
            .filter(|(role, c)| undeserved(*role, &self.facts(c)))
            .map(|(_, c)| Step::ForgetFailure {
                container: c.name.clone(),
            })
            .collect()
    }

    fn holds_resources(&self) -> bool {
        match self.observed.sandbox {
            Sandbox::Ready { .. } | Sandbox::Failed(_) => true,
            Sandbox::Absent => self.observed.volumes != Volumes::Absent,
            Sandbox::Freed => false,
        }
    }

    fn any_live(&self) -> bool {
        every_container(self.spec).any(|(_, c)| self.facts(&c).unit.is_live())
    }

    fn facts(&self, container: &Container) -> ContainerFacts {
        self.observed.container(&container.name)
    }

    fn advance(&self) -> Vec<Step> {
        let mut steps = self.replacements();
        steps.extend(self.resizes());
        steps.extend(self.foundation());
        if matches!(self.observed.sandbox, Sandbox::Ready { .. }) && self.observed.volumes == Volumes::Ready {
            steps.extend(self.starts());
            steps.extend(self.debuggers());
        }
        steps.extend(self.deadline().map(Step::WaitUntil));
        steps
    }

    /// Stops of containers that must not go on as they are.
    fn replacements(&self) -> Vec<Step> {
        containers(self.spec)
            .filter_map(|(_, c)| self.replacement(c))
            .collect()
    }

    fn replacement(&self, container: &Container) -> Option<Step> {
        let facts = self.facts(container);
        if !facts.unit.is_live() {
            return None;
        }
        let changed = facts
            .bundle_hash
            .as_deref()
            .is_some_and(|hash| hash != spec_hash(container));
        if changed {
            let step = stop(container, self.grace(), StopMode::Remove, StopCause::SpecChanged);
            return self.stop_now(container, step);
        }
        let running = matches!(facts.unit, Unit::Running { .. });
        let cause = failing(container, &facts).filter(|_| running)?;
        let grace = self.probe_grace(container, &cause);
        self.stop_now(container, stop(container, grace, StopMode::Restart, cause))
    }

    /// A probe's own `terminationGracePeriodSeconds`, else the pod's.
    fn probe_grace(&self, container: &Container, cause: &StopCause) -> Duration {
        let probe = match cause {
            StopCause::Liveness => container.liveness_probe.as_ref(),
            StopCause::Startup => container.startup_probe.as_ref(),
            StopCause::Deletion
            | StopCause::SpecChanged
            | StopCause::Resize
            | StopCause::Deadline
            | StopCause::PostStart
            | StopCause::PodFinished => None,
        };
        let own = probe.and_then(|probe| probe.termination_grace_period_seconds);
        own.and_then(|seconds| u64::try_from(seconds).ok())
            .map_or_else(|| self.grace(), Duration::from_secs)
    }

    /// Volumes and sandbox, or the moment to try them again. The sandbox is made while the volumes are put in
    /// place, which asks the API for what they hold.
    fn foundation(&self) -> Vec<Step> {
        let volumes = match &self.observed.volumes {
            Volumes::Ready | Volumes::Pending => None,
            Volumes::Absent => Some(Step::MountVolumes),
            Volumes::Failed(failure) => Some(self.again(failure, Step::MountVolumes)),
        };
        if let Some(step) = volumes {
            return vec![step];
        }
        let sandbox = match &self.observed.sandbox {
            Sandbox::Ready { .. } => None,
            Sandbox::Absent | Sandbox::Freed => Some(Step::CreateSandbox),
            Sandbox::Failed(failure) => Some(self.again(failure, Step::CreateSandbox)),
        };
        sandbox.into_iter().collect()
    }

    fn again(&self, failure: &Failure, step: Step) -> Step {
        if failure.retry_at <= self.now {
            step
        } else {
            Step::WaitUntil(failure.retry_at)
        }
    }

    /// Starts in order: init containers one by one, sidecars kept running, then all main containers.
    fn starts(&self) -> Vec<Step> {
        let initialized = is_initialized(self.spec, self.observed);
        let mut steps = Vec::new();
        for (role, container) in containers(self.spec) {
            let skipped = role == Role::Init && initialized;
            if !skipped {
                steps.extend(self.start(role, container));
            }
            if !initialized && !passed(role, container, self.observed) {
                return steps;
            }
        }
        steps
    }

    /// Starts of ephemeral containers, which wait for no turn; the init containers may be what is looked into.
    fn debuggers(&self) -> Vec<Step> {
        every_container(self.spec)
            .filter(|(role, _)| *role == Role::Ephemeral)
            .filter_map(|(role, c)| self.start(role, &c))
            .collect()
    }

    fn start(&self, role: Role, container: &Container) -> Option<Step> {
        let facts = self.facts(container);
        let policy = RestartPolicy::of(self.spec, role);
        let wanted = facts.comes_back || policy.restarts(&facts.runs);
        if facts.unit.is_live() || !wanted || passed_init(role, &facts) {
            return None;
        }
        let name = || container.name.clone();
        match &facts.image {
            ImageState::Unknown => Some(Step::EnsureImage { container: name() }),
            ImageState::Failed(failure) => Some(self.again(failure, Step::EnsureImage { container: name() })),
            ImageState::Present { .. } if lost_target(self.spec, container, self.observed).is_some() => None,
            ImageState::Present { .. } => {
                let start = Step::StartContainer { container: name() };
                Some(match &facts.failure {
                    Some(failure) => self.again(failure, start),
                    None => start,
                })
            }
        }
    }
}

/// The container whose processes the ephemeral `container` is to see, where it does not run: there is nothing to
/// see yet, or any more.
pub(crate) fn lost_target<'a>(
    spec: &'a PodSpec,
    container: &Container,
    observed: &Observation,
) -> Option<&'a str> {
    let target = target_of(spec, &container.name)?;
    let running = matches!(observed.container(target).unit, Unit::Running { .. });
    (!running).then_some(target)
}

/// Why a running container must be restarted, where it must.
fn failing(container: &Container, facts: &ContainerFacts) -> Option<StopCause> {
    if let PostStart::Failed(_) = facts.post_start {
        return Some(StopCause::PostStart);
    }
    if container.startup_probe.is_some() && facts.probes.startup == Verdict::Failure {
        return Some(StopCause::Startup);
    }
    (container.liveness_probe.is_some() && facts.probes.liveness == Verdict::Failure)
        .then_some(StopCause::Liveness)
}

fn passed_init(role: Role, facts: &ContainerFacts) -> bool {
    role == Role::Init && last_succeeded(facts)
}

fn stop(container: &Container, grace: Duration, mode: StopMode, cause: StopCause) -> Step {
    Step::StopContainer {
        container: container.name.clone(),
        grace,
        mode,
        cause,
    }
}

/// Whether the API has the pod as ended: an ended pod never runs again, whatever the node remembers.
fn api_says_finished(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

#[cfg(test)]
mod tests;
