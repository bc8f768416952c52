//! What bundles hold.

use std::path::PathBuf;

use agent_core::Role;
use agent_systemd::{Restart, ServiceType};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::*;

fn paths() -> NodePaths {
    NodePaths {
        run_dir: "/run/floe".into(),
        state_dir: "/var/lib/floe/agent".into(),
        floe_run: "/var/lib/floe/libexec/x/floe-run".into(),
        crun: "/usr/bin/crun".into(),
    }
}

fn image(config: Value) -> ImageFacts {
    let text = json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []},
        "config": config});
    ImageFacts {
        layers: vec!["/l/aa".into(), "/l/bb".into()],
        config: serde_json::from_value(text).unwrap(),
        reference: "nginx".into(),
        id: "sha256:1".into(),
    }
}

fn pod(spec: Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "web-0", "namespace": "default", "uid": "1a2b3c4d-0000-4000-8000-000000000000"},
        "spec": spec,
    }))
    .unwrap()
}

fn made_with(spec: Value, config: Value, mounts: Vec<Mount>) -> Result<Bundle, BundleError> {
    made_beside(spec, config, mounts, None)
}

fn made_beside(
    spec: Value,
    config: Value,
    mounts: Vec<Mount>,
    target_processes: Option<PathBuf>,
) -> Result<Bundle, BundleError> {
    let pod = pod(spec);
    let sandbox = Sandbox {
        hostname: "web-0".into(),
        netns: Some("/run/netns/floe-1a2b3c4d".into()),
        hosts_file: Some("/var/lib/floe/agent/pods/u/hosts".into()),
        ..Sandbox::default()
    };
    let image = image(config);
    let container = &pod.spec.as_ref().unwrap().containers[0];
    let input = ContainerInput {
        pod: &pod,
        container,
        role: Role::Main,
        target_processes,
        image: &image,
        env: vec![("WHO".into(), "me".into()), ("SECRET".into(), "hunter2".into())],
        mounts,
        sandbox: &sandbox,
        spec_hash: "h",
        node_memory: 1 << 30,
    };
    bundle(&input, &paths())
}

fn made(container: Value, config: Value) -> Result<Bundle, BundleError> {
    let mut container = container;
    container["name"] = json!("nginx");
    made_with(json!({"containers": [container]}), config, Vec::new())
}

fn config(bundle: &Bundle) -> Value {
    serde_json::to_value(&bundle.config).unwrap()
}

fn args(container: Value, image: Value) -> Vec<String> {
    let bundle = made(container, image).unwrap();
    bundle.config.process().as_ref().unwrap().args().clone().unwrap()
}

#[test]
fn command_and_args_stand_over_the_images() {
    let image = json!({"Entrypoint": ["/ep"], "Cmd": ["c"]});
    assert_eq!(args(json!({}), image.clone()), ["/ep", "c"]);
    assert_eq!(args(json!({"args": ["a"]}), image.clone()), ["/ep", "a"]);
    assert_eq!(args(json!({"command": ["/x"]}), image.clone()), ["/x"]);
    assert_eq!(
        args(json!({"command": ["/x"], "args": ["$(WHO)", "$$(WHO)"]}), image),
        ["/x", "me", "$(WHO)"]
    );
    assert!(matches!(
        made(json!({}), json!({})),
        Err(BundleError::NoCommand(_))
    ));
}

#[test]
fn the_pods_variables_stand_over_the_images() {
    let bundle = made(json!({}), json!({"Cmd": ["c"], "Env": ["WHO=image", "PATH=/p"]})).unwrap();
    let env = bundle.config.process().as_ref().unwrap().env().clone().unwrap();
    assert_eq!(env, ["PATH=/p", "HOSTNAME=web-0", "WHO=me", "SECRET=hunter2"]);
}

#[test]
fn secrets_are_in_the_configuration_alone() {
    let bundle = made(json!({}), json!({"Cmd": ["c"]})).unwrap();
    assert!(config(&bundle).to_string().contains("hunter2"));
    assert!(!format!("{:?}{:?}", bundle.service, bundle.launch).contains("hunter2"));
}

#[test]
fn run_as_non_root_refuses_with_the_kubelets_words() {
    let non_root = json!({"securityContext": {"runAsNonRoot": true}});
    let refused = |user: &str| {
        made(non_root.clone(), json!({"Cmd": ["c"], "User": user}))
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        refused(""),
        "container has runAsNonRoot and image will run as root"
    );
    assert_eq!(
        refused("nginx"),
        "container has runAsNonRoot and image has non-numeric user (nginx), cannot verify user is non-root"
    );
    assert!(made(non_root, json!({"Cmd": ["c"], "User": "101"})).is_ok());
}

#[test]
fn capabilities_are_dropped_and_added_by_name() {
    let of = |capabilities: Value| {
        let container = json!({"securityContext": {"capabilities": capabilities}});
        let bundle = made(container, json!({"Cmd": ["c"]})).unwrap();
        config(&bundle)["process"]["capabilities"]["bounding"]
            .as_array()
            .unwrap()
            .clone()
    };
    assert_eq!(
        of(json!({"drop": ["ALL"], "add": ["NET_ADMIN"]})),
        [json!("CAP_NET_ADMIN")]
    );
    assert!(!of(json!({"drop": ["CAP_KILL"]})).contains(&json!("CAP_KILL")));
    assert!(!of(json!({})).contains(&json!("CAP_MKNOD")));
    assert_eq!(of(json!({"add": ["ALL"]})).len(), 41);
}

#[test]
fn a_privileged_container_is_not_confined() {
    let bundle = made(
        json!({"securityContext": {"privileged": true}}),
        json!({"Cmd": ["c"]}),
    )
    .unwrap();
    let config = config(&bundle);
    assert_eq!(config["linux"].get("seccomp"), None);
    assert!(bundle.service.delegate && bundle.launch.host_devices);
}

#[test]
fn namespaces_are_the_pods_or_the_containers_own() {
    let bundle = made(json!({}), json!({"Cmd": ["c"]})).unwrap();
    let all = config(&bundle)["linux"]["namespaces"].clone();
    let path = |kind: &str| {
        let found = all
            .as_array()
            .unwrap()
            .iter()
            .find(|n| n["type"] == kind)
            .unwrap();
        found.get("path").and_then(Value::as_str).map(str::to_owned)
    };
    assert_eq!(path("network").as_deref(), Some("/run/netns/floe-1a2b3c4d"));
    let pins = "/run/floe/pods/1a2b3c4d-0000-4000-8000-000000000000/_ns";
    assert_eq!(path("uts"), Some(format!("{pins}/uts")));
    assert_eq!(path("pid"), None);
}

#[test]
fn containers_that_share_processes_join_the_pods_namespace_after_its_unit() {
    let spec = |shared: bool, host: bool| json!({"shareProcessNamespace": shared, "hostPID": host, "containers": [{"name": "nginx"}]});
    let name = "floe-default:web-0:1a2b3c4d:_processes.service";
    let target = Some(PathBuf::from("/proc/7/ns/pid"));
    let bundle = made_beside(spec(true, false), json!({"Cmd": ["c"]}), Vec::new(), target).unwrap();
    let all = config(&bundle)["linux"]["namespaces"].clone();
    let path = "/run/floe/pods/1a2b3c4d-0000-4000-8000-000000000000/_ns/pid";
    assert!(
        all.as_array()
            .unwrap()
            .contains(&json!({"type": "pid", "path": path})),
        "{all}"
    );
    assert!(bundle.launch.pod.shared_processes);
    assert!(bundle.service.wants.iter().any(|unit| unit == name));
    let unit = pod_processes(&pod(spec(true, false)), &paths()).unwrap().unwrap();
    assert_eq!((unit.name.as_str(), &unit.slice), (name, &bundle.service.slice));
    let words = [
        "processes",
        "/run/floe/pods/1a2b3c4d-0000-4000-8000-000000000000",
        "/run/floe/ns/mnt",
    ];
    assert_eq!(unit.exec_start.args, words);
    for (shared, host) in [(false, false), (true, true)] {
        assert_eq!(pod_processes(&pod(spec(shared, host)), &paths()).unwrap(), None);
        let bundle = made_with(spec(shared, host), json!({"Cmd": ["c"]}), Vec::new()).unwrap();
        assert!(!bundle.launch.pod.shared_processes && bundle.service.wants.len() == 1);
    }
}

#[test]
fn restarts_follow_the_policy() {
    let of = |policy: &str| {
        let spec = json!({"restartPolicy": policy, "containers": [{"name": "nginx"}]});
        let service = made_with(spec, json!({"Cmd": ["c"]}), Vec::new())
            .unwrap()
            .service;
        (service.restart, service.restart_force_signals)
    };
    assert_eq!(of("Always"), (Restart::Always, vec![]));
    assert_eq!(of("OnFailure"), (Restart::OnFailure, vec![1, 2, 13, 15]));
    assert_eq!(of("Never"), (Restart::No, vec![]));
}

#[test]
fn volumes_come_last_shallow_ones_first_and_replace_what_they_cover() {
    let mount = |destination: &str, sub_path: Option<&str>| Mount {
        source: "/v".into(),
        destination: destination.into(),
        read_only: true,
        sub_path: sub_path.map(PathBuf::from),
        propagation: None,
    };
    let mounts = vec![
        mount("/a/b", Some("p")),
        mount("/a", None),
        mount("/etc/hosts", None),
    ];
    let spec = json!({"containers": [{"name": "nginx"}]});
    let bundle = made_with(spec, json!({"Cmd": ["c"]}), mounts).unwrap();
    let at = |wanted: &str| {
        let all = bundle.config.mounts().as_ref().unwrap();
        let places: Vec<usize> = (0..all.len())
            .filter(|&n| all[n].destination().to_str() == Some(wanted))
            .collect();
        assert_eq!(places.len(), 1, "{wanted}");
        places[0]
    };
    assert!(at("/dev") < at("/a") && at("/a") < at("/a/b"));
    at("/etc/hosts");
    assert_eq!(bundle.launch.sub_paths.len(), 1);
    assert!(bundle.launch.sub_paths[0].target.ends_with("nginx/parts/0"));
}

#[test]
fn a_sysctl_of_the_node_is_refused() {
    let of = |name: &str| {
        let sysctls = json!([{"name": name, "value": "1"}]);
        let spec = json!({"securityContext": {"sysctls": sysctls}, "containers": [{"name": "nginx"}]});
        made_with(spec, json!({"Cmd": ["c"]}), Vec::new())
    };
    assert!(of("net.ipv4.ip_unprivileged_port_start").is_ok());
    for name in [
        "kernel.core_pattern",
        "vm.overcommit_memory",
        "net./../kernel/core_pattern",
        "kernel/core_pattern",
    ] {
        assert!(matches!(of(name), Err(BundleError::Sysctl(_))), "{name}");
    }
}

#[test]
fn a_uid_or_name_that_leads_elsewhere_is_refused() {
    let mut evil = pod(json!({"containers": [{"name": "nginx"}]}));
    evil.metadata.uid = Some("../../etc".into());
    let image = image(json!({"Cmd": ["c"]}));
    let sandbox = Sandbox::default();
    let input = ContainerInput {
        pod: &evil,
        container: &evil.spec.as_ref().unwrap().containers[0],
        role: Role::Main,
        target_processes: None,
        image: &image,
        env: Vec::new(),
        mounts: Vec::new(),
        sandbox: &sandbox,
        spec_hash: "",
        node_memory: 1,
    };
    assert!(matches!(bundle(&input, &paths()), Err(BundleError::Folder(_))));
}

#[test]
fn only_containers_that_ask_for_stdin_or_a_terminal_have_a_holder() {
    let of = |container: Value| {
        let bundle = made(container, json!({"Cmd": ["c"]})).unwrap();
        let terminal = config(&bundle)["process"]["terminal"] == json!(true);
        let notifies = bundle.service.service_type == ServiceType::Notify;
        (bundle.launch.held, notifies, terminal)
    };
    let held = |tty, stdin, stdin_once| {
        Some(Held {
            tty,
            stdin,
            stdin_once,
        })
    };
    assert_eq!(of(json!({"stdinOnce": true})), (None, false, false));
    assert_eq!(
        of(json!({"stdin": true})),
        (held(false, true, false), true, false)
    );
    assert_eq!(of(json!({"tty": true})), (held(true, false, false), true, true));
    let all = json!({"tty": true, "stdin": true, "stdinOnce": true});
    assert_eq!(of(all), (held(true, true, true), true, true));
}

#[test]
fn a_target_gives_its_processes_and_nothing_else() {
    let spec = |host_pid: bool| json!({"hostPID": host_pid, "containers": [{"name": "d"}]});
    let target = PathBuf::from("/proc/7/ns/pid");
    let made = |host_pid| {
        let bundle = made_beside(
            spec(host_pid),
            json!({"Cmd": ["c"]}),
            Vec::new(),
            Some(target.clone()),
        );
        config(&bundle.unwrap())["linux"]["namespaces"].clone()
    };
    let of = |namespaces: &Value, kind: &str| {
        let all = namespaces.as_array().unwrap().iter();
        all.filter(|n| n["type"] == kind).cloned().collect::<Vec<_>>()
    };
    assert_eq!(
        of(&made(false), "pid"),
        [json!({"type": "pid", "path": "/proc/7/ns/pid"})]
    );
    assert_eq!(of(&made(false), "mount"), [json!({"type": "mount"})]);
    assert_eq!(of(&made(true), "pid"), Vec::<Value>::new());
}
