//! Resizing in place: what a pod asks for, what its node has promised, and what its units have.
//!
//! The three differ while a resize is under way. A node promises what fits beside its other pods ([`fit`]), the units
//! are given what is promised, and the status tells how far it has come.

mod fit;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::observation::{Failure, Observation};
use crate::policy::{Role, containers};
use crate::quantity::nano;

pub use fit::{Reason, Unfit, fit, turn};

/// Resources by container, of those that can be resized: main ones and sidecars.
pub type Allocation = BTreeMap<String, ResourceRequirements>;

/// How far a pod's resize has come. What is not in the maps is as the spec has it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Resizing {
    /// What the node has promised the containers.
    pub allocated: Allocation,
    /// What their units were made with, or given since.
    pub applied: Allocation,
    /// Why the node does not promise what the spec asks for.
    pub pending: Option<Pending>,
    /// Why the units could not be given what was promised.
    pub failure: Option<Failure>,
    /// Bytes of memory that those containers use whose limit is to go down.
    pub memory_in_use: BTreeMap<String, u64>,
}

/// A resize that the node does not promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Of which generation of the pod.
    pub generation: Option<i64>,
    /// Why.
    pub unfit: Unfit,
}

impl Resizing {
    /// What is promised to `container`.
    #[must_use]
    pub fn allocated(&self, container: &Container) -> ResourceRequirements {
        let promised = self
            .allocated
            .get(&container.name)
            .or(container.resources.as_ref());
        promised.cloned().unwrap_or_default()
    }

    /// What the unit of `container` has.
    #[must_use]
    pub fn applied(&self, container: &Container) -> ResourceRequirements {
        let applied = self.applied.get(&container.name).cloned();
        applied.unwrap_or_else(|| self.allocated(container))
    }

    /// Whether the unit of `container` has something else than what is promised to it.
    #[must_use]
    pub fn is_behind(&self, container: &Container) -> bool {
        Sizes::of(&self.applied(container)) != Sizes::of(&self.allocated(container))
    }
}

/// Whether a container in `role` can be resized.
#[must_use]
pub const fn is_resizable(role: Role) -> bool {
    matches!(role, Role::Main | Role::Sidecar)
}

/// The containers of `spec` that can be resized.
pub fn resizable(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    containers(spec)
        .filter(|(role, _)| is_resizable(*role))
        .map(|(_, container)| container)
}

/// What the containers of `spec` ask for.
#[must_use]
pub fn allocation(spec: &PodSpec) -> Allocation {
    let each = |container: &Container| {
        let resources = container.resources.clone().unwrap_or_default();
        (container.name.clone(), resources)
    };
    resizable(spec).map(each).collect()
}

/// `pod` with the resources of `allocation` in the place of its own.
#[must_use]
pub fn with_allocation(pod: &Pod, allocation: &Allocation) -> Pod {
    let mut pod = pod.clone();
    let Some(spec) = pod.spec.as_mut() else {
        return pod;
    };
    let init = spec.init_containers.iter_mut().flatten();
    for container in init.chain(&mut spec.containers) {
        if let Some(promised) = allocation.get(&container.name) {
            container.resources = Some(promised.clone());
        }
    }
    pod
}

/// Whether `spec` asks for something else than `allocation` has.
#[must_use]
pub fn asks_for_more_or_less(spec: &PodSpec, allocation: &Allocation) -> bool {
    let asked = |container: &Container| Sizes::of(&container.resources.clone().unwrap_or_default());
    resizable(spec).any(|container| {
        let promised = allocation.get(&container.name);
        promised.is_some_and(|promised| Sizes::of(promised) != asked(container))
    })
}

/// Whether the limit of memory of `container` is to go down, from that of its unit.
#[must_use]
pub fn shrinks_memory(resizing: &Resizing, container: &Container) -> bool {
    let limit = |resources| Sizes::of(&resources).memory_limit;
    match (
        limit(resizing.applied(container)),
        limit(resizing.allocated(container)),
    ) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(now), Some(wanted)) => wanted < now,
    }
}

/// Why the units cannot be given what is promised, in the kubelet's words: memory that is in use is not taken away, for
/// the container would be killed.
pub(crate) fn too_small(spec: &PodSpec, observed: &Observation) -> Option<String> {
    let resizing = &observed.resizing;
    resizable(spec).find_map(|container| {
        let used = *resizing.memory_in_use.get(&container.name)?;
        let wanted = Sizes::of(&resizing.allocated(container)).memory_limit?;
        let wanted = u64::try_from(wanted / NANO).ok()?;
        let restarts = needs_restart(container, resizing);
        (!restarts && shrinks_memory(resizing, container) && used >= wanted).then(|| {
            let name = &container.name;
            format!(
                "attempting to set container {name:?} memory limit ({wanted}) below current usage ({used})"
            )
        })
    })
}

/// Whether the policy of `container` has it restarted for what is to change.
pub(crate) fn needs_restart(container: &Container, resizing: &Resizing) -> bool {
    let now = Sizes::of(&resizing.applied(container));
    let wanted = Sizes::of(&resizing.allocated(container));
    // Requests of memory are no reason for a restart, as in the kubelet.
    let changes = |resource: &str| match resource {
        "cpu" => (now.cpu_request, now.cpu_limit) != (wanted.cpu_request, wanted.cpu_limit),
        "memory" => now.memory_limit != wanted.memory_limit,
        _ => false,
    };
    let mut policies = container.resize_policy.iter().flatten();
    policies.any(|policy| policy.restart_policy == "RestartContainer" && changes(&policy.resource_name))
}

const NANO: i128 = 1_000_000_000;

/// What a resize may change, in billionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sizes {
    cpu_request: Option<i128>,
    cpu_limit: Option<i128>,
    memory_request: Option<i128>,
    memory_limit: Option<i128>,
}

impl Sizes {
    fn of(resources: &ResourceRequirements) -> Self {
        let amount =
            |list: &Option<BTreeMap<String, Quantity>>, name| list.as_ref()?.get(name).and_then(nano);
        Self {
            cpu_request: amount(&resources.requests, "cpu"),
            cpu_limit: amount(&resources.limits, "cpu"),
            memory_request: amount(&resources.requests, "memory"),
            memory_limit: amount(&resources.limits, "memory"),
        }
    }
}

#[cfg(test)]
mod tests;
