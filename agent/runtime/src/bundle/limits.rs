//! Requests and limits as systemd's limits.

use std::time::Duration;

use agent_core::quantity::{milli, units};
use agent_core::{QosClass, qos_class};
use agent_systemd::Limits;
use k8s_openapi::api::core::v1::{Pod, ResourceRequirements};

/// Least and most CPU shares the kernel's older interface knew; Kubernetes maps through them.
const SHARES: (u64, u64) = (2, 262_144);

/// Limits of one container.
pub(super) fn container(resources: Option<&ResourceRequirements>) -> Limits {
    let asked = Asked::of(resources);
    Limits {
        cpu_weight: Some(weight(asked.cpu_request.or(asked.cpu_limit).unwrap_or(0))),
        cpu_quota_per_sec: asked.cpu_limit.map(Duration::from_millis),
        memory_max: asked.memory_limit,
        memory_low: asked.memory_request,
        tasks_max: None,
    }
}

/// Limits of the whole pod: its own, or the sum where every container has one.
pub(super) fn pod(pod: &Pod) -> Limits {
    let Some(spec) = pod.spec.as_ref() else {
        return Limits::default();
    };
    if spec.resources.is_some() {
        return container(spec.resources.as_ref());
    }
    let sidecars = spec
        .init_containers
        .iter()
        .flatten()
        .filter(|c| c.restart_policy.as_deref() == Some("Always"));
    let all: Vec<Asked> = sidecars
        .chain(&spec.containers)
        .map(|c| Asked::of(c.resources.as_ref()))
        .collect();
    // An init container that is granted more than all the others must fit too.
    let inits: Vec<Asked> = spec
        .init_containers
        .iter()
        .flatten()
        .map(|c| Asked::of(c.resources.as_ref()))
        .collect();
    let limit = |of: fn(&Asked) -> Option<u64>| -> Option<u64> {
        let sum: Option<u64> = all.iter().map(of).sum();
        let most: Option<Vec<u64>> = inits.iter().map(of).collect();
        Some(sum?.max(most?.into_iter().max().unwrap_or(0)))
    };
    let request = |of: fn(&Asked) -> Option<u64>| -> u64 { all.iter().filter_map(of).sum() };
    let memory = request(|a| a.memory_request);
    Limits {
        cpu_weight: Some(weight(request(|a| a.cpu_request.or(a.cpu_limit)))),
        cpu_quota_per_sec: limit(|a| a.cpu_limit).map(Duration::from_millis),
        memory_max: limit(|a| a.memory_limit),
        memory_low: (memory > 0).then_some(memory),
        tasks_max: None,
    }
}

/// Who goes first when the node runs out of memory, as the kubelet has it.
pub(super) fn oom_score_adjust(pod: &Pod, resources: Option<&ResourceRequirements>, node_memory: u64) -> i32 {
    let class = pod.spec.as_ref().map_or(QosClass::BestEffort, qos_class);
    match class {
        QosClass::Guaranteed => -997,
        QosClass::BestEffort => 1000,
        QosClass::Burstable => {
            let request = Asked::of(resources).memory_request.unwrap_or(0);
            let share = u128::from(request) * 1000 / u128::from(node_memory.max(1));
            let share = i32::try_from(share.min(1000)).unwrap_or(1000);
            (1000 - share).clamp(3, 999)
        }
    }
}

/// What a container asks for: CPU in thousandths, memory in bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Asked {
    cpu_request: Option<u64>,
    cpu_limit: Option<u64>,
    memory_request: Option<u64>,
    memory_limit: Option<u64>,
}

impl Asked {
    fn of(resources: Option<&ResourceRequirements>) -> Self {
        let Some(given) = resources else {
            return Self::default();
        };
        let positive = |value: &u64| *value > 0;
        let limit = |name: &str| given.limits.as_ref().and_then(|all| all.get(name));
        let request = |name: &str| given.requests.as_ref().and_then(|all| all.get(name));
        Self {
            cpu_request: request("cpu").and_then(milli).filter(positive),
            cpu_limit: limit("cpu").and_then(milli).filter(positive),
            memory_request: request("memory").and_then(units).filter(positive),
            memory_limit: limit("memory").and_then(units).filter(positive),
        }
    }
}

/// `cpu.weight` of so many thousandths of a CPU, by way of shares.
fn weight(milli_cpu: u64) -> u64 {
    let shares = (milli_cpu.saturating_mul(1024) / 1000).clamp(SHARES.0, SHARES.1);
    1 + (shares - SHARES.0) * 9999 / (SHARES.1 - SHARES.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_span_the_kernels_range() {
        assert_eq!(weight(0), 1);
        assert_eq!(weight(1000), 39);
        assert_eq!(weight(u64::MAX), 10_000);
    }

    fn pod_of(json: serde_json::Value) -> Pod {
        serde_json::from_value(serde_json::json!({ "spec": json })).unwrap()
    }

    #[test]
    fn a_pod_is_limited_where_every_container_is() {
        let limited = serde_json::json!({"limits": {"memory": "64Mi", "cpu": "250m"}});
        let both = pod_of(serde_json::json!({"containers": [
            {"name": "a", "resources": limited}, {"name": "b", "resources": limited}]}));
        assert_eq!(pod(&both).memory_max, Some(128 << 20));
        assert_eq!(pod(&both).cpu_quota_per_sec, Some(Duration::from_millis(500)));
        let one =
            pod_of(serde_json::json!({"containers": [{"name": "a", "resources": limited}, {"name": "b"}]}));
        assert_eq!(pod(&one).memory_max, None);
    }

    #[test]
    fn memory_asked_for_protects_from_the_oom_killer() {
        let burst = pod_of(serde_json::json!({"containers": [
            {"name": "a", "resources": {"requests": {"memory": "256Mi"}}}]}));
        let resources = burst
            .spec
            .as_ref()
            .and_then(|s| s.containers[0].resources.clone());
        assert_eq!(oom_score_adjust(&burst, resources.as_ref(), 1 << 30), 750);
        assert_eq!(oom_score_adjust(&burst, None, 1 << 30), 999);
        assert_eq!(
            oom_score_adjust(&pod_of(serde_json::json!({"containers": []})), None, 1),
            1000
        );
    }
}
