//! A node made of a temporary folder, units in memory and an API that only records.

use std::convert::Infallible;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use agent_core::node::Reserved;
use agent_images::ImageStore;
use agent_run::{Ended, Phase, Record, Records, State};
use agent_runtime::{NodePaths, unit_name};
use agent_systemd::{ActiveState, MemoryUnits, UnitName};
use http::{Request, Response};
use kube::client::Body;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::{Notify, mpsc};

use super::super::*;
use crate::config::Config;
use crate::events::{Events, Report};
use crate::objects::Objects;
use crate::pods::Registry;
use crate::pulls::Pulls;

/// What the agent asked of the API.
#[derive(Debug)]
pub(super) struct Asked {
    method: String,
    path: String,
    body: Value,
}

/// An API that answers every write with what was written, and has no objects.
pub(super) fn api() -> (kube::Client, mpsc::Receiver<Asked>) {
    let (sender, receiver) = mpsc::channel(64);
    let service = tower::service_fn(move |request: Request<Body>| {
        let sender = sender.clone();
        async move {
            let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
            if request
                .uri()
                .query()
                .is_some_and(|query| query.contains("watch="))
            {
                std::future::pending::<()>().await;
            }
            let body = request.into_body().collect_bytes().await.unwrap_or_default();
            let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
            let answer = match method.as_str() {
                "GET" => {
                    json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": []})
                }
                _ => json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}),
            };
            sender.send(Asked { method, path, body }).await.ok();
            Ok::<_, Infallible>(Response::new(Body::from(answer.to_string().into_bytes())))
        }
    });
    (kube::Client::new(service, "default"), receiver)
}

/// An image with one empty layer, named `busybox`.
pub(super) fn image(store: &ImageStore, dir: &Path) {
    let blobs = dir.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let blob = |bytes: &[u8], media: &str| {
        let hex: String = Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
        std::fs::write(blobs.join(&hex), bytes).unwrap();
        json!({"digest": format!("sha256:{hex}"), "size": bytes.len(), "mediaType": media})
    };
    let layer = blob(&[0; 1024], "application/vnd.oci.image.layer.v1.tar");
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let config = json!({
        "architecture": architecture, "os": "linux", "config": {"Cmd": ["sh"]},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    });
    let config = blob(
        config.to_string().as_bytes(),
        "application/vnd.oci.image.config.v1+json",
    );
    let media = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({"schemaVersion": 2, "mediaType": media, "config": config, "layers": [layer]});
    let mut entry = blob(manifest.to_string().as_bytes(), media);
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": "busybox"});
    let index = json!({"schemaVersion": 2, "manifests": [entry]});
    std::fs::write(dir.join("index.json"), index.to_string()).unwrap();
    std::fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    store.load(dir).unwrap();
}

pub(super) fn config(dir: &Path) -> Config {
    Config {
        node_name: "n".to_owned(),
        node_ip: IpAddr::from([10, 0, 0, 1]),
        servers: vec!["127.0.0.1:1".parse().unwrap()],
        ca_file: dir.join("ca"),
        bootstrap_token_file: None,
        state_dir: dir.join("state"),
        run_dir: dir.join("run"),
        listen: ([127, 0, 0, 1], 0).into(),
        pod_cidr: None,
        cluster_cidr: "10.42.0.0/16".parse().unwrap(),
        service_cidr: "10.43.0.0/16".to_owned(),
        cluster_dns: IpAddr::from([10, 43, 0, 10]),
        cluster_domain: "cluster.local".to_owned(),
        cni_bin_dir: dir.join("bin"),
        cni_conf_dir: dir.join("net.d"),
        max_pods: 110,
        reserved: Reserved::default(),
        registries_file: dir.join("registries.toml"),
        eviction_disk_percent: 10,
        image_gc: crate::image_gc::Thresholds { high: 85, low: 80 },
        log: "info".to_owned(),
    }
}

/// A program that writes down what it was asked.
pub(super) fn floe_run(dir: &Path) -> PathBuf {
    let (program, asked) = (dir.join("floe-run"), dir.join("run/asked"));
    let script = format!("#!/bin/sh\necho \"$@\" > {}\n", asked.display());
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    program
}

pub(super) fn pod() -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "default", "uid": "12345678-0000", "resourceVersion": "1"},
        "spec": {
            "hostNetwork": true, "restartPolicy": "Never", "nodeName": "n",
            "containers": [{"name": "c", "image": "busybox", "command": ["sh"]}],
        },
    }))
    .unwrap()
}

pub(super) struct Node {
    pub(super) _dir: tempfile::TempDir,
    pub(super) context: Arc<Context<MemoryUnits>>,
    pub(super) asked: mpsc::Receiver<Asked>,
    pub(super) events: mpsc::Receiver<Report>,
    pub(super) goal: watch::Sender<Goal>,
    pub(super) wake: Arc<Wake>,
    pub(super) worker: JoinSet<String>,
    pub(super) unit: UnitName,
}

impl Node {
    pub(super) fn with(pod: Pod) -> Self {
        Self::begin(pod, None)
    }

    pub(super) fn begin(pod: Pod, rejection: Option<Rejection>) -> Self {
        Self::on(tempfile::tempdir().unwrap(), pod, rejection)
    }

    pub(super) fn on(dir: tempfile::TempDir, pod: Pod, rejection: Option<Rejection>) -> Self {
        Self::asking(dir, pod, rejection, None)
    }

    /// A node that hears of the objects that its pods refer to once it is told to, which is that there are none.
    pub(super) fn to_be_answered(pod: Pod) -> (Self, Arc<Notify>) {
        let answers = Arc::new(Notify::new());
        let waits = Arc::clone(&answers);
        let silent = tower::service_fn(move |_: Request<Body>| {
            let waits = Arc::clone(&waits);
            async move {
                waits.notified().await;
                let none = json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": []});
                Ok::<_, Infallible>(Response::new(Body::from(none.to_string().into_bytes())))
            }
        });
        let silent = kube::Client::new(silent, "default");
        let node = Self::asking(tempfile::tempdir().unwrap(), pod, None, Some(silent));
        (node, answers)
    }

    fn asking(
        dir: tempfile::TempDir,
        pod: Pod,
        rejection: Option<Rejection>,
        of_objects: Option<kube::Client>,
    ) -> Self {
        let config = config(dir.path());
        let images = ImageStore::open(config.image_dir()).unwrap();
        image(&images, &dir.path().join("layout"));
        let (client, asked) = api();
        let (events, told) = Events::channel();
        let unit = unit_name(&pod, "c").unwrap();
        let of_objects = of_objects.unwrap_or_else(|| client.clone());
        let objects = Objects::new(of_objects, Arc::new(agent_cache::PodCache::in_memory()));
        let context = Arc::new(Context {
            pulls: Pulls::new(
                images.clone(),
                &config.registries_file,
                objects.clone(),
                events.clone(),
            ),
            units: MemoryUnits::default(),
            paths: NodePaths {
                run_dir: config.run_dir.clone(),
                state_dir: config.state_dir.clone(),
                floe_run: floe_run(dir.path()),
                crun: "/bin/false".into(),
            },
            objects,
            events,
            registry: Arc::new(Registry::default()),
            allocatable: BTreeMap::new(),
            allocations: crate::pods::Allocations::new(BTreeMap::from([("cpu".to_owned(), 4000)])),
            node_memory: 1 << 30,
            config,
            client,
            images,
        });
        let (goal, goals) = watch::channel(Goal::from_api(pod));
        let wake = Arc::new(Wake::default());
        let mut worker = JoinSet::new();
        let mut one = Worker::new(&context, "12345678-0000", goals, Arc::clone(&wake), None);
        one.rejection = rejection;
        worker.spawn(one.run(CancellationToken::new()));
        Self {
            _dir: dir,
            context,
            asked,
            events: told,
            goal,
            wake,
            worker,
            unit,
        }
    }

    /// The next status told that `wanted` accepts.
    pub(super) async fn told(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let asked = self.asked("PATCH", "/api/v1/namespaces/default/pods/p/status", |body| {
            wanted(&body["status"])
        });
        asked.await["status"].clone()
    }

    pub(super) async fn asked(&mut self, method: &str, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let search = async {
            loop {
                let asked = self.asked.recv().await.expect("the API is asked");
                if asked.method == method && asked.path == path && wanted(&asked.body) {
                    return asked.body;
                }
            }
        };
        let limit = Duration::from_secs(120);
        tokio::time::timeout(limit, search)
            .await
            .expect("the worker asks for it in time")
    }

    /// The next event with this reason.
    pub(super) async fn event(&mut self, reason: &str) -> String {
        let search = async {
            loop {
                let report = self.events.recv().await.expect("events are told");
                if report.draft().reason == reason {
                    return report.draft().message.clone();
                }
            }
        };
        let limit = Duration::from_secs(120);
        tokio::time::timeout(limit, search)
            .await
            .expect("it is told in time")
    }

    /// How many events since this was last asked say that a container is stopped.
    pub(super) fn killings(&mut self) -> usize {
        let told = std::iter::from_fn(|| self.events.try_recv().ok());
        told.filter(|report| report.draft().reason == "Killing").count()
    }

    pub(super) async fn started(&self) {
        let mut changes = self.context.units.changes();
        while self.context.units.starts(&self.unit) == 0 {
            changes.next().await;
        }
    }

    /// How many units of the pod's containers systemd lists.
    pub(super) async fn units(&self) -> usize {
        self.context.units.list("floe-*.service").await.unwrap().len()
    }

    pub(super) async fn state(&self) -> Option<ActiveState> {
        let units = self.context.units.list(self.unit.as_str()).await.unwrap();
        units.get(&self.unit).map(|state| state.active)
    }

    /// Waits until the container, which nothing but SIGKILL ends, has ended; what systemd then holds is told.
    pub(super) async fn killed(&self) {
        let mut changes = self.context.units.changes();
        let killed = async {
            while self.state().await == Some(ActiveState::Deactivating) {
                changes.next().await;
            }
        };
        let limit = Duration::from_secs(120);
        tokio::time::timeout(limit, killed).await.expect("it is killed");
        self.wake.stir();
    }

    /// What `floe-run` writes once the container runs.
    pub(super) fn run(&self) {
        let dir = self.context.paths.container_dir("12345678-0000", "c");
        std::fs::write(dir.join(agent_run::PID_FILE), "42\n").unwrap();
        let phase = Phase::Started { at: 1_000_000 };
        State {
            invocation_id: "r1".to_owned(),
            restart: 0,
            phase,
        }
        .write(&dir)
        .unwrap();
        self.wake.stir();
    }

    /// What `floe-run` writes once the container has ended, and what systemd then holds.
    pub(super) fn end(&self, code: i32) {
        let dir = self.context.paths.container_dir("12345678-0000", "c");
        let mut records = Records::default();
        records.append(Record {
            invocation_id: "r1".to_owned(),
            started_at: 1_000_000,
            finished_at: 2_000_000,
            ended: Ended::Exited,
            exit_code: code,
            ..Record::default()
        });
        records.write(&dir).unwrap();
        self.context.units.end(&self.unit, ActiveState::Failed);
        self.wake.stir();
    }
}
