//! `floe up`: a cluster on this host, and a demo in it.

mod binaries;
mod daemons;
mod machines;
mod node;
mod on_host;
mod outside;
mod summary;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use controlplane_machine::{Place, free_subnet};
use jiff::Timestamp;
use kube::Client;

use crate::cluster::{CACHE, Cluster, FIRST, Record};
use crate::progress::{self, Progress};
use crate::server::group;
use crate::{client, demo, host};

pub(crate) use machines::{boot_beside, parts, programs};
pub(crate) use node::Parts;

/// How long a daemon or a pod may take before `up` gives up and shows why.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Options of `floe up`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct UpArgs {
    /// Start the cluster alone, without the demo.
    #[arg(long)]
    no_demo: bool,
    /// How many nodes the cluster gets, 1 to 5; as many as it had where it is started again, else as many as servers.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=5))]
    nodes: Option<u8>,
    /// How many of them are servers: 1, 3 or 5; as many as it had where it is started again, else 1.
    #[arg(long, value_name = "COUNT", value_parser = server_count)]
    servers: Option<u8>,
    /// Make this host itself the node, where its PID 1 is systemd; `down` gives it back as it was.
    #[arg(long, conflicts_with_all = ["nodes", "servers"])]
    on_host: bool,
    /// Begin with the objects of this backup; only for a cluster that is not there yet.
    #[arg(long, value_name = "FILE", conflicts_with = "on_host")]
    restore: Option<PathBuf>,
}

fn server_count(text: &str) -> Result<u8, String> {
    match text.parse() {
        Ok(count @ (1 | 3 | 5)) => Ok(count),
        _ => Err(
            "give 1, 3 or 5: an even number survives the loss of no more servers than the odd one below it"
                .to_owned(),
        ),
    }
}

/// Starts `cluster`; on one that is up already, changes nothing and says so.
pub(crate) async fn run(cluster: &Cluster, options: &UpArgs) -> anyhow::Result<()> {
    host::require_root()?;
    let progress = Progress::new();
    refuse_too_few_nodes(options)?;
    // A build takes long, and other clusters of this host need not wait for it.
    let binaries = match is_up(cluster) {
        true => None,
        false => Some(programs(&progress).await?),
    };
    let _guard = Cluster::lock()?;
    refuse_other_nodes(cluster, options)?;
    if let Some(backup) = &options.restore {
        let what = || format!("read the backup {}", backup.display());
        controlplane_store_sqlite::inspect(backup).with_context(what)?;
    }
    // Another command may have changed it meanwhile.
    if is_up(cluster) {
        let client = client::admin(cluster).await?;
        progress.line(&format!(
            "Cluster {} is up already; nothing was changed.",
            cluster.name()
        ));
        return summary::print(cluster, &client, &progress).await;
    }
    let binaries = match binaries {
        Some(binaries) => binaries,
        None => programs(&progress).await?,
    };
    let client = Box::pin(start(cluster, options, binaries, &progress)).await?;
    if !options.no_demo {
        Box::pin(run_demo(cluster, &client, &progress)).await?;
    }
    progress.line(&format!(
        "\nCluster {} is up in {:.1} s.\n",
        cluster.name(),
        progress.seconds()
    ));
    summary::print(cluster, &client, &progress).await
}

fn is_up(cluster: &Cluster) -> bool {
    cluster.nodes().iter().all(daemons::all_active)
}

fn refuse_too_few_nodes(options: &UpArgs) -> anyhow::Result<()> {
    let (nodes, servers) = (options.nodes, options.servers.unwrap_or(1));
    ensure!(
        nodes.is_none_or(|nodes| nodes >= servers),
        "--nodes {} is fewer than --servers {servers}, and every server is a node, too: leave --nodes out, or give {servers} or more",
        nodes.unwrap_or_default()
    );
    Ok(())
}

/// A cluster that is there has the nodes it has.
fn refuse_other_nodes(cluster: &Cluster, options: &UpArgs) -> anyhow::Result<()> {
    let Some(record) = cluster.record()? else {
        return Ok(());
    };
    ensure!(
        options.restore.is_none(),
        "cluster {0} is there already, and a backup is restored into a new one: give it another --name, or take this one \
         down with `floe down --name {0}`",
        cluster.name()
    );
    ensure!(
        options.on_host || record.on_host.is_none(),
        "cluster {0} is this host itself; start it with `floe up --on-host --name {0}`",
        cluster.name()
    );
    ensure!(
        !options.on_host || record.on_host.is_some(),
        "cluster {0} has machines of its own; take it down first, or give the one on this host another --name",
        cluster.name()
    );
    if let Some(wanted) = options.servers {
        ensure!(
            usize::from(wanted) == record.servers.len(),
            "cluster {0} has {1} server(s) and --servers asks for {wanted}; use `floe node add --server --name {0}` or `floe \
             server remove`, or take the cluster down first",
            cluster.name(),
            record.servers.len()
        );
    }
    match options.nodes {
        Some(wanted) if usize::from(wanted) != record.nodes.len() => bail!(
            "cluster {0} has {1} node(s) and --nodes asks for {wanted}; use `floe node add --name {0}` or \
             `floe node rm NODE --name {0}`, or take the cluster down first",
            cluster.name(),
            record.nodes.len()
        ),
        _ => Ok(()),
    }
}

async fn start(
    cluster: &Cluster,
    options: &UpArgs,
    binaries: PathBuf,
    progress: &Progress,
) -> anyhow::Result<Client> {
    let since = progress::moment();
    if options.on_host {
        on_host::begin(cluster, &binaries, progress).await?;
        wait_control_plane(cluster, progress).await?;
    } else {
        let parts = parts(binaries, progress).await?;
        let record = machines::begin(cluster, options, &parts, progress).await?;
        wait_control_plane(cluster, progress).await?;
        machines::join(cluster, &record, &parts, progress).await?;
        wait_servers(cluster, &record, progress).await?;
    }
    let client = client::admin(cluster).await?;
    let joined = Box::pin(wait_joined(&client, cluster, since));
    progress.step("nodes", joined).await?;
    Ok(client)
}

/// Waits until the API server answers, with a progress line.
pub(crate) async fn wait_control_plane(cluster: &Cluster, progress: &Progress) -> anyhow::Result<()> {
    progress
        .step("control plane", async {
            daemons::wait_active(&cluster.first(), daemons::CONTROL_PLANE)?;
            Ok(((), "API server answers".to_owned()))
        })
        .await
}

/// Waits until the server of `place`, one of several, votes, with a progress line.
pub(crate) async fn wait_server(cluster: &Cluster, place: &Place, progress: &Progress) -> anyhow::Result<()> {
    let wait = async {
        daemons::wait_active(place, daemons::CONTROL_PLANE)?;
        let client = client::admin(cluster).await?;
        group::wait_vote(&client, place.name(), PATIENCE).await?;
        Ok(((), format!("{} votes", place.name())))
    };
    progress.step("server", Box::pin(wait)).await
}

/// Waits until every server of `record` votes, where there are several.
pub(crate) async fn wait_servers(
    cluster: &Cluster,
    record: &Record,
    progress: &Progress,
) -> anyhow::Result<()> {
    if record.servers.len() == 1 {
        return Ok(());
    }
    let wait = async {
        for place in cluster.servers() {
            daemons::wait_active(&place, daemons::CONTROL_PLANE)?;
        }
        let client = client::admin(cluster).await?;
        for place in cluster.servers() {
            group::wait_vote(&client, place.name(), PATIENCE).await?;
        }
        Ok(((), format!("{} vote", record.servers.len())))
    };
    progress.step("servers", Box::pin(wait)).await
}

/// Waits until the agent of `place` runs and, told since `since`, its node is Ready.
pub(crate) async fn wait_ready(client: &Client, place: &Place, since: Timestamp) -> anyhow::Result<()> {
    daemons::wait_active(place, daemons::AGENT)?;
    Box::pin(daemons::wait_node_ready(client, place, since)).await
}

/// Waits until all running nodes are Ready.
async fn wait_joined(client: &Client, cluster: &Cluster, since: Timestamp) -> anyhow::Result<((), String)> {
    let nodes = cluster.nodes();
    let running: Vec<_> = nodes.iter().filter(|place| place.is_running()).collect();
    let ready = running.iter().map(|place| wait_ready(client, place, since));
    futures::future::try_join_all(ready).await?;
    let names: Vec<_> = running.iter().map(|place| place.name()).collect();
    let verb = if names.len() == 1 { "is" } else { "are" };
    Ok(((), format!("{} {verb} Ready", names.join(", "))))
}

/// The record of an earlier `up`, or a new one.
fn decide(cluster: &Cluster, options: &UpArgs, on_host: Option<String>) -> anyhow::Result<Record> {
    if let Some(record) = cluster.record()? {
        return Ok(record);
    }
    let servers = options.servers.unwrap_or(FIRST);
    let record = Record {
        subnet: free_subnet(&Cluster::subnets_in_use()?)?,
        nodes: (FIRST..=options.nodes.unwrap_or(servers)).collect(),
        servers: (FIRST..=servers).collect(),
        on_host,
    };
    std::fs::create_dir_all(cluster.dir()).with_context(|| format!("create {}", cluster.dir().display()))?;
    cluster.save(&record)?;
    Ok(record)
}

async fn run_demo(cluster: &Cluster, client: &Client, progress: &Progress) -> anyhow::Result<()> {
    progress
        .step("demo image", async {
            let (archive, said) = demo::archive(Path::new(CACHE))?;
            for place in cluster.nodes() {
                crate::image::load_on(&place, &archive)?;
            }
            Ok(((), said))
        })
        .await?;
    progress
        .step("demo pods", async {
            demo::apply(client).await?;
            let ready = Box::pin(demo::wait_ready(client)).await?;
            Ok(((), format!("{ready} replicas are ready")))
        })
        .await
}
