//! The whole server.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hickory_proto::rr::Name;
use kube::Client;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::config::Config;
use crate::counts::Counts;
use crate::forward::Forwarder;
use crate::names::Names;
use crate::resolve::Resolver;
use crate::serve::{Sockets, serve};
use crate::zone::{Scope, Zone};
use crate::{address, snapshot, upstream_files, watch};

/// The port of DNS.
const PORT: u16 = 53;
/// Between two attempts to take the port.
const RETRY: Duration = Duration::from_secs(10);
/// How long the first questions wait for the cluster's names: less than resolvers wait for an answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often the address is looked after: somebody may have taken it from `lo`.
const LOOK_AFTER: Duration = Duration::from_secs(30);

/// Why the server cannot be.
#[derive(Debug, thiserror::Error)]
#[error("cluster_domain {domain:?} is no domain name")]
pub struct BadDomain {
    domain: String,
    source: hickory_proto::ProtoError,
}

/// A server that has not been started.
#[derive(Debug)]
pub struct Server {
    config: Config,
    resolver: Arc<Resolver>,
}

impl Server {
    /// Reads the node's upstreams and what the last run knew.
    ///
    /// # Errors
    ///
    /// When the cluster's domain is none.
    pub fn new(config: Config) -> Result<Self, BadDomain> {
        let domain = parse_domain(&config.domain)?;
        let scope = Scope {
            domain: domain.clone(),
            server: config.address,
            ranges: config.ranges.clone(),
        };
        let names = Arc::new(Names::new(Zone::new(scope, seconds_now())));
        snapshot::load(&config.snapshot, &names);
        let counts = Arc::new(Counts::default());
        let upstreams = upstream_files::read(config.address);
        info!(servers = ?upstreams.servers(), "upstream name servers");
        let resolver = Resolver {
            domain,
            names,
            forwarder: Arc::new(Forwarder::new(upstreams, Arc::clone(&counts))),
            counts,
            turn: AtomicUsize::new(0),
        };
        Ok(Self {
            config,
            resolver: Arc::new(resolver),
        })
    }

    /// What the server has done so far.
    #[must_use]
    pub fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.resolver.counts)
    }

    /// Answers until `stop`. Names come from `client`'s API server; while it is away what is known
    /// is answered. A port that is taken is waited for.
    pub async fn run(self, client: Client, stop: CancellationToken) {
        let Self { config, resolver } = self;
        let mut tasks = JoinSet::new();
        tasks.spawn(watch::run(client, Arc::clone(&resolver.names), stop.clone()));
        tasks.spawn(snapshot::keep(
            config.snapshot,
            Arc::clone(&resolver.names),
            stop.clone(),
        ));
        tasks.spawn(upstream_files::follow(
            Arc::clone(&resolver.forwarder),
            config.address,
            stop.clone(),
        ));
        let address = SocketAddr::new(config.address, PORT);
        tasks.spawn_blocking(move || own_thread(listen(address, resolver, stop)));
        while tasks.join_next().await.is_some() {}
    }
}

/// Runs `work` on a runtime of this thread's own: questions wait for none of the agent's other work.
fn own_thread(work: impl Future<Output = ()>) {
    match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => error!(error = &error as &dyn Error, "cluster DNS does not answer"),
    }
}

async fn listen(address: SocketAddr, resolver: Arc<Resolver>, stop: CancellationToken) {
    let Some(sockets) = stop.run_until_cancelled(take(address)).await else {
        return;
    };
    // Questions wait in the sockets meanwhile: better late than SERVFAIL.
    stop.run_until_cancelled(timeout(PATIENCE, resolver.names.known()))
        .await;
    info!(%address, ready = resolver.names.is_ready(), "name server answers");
    let mut tasks = JoinSet::new();
    tasks.spawn(serve(sockets, Arc::clone(&resolver), stop.clone()));
    let mut tick = tokio::time::interval(LOOK_AFTER);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        if let Err(error) = address::ensure(address.ip()).await {
            warn!(error = &error as &dyn Error, %address, "name server's address not looked after");
        }
    }
    while tasks.join_next().await.is_some() {}
    debug!(totals = ?resolver.counts.totals(), "name server ended");
}

/// Takes address and port, trying until they can be had; says why not once.
async fn take(address: SocketAddr) -> Sockets {
    let mut said = None;
    loop {
        let why = match attempt(address).await {
            Ok(sockets) => return sockets,
            Err(why) => why,
        };
        if said.as_ref() != Some(&why) {
            warn!("{why}");
            said = Some(why);
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn attempt(address: SocketAddr) -> Result<Sockets, String> {
    address::ensure(address.ip())
        .await
        .map_err(|error| format!("cluster DNS does not answer: {error}: {}", cause(&error)))?;
    Sockets::bind(address)
        .await
        .map_err(|error| refusal(address, &error))
}

/// One sentence that says what to do.
fn refusal(address: SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "cluster DNS does not answer: another program on this node listens on port 53 of every address \
             (`ss -lnptu sport = :53` shows it): stop it or bind it to its own address; {address} is tried again \
             every {} s",
            RETRY.as_secs()
        ),
        io::ErrorKind::PermissionDenied => {
            format!("cluster DNS does not answer: {address} needs root or CAP_NET_BIND_SERVICE")
        }
        _ => format!("cluster DNS does not answer: listen on {address}: {error}"),
    }
}

fn cause(error: &dyn Error) -> String {
    error.source().map(ToString::to_string).unwrap_or_default()
}

fn parse_domain(domain: &str) -> Result<Name, BadDomain> {
    let mut name = Name::from_str(domain).map_err(|source| BadDomain {
        domain: domain.to_owned(),
        source,
    })?;
    name.set_fqdn(true);
    Ok(name.to_lowercase())
}

/// Where the SOA's serial begins: later at every start, so that it does not go back.
fn seconds_now() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
