//! A cluster without nodes' agents.

use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use controlplane_api::UserInfo;
use controlplane_apiserver::{ApiServer, Bootstrap, Parts, PodNetworks, SystemClock};
use controlplane_controllers::{Config, PodRange};
use controlplane_pki::CertificateAuthority;
use controlplane_store::{MemoryState, Options, Store};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::Service;

/// Longest wait for a condition; never reached when all is well.
const PATIENCE: Duration = Duration::from_secs(60);

/// An API server with controllers and scheduler.
pub(crate) struct Cluster {
    pub(crate) client: Client,
    server: ApiServer,
    faults: Option<Arc<Faults>>,
    grace: Duration,
    signer: Arc<CertificateAuthority>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
    /// Held so that the authority's files last as long as the cluster.
    _files: tempfile::TempDir,
}

impl Cluster {
    /// A cluster with everything but nodes.
    pub(crate) async fn start() -> Self {
        Self::start_with(None, Config::NODE_MONITOR_GRACE).await
    }

    /// A cluster in which a node silent for `grace` counts as lost.
    pub(crate) async fn start_impatient(grace: Duration) -> Self {
        Self::start_with(None, grace).await
    }

    /// A cluster whose controllers and scheduler see one in four of their writes fail.
    pub(crate) async fn start_faulty(seed: u64) -> Self {
        let faults = Faults(AtomicU64::new(seed));
        Self::start_with(Some(Arc::new(faults)), Config::NODE_MONITOR_GRACE).await
    }

    async fn start_with(faults: Option<Arc<Faults>>, grace: Duration) -> Self {
        let files = tempfile::tempdir().unwrap();
        let signer = CertificateAuthority::load_or_create(files.path(), "ca", Timestamp::now());
        let server = ApiServer::new(Parts {
            registry: controlplane_api::builtin(),
            store: Store::open(MemoryState::default(), Options::default()).unwrap(),
            archive: None,
            trouble: Default::default(),
            schemas: controlplane_schema::builtin(),
            clock: Arc::new(SystemClock),
            pods: PodNetworks {
                range: "10.42.0.0/16".parse().unwrap(),
                node_mask: 24,
            },
            service_cidr: "10.43.0.0/16".parse().unwrap(),
            cluster_dns: "10.43.0.10".parse().unwrap(),
            nodes: None,
            accounts: None,
            metrics: controlplane_apiserver::Metrics::default(),
        });
        let bootstrap = Bootstrap {
            advertise: "10.0.0.1:6443".parse().unwrap(),
            token: None,
        };
        server.bootstrap(&bootstrap).await.unwrap();
        server.publish(&[bootstrap.advertise].into()).await.unwrap();
        let mut cluster = Self {
            client: client(&server, "admin", "system:masters"),
            server,
            faults,
            grace,
            signer: Arc::new(signer.unwrap()),
            stop: CancellationToken::new(),
            tasks: JoinSet::new(),
            _files: files,
        };
        cluster.start_components();
        cluster
    }

    /// Starts controllers and scheduler.
    pub(crate) fn start_components(&mut self) {
        self.stop = CancellationToken::new();
        let config = Config {
            signer: self.signer.clone(),
            pods: PodRange::new("10.42.0.0/22".parse().unwrap(), 24).unwrap(),
            node_monitor_grace: self.grace,
            terminated_pod_threshold: Config::TERMINATED_POD_THRESHOLD,
        };
        let controllers = self.component("system:kube-controller-manager");
        let scheduler = self.component("system:kube-scheduler");
        let stop = self.stop.clone();
        self.tasks
            .spawn(controlplane_controllers::run(controllers, config, stop));
        let stop = self.stop.clone();
        self.tasks.spawn(controlplane_scheduler::run(scheduler, stop));
    }

    /// Stops controllers, scheduler and agents, and waits until they have ended.
    pub(crate) async fn stop_components(&mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }

    fn component(&self, user: &str) -> Client {
        match &self.faults {
            None => self.client_as(user, "system:authenticated"),
            Some(faults) => faulty(&self.server, user, faults.clone()),
        }
    }

    pub(crate) fn client_as(&self, user: &str, group: &str) -> Client {
        client(&self.server, user, group)
    }

    /// Adds a node with so many cores, without an agent.
    pub(crate) async fn add_node(&self, name: &str, cores: u32) {
        let resources = json!({ "cpu": cores.to_string(), "memory": "8Gi", "pods": "110" });
        let node = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": { "name": name, "labels": { "kubernetes.io/hostname": name } },
            "status": {
                "capacity": resources, "allocatable": resources,
                "conditions": [{ "type": "Ready", "status": "True", "lastHeartbeatTime": Timestamp::now().to_string() }],
                "addresses": [{ "type": "InternalIP", "address": "10.0.0.7" }],
            },
        });
        let nodes: Api<Node> = Api::all(self.client.clone());
        nodes.create(&PostParams::default(), &read(node)).await.unwrap();
    }

    /// Starts the stand-in for all nodes' agents.
    pub(crate) fn start_agents(&mut self) {
        let (client, stop) = (self.client.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = agents(client) => {}
            }
        });
    }

    /// An API in the namespace `default`.
    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), "default")
    }

    /// Creates an object in the namespace `default`.
    pub(crate) async fn create<K>(&self, object: Value) -> K
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned
            + Serialize,
    {
        let api: Api<K> = self.api();
        api.create(&PostParams::default(), &read(object)).await.unwrap()
    }

    /// All objects of a kind in the namespace `default`.
    pub(crate) async fn list<K>(&self) -> Vec<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        let api: Api<K> = self.api();
        api.list(&ListParams::default()).await.unwrap().items
    }

    /// Waits until `condition` holds.
    pub(crate) async fn until<F, Fut>(&self, claim: &str, condition: F)
    where
        F: Fn() -> Fut,
        Fut: Future<Output = bool>,
    {
        let end = Instant::now() + PATIENCE;
        while !condition().await {
            assert!(Instant::now() < end, "never came true: {claim}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn client(server: &ApiServer, user: &str, group: &str) -> Client {
    Client::new(server.in_process(info(user, group)), "default")
}

fn info(user: &str, group: &str) -> UserInfo {
    UserInfo {
        username: user.to_owned(),
        groups: vec![group.to_owned()],
        ..UserInfo::default()
    }
}

/// Draws the fate of each write.
struct Faults(AtomicU64);

impl Faults {
    /// A number below eight (xorshift64*).
    fn draw(&self) -> u64 {
        let mut drawn = self.0.load(Ordering::Relaxed);
        drawn ^= drawn >> 12;
        drawn ^= drawn << 25;
        drawn ^= drawn >> 27;
        self.0.store(drawn, Ordering::Relaxed);
        drawn.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 61
    }
}

/// A client of which one write in eight never arrives, and of one in eight the answer is lost.
fn faulty(server: &ApiServer, user: &str, faults: Arc<Faults>) -> Client {
    let api = server.in_process(info(user, "system:authenticated"));
    let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let (mut api, faults) = (api.clone(), faults.clone());
        async move {
            let write = request.method() != http::Method::GET;
            let fate = if write { faults.draw() } else { 7 };
            if fate == 0 {
                return Err(io::Error::other("the request was lost"));
            }
            let answer = api.call(request).await.map_err(io::Error::other)?;
            if fate == 1 {
                return Err(io::Error::other("the answer was lost"));
            }
            Ok(answer)
        }
    });
    Client::new(service, "default")
}

/// Reads a test's JSON into a typed object.
pub(crate) fn read<K: DeserializeOwned>(object: Value) -> K {
    serde_json::from_value(object).unwrap()
}

/// Makes every pod that has a node ready, unless its image is `broken`, and ends it when asked.
async fn agents(client: Client) {
    let pods: Api<Pod> = Api::all(client.clone());
    let mut changes = watcher(pods, watcher::Config::default())
        .default_backoff()
        .applied_objects()
        .boxed();
    while let Ok(Some(pod)) = changes.try_next().await {
        tend(&client, &pod).await;
    }
}

async fn tend(client: &Client, pod: &Pod) {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let spec = pod.spec.clone().unwrap_or_default();
    let broken = spec
        .containers
        .iter()
        .any(|container| container.image.as_deref() == Some("broken"));
    let running = pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running");
    // Pods overtaken by a deletion answer with errors, which is as it should be.
    if spec.node_name.is_none() {
        return;
    }
    if pod.metadata.deletion_timestamp.is_some() {
        let _gone = api.delete(name, &DeleteParams::default().grace_period(0)).await;
    } else if !running && !broken {
        let patch = json!({ "status": { "phase": "Running", "conditions": [{
            "type": "Ready", "status": "True", "lastTransitionTime": Timestamp::now().to_string(),
        }] } });
        let _patched = api
            .patch_status(name, &PatchParams::default(), &Patch::Strategic(patch))
            .await;
    }
}

/// A Deployment `web`.
pub(crate) fn deployment(replicas: i32, image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "web" },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": { "containers": [{ "name": "c", "image": image }] },
            },
        },
    })
}

/// A pod that asks for so many thousandths of a core.
pub(crate) fn pod(name: &str, cpu: u32) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name },
        "spec": { "containers": [{
            "name": "c", "image": "nginx",
            "resources": { "requests": { "cpu": format!("{cpu}m") } },
        }] },
    })
}
