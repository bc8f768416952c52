//! The unit of the process namespace that the containers of a pod share.

use std::time::Duration;

use agent_run::PID_FILE;
use agent_systemd::{Exec, Restart, ServiceSpec, ServiceType, UnitName, UnitNameError};
use k8s_openapi::api::core::v1::Pod;

use super::BundleError;
use crate::{NodePaths, slice_name, unit_name};

/// What no process of the pod's own outlives; as Kubernetes has the pause container.
const OOM_SCORE: i32 = -998;

/// The first process ends when it is told to.
const GRACE: Duration = Duration::from_secs(2);

/// Whether the containers of `pod` see each other's processes, in a namespace of their own.
pub(super) fn shared(pod: &Pod) -> bool {
    let spec = pod.spec.as_ref();
    let asked = spec.and_then(|spec| spec.share_process_namespace) == Some(true);
    asked && spec.and_then(|spec| spec.host_pid) != Some(true)
}

/// The unit's name: no container's can hold the underscore.
pub(super) fn unit(pod: &Pod) -> Result<UnitName, UnitNameError> {
    unit_name(pod, "_processes")
}

/// The unit that holds the process namespace of `pod`; none where each container has its own, or all the node's.
///
/// # Errors
///
/// Where the pod's names hold what Kubernetes forbids.
pub fn pod_processes(pod: &Pod, paths: &NodePaths) -> Result<Option<ServiceSpec>, BundleError> {
    if !shared(pod) {
        return Ok(None);
    }
    let meta = &pod.metadata;
    let namespace = meta.namespace.as_deref().unwrap_or("default");
    let name = meta.name.as_deref().ok_or(BundleError::Missing("name"))?;
    let uid = meta.uid.as_deref().ok_or(BundleError::Missing("uid"))?;
    let dir = paths.pod_dir(uid);
    let words = [
        "processes".into(),
        dir.to_string_lossy().into_owned(),
        paths.mount_namespace().to_string_lossy().into_owned(),
    ];
    let fields = [
        ("FLOE_NAMESPACE", namespace),
        ("FLOE_POD", name),
        ("FLOE_POD_UID", uid),
    ];
    Ok(Some(ServiceSpec {
        description: format!("Process namespace of pod {namespace}/{name}"),
        service_type: ServiceType::Forking {
            pid_file: dir.join("_processes").join(PID_FILE),
        },
        restart: Restart::Always,
        timeout_stop: GRACE,
        oom_score_adjust: Some(OOM_SCORE),
        log_extra_fields: fields
            .map(|(field, value)| (field.to_owned(), value.to_owned()))
            .to_vec(),
        wants: vec!["floe-mounts.service".into()],
        after: vec!["systemd-journald.socket".into()],
        ..ServiceSpec::new(unit(pod)?, slice_name(pod)?, Exec::new(&paths.floe_run, words))
    }))
}
