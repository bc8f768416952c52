//! Names of a pod's slice, its containers' units and their folders.

use agent_core::{QosClass, qos_class};
use agent_systemd::{SliceName, UnitName, UnitNameError};
use k8s_openapi::api::core::v1::Pod;
use sha2::{Digest as _, Sha256};

use crate::bundle::BundleError;

/// Bytes of the hash that ends a name which would be too long.
const HASH_BYTES: usize = 8;

/// Longest container name of the API.
const CONTAINER_MAX: usize = 63;

/// The pod's slice, such as `floe-pods-burstable-default:web_0:1a2b3c4d.slice`. A dash nests slices,
/// so dashes of the names become underscores, which no Kubernetes name holds.
///
/// # Errors
///
/// Where the pod's names hold what Kubernetes forbids.
pub fn slice_name(pod: &Pod) -> Result<SliceName, UnitNameError> {
    let class = match pod.spec.as_ref().map_or(QosClass::BestEffort, qos_class) {
        QosClass::Guaranteed => "",
        QosClass::Burstable => "burstable-",
        QosClass::BestEffort => "besteffort-",
    };
    let pod = pod_part(pod).replace('-', "_");
    SliceName::parse(&bounded(&format!("floe-pods-{class}{pod}"), ".slice"))
}

/// The container's unit, such as `floe-default:web-0:1a2b3c4d:nginx.service`.
///
/// # Errors
///
/// Where the names hold what Kubernetes forbids.
pub fn unit_name(pod: &Pod, container: &str) -> Result<UnitName, UnitNameError> {
    UnitName::parse(&bounded(
        &format!("floe-{}:{container}", pod_part(pod)),
        ".service",
    ))
}

/// `<namespace>:<pod>:<uid8>`; the UID keeps a force-deleted pod and its successor apart.
fn pod_part(pod: &Pod) -> String {
    let meta = &pod.metadata;
    let namespace = meta.namespace.as_deref().unwrap_or("default");
    let uid: String = meta.uid.as_deref().unwrap_or_default().chars().take(8).collect();
    format!("{namespace}:{}:{uid}", meta.name.as_deref().unwrap_or_default())
}

/// The name with its suffix, cut and ended by a hash of the whole where it would be too long.
fn bounded(stem: &str, suffix: &str) -> String {
    let room = UnitName::MAX_LEN - suffix.len();
    if stem.len() <= room {
        return format!("{stem}{suffix}");
    }
    let hash: String = Sha256::digest(stem)
        .iter()
        .take(HASH_BYTES)
        .map(|b| format!("{b:02x}"))
        .collect();
    let head: String = stem
        .chars()
        .take(room - hash.len() - 1)
        .filter(char::is_ascii)
        .collect();
    format!("{head}:{hash}{suffix}")
}

/// A UID or container name that is safe as the name of a folder.
pub(crate) fn folder(name: &str) -> Result<&str, BundleError> {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let fits = (1..=CONTAINER_MAX).contains(&name.len());
    if plain && fits {
        Ok(name)
    } else {
        Err(BundleError::Folder(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str) -> Pod {
        serde_json::from_value(serde_json::json!({"metadata": {
            "name": name, "namespace": "team-a", "uid": "1a2b3c4d-0000-4000-8000-000000000000"}}))
        .unwrap()
    }

    #[test]
    fn names_say_whose_they_are() {
        let web = pod("web-0");
        assert_eq!(
            slice_name(&web).unwrap().as_str(),
            "floe-pods-besteffort-team_a:web_0:1a2b3c4d.slice"
        );
        assert_eq!(
            unit_name(&web, "nginx").unwrap().as_str(),
            "floe-team-a:web-0:1a2b3c4d:nginx.service"
        );
    }

    #[test]
    fn names_too_long_end_in_a_hash_and_stay_apart() {
        let long = pod(&"x".repeat(253));
        let (a, b) = (unit_name(&long, "a").unwrap(), unit_name(&long, "b").unwrap());
        assert_eq!(a.as_str().len(), UnitName::MAX_LEN);
        assert_ne!(a, b);
        assert!(slice_name(&long).unwrap().as_str().len() <= UnitName::MAX_LEN);
    }
}
