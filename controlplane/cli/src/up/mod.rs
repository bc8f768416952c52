//! `floe up`: a cluster on this host, and a demo in it.

mod binaries;
mod daemons;
mod node;
mod summary;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use controlplane_machine::{Machine, MachineSpec, RootSpec, free_subnet};
use jiff::Timestamp;
use kube::Client;

use crate::cluster::{CACHE, Cluster, FIRST, Record};
use crate::progress::{self, Progress};
use crate::{client, demo, host};

pub(crate) use node::Parts;

/// How long a daemon or a pod may take before `up` gives up and shows why.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Root file system of a node: a systemd, and what pods and their network need.
const NODE_ROOT: RootSpec = RootSpec {
    suite: "bookworm",
    variant: "minbase",
    packages: &[
        "busybox-static",
        "crun",
        "dbus",
        "iproute2",
        "nftables",
        "procps",
        "systemd",
        "systemd-sysv",
    ],
};

/// Options of `floe up`.
#[derive(Debug, clap::Args)]
pub(crate) struct UpArgs {
    /// Start the cluster alone, without the demo.
    #[arg(long)]
    no_demo: bool,
    /// How many nodes the cluster gets, 1 to 5; as many as it had where it is started again, else 1.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=5))]
    nodes: Option<u8>,
}

/// Starts `cluster`; on one that is up already, changes nothing and says so.
pub(crate) async fn run(cluster: &Cluster, options: &UpArgs) -> anyhow::Result<()> {
    host::require_root()?;
    let progress = Progress::new();
    let _guard = Cluster::lock()?;
    refuse_other_number(cluster, options)?;
    if cluster.machines().iter().all(daemons::all_active) {
        let client = client::admin(cluster).await?;
        progress.line(&format!(
            "Cluster {} is up already; nothing was changed.",
            cluster.name()
        ));
        return summary::print(cluster, &client, &progress).await;
    }
    let client = start(cluster, options, &progress).await?;
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

/// A cluster that is there has as many nodes as it has.
fn refuse_other_number(cluster: &Cluster, options: &UpArgs) -> anyhow::Result<()> {
    let Some(record) = cluster.record()? else {
        return Ok(());
    };
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

/// Sees to the host, the daemons and the root file system, a progress line each.
pub(crate) async fn parts(progress: &Progress) -> anyhow::Result<Parts> {
    progress
        .step("host", async { host::prepare().map(|said| ((), said)) })
        .await?;
    let binaries = progress.step("daemons", async { binaries::locate() }).await?;
    let root = progress.step("root file system", async { root() }).await?;
    Ok(Parts { root, binaries })
}

async fn start(cluster: &Cluster, options: &UpArgs, progress: &Progress) -> anyhow::Result<Client> {
    let parts = parts(progress).await?;
    let since = progress::moment();
    let record = decide(cluster, options.nodes.unwrap_or(FIRST))?;
    let machine = cluster.first_machine();
    progress
        .step("machine", async {
            cluster
                .bridge()
                .create(record.subnet)
                .context("make the cluster's bridge")?;
            let spec = node::spec(cluster, &record, &parts, FIRST)?;
            boot(&machine, &spec)?;
            Ok(((), format!("{} at {}", machine.name(), spec.address)))
        })
        .await?;
    progress
        .step("control plane", async {
            daemons::wait_active(&machine, daemons::CONTROL_PLANE)?;
            Ok(((), "API server answers".to_owned()))
        })
        .await?;
    let client = client::admin(cluster).await?;
    let further: Vec<u8> = record
        .nodes
        .iter()
        .copied()
        .filter(|number| *number != FIRST)
        .collect();
    if !further.is_empty() {
        let booted = async {
            boot_beside(cluster, &record, &parts, &further)?;
            Ok(((), format!("{} more", further.len())))
        };
        progress.step("machines", booted).await?;
    }
    let joined = Box::pin(wait_joined(&client, cluster, since));
    progress.step("nodes", joined).await?;
    Ok(client)
}

fn boot(machine: &Machine, spec: &MachineSpec) -> anyhow::Result<()> {
    machine
        .boot(spec)
        .with_context(|| format!("boot machine {}", machine.name()))
}

/// Boots the machines of `numbers` beside each other; the control plane must run.
pub(crate) fn boot_beside(
    cluster: &Cluster,
    record: &Record,
    parts: &Parts,
    numbers: &[u8],
) -> anyhow::Result<()> {
    let boot_one = |number: u8| {
        boot(
            &cluster.numbered(number),
            &node::spec(cluster, record, parts, number)?,
        )
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = numbers
            .iter()
            .map(|&number| scope.spawn(move || boot_one(number)))
            .collect();
        let ended = running.into_iter().map(|thread| {
            thread
                .join()
                .unwrap_or_else(|_| bail!("the thread that boots a machine panicked"))
        });
        ended.collect()
    })
}

/// Waits until the agent of `machine` runs and, told since `since`, its node is Ready.
pub(crate) async fn wait_ready(client: &Client, machine: &Machine, since: Timestamp) -> anyhow::Result<()> {
    daemons::wait_active(machine, daemons::AGENT)?;
    Box::pin(daemons::wait_node_ready(client, machine, since)).await
}

/// Waits until the nodes of all running machines are Ready.
async fn wait_joined(client: &Client, cluster: &Cluster, since: Timestamp) -> anyhow::Result<((), String)> {
    let machines = cluster.machines();
    let running: Vec<_> = machines
        .iter()
        .filter(|machine| machine.leader().is_some())
        .collect();
    let ready = running.iter().map(|machine| wait_ready(client, machine, since));
    futures::future::try_join_all(ready).await?;
    let names: Vec<_> = running.iter().map(|machine| machine.name()).collect();
    let verb = if names.len() == 1 { "is" } else { "are" };
    Ok(((), format!("{} {verb} Ready", names.join(", "))))
}

fn root() -> anyhow::Result<(PathBuf, String)> {
    let cache = Path::new(CACHE);
    let said = if NODE_ROOT.is_cached(cache) {
        "cached"
    } else {
        "made with mmdebstrap"
    };
    let root = NODE_ROOT
        .ensure(cache)
        .context("make the nodes' root file system")?;
    Ok((root.path, format!("{} ({said})", NODE_ROOT.suite)))
}

/// The record of an earlier `up`, or a new one.
fn decide(cluster: &Cluster, nodes: u8) -> anyhow::Result<Record> {
    if let Some(record) = cluster.record()? {
        return Ok(record);
    }
    let record = Record {
        subnet: free_subnet(&Cluster::subnets_in_use()?)?,
        nodes: (FIRST..=nodes).collect(),
    };
    std::fs::create_dir_all(cluster.dir()).with_context(|| format!("create {}", cluster.dir().display()))?;
    cluster.save(&record)?;
    Ok(record)
}

async fn run_demo(cluster: &Cluster, client: &Client, progress: &Progress) -> anyhow::Result<()> {
    progress
        .step("demo image", async {
            let (archive, said) = demo::archive(Path::new(CACHE))?;
            for machine in cluster.machines() {
                crate::image::load_on(&machine, &archive)?;
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
