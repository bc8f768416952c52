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
use crate::{client, demo, host};

pub(crate) use machines::{boot_beside, parts};
pub(crate) use node::Parts;

/// How long a daemon or a pod may take before `up` gives up and shows why.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Options of `floe up`.
#[derive(Debug, clap::Args)]
pub(crate) struct UpArgs {
    /// Start the cluster alone, without the demo.
    #[arg(long)]
    no_demo: bool,
    /// How many nodes the cluster gets, 1 to 5; as many as it had where it is started again, else 1.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=5))]
    nodes: Option<u8>,
    /// Make this host itself the node, where its PID 1 is systemd; `down` gives it back as it was.
    #[arg(long, conflicts_with = "nodes")]
    on_host: bool,
    /// Begin with the objects of this backup; only for a cluster that is not there yet.
    #[arg(long, value_name = "FILE", conflicts_with = "on_host")]
    restore: Option<PathBuf>,
}

/// Starts `cluster`; on one that is up already, changes nothing and says so.
pub(crate) async fn run(cluster: &Cluster, options: &UpArgs) -> anyhow::Result<()> {
    host::require_root()?;
    let progress = Progress::new();
    let _guard = Cluster::lock()?;
    refuse_other_nodes(cluster, options)?;
    if let Some(backup) = &options.restore {
        let what = || format!("read the backup {}", backup.display());
        controlplane_store_sqlite::inspect(backup).with_context(what)?;
    }
    if cluster.nodes().iter().all(daemons::all_active) {
        let client = client::admin(cluster).await?;
        progress.line(&format!(
            "Cluster {} is up already; nothing was changed.",
            cluster.name()
        ));
        return summary::print(cluster, &client, &progress).await;
    }
    let client = Box::pin(start(cluster, options, &progress)).await?;
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

async fn start(cluster: &Cluster, options: &UpArgs, progress: &Progress) -> anyhow::Result<Client> {
    let since = progress::moment();
    let record = if options.on_host {
        on_host::begin(cluster, progress).await?
    } else {
        machines::begin(cluster, options, progress).await?
    };
    wait_control_plane(cluster, progress).await?;
    let client = client::admin(cluster).await?;
    machines::join(cluster, &record, progress).await?;
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
fn decide(cluster: &Cluster, nodes: u8, on_host: Option<String>) -> anyhow::Result<Record> {
    if let Some(record) = cluster.record()? {
        return Ok(record);
    }
    let record = Record {
        subnet: free_subnet(&Cluster::subnets_in_use()?)?,
        nodes: (FIRST..=nodes).collect(),
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
