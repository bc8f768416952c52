//! Claims about what containers of a pod find: volumes, users, names.

use std::error::Error;
use std::fs;

use agent_runtime::{ContainerInput, Mount, Role, Sandbox, bundle, mounts, pod_slice};
use agent_systemd::UnitManager as _;
use serde_json::json;

use crate::node::{Node, uid};

type Outcome = Result<(), Box<dyn Error>>;

/// Runs a script in a pod made from `container`, and gives its termination message.
async fn said(
    node: &Node,
    n: u32,
    script: &str,
    more: &serde_json::Value,
    mounts: Vec<Mount>,
    host: bool,
) -> Result<String, Box<dyn Error>> {
    let script = format!("({script}) > /dev/termination-log 2>&1");
    let pod = node.pod(n, &script, "Never", more)?;
    // Whatever an earlier try left; volumes made beforehand stay.
    drop(fs::remove_dir_all(node.paths.container_dir(uid(&pod), "c")));
    let image = node.image(&json!({"User": "web"}))?;
    let sandbox = if host {
        Sandbox::default()
    } else {
        Sandbox {
            hostname: "named".into(),
            ..node.sandbox()?
        }
    };
    let container = pod
        .spec
        .as_ref()
        .and_then(|s| s.containers.first())
        .ok_or("no container")?;
    let env = vec![("A".into(), "b c".into())];
    let input = ContainerInput {
        pod: &pod,
        container,
        role: Role::Main,
        target_processes: None,
        image: &image,
        env,
        mounts,
        sandbox: &sandbox,
        spec_hash: "h",
        node_memory: 1 << 30,
    };
    let bundle = bundle(&input, &node.paths)?;
    bundle.write()?;
    node.systemd.start_slice(&pod_slice(&pod)?).await?;
    drop(node.systemd.start_service(&bundle.service).await);
    node.wait("a record", async || Ok(node.records(&pod)?.total == 1))
        .await?;
    let record = node.records(&pod)?.last().cloned().ok_or("no record")?;
    if let Some(error) = record.start_error {
        return Err(error.into());
    }
    node.remove(&pod).await?;
    Ok(record.message)
}

fn has(text: &str, wanted: &[&str]) -> Outcome {
    println!(
        "{}",
        text.lines().map(|l| format!("  | {l}\n")).collect::<String>()
    );
    match wanted.iter().find(|w| !text.contains(**w)) {
        Some(missing) => Err(format!("{missing:?} is missing").into()),
        None => Ok(()),
    }
}

pub(crate) async fn the_images_user_and_the_pods_name_are_found(node: &Node) -> Outcome {
    let text = said(node, 20, "id; hostname; echo $HOSTNAME $A; pwd; ls -ld .; cat /proc/self/status | grep -E 'CapEff|Seccomp:|NoNew'; echo x > /etc/hosts; ls -ld /dev/shm /dev/mqueue", &json!({"workingDir": "/made/here"}), Vec::new(), false).await?;
    has(
        &text,
        &[
            "uid=33(web)",
            "44(extra)",
            "named\nnamed b c\n/made/here",
            "Seccomp:\t2",
            "CapEff:\t0000000000000000",
        ],
    )
}

pub(crate) async fn a_hardened_container_is_hardened(node: &Node) -> Outcome {
    let more = json!({"securityContext": {"readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false, "runAsUser": 0, "capabilities": {"drop": ["ALL"]}}});
    let text = said(node, 21, "id; touch /x; echo y > /proc/sysrq-trigger; cat /proc/self/status | grep -E 'Cap|NoNew'; ls /proc/acpi", &more, Vec::new(), false).await?;
    has(
        &text,
        &[
            "uid=0(root)",
            "/x: Read-only file system",
            "CapBnd:\t0000000000000000",
            "NoNewPrivs:\t1",
        ],
    )
}

pub(crate) async fn a_privileged_container_on_the_hosts_network_runs(node: &Node) -> Outcome {
    let more = json!({"securityContext": {"privileged": true, "runAsUser": 0}});
    // The one device that a machine may make: another name of /dev/null.
    fs::create_dir_all("/dev/floe")?;
    std::process::Command::new("mknod")
        .args(["-m", "0600", "/dev/floe/void", "c", "1", "3"])
        .status()?;
    let text = said(node, 22, "hostname; cat /proc/self/status | grep -E 'CapEff|Seccomp:'; mount -t tmpfs none /tmp && echo mounted; ls -l /dev/floe/void; echo x > /dev/floe/void && echo written", &more, Vec::new(), true).await;
    fs::remove_dir_all("/dev/floe")?;
    has(&text?, &["Seccomp:\t0", "mounted", "crw-------", "written"])
}

pub(crate) async fn volumes_are_mounted_and_parts_stay_beneath(node: &Node) -> Outcome {
    let pod = node.pod(23, "", "Never", &json!({}))?;
    // Whatever an earlier try left.
    node.remove(&pod).await?;
    let volume = node.paths.memory_volume(uid(&pod), "mem");
    mounts::tmpfs(&node.paths, &volume, Some(1 << 20), None).await?;
    mounts::tmpfs(&node.paths, &volume, Some(1 << 20), None).await?;
    let config = node.paths.memory_volume(uid(&pod), "config");
    fs::create_dir_all(config.join("..1"))?;
    fs::write(config.join("..1/key"), "value")?;
    std::os::unix::fs::symlink("..1/key", config.join("key"))?;
    std::os::unix::fs::symlink("/etc", config.join("evil"))?;
    let mount = |source: &std::path::Path, destination: &str, part: Option<&str>, read_only| Mount {
        source: source.into(),
        destination: destination.into(),
        read_only,
        sub_path: part.map(Into::into),
        propagation: None,
    };
    let mounts = vec![
        mount(&volume, "/mem", None, false),
        mount(&config, "/conf", None, true),
        mount(&config, "/file", Some("key"), true),
        mount(&volume, "/part", Some("a/b"), false),
    ];
    let more = json!({"securityContext": {"runAsUser": 0}});
    let text = said(node, 23, "echo hi > /part/f; cat /mem/a/b/f /conf/key /file; echo; touch /conf/x; head -c 2000000 /dev/zero > /mem/big; mount | grep ' /mem '", &more, mounts, false).await?;
    has(
        &text,
        &[
            "hi\nvalue",
            "/conf/x: Read-only file system",
            "I/O error",
            "size=1024k",
        ],
    )?;
    let mounts = vec![mount(
        &{
            fs::create_dir_all(&config)?;
            std::os::unix::fs::symlink("/etc", config.join("evil")).ok();
            config.clone()
        },
        "/x",
        Some("evil/ssl"),
        true,
    )];
    match said(node, 23, "ls /x", &more, mounts, false).await {
        Err(error) => has(&error.to_string(), &["beneath its volume"])?,
        Ok(text) => return Err(format!("a link led out: {text}").into()),
    }
    node.remove(&pod).await
}

pub(crate) async fn limits_hold_and_memory_beyond_them_is_an_oom_kill(node: &Node) -> Outcome {
    if !std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        println!("  cgroup v1: no limits to see here");
        return Ok(());
    }
    let more = json!({"resources": {"limits": {"memory": "48Mi", "cpu": "250m"}}});
    let text = said(
        node,
        24,
        "cat /sys/fs/cgroup/cpu.max /sys/fs/cgroup/memory.max /proc/self/oom_score_adj",
        &more,
        Vec::new(),
        false,
    )
    .await?;
    has(&text, &["25000 100000", "50331648", "-997"])?;
    let pod = node.pod(
        25,
        "echo begin; head -c 400000000 /dev/zero | tail -c 300000000 > /dev/null; echo survived; sleep 1",
        "Never",
        &more,
    )?;
    node.start(&pod).await?;
    node.wait("a record", async || Ok(node.records(&pod)?.total == 1))
        .await?;
    let record = node.records(&pod)?.last().cloned().ok_or("no record")?;
    println!("  {record:?}");
    if record.result != "oom-kill" {
        return Err("no oom-kill".into());
    }
    node.remove(&pod).await
}
