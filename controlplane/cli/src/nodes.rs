//! `floe node`: nodes come, go and fail.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use controlplane_machine::{Machine, Place};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, EvictParams, ListParams, Patch, PatchParams};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client};

use crate::cluster::{Cluster, FIRST};
use crate::progress::{self, Progress};
use crate::server::group;
use crate::{client, host, up};

/// How long the pods of a node that is removed may take to end.
const DRAIN: Duration = Duration::from_secs(120);
/// How long a node may take to power off before it is cut.
const POWER_OFF: Duration = Duration::from_secs(40);

#[derive(Debug, clap::Subcommand)]
pub(crate) enum NodeCommand {
    /// Boot one more machine and let it join.
    Add {
        /// It becomes a server, too, and votes once it has caught up.
        #[arg(long)]
        server: bool,
    },
    /// Drain a node, remove it from the cluster, and remove its machine.
    Rm {
        /// The node's name, as `floe status` shows it.
        node: String,
        /// Do not drain it: its pods are lost at once.
        #[arg(long)]
        force: bool,
    },
    /// Power a node off, as `systemctl poweroff` on it would.
    Stop {
        /// The node's name.
        node: String,
        /// Cut its power instead: nothing on it gets to know.
        #[arg(long)]
        force: bool,
    },
    /// Boot a node that was stopped.
    Start {
        /// The node's name.
        node: String,
    },
    /// Take a node off the network; it runs on alone.
    Isolate {
        /// The node's name.
        node: String,
    },
    /// Put a node that was taken off the network back.
    Heal {
        /// The node's name.
        node: String,
    },
}

/// Runs `command` on `cluster`.
pub(crate) async fn run(cluster: &Cluster, command: NodeCommand) -> anyhow::Result<()> {
    host::require_root()?;
    let progress = Progress::new();
    // Built, where they are, before others have to wait.
    let binaries = match command {
        NodeCommand::Add { .. } | NodeCommand::Start { .. } => up::programs(&progress).await?,
        _ => PathBuf::new(),
    };
    let _guard = Cluster::lock()?;
    // The first node of a cluster that is stopped can be started, too.
    if !matches!(command, NodeCommand::Start { .. }) {
        cluster.require_running()?;
    }
    match command {
        NodeCommand::Add { server } => add(cluster, server, binaries, &progress).await,
        NodeCommand::Rm { node, force } => remove(cluster, &node, force, &progress).await,
        NodeCommand::Stop { node, force } => stop(cluster, &node, force, &progress),
        NodeCommand::Start { node } => start(cluster, &node, binaries, &progress).await,
        NodeCommand::Isolate { node } => isolate(cluster, &node, &progress),
        NodeCommand::Heal { node } => heal(cluster, &node, &progress),
    }
}

async fn add(cluster: &Cluster, server: bool, binaries: PathBuf, progress: &Progress) -> anyhow::Result<()> {
    let mut record = cluster
        .record()?
        .context("the cluster's record is missing; take it down and up again")?;
    ensure!(
        record.on_host.is_none(),
        "cluster {} is this host alone; a cluster of machines can have more nodes: `floe up --nodes 3`",
        cluster.name()
    );
    let number = record.free_number()?;
    let parts = up::parts(binaries, progress).await?;
    // Written down first, so that `down` and `rm` find what is left of a boot that failed.
    record.nodes.insert(number);
    if server {
        record.servers.insert(number);
    }
    cluster.save(&record)?;
    boot_and_join(cluster, number, &parts, progress).await?;
    progress.line(&format!(
        "\nNode {} has joined cluster {} ({:.1} s). Images that were loaded from archives are not on it: \
         `floe image load` brings them.",
        cluster.numbered(number).name(),
        cluster.name(),
        progress.seconds()
    ));
    Ok(())
}

async fn boot_and_join(
    cluster: &Cluster,
    number: u8,
    parts: &up::Parts,
    progress: &Progress,
) -> anyhow::Result<()> {
    let record = cluster.record()?.context("the cluster's record is missing")?;
    let machine = cluster.numbered(number);
    let since = progress::moment();
    progress
        .step("machine", async {
            up::boot_beside(cluster, &record, parts, &[number])?;
            Ok(((), machine.name().to_owned()))
        })
        .await?;
    if record.servers.contains(&number) {
        match record.servers.len() {
            1 => up::wait_control_plane(cluster, progress).await?,
            _ => up::wait_server(cluster, &Place::Machine(machine.clone()), progress).await?,
        }
    }
    let client = client::admin(cluster).await?;
    progress
        .step("node", async {
            up::wait_ready(&client, &Place::Machine(machine.clone()), since).await?;
            Ok(((), format!("{} is Ready", machine.name())))
        })
        .await
}

async fn remove(cluster: &Cluster, node: &str, force: bool, progress: &Progress) -> anyhow::Result<()> {
    let machine = machine(cluster, node)?;
    let number = cluster.number_of(node).unwrap_or(FIRST);
    let servers = cluster.record()?.map(|record| record.servers).unwrap_or_default();
    ensure!(
        servers.len() != 1 || !servers.contains(&number),
        "{node} runs the control plane; `floe down --name {}` takes the whole cluster down",
        cluster.name()
    );
    let client = client::admin(cluster).await?;
    if servers.contains(&number) {
        let known = group::all(&client).await?;
        ensure!(
            known.iter().all(|server| server.name != node),
            "{node} is a server of the cluster; `floe server remove {node} --name {}` comes first",
            cluster.name()
        );
    }
    if !force && machine.leader().is_some() {
        progress
            .step("drain", async {
                let count = Box::pin(drain(&client, node)).await?;
                Ok(((), format!("{count} pods ended")))
            })
            .await?;
    }
    progress
        .step("machine", async {
            let patience = if force { Duration::ZERO } else { POWER_OFF };
            machine
                .stop(patience)
                .and_then(|()| machine.remove())
                .with_context(|| format!("remove machine {node}"))?;
            Ok(((), format!("{node} is gone")))
        })
        .await?;
    forget(&client, node).await?;
    if let Some(mut record) = cluster.record()? {
        record.nodes.remove(&number);
        record.servers.remove(&number);
        cluster.save(&record)?;
    }
    progress.line(&format!(
        "Node {node} is removed from cluster {} ({:.1} s).",
        cluster.name(),
        progress.seconds()
    ));
    Ok(())
}

/// Lets no new pod onto the node and evicts those it has; returns how many ended.
async fn drain(client: &Client, node: &str) -> anyhow::Result<usize> {
    let nodes = Api::<Node>::all(client.clone());
    let cordon = serde_json::json!({ "spec": { "unschedulable": true } });
    let cordoned = nodes
        .patch(node, &PatchParams::default(), &Patch::Merge(cordon))
        .await;
    match cordoned {
        // It never joined: there is nothing to drain.
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(0),
        other => other.with_context(|| format!("mark node {node} unschedulable"))?,
    };
    let on_node = ListParams::default().fields(&format!("spec.nodeName={node}"));
    let pods = Api::<Pod>::all(client.clone())
        .list(&on_node)
        .await
        .with_context(|| format!("list the pods of node {node}"))?;
    for pod in &pods.items {
        evict(client, pod).await?;
    }
    let ended = pods.items.iter().map(|pod| wait_gone(client, pod));
    let all = futures::future::try_join_all(ended);
    match tokio::time::timeout(DRAIN, all).await {
        Ok(waited) => waited.map(|gone| gone.len()),
        Err(_) => bail!(
            "the pods of node {node} have not ended after {} s; `kubectl get pods -A -o wide` shows which, and \
             `floe node rm --force` removes the node without them",
            DRAIN.as_secs()
        ),
    }
}

async fn evict(client: &Client, pod: &Pod) -> anyhow::Result<()> {
    let (api, name) = located(client, pod);
    match api.evict(name, &EvictParams::default()).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => other.map(drop).with_context(|| format!("evict pod {name}")),
    }
}

async fn wait_gone(client: &Client, pod: &Pod) -> anyhow::Result<()> {
    let (api, name) = located(client, pod);
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    await_condition(api, name, conditions::is_deleted(uid))
        .await
        .map(drop)
        .with_context(|| format!("wait for the end of pod {name}"))
}

fn located<'a>(client: &Client, pod: &'a Pod) -> (Api<Pod>, &'a str) {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    (Api::namespaced(client.clone(), namespace), name)
}

/// Removes the Node object; one that is not there is what was asked for.
async fn forget(client: &Client, node: &str) -> anyhow::Result<()> {
    let nodes = Api::<Node>::all(client.clone());
    match nodes.delete(node, &DeleteParams::default()).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => other
            .map(drop)
            .with_context(|| format!("remove node {node} from the API")),
    }
}

fn stop(cluster: &Cluster, node: &str, force: bool, progress: &Progress) -> anyhow::Result<()> {
    let machine = machine(cluster, node)?;
    if machine.leader().is_none() {
        progress.line(&format!("Node {node} is stopped already."));
        return Ok(());
    }
    if force {
        machine.kill();
    }
    machine
        .stop(POWER_OFF)
        .with_context(|| format!("stop machine {node}"))?;
    progress.line(&format!("Node {node} is stopped ({:.1} s).", progress.seconds()));
    Ok(())
}

async fn start(cluster: &Cluster, node: &str, binaries: PathBuf, progress: &Progress) -> anyhow::Result<()> {
    let machine = machine(cluster, node)?;
    if machine.leader().is_some() {
        progress.line(&format!("Node {node} runs already."));
        return Ok(());
    }
    let number = cluster.number_of(node).unwrap_or(FIRST);
    let parts = up::parts(binaries, progress).await?;
    boot_and_join(cluster, number, &parts, progress).await
}

fn isolate(cluster: &Cluster, node: &str, progress: &Progress) -> anyhow::Result<()> {
    running(cluster, node)?
        .isolate()
        .with_context(|| format!("take {node} off the network"))?;
    progress.line(&format!(
        "Node {node} is off the network; `floe node heal {node} --name {}` puts it back.",
        cluster.name()
    ));
    Ok(())
}

fn heal(cluster: &Cluster, node: &str, progress: &Progress) -> anyhow::Result<()> {
    running(cluster, node)?
        .heal(&cluster.bridge())
        .with_context(|| format!("put {node} back on the network"))?;
    progress.line(&format!("Node {node} is on the network."));
    Ok(())
}

fn running(cluster: &Cluster, node: &str) -> anyhow::Result<Machine> {
    let machine = machine(cluster, node)?;
    ensure!(
        machine.leader().is_some(),
        "node {node} is stopped; `floe node start {node} --name {}` boots it",
        cluster.name()
    );
    Ok(machine)
}

fn machine(cluster: &Cluster, node: &str) -> anyhow::Result<Machine> {
    match cluster.node(node)? {
        Place::Machine(machine) => Ok(machine),
        Place::Host { name, .. } => {
            bail!("{name} is this host itself; `floe node` works on machines that `floe up` made")
        }
    }
}
