//! Wiring and the order of start and stop.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use controlplane_api::{Registry, UserInfo};
use controlplane_apiserver::{
    ApiServer, Bootstrap, Limits, Metrics, Parts, PodNetworks, SystemClock, server_config,
};
use controlplane_controllers::PodRange;
use controlplane_pki::CertificateAuthority;
use controlplane_raft::Members;
use jiff::Timestamp;
use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::backups;
use crate::config::{Component, Config, Network};
use crate::identities::{self, Identities};
use crate::joining;
use crate::leading;
use crate::metrics;
use crate::servers::{self, Tokens};
use crate::storage::{self, Storage};
use crate::supervisor;

/// How long the controllers and the scheduler may take to end.
const STOP: Duration = Duration::from_secs(10);

/// Runs the daemon until SIGTERM or SIGINT.
///
/// # Errors
///
/// Where it cannot start, in one sentence.
pub(crate) async fn run(config: Config) -> anyhow::Result<()> {
    let listener = TcpListener::bind(config.listen).await.with_context(|| {
        format!(
            "cannot listen on {} (key `listen`); is another server running there?",
            config.listen
        )
    })?;
    let peers = TcpListener::bind(config.peer_listen).await.with_context(|| {
        format!(
            "cannot listen for other servers on {} (key `peer_listen`)",
            config.peer_listen
        )
    })?;
    make_private(&config.state_dir)?;
    joining::begin(&config).await?;
    let id = storage::own_id(&config.state_dir)?;
    let identities = identities::prepare(&config, id, Timestamp::now())?;
    let mut storage = Storage::open(&config, id, &identities, peers).await?;
    let server = api_server(&config, &identities, &storage);
    let bootstrap = Bootstrap {
        advertise: config.advertise,
        token: config.bootstrap_token.clone(),
    };
    server
        .bootstrap(&bootstrap)
        .await
        .context("make the cluster's first objects")?;
    server
        .publish_authorities(
            identities.authority.certificate_pem(),
            &identities.front_proxy_pem,
        )
        .await
        .context("publish the cluster's authorities")?;
    let parts = Serving {
        server,
        backups: backups::Source {
            archive: storage.archive(),
            members: storage.members(),
            state_dir: config.state_dir.clone(),
        },
        members: storage.members(),
        tokens: storage.tokens(),
    };
    let served = serve(Arc::new(config), identities, parts, listener).await;
    storage.close().await;
    served
}

/// What is served.
struct Serving {
    server: ApiServer,
    backups: backups::Source,
    members: Members,
    tokens: Option<Tokens>,
}

/// Runs everything, in the order in which it must stop: first those who use the API, then the API.
async fn serve(
    config: Arc<Config>,
    identities: Identities,
    parts: Serving,
    listener: TcpListener,
) -> anyhow::Result<()> {
    let tls = server_config(identities.authority.certificate_pem(), &identities.serving)?;
    let (stop_api, stop_clients) = (CancellationToken::new(), CancellationToken::new());
    let mut api = JoinSet::new();
    let (way_in, stopped) = (parts.server.clone(), stop_api.clone());
    api.spawn(async move { way_in.serve(listener, tls, Limits::default(), stopped).await });
    api.spawn(supervisor::keep_alive(stop_api.clone()));
    api.spawn(backups::run(
        config.backups.clone(),
        parts.backups,
        stop_api.clone(),
    ));
    let clients = Clients {
        config: Arc::clone(&config),
        authority: Arc::clone(&identities.authority),
        server: parts.server,
        members: parts.members.clone(),
    };
    let (members, stopped) = (parts.members.clone(), stop_clients.clone());
    let mut clients_run = JoinSet::new();
    clients.start_on_every_server(&mut api, parts.tokens, &stop_api);
    clients_run.spawn(leading::run(members, move |stop| clients.start(stop), stopped));
    api.spawn(identities.keep_valid(stop_api.clone()));
    let Network {
        pods,
        node_mask,
        services,
        dns,
    } = &config.network;
    info!(address = %config.listen, pod_cidr = %pods, node_mask, service_cidr = %services, cluster_dns = %dns, "serving");
    supervisor::tell(&NotifyState::Ready);
    wait_for_stop(&mut clients_run, &mut api, &parts.members).await?;
    supervisor::tell(&NotifyState::Stopping);
    info!("stopping");
    stop_clients.cancel();
    if tokio::time::timeout(STOP, async { while clients_run.join_next().await.is_some() {} })
        .await
        .is_err()
    {
        error!("controllers or scheduler did not end in time");
    }
    stop_api.cancel();
    drain(&mut api).await;
    Ok(())
}

async fn drain(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            error!(
                error = &error as &dyn std::error::Error,
                "a part of the daemon failed"
            );
        }
    }
}

/// Returns on a signal, or when a part that should run for ever has ended.
async fn wait_for_stop(
    clients: &mut JoinSet<anyhow::Result<()>>,
    api: &mut JoinSet<()>,
    members: &Members,
) -> anyhow::Result<()> {
    let mut term = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut int = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    loop {
        tokio::select! {
            // Cancel-safe: a signal not returned is delivered again.
            _ = term.recv() => return Ok(()),
            // Cancel-safe: as above.
            _ = int.recv() => return Ok(()),
            // Cancel-safe: `join_next` loses no task.
            Some(ended) = clients.join_next() => {
                ended?.context("a controller or the scheduler failed")?;
                anyhow::bail!("the controllers or the scheduler ended by themselves");
            }
            // Cancel-safe, as it says. Started again, the server reads its log and state anew.
            () = members.failed() => anyhow::bail!("the store has ended by itself, as after a failure of its disk"),
            // Cancel-safe: as above. Without a watchdog its task ends at once.
            Some(ended) = api.join_next() => ended.context("the API server failed")?,
        }
    }
}

/// Controllers and scheduler, which run on the server that leads.
struct Clients {
    config: Arc<Config>,
    authority: Arc<CertificateAuthority>,
    server: ApiServer,
    members: Members,
}

impl Clients {
    fn start(&self, stop: &CancellationToken) -> anyhow::Result<JoinSet<()>> {
        let mut clients = JoinSet::new();
        let client = self.client("system:kube-controller-manager");
        let keeper = servers::Keeper::new(client, self.server.clone(), self.members.clone());
        clients.spawn(keeper.run(stop.clone()));
        if self.config.components.contains(&Component::Controllers) {
            let settings = self.controllers()?;
            let (client, stop) = (self.client("system:kube-controller-manager"), stop.clone());
            clients.spawn(async move {
                controlplane_controllers::run(client, settings, stop).await;
            });
        }
        if self.config.components.contains(&Component::Scheduler) {
            let (client, stop) = (self.client("system:kube-scheduler"), stop.clone());
            clients.spawn(async move {
                controlplane_scheduler::run(client, stop).await;
            });
        }
        Ok(clients)
    }

    /// What every server does for itself, whether or not it leads.
    fn start_on_every_server(
        &self,
        tasks: &mut JoinSet<()>,
        tokens: Option<Tokens>,
        stop: &CancellationToken,
    ) {
        let client = self.client("system:kube-controller-manager");
        if let Some(tokens) = tokens {
            tasks.spawn(tokens.follow(client.clone(), stop.clone()));
        }
        tasks.spawn(servers::tell_version(client, self.members.own_id(), stop.clone()));
    }

    fn client(&self, user: &str) -> kube::Client {
        let user = UserInfo {
            username: user.to_owned(),
            groups: vec!["system:authenticated".to_owned()],
            ..UserInfo::default()
        };
        kube::Client::new(self.server.in_process(user), "default")
    }

    fn controllers(&self) -> anyhow::Result<controlplane_controllers::Config> {
        let Network { pods, node_mask, .. } = self.config.network;
        Ok(controlplane_controllers::Config {
            signer: Arc::clone(&self.authority),
            pods: PodRange::new(pods, node_mask).context("key `pod_cidr`")?,
            node_monitor_grace: self.config.node_monitor_grace,
            terminated_pod_threshold: self.config.terminated_pod_threshold,
        })
    }
}

pub(crate) fn make_private(state_dir: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(state_dir)
        .with_context(|| {
            format!(
                "cannot create the state directory {} (key `state_dir`)",
                state_dir.display()
            )
        })
}

/// Every built-in kind, and the servers, which only a daemon has.
fn registry() -> Registry {
    let mut registry = controlplane_api::builtin();
    registry.register(controlplane_api::kinds::server());
    registry
}

fn api_server(config: &Config, identities: &Identities, storage: &Storage) -> ApiServer {
    let mut metrics = Metrics::default();
    storage.register(&mut metrics);
    metrics::register(&mut metrics, storage.store().clone(), &config.state_dir);
    ApiServer::new(Parts {
        registry: registry(),
        store: storage.store().clone(),
        archive: Some(storage.archive()),
        trouble: storage.trouble(),
        schemas: controlplane_schema::builtin(),
        clock: Arc::new(SystemClock),
        pods: PodNetworks {
            range: config.network.pods,
            node_mask: config.network.node_mask,
        },
        service_cidr: config.network.services,
        cluster_dns: config.network.dns,
        nodes: Some(identities.to_nodes.clone()),
        accounts: Some(identities.accounts.clone()),
        metrics,
    })
}
