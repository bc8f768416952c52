//! The pod's conditions.

use controlplane_apimachinery::condition;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, PodCondition, PodSpec};

use super::phase::Phase;
use crate::observation::{Observation, Sandbox};
use crate::plan::{is_initialized, passed};
use crate::policy::{Role, containers};
use crate::resize::{asks_for_more_or_less, resizable, too_small};

/// A resize that does not fit.
pub const RESIZE_PENDING: &str = "PodResizePending";
/// A resize that is being done.
pub const RESIZE_IN_PROGRESS: &str = "PodResizeInProgress";

pub(super) struct Input<'a> {
    pub(super) pod: &'a Pod,
    pub(super) spec: &'a PodSpec,
    pub(super) observed: &'a Observation,
    pub(super) init: &'a [ContainerStatus],
    pub(super) main: &'a [ContainerStatus],
    pub(super) phase: Phase,
    pub(super) previous: &'a [PodCondition],
    pub(super) now: Timestamp,
}

/// A condition before it has a time.
#[derive(Clone)]
struct Fact {
    type_: &'static str,
    holds: bool,
    reason: Option<&'static str>,
    message: Option<String>,
}

impl Fact {
    const fn yes(type_: &'static str) -> Self {
        Self {
            type_,
            holds: true,
            reason: None,
            message: None,
        }
    }

    const fn no(type_: &'static str, reason: &'static str, message: Option<String>) -> Self {
        Self {
            type_,
            holds: false,
            reason: Some(reason),
            message,
        }
    }
}

pub(super) fn of(input: &Input<'_>) -> Vec<PodCondition> {
    let sandbox = matches!(input.observed.sandbox, Sandbox::Ready { .. });
    let facts = [
        Fact {
            type_: "PodReadyToStartContainers",
            holds: sandbox,
            reason: None,
            message: None,
        },
        initialized(input),
        ready(input),
        containers_ready(input, "ContainersReady"),
        Fact::yes("PodScheduled"),
    ];
    let (pending, in_progress) = (resize_pending(input), resize_in_progress(input));
    let facts = facts
        .into_iter()
        .chain(pending.clone())
        .chain(in_progress.clone());
    let wanted = facts.map(|fact| stated(fact, input)).collect();
    let mut all = condition::merged(wanted, input.previous, input.now);
    // Those of a resize are there while they hold, and not at all else.
    for (passing, fact) in [(RESIZE_PENDING, &pending), (RESIZE_IN_PROGRESS, &in_progress)] {
        if fact.is_none() {
            condition::remove(&mut all, passing);
        }
    }
    all
}

/// A resize that the node has not promised.
fn resize_pending(input: &Input<'_>) -> Option<Fact> {
    let resizing = &input.observed.resizing;
    let pending = resizing.pending.as_ref()?;
    let asks = asks_for_more_or_less(input.spec, &resizing.allocated) && !input.phase.is_over();
    asks.then(|| Fact {
        reason: Some(pending.unfit.reason.as_str()),
        message: Some(pending.unfit.message.clone()),
        ..Fact::yes(RESIZE_PENDING)
    })
}

/// A resize that is promised and that units do not have yet.
fn resize_in_progress(input: &Input<'_>) -> Option<Fact> {
    let resizing = &input.observed.resizing;
    let behind = |c: &Container| {
        let facts = input.observed.container(&c.name);
        (facts.unit.is_live() || facts.comes_back) && resizing.is_behind(c)
    };
    if input.phase.is_over() || !resizable(input.spec).any(behind) {
        return None;
    }
    let failed = || resizing.failure.as_ref().map(|failure| failure.message.clone());
    let error = too_small(input.spec, input.observed).or_else(failed);
    Some(Fact {
        reason: error.as_ref().map(|_| "Error"),
        message: error,
        ..Fact::yes(RESIZE_IN_PROGRESS)
    })
}

fn stated(fact: Fact, input: &Input<'_>) -> PodCondition {
    let status = if fact.holds { "True" } else { "False" };
    PodCondition {
        type_: fact.type_.to_owned(),
        status: status.to_owned(),
        reason: fact.reason.map(ToOwned::to_owned),
        message: fact.message,
        observed_generation: input.pod.metadata.generation,
        ..PodCondition::default()
    }
}

fn initialized(input: &Input<'_>) -> Fact {
    const TYPE: &str = "Initialized";
    if input.phase == Phase::Succeeded {
        return Fact {
            reason: Some("PodCompleted"),
            ..Fact::yes(TYPE)
        };
    }
    if is_initialized(input.spec, input.observed) {
        return Fact::yes(TYPE);
    }
    let incomplete = containers(input.spec)
        .filter(|(role, c)| *role != Role::Main && !passed(*role, c, input.observed))
        .map(|(_, c)| c.name.as_str());
    Fact::no(
        TYPE,
        "ContainersNotInitialized",
        Some(listed("incomplete", incomplete)),
    )
}

fn containers_ready(input: &Input<'_>, type_: &'static str) -> Fact {
    match input.phase {
        Phase::Succeeded => return Fact::no(type_, "PodCompleted", None),
        Phase::Failed => return Fact::no(type_, "PodFailed", None),
        Phase::Pending | Phase::Running => {}
    }
    let sidecars = input.init.iter().filter(|status| {
        containers(input.spec).any(|(role, c)| role == Role::Sidecar && c.name == status.name)
    });
    let unready: Vec<&str> = sidecars
        .chain(input.main)
        .filter(|c| !c.ready)
        .map(|c| c.name.as_str())
        .collect();
    if unready.is_empty() {
        return Fact::yes(type_);
    }
    Fact::no(
        type_,
        "ContainersNotReady",
        Some(listed("unready", unready.into_iter())),
    )
}

fn ready(input: &Input<'_>) -> Fact {
    let fact = containers_ready(input, "Ready");
    if !fact.holds {
        return fact;
    }
    let gates = input.spec.readiness_gates.iter().flatten();
    let open = gates.filter_map(|gate| {
        let name = &gate.condition_type;
        match input.previous.iter().find(|condition| condition.type_ == *name) {
            None => Some(format!(
                "corresponding condition of pod readiness gate \"{name}\" does not exist."
            )),
            Some(condition) if condition.status != "True" => Some(format!(
                "the status of pod readiness gate \"{name}\" is not \"True\", but {}",
                condition.status
            )),
            Some(_) => None,
        }
    });
    let open: Vec<String> = open.collect();
    if open.is_empty() {
        fact
    } else {
        Fact::no("Ready", "ReadinessGatesNotReady", Some(open.join(", ")))
    }
}

fn listed<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> String {
    format!(
        "containers with {what} status: [{}]",
        names.collect::<Vec<_>>().join(" ")
    )
}
