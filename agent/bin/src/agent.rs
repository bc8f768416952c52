//! The agent's parts, wired.

use std::sync::Arc;
use std::time::Duration;

use agent_cache::PodCache;
use agent_images::{ImageStore, Settings};
use agent_runtime::NodePaths;
use agent_systemd::Systemd;
use anyhow::Context as _;
use kube::Client;
use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::access::Access;
use crate::config::Config;
use crate::events::{self, Events};
use crate::identity::Identity;
use crate::image_gc::Collector;
use crate::network::Network;
use crate::node::Reporter;
use crate::objects::Objects;
use crate::pods::{self, Allocations, Registry};
use crate::pulls::Pulls;
use crate::servers::Servers;
use crate::{identity, libexec, node};

/// Time for tasks to end after a signal; pods are not among them.
const SHUTDOWN: Duration = Duration::from_secs(10);

/// What the agent works on, before it has an identity.
struct Node {
    paths: NodePaths,
    images: ImageStore,
    units: Systemd,
}

/// Runs until SIGTERM or SIGINT. Pods outlive it.
pub(crate) async fn run(config: Config) -> anyhow::Result<()> {
    // Files that are secret are made 0600 by name; what containers read must be readable.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(watch_signals(stop.clone())?);
    let node = prepare(&config).await?;
    notify(&[NotifyState::Ready]);
    tasks.spawn(feed_watchdog(stop.clone()));
    let servers = Servers::open(&config.servers, &config.state_dir.join("servers"))?;
    let identity = tokio::select! {
        // Cancel-safe: a token stays cancelled.
        () = stop.cancelled() => return Ok(()),
        // Cancel-safe: a certificate that was asked for and not taken is asked for again.
        identity = identity::establish(&config, &servers) => identity?,
    };
    node::wait_gone(&identity.client, &config, &stop).await;
    if stop.is_cancelled() {
        // Perhaps the other one is still alive.
        return Ok(());
    }
    tasks.spawn(servers.follow(identity.client.clone(), stop.clone()));
    begin(&mut tasks, config, node, identity, &stop).await?;
    info!("agent runs");
    stop.cancelled().await;
    finish(tasks).await;
    Ok(())
}

async fn prepare(config: &Config) -> anyhow::Result<Node> {
    let libexec_dir = config
        .state_dir
        .parent()
        .unwrap_or(&config.state_dir)
        .join("libexec");
    let paths = config.paths(libexec::pin(&libexec_dir)?);
    if let Err(error) = Settings::load(&config.registries_file) {
        // Pods whose images are here run all the same; the others tell it as the reason.
        warn!(error = &error as &dyn std::error::Error, "no image can be pulled");
    }
    let images = ImageStore::open(config.image_dir())?;
    let units = Systemd::connect(agent_systemd::Options::default()).await?;
    refuse_old_systemd(units.version())?;
    if let Some(why) = node::limits_unenforced() {
        warn!(reason = why, "limits of pods are not enforced");
    }
    Ok(Node { paths, images, units })
}

/// The oldest systemd whose units behave as the design relies on.
const OLDEST_SYSTEMD: u32 = 252;

/// Refuses a systemd that is too old; a version that cannot be read (0) is let through.
fn refuse_old_systemd(version: u32) -> anyhow::Result<()> {
    anyhow::ensure!(
        version == 0 || version >= OLDEST_SYSTEMD,
        "systemd {version} is too old for pods: this agent needs {OLDEST_SYSTEMD} or newer (Debian 12, NixOS 23.05); \
         upgrade the node's operating system"
    );
    Ok(())
}

/// Starts every task of an agent that has its identity.
async fn begin(
    tasks: &mut JoinSet<()>,
    config: Config,
    node: Node,
    identity: Identity,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let Node { paths, images, units } = node;
    let (events, queue) = Events::channel();
    let client = identity.client.clone();
    let network = Arc::new(Network::new(&config)?);
    let reporter = Arc::new(Reporter::new(
        &config,
        images.clone(),
        events.clone(),
        units.version(),
        &paths.crun,
        network.unready(),
    )?);
    let registry = Arc::new(Registry::default());
    let access = Arc::new(Access::new(Arc::clone(&registry), paths.clone()));
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("listen on {}; set the key listen", config.listen))?;
    let tls = agent_server::tls_config(Arc::clone(&identity.serving), &identity.ca_pem)?;
    let objects = Objects::new(client.clone(), pod_cache(&config));
    let collector = Collector::new(&config, images.clone(), Arc::clone(&registry), events.clone());
    tasks.spawn(collector.run(stop.clone()));
    let context = Arc::new(pods::Context {
        pulls: Pulls::new(
            images.clone(),
            &config.registries_file,
            objects.clone(),
            events.clone(),
        ),
        objects,
        allocatable: reporter.allocatable().units(),
        allocations: Allocations::new(reporter.allocatable().units()),
        node_memory: reporter.memory(),
        config: config.clone(),
        client: client.clone(),
        units,
        paths,
        images,
        events,
        registry,
    });
    let network_config = config.clone();
    tasks.spawn(events::send_all(
        queue,
        client.clone(),
        config.node_name.clone(),
        stop.clone(),
    ));
    tasks.spawn(identity::renew(
        identity,
        config,
        reporter.registered(),
        stop.clone(),
    ));
    serve_network(tasks, &client, network_config, network, stop);
    tasks.spawn(reporter.run(client, stop.clone()));
    tasks.spawn(serve(listener, tls, access, stop.clone()));
    tasks.spawn(pods::run(context, stop.clone()));
    Ok(())
}

/// What the node remembers of its pods; one that cannot be opened is no reason to run none.
fn pod_cache(config: &Config) -> Arc<PodCache> {
    let path = config.state_dir.join("pods.db");
    Arc::new(PodCache::open(&path).unwrap_or_else(|error| {
        let error = crate::full_disk::chain(&error.into());
        warn!(error, "pods are not kept for a reboot");
        PodCache::in_memory()
    }))
}

/// Addresses, services and names.
fn serve_network(
    tasks: &mut JoinSet<()>,
    client: &Client,
    config: Config,
    network: Arc<Network>,
    stop: &CancellationToken,
) {
    let ready = network.unready();
    tasks.spawn(network.run(client.clone(), stop.clone()));
    tasks.spawn(crate::proxy::serve(
        client.clone(),
        config.clone(),
        ready,
        stop.clone(),
    ));
    tasks.spawn(crate::dns::serve(client.clone(), config, stop.clone()));
}

async fn serve(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    access: Arc<Access>,
    stop: CancellationToken,
) {
    if let Err(error) = agent_server::serve(listener, tls, access, stop).await {
        error!(error = &error as &dyn std::error::Error, "node endpoint ended");
    }
}

/// Waits for the tasks, but not for ever.
async fn finish(mut tasks: JoinSet<()>) {
    notify(&[NotifyState::Stopping]);
    let drained = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(SHUTDOWN, drained).await.is_err() {
        info!("some tasks were cut off");
    }
}

fn watch_signals(stop: CancellationToken) -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    Ok(async move {
        tokio::select! {
            // Cancel-safe: the other signal stops just as well.
            _ = terminate.recv() => {}
            // Cancel-safe: as above.
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    })
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!(error = %error, "service manager not notified");
    }
}

/// Tells systemd that the async runtime still turns.
async fn feed_watchdog(stop: CancellationToken) {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return;
    };
    let mut beat = tokio::time::interval(limit / 3);
    while stop.run_until_cancelled(beat.tick()).await.is_some() {
        notify(&[NotifyState::Watchdog]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_systemd_is_refused_with_what_to_do() {
        let refusal = refuse_old_systemd(249).unwrap_err().to_string();
        assert!(
            refusal.contains("249") && refusal.contains("upgrade"),
            "{refusal}"
        );
        assert!(refuse_old_systemd(252).is_ok() && refuse_old_systemd(0).is_ok());
    }
}
