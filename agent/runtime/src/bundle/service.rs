//! The container's unit.

use agent_core::{RestartPolicy, Role, pod_grace};
use agent_run::{ERROR_FILE, Launch, PID_FILE};
use agent_systemd::{Exec, Restart, ServiceSpec, ServiceType, SliceName, UnitName};

use super::limits;
use super::security::Security;
use super::{BundleError, ContainerInput, processes};
use crate::NodePaths;

/// Signals that systemd counts as a clean end and Kubernetes does not: HUP, INT, PIPE, TERM.
const UNCLEAN: [i32; 4] = [1, 2, 13, 15];

/// The number of the first real-time signal a program may use (the C library keeps two).
const SIGRTMIN: i32 = 34;

pub(super) fn service(
    input: &ContainerInput<'_>,
    paths: &NodePaths,
    launch: &Launch,
    (name, slice): (UnitName, SliceName),
) -> Result<ServiceSpec, BundleError> {
    let identity = &launch.identity;
    let dir = paths.container_dir(&identity.pod_uid, &identity.container);
    let dir_text = dir.to_string_lossy().into_owned();
    let resources = input.container.resources.as_ref();
    let policy = input
        .pod
        .spec
        .as_ref()
        .map_or(RestartPolicy::Always, |s| RestartPolicy::of(s, input.role));
    let (restart, forced) = match policy {
        RestartPolicy::Always => (Restart::Always, Vec::new()),
        RestartPolicy::OnFailure => (Restart::OnFailure, UNCLEAN.to_vec()),
        RestartPolicy::Never => (Restart::No, Vec::new()),
    };
    Ok(ServiceSpec {
        description: description(input, launch),
        // A holder is the main process and stays; without one it is the container's own.
        service_type: if launch.held.is_some() {
            ServiceType::Notify
        } else {
            ServiceType::Forking {
                pid_file: dir.join(PID_FILE),
            }
        },
        exec_start_post: vec![crun_start(launch, &dir.join(ERROR_FILE).to_string_lossy())],
        exec_stop_post: vec![Exec::new(&paths.floe_run, ["record", &dir_text])],
        restart,
        restart_force_signals: forced,
        kill_signal: stop_signal(input)?,
        timeout_stop: pod_grace(input.pod),
        stop_extendable: true,
        oom_score_adjust: Some(limits::oom_score_adjust(input.pod, resources, input.node_memory)),
        delegate: Security::of(input).privileged(),
        limits: limits::container(resources),
        log_extra_fields: fields(launch),
        wants: wants(input)?,
        // Stopped before what it may need to stop well.
        after: vec![
            "network.target".into(),
            "systemd-journald.socket".into(),
            "remote-fs.target".into(),
        ],
        ..ServiceSpec::new(name, slice, Exec::new(&paths.floe_run, ["start", &dir_text]))
    })
}

/// What is started before the container, also where systemd starts it anew by itself.
fn wants(input: &ContainerInput<'_>) -> Result<Vec<String>, BundleError> {
    let mut wants = vec!["floe-mounts.service".to_owned()];
    if processes::shared(input.pod) {
        wants.push(processes::unit(input.pod)?.to_string());
    }
    Ok(wants)
}

fn description(input: &ContainerInput<'_>, launch: &Launch) -> String {
    let kind = match input.role {
        Role::Init => "Init container",
        Role::Sidecar => "Sidecar container",
        Role::Main => "Container",
        Role::Ephemeral => "Ephemeral container",
    };
    let identity = &launch.identity;
    format!(
        "{kind} {} of pod {}/{}",
        identity.container, identity.namespace, identity.pod
    )
}

fn fields(launch: &Launch) -> Vec<(String, String)> {
    let identity = &launch.identity;
    [
        ("FLOE_NAMESPACE", &identity.namespace),
        ("FLOE_POD", &identity.pod),
        ("FLOE_POD_UID", &identity.pod_uid),
        ("FLOE_CONTAINER", &identity.container),
    ]
    .map(|(name, value)| (name.to_owned(), value.clone()))
    .to_vec()
}

fn crun_start(launch: &Launch, log: &str) -> Exec {
    let root = launch.crun_root.to_string_lossy();
    let args = [
        "--cgroup-manager=disabled",
        "--root",
        &root,
        "--log",
        log,
        "--log-format=json",
        "start",
    ];
    Exec::new(
        &launch.crun,
        args.into_iter().chain([launch.container_id.as_str()]),
    )
}

/// The pod's stop signal, else the image's, else SIGTERM.
fn stop_signal(input: &ContainerInput<'_>) -> Result<i32, BundleError> {
    let of_pod = input
        .container
        .lifecycle
        .as_ref()
        .and_then(|l| l.stop_signal.as_deref());
    let of_image = input
        .image
        .config
        .config()
        .as_ref()
        .and_then(|c| c.stop_signal().as_deref());
    match of_pod.or(of_image).filter(|s| !s.is_empty()) {
        None => Ok(15),
        Some(text) => signal_number(text).ok_or_else(|| BundleError::Signal(text.to_owned())),
    }
}

/// `SIGQUIT`, `QUIT`, `3` or `SIGRTMIN+3`.
fn signal_number(text: &str) -> Option<i32> {
    let bare = text.trim_start_matches("SIG");
    if let Some(offset) = bare.strip_prefix("RTMIN") {
        let offset: i32 = if offset.is_empty() {
            0
        } else {
            offset.strip_prefix('+')?.parse().ok()?
        };
        return Some(SIGRTMIN + offset).filter(|n| (SIGRTMIN..=64).contains(n));
    }
    match bare.parse::<i32>() {
        Ok(number) => Some(number).filter(|n| (1..=64).contains(n)),
        Err(_) => format!("SIG{bare}")
            .parse::<nix::sys::signal::Signal>()
            .ok()
            .map(|s| s as i32),
    }
}

#[cfg(test)]
mod tests {
    use super::signal_number;

    #[test]
    fn stop_signals_are_read_in_every_spelling() {
        assert_eq!(signal_number("SIGQUIT"), Some(3));
        assert_eq!(signal_number("QUIT"), Some(3));
        assert_eq!(signal_number("9"), Some(9));
        assert_eq!(signal_number("SIGRTMIN+3"), Some(37));
        assert_eq!(signal_number("SIGRTMIN+99"), None);
        assert_eq!(signal_number("SIGNONE"), None);
    }
}
