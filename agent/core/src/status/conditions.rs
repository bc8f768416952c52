//! The pod's conditions.

use controlplane_apimachinery::condition;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition, PodSpec};

use super::phase::Phase;
use crate::observation::{Observation, Sandbox};
use crate::plan::{is_initialized, passed};
use crate::policy::{Role, containers};

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
    let wanted = facts.into_iter().map(|fact| stated(fact, input)).collect();
    condition::merged(wanted, input.previous, input.now)
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
