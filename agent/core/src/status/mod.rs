//! What the API is told about a pod.

mod conditions;
mod container;
mod patch;
mod phase;

use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, HostIP, Pod, PodIP, PodSpec, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::ephemeral::every_container;
use crate::observation::{Observation, Rejection, Sandbox};
use crate::policy::Role;
use crate::qos::qos_class;

pub use conditions::{RESIZE_IN_PROGRESS, RESIZE_PENDING};
pub use patch::status_patch;

/// The status of `pod` as `observed` at `now`; `previous` is what was last written or found in the API,
/// from which times of unchanged conditions and conditions of other writers are kept.
#[must_use]
pub fn status(
    pod: &Pod,
    observed: &Observation,
    host_ips: &[IpAddr],
    previous: Option<&PodStatus>,
    now: Timestamp,
) -> PodStatus {
    let previous = previous.cloned().unwrap_or_default();
    let Some(spec) = pod.spec.as_ref() else {
        return previous;
    };
    if matches!(previous.phase.as_deref(), Some("Succeeded" | "Failed")) {
        return previous;
    }
    if let Some(refused) = &observed.rejection {
        return rejected(pod, spec, refused, previous);
    }
    let Lists {
        init,
        main,
        ephemeral,
    } = lists(spec, pod, observed, now);
    let verdict = phase::of(pod, spec, observed, now);
    let pod_ips = pod_ips(observed);
    PodStatus {
        conditions: Some(conditions::of(&conditions::Input {
            pod,
            spec,
            observed,
            init: &init,
            main: &main,
            phase: verdict.phase,
            previous: previous.conditions.as_deref().unwrap_or_default(),
            now,
        })),
        phase: Some(verdict.phase.as_str().to_owned()),
        reason: verdict.reason,
        message: verdict.message,
        host_ip: host_ips.first().map(ToString::to_string),
        host_ips: some(host_ips.iter().map(|ip| HostIP { ip: ip.to_string() }).collect()),
        pod_ip: pod_ips.first().map(ToString::to_string).or(previous.pod_ip),
        pod_ips: some(pod_ips.iter().map(|ip| PodIP { ip: ip.to_string() }).collect()).or(previous.pod_ips),
        qos_class: Some(
            previous
                .qos_class
                .unwrap_or_else(|| qos_class(spec).as_str().to_owned()),
        ),
        start_time: Some(
            previous
                .start_time
                .unwrap_or(Time(whole_seconds(observed.accepted_at))),
        ),
        init_container_statuses: some(init),
        container_statuses: Some(main),
        ephemeral_container_statuses: some(ephemeral),
        observed_generation: pod.metadata.generation,
        ..previous
    }
}

/// Of a pod that the node does not take: nothing of it ever was, so there is nothing else to say.
fn rejected(pod: &Pod, spec: &PodSpec, refused: &Rejection, previous: PodStatus) -> PodStatus {
    PodStatus {
        phase: Some("Failed".to_owned()),
        reason: Some(refused.reason.clone()),
        message: Some(format!("Pod was rejected: {}", refused.message)),
        qos_class: Some(qos_class(spec).as_str().to_owned()),
        observed_generation: pod.metadata.generation,
        ..previous
    }
}

/// The statuses of a pod's containers, list by list.
#[derive(Default)]
struct Lists {
    init: Vec<ContainerStatus>,
    main: Vec<ContainerStatus>,
    ephemeral: Vec<ContainerStatus>,
}

fn lists(spec: &PodSpec, pod: &Pod, observed: &Observation, now: Timestamp) -> Lists {
    let phase = phase::of(pod, spec, observed, now).phase;
    let mut lists = Lists::default();
    for (role, container) in every_container(spec) {
        let input = container::Input {
            pod,
            spec,
            observed,
            role,
            phase,
            now,
        };
        let list = match role {
            Role::Init | Role::Sidecar => &mut lists.init,
            Role::Main => &mut lists.main,
            Role::Ephemeral => &mut lists.ephemeral,
        };
        list.push(container::of(&input, &container));
    }
    lists
}

fn pod_ips(observed: &Observation) -> Vec<IpAddr> {
    match &observed.sandbox {
        Sandbox::Ready { pod_ips } => pod_ips.clone(),
        Sandbox::Absent | Sandbox::Failed(_) | Sandbox::Freed => Vec::new(),
    }
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

/// Times in the API have whole seconds; a fraction would look like a change at every comparison.
fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

#[cfg(test)]
mod tests;
