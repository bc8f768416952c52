//! A node to try things on: one image made by hand, pods made from a few words.

use std::error::Error;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use agent_runtime::{
    Bundle, ContainerInput, ImageFacts, NodePaths, Records, Role, Sandbox, bundle, pod_slice, read_records,
};
use agent_systemd::{ErrorClass, Options, Systemd, UnitManager as _};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

/// Longest wait for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// This machine.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) paths: NodePaths,
    pub(crate) systemd: Systemd,
    pub(crate) layer: PathBuf,
}

impl Node {
    pub(crate) async fn new(floe_run: &str) -> Result<Self, Box<dyn Error>> {
        let paths = NodePaths {
            run_dir: "/run/floe".into(),
            state_dir: "/var/lib/floe/agent".into(),
            floe_run: floe_run.into(),
            crun: "/usr/bin/crun".into(),
        };
        let layer = paths.state_dir.join("images/l/busybox");
        make_layer(&layer)?;
        let systemd = Systemd::connect(Options::default()).await?;
        println!("systemd {}", systemd.version());
        Ok(Self {
            paths,
            systemd,
            layer,
        })
    }

    pub(crate) fn image(&self, config: &Value) -> Result<ImageFacts, Box<dyn Error>> {
        let config = json!({"architecture": "amd64", "os": "linux", "config": config,
            "rootfs": {"type": "layers", "diff_ids": []}});
        Ok(ImageFacts {
            layers: vec![self.layer.clone()],
            config: serde_json::from_value(config)?,
            reference: "busybox".into(),
            id: "sha256:0".into(),
        })
    }

    /// A pod of one container `c` that runs a shell script.
    pub(crate) fn pod(
        &self,
        n: u32,
        script: &str,
        restart: &str,
        more: &Value,
    ) -> Result<Pod, Box<dyn Error>> {
        let mut container = json!({"name": "c", "command": ["/bin/sh", "-c", script]});
        if let (Some(all), Some(extra)) = (container.as_object_mut(), more.as_object()) {
            all.extend(extra.clone());
        }
        Ok(serde_json::from_value(json!({
            "metadata": {"name": format!("p{n}"), "namespace": "g", "uid": format!("{n:08x}-0000-4000-8000-000000000000")},
            "spec": {"restartPolicy": restart, "containers": [container], "terminationGracePeriodSeconds": 3},
        }))?)
    }

    pub(crate) fn bundle(&self, pod: &Pod) -> Result<Bundle, Box<dyn Error>> {
        let image = self.image(&json!({}))?;
        let sandbox = Sandbox {
            hostname: pod.metadata.name.clone().unwrap_or_default(),
            ..self.sandbox()?
        };
        let container = pod
            .spec
            .as_ref()
            .and_then(|s| s.containers.first())
            .ok_or("no container")?;
        let input = ContainerInput {
            pod,
            container,
            role: Role::Main,
            target_processes: None,
            image: &image,
            env: vec![("TOKEN".into(), "s3cret-value".into())],
            mounts: Vec::new(),
            sandbox: &sandbox,
            spec_hash: "hash",
            node_memory: 1 << 30,
        };
        Ok(bundle(&input, &self.paths)?)
    }

    /// A network namespace of its own, as CNI would make it.
    pub(crate) fn sandbox(&self) -> Result<Sandbox, Box<dyn Error>> {
        if !Path::new("/run/netns/floe-try").exists() {
            std::process::Command::new("ip")
                .args(["netns", "add", "floe-try"])
                .status()?;
        }
        let hosts = self.paths.state_dir.join("hosts");
        fs::write(&hosts, "127.0.0.1 localhost\n")?;
        Ok(Sandbox {
            netns: Some("/run/netns/floe-try".into()),
            hosts_file: Some(hosts),
            ..Sandbox::default()
        })
    }

    /// Writes and starts a pod; the outcome of the start job is left to the records.
    pub(crate) async fn start(&self, pod: &Pod) -> Result<Bundle, Box<dyn Error>> {
        // Whatever an earlier try left.
        self.remove(pod).await?;
        let bundle = self.bundle(pod)?;
        bundle.write()?;
        self.systemd.start_slice(&pod_slice(pod)?).await?;
        match self.systemd.start_service(&bundle.service).await {
            // A container may end before its start job does; the records tell.
            Err(error) if error.class() != ErrorClass::Failed => return Err(error.into()),
            _ => {}
        }
        Ok(bundle)
    }

    pub(crate) async fn remove(&self, pod: &Pod) -> Result<(), Box<dyn Error>> {
        self.systemd.stop(pod_slice(pod)?.name.as_unit()).await?;
        let bundle = self.bundle(pod)?;
        self.systemd.stop(&bundle.service.name).await?;
        self.systemd.reset_failed(&bundle.service.name).await?;
        agent_runtime::mounts::remove_pod(&self.paths, uid(pod)).await?;
        Ok(())
    }

    pub(crate) fn records(&self, pod: &Pod) -> Result<Records, Box<dyn Error>> {
        Ok(read_records(&self.paths, uid(pod), "c")?)
    }

    /// Waits until `ready` says so.
    pub(crate) async fn wait(
        &self,
        what: &str,
        ready: impl AsyncFn() -> Result<bool, Box<dyn Error>>,
    ) -> Result<(), Box<dyn Error>> {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if ready().await? {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Err(format!("never came: {what}").into())
    }
}

pub(crate) fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

/// busybox and the few folders a container expects.
fn make_layer(layer: &Path) -> Result<(), Box<dyn Error>> {
    for dir in ["bin", "etc", "dev", "proc", "sys", "tmp"] {
        fs::create_dir_all(layer.join(dir))?;
    }
    fs::copy("/bin/busybox", layer.join("bin/busybox"))?;
    for name in [
        "sh", "sleep", "echo", "cat", "ls", "id", "hostname", "mount", "kill", "head", "tail", "touch",
        "stty", "grep", "env", "printf", "seq",
    ] {
        let link = layer.join("bin").join(name);
        if !link.exists() {
            symlink("busybox", link)?;
        }
    }
    fs::write(
        layer.join("etc/passwd"),
        "root:x:0:0:root:/root:/bin/sh\nweb:x:33:33::/:/bin/sh\n",
    )?;
    fs::write(layer.join("etc/group"), "root:x:0:\nweb:x:33:\nextra:x:44:web\n")?;
    Ok(())
}
