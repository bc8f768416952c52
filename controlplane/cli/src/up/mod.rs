//! `floe up`: a cluster on this host, and a demo in it.

mod binaries;
mod daemons;
mod node;

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use controlplane_machine::{Machine, RootSpec, free_subnet};
use kube::Client;

use crate::cluster::{CACHE, Cluster, Record};
use crate::progress::Progress;
use crate::{client, demo, host, status};

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
}

/// Starts `cluster`; on one that is up already, changes nothing and says so.
pub(crate) async fn run(cluster: &Cluster, options: &UpArgs) -> anyhow::Result<()> {
    host::require_root()?;
    let progress = Progress::new();
    let _guard = Cluster::lock()?;
    if cluster.is_running() && daemons::all_active(&cluster.first_machine()) {
        let client = client::admin(cluster).await?;
        progress.line(&format!(
            "Cluster {} is up already; nothing was changed.",
            cluster.name()
        ));
        return summary(cluster, &client, &progress).await;
    }
    let client = start(cluster, &progress).await?;
    if !options.no_demo {
        Box::pin(run_demo(cluster, &client, &progress)).await?;
    }
    progress.line(&format!(
        "\nCluster {} is up in {:.1} s.\n",
        cluster.name(),
        progress.seconds()
    ));
    summary(cluster, &client, &progress).await
}

async fn start(cluster: &Cluster, progress: &Progress) -> anyhow::Result<Client> {
    progress
        .step("host", async { host::prepare().map(|said| ((), said)) })
        .await?;
    let binaries = progress.step("daemons", async { binaries::locate() }).await?;
    let root = progress.step("root file system", async { root() }).await?;
    let machine = cluster.first_machine();
    progress
        .step("machine", async {
            let record = decide(cluster)?;
            cluster
                .bridge()
                .create(record.subnet)
                .context("make the cluster's bridge")?;
            let spec = node::spec(cluster, &record, &root, &binaries)?;
            machine
                .boot(&spec)
                .with_context(|| format!("boot machine {}", machine.name()))?;
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
    progress
        .step("node", async {
            daemons::wait_active(&machine, daemons::AGENT)?;
            Box::pin(daemons::wait_node_ready(&client, &machine)).await?;
            Ok(((), format!("{} is Ready", machine.name())))
        })
        .await?;
    Ok(client)
}

fn root() -> anyhow::Result<(std::path::PathBuf, String)> {
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
fn decide(cluster: &Cluster) -> anyhow::Result<Record> {
    if let Some(record) = cluster.record()? {
        return Ok(record);
    }
    let record = Record {
        subnet: free_subnet(&Cluster::subnets_in_use()?)?,
    };
    std::fs::create_dir_all(cluster.dir()).with_context(|| format!("create {}", cluster.dir().display()))?;
    cluster.save(&record)?;
    Ok(record)
}

async fn run_demo(cluster: &Cluster, client: &Client, progress: &Progress) -> anyhow::Result<()> {
    let machine: Machine = cluster.first_machine();
    progress
        .step("demo image", async {
            let (archive, said) = demo::archive(Path::new(CACHE))?;
            crate::image::load_on(&machine, &archive)?;
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

/// What is there now, a page of the demo, and what to type next.
async fn summary(cluster: &Cluster, client: &Client, progress: &Progress) -> anyhow::Result<()> {
    for line in status::nodes(client)
        .await?
        .into_iter()
        .chain(status::pods(client).await?)
    {
        progress.line(&line);
    }
    if let Some(page) = demo::fetch(client, &cluster.first_machine()).await? {
        progress.line(&format!("\nThe demo's page:\n{page}"));
    }
    let name = match cluster.name() {
        "floe" => String::new(),
        other => format!(" --name {other}"),
    };
    let node = cluster.first_machine();
    progress.line("Next:");
    progress.line(&format!(
        "  floe{name} kubeconfig > kubeconfig && kubectl --kubeconfig kubeconfig get pods -A"
    ));
    progress.line(&format!(
        "  floe{name} shell {} -- systemctl status 'floe-*'",
        node.name()
    ));
    progress.line(&format!("  floe{name} down"));
    Ok(())
}
