//! Ephemeral containers: those that are put into a pod that runs, to look into it.
//!
//! They have no ports, probes, hooks or resources, start once, and say nothing of the pod they are in: phase and
//! readiness come from [`containers`] alone. All that has a unit is in [`every_container`].

use std::borrow::Cow;

use k8s_openapi::api::core::v1::{Container, ContainerStatus, EphemeralContainer, PodSpec, PodStatus};

use crate::policy::{Role, containers};

/// Every container of `spec` with its role, as [`containers`] has them and then the ephemeral ones.
pub fn every_container(spec: &PodSpec) -> impl Iterator<Item = (Role, Cow<'_, Container>)> {
    let lasting = containers(spec).map(|(role, container)| (role, Cow::Borrowed(container)));
    let ephemeral = spec.ephemeral_containers.iter().flatten();
    lasting.chain(ephemeral.map(|debugger| (Role::Ephemeral, Cow::Owned(as_container(debugger)))))
}

/// The container whose processes the ephemeral container `name` is to see, where it names one.
#[must_use]
pub fn target_of<'a>(spec: &'a PodSpec, name: &str) -> Option<&'a str> {
    let mut ephemeral = spec.ephemeral_containers.iter().flatten();
    let named = ephemeral.find(|container| container.name == name)?;
    let target = named.target_container_name.as_deref();
    target.filter(|target| !target.is_empty())
}

/// The statuses of all containers: init containers, main ones, ephemeral ones.
pub fn container_statuses(status: &PodStatus) -> impl Iterator<Item = &ContainerStatus> {
    let init = status.init_container_statuses.iter().flatten();
    init.chain(status.container_statuses.iter().flatten())
        .chain(status.ephemeral_container_statuses.iter().flatten())
}

/// `debugger` as a container; what ephemeral containers may not have is left out.
fn as_container(debugger: &EphemeralContainer) -> Container {
    let of = debugger.clone();
    Container {
        name: of.name,
        image: of.image,
        image_pull_policy: of.image_pull_policy,
        command: of.command,
        args: of.args,
        working_dir: of.working_dir,
        env: of.env,
        env_from: of.env_from,
        volume_mounts: of.volume_mounts,
        volume_devices: of.volume_devices,
        security_context: of.security_context,
        stdin: of.stdin,
        stdin_once: of.stdin_once,
        tty: of.tty,
        termination_message_path: of.termination_message_path,
        termination_message_policy: of.termination_message_policy,
        ..Container::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ephemeral_containers_come_last_and_bring_nothing_they_may_not_have() {
        let spec: PodSpec = serde_json::from_value(json!({
            "containers": [{"name": "app"}],
            "initContainers": [{"name": "first"}],
            "ephemeralContainers": [{
                "name": "debugger", "image": "busybox", "command": ["sh"], "tty": true, "targetContainerName": "app",
                "ports": [{"containerPort": 80}], "livenessProbe": {"tcpSocket": {"port": 80}},
            }],
        }))
        .unwrap();
        let all: Vec<(Role, Cow<'_, Container>)> = every_container(&spec).collect();
        let names: Vec<(Role, &str)> = all.iter().map(|(role, c)| (*role, c.name.as_str())).collect();
        assert_eq!(
            names,
            [
                (Role::Init, "first"),
                (Role::Main, "app"),
                (Role::Ephemeral, "debugger")
            ]
        );
        let debugger = &all[2].1;
        assert_eq!((debugger.tty, debugger.ports.is_none()), (Some(true), true));
        assert_eq!(debugger.command, Some(vec!["sh".to_owned()]));
        assert!(debugger.liveness_probe.is_none());
        assert_eq!(target_of(&spec, "debugger"), Some("app"));
        assert_eq!(target_of(&spec, "app"), None);
    }
}
