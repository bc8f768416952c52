//! The server as a whole: its parts, its routes, its ways in.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::middleware;
use axum::routing::get;
use controlplane_api::{Registry, UserInfo};
use controlplane_pki::ServiceAccountKeys;
use controlplane_schema::Schemas;
use controlplane_store::Store;
use controlplane_store_sqlite::Archive;
use ipnet::IpNet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::archive::{SharedArchive, backup};
use crate::auth::pod_network::PodNetworks;
use crate::clock::Clock;
use crate::dispatch;
use crate::flow::{self, Flow};
use crate::front;
use crate::in_process::InProcess;
use crate::measure::{self, Measure};
use crate::meta_api::metrics::{self, Metrics};
use crate::meta_api::{discovery, health, index, issuer, openapi};
use crate::node::client::NodeClient;
use crate::read::frames::Frames;
use crate::reply::{Reply, bug};

/// What a server is made of.
#[derive(Debug)]
pub struct Parts {
    /// The kinds served.
    pub registry: Registry,
    /// Where objects live.
    pub store: Store,
    /// History beyond what the store keeps in memory, queries and backups; none answers 404 for these.
    pub archive: Option<Archive>,
    /// Why this server should not be asked now, if so; shown by `/readyz`.
    pub trouble: Trouble,
    /// Structure of the kinds.
    pub schemas: &'static Schemas,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Addresses for pods.
    pub pods: PodNetworks,
    /// Addresses for Services.
    pub service_cidr: IpNet,
    /// The cluster's DNS server: the address of the Service `kube-system/kube-dns`, which no other
    /// Service is given unless it asks for it.
    pub cluster_dns: IpAddr,
    /// How nodes are reached for logs, exec, attach and port-forward; none answers 503 for these.
    pub nodes: Option<NodeClient>,
    /// With what the tokens of service accounts are signed; none answers 404 for their `token`.
    pub accounts: Option<ServiceAccountKeys>,
    /// What the other parts of the process tell at `/metrics`.
    pub metrics: Metrics,
}

/// State shared by all requests.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) registry: Registry,
    pub(crate) store: Store,
    pub(crate) archive: Option<SharedArchive>,
    pub(crate) trouble: Trouble,
    pub(crate) schemas: &'static Schemas,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) pods: PodNetworks,
    pub(crate) service_cidr: IpNet,
    pub(crate) cluster_dns: IpAddr,
    pub(crate) nodes: Option<NodeClient>,
    pub(crate) accounts: Option<ServiceAccountKeys>,
    pub(crate) metrics: Metrics,
    pub(crate) documents: openapi::Documents,
    /// Which requests run and which wait.
    pub(crate) flow: Flow,
    /// Events that several watches send.
    pub(crate) frames: Arc<Frames>,
    /// Numbers about requests.
    pub(crate) measure: Measure,
    /// Writes in progress, which a dropped connection must not cut short.
    pub(crate) tasks: TaskTracker,
    /// Ends watches and tunnels.
    pub(crate) stop: CancellationToken,
}

/// Tells why a server should not be asked now.
#[derive(Clone)]
pub struct Trouble(Arc<dyn Fn() -> Option<String> + Send + Sync>);

impl Trouble {
    /// Asked again whenever it is needed; must not block.
    pub fn new(tell: impl Fn() -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    pub(crate) fn now(&self) -> Option<String> {
        (self.0)()
    }
}

impl Default for Trouble {
    fn default() -> Self {
        Self::new(|| None)
    }
}

impl fmt::Debug for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Trouble").field(&self.now()).finish()
    }
}

impl Inner {
    /// Runs a write to its end, also when the caller goes away.
    pub(crate) async fn to_its_end<F>(&self, write: F) -> Reply
    where
        F: Future<Output = Reply> + Send + 'static,
    {
        self.tasks
            .spawn(write)
            .await
            .unwrap_or_else(|error| Err(bug("finish a write", &error)))
    }
}

/// The API server. Clones share everything.
#[derive(Debug, Clone)]
pub struct ApiServer(pub(crate) Arc<Inner>);

impl ApiServer {
    /// A server of the given parts; it opens no socket.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let mut registry = parts.registry;
        if parts.archive.is_some() {
            registry.register(controlplane_api::kinds::query());
        }
        let mut metrics = parts.metrics;
        let flow = Flow::new(flow::Config::suggested(flow::TOTAL_SEATS));
        flow.register(&mut metrics);
        let measure = Measure::register(&mut metrics);
        measure::register_objects(&mut metrics, registry.clone(), parts.store.clone(), flow.clone());
        Self(Arc::new(Inner {
            registry,
            store: parts.store,
            archive: parts.archive.map(SharedArchive::new),
            trouble: parts.trouble,
            schemas: parts.schemas,
            clock: parts.clock,
            pods: parts.pods,
            service_cidr: parts.service_cidr,
            cluster_dns: parts.cluster_dns,
            nodes: parts.nodes,
            accounts: parts.accounts,
            metrics,
            documents: openapi::Documents::default(),
            flow,
            frames: Arc::default(),
            measure,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }))
    }

    /// Every route. Requests carry the caller's [`UserInfo`] or [`controlplane_pki::PeerIdentity`] as
    /// an extension, or a bearer token.
    pub fn router(&self) -> Router {
        let inner = Arc::clone(&self.0);
        Router::new()
            .route("/", get(index::paths))
            .route("/version", get(health::version))
            .route("/version/", get(health::version))
            .route("/healthz", get(health::healthz))
            .route("/healthz/{*check}", get(health::one_of_healthz))
            .route("/livez", get(health::livez))
            .route("/livez/{*check}", get(health::one_of_livez))
            .route("/readyz", get(health::readyz))
            .route("/readyz/{*check}", get(health::one_of_readyz))
            .route("/api", get(discovery::core_versions))
            .route("/api/", get(discovery::core_versions))
            .route("/apis", get(discovery::groups))
            .route("/apis/", get(discovery::groups))
            .route("/apis/{group}", get(discovery::group))
            .route("/apis/{group}/", get(discovery::group))
            .route("/api/{version}", get(discovery::core_resources))
            .route("/api/{version}/", get(discovery::core_resources))
            .route("/apis/{group}/{version}", get(discovery::resources))
            .route("/apis/{group}/{version}/", get(discovery::resources))
            .route(discovery::CUSTOM_KINDS, get(discovery::custom_kinds))
            .route("/backup", get(backup::download))
            .route(issuer::DESCRIPTION, get(issuer::description))
            .route(issuer::KEYS, get(issuer::keys))
            .route("/metrics", get(metrics::exposition))
            .route("/openapi/v2", get(openapi::v2))
            .route("/openapi/v3", get(openapi::index))
            .route("/openapi/v3/{*path}", get(openapi::document))
            .method_not_allowed_fallback(dispatch::wrong_method)
            .fallback(dispatch::resource)
            .layer(middleware::from_fn_with_state(Arc::clone(&inner), front::layer))
            .with_state(inner)
    }

    /// A way in without a socket, as `user`: a service from which `kube::Client` can be made.
    #[must_use]
    pub fn in_process(&self, user: UserInfo) -> InProcess {
        InProcess::new(self.router(), user)
    }

    /// Lets the objects of priority and fairness decide from here on, until [`ApiServer::drain`].
    pub(crate) fn follow_flow_control(&self) {
        self.0.tasks.spawn(flow::follow(self.clone()));
    }

    /// Ends watches, waits for the writes in progress. Requests after this still work.
    pub async fn drain(&self) {
        self.0.stop.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}

/// The body type of requests inside the server.
pub(crate) type Request = http::Request<Body>;
