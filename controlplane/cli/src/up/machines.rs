//! The machines of a cluster, booted.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use controlplane_machine::{Bridge, Machine, MachineSpec, RootSpec, Subnet, open_uplink};

use super::node::{self, Parts};
use super::{UpArgs, binaries, decide};
use crate::cluster::{CACHE, Cluster, FIRST, Record};
use crate::progress::Progress;
use crate::{host, restore};

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

/// Sees to the daemons; needs no lock.
pub(crate) async fn programs(progress: &Progress) -> anyhow::Result<PathBuf> {
    progress.step("daemons", async { binaries::locate() }).await
}

/// Sees to the host and the root file system, a progress line each.
pub(crate) async fn parts(binaries: PathBuf, progress: &Progress) -> anyhow::Result<Parts> {
    progress
        .step("host", async {
            host::prepare(host::FOR_MACHINES).map(|said| ((), said))
        })
        .await?;
    let root = progress.step("root file system", async { root() }).await?;
    Ok(Parts { root, binaries })
}

/// Makes the cluster's bridge and boots the machine of its first node, or of all its servers where they have been a group
/// before: one alone has no majority.
pub(super) async fn begin(
    cluster: &Cluster,
    options: &UpArgs,
    parts: &Parts,
    progress: &Progress,
) -> anyhow::Result<Record> {
    let record = decide(cluster, options, None)?;
    let founded: Vec<u8> = record
        .servers
        .iter()
        .copied()
        .filter(|number| {
            cluster
                .numbered(*number)
                .state()
                .join("controlplane/store.db")
                .exists()
        })
        .collect();
    let numbers = match founded.is_empty() {
        true => vec![FIRST],
        false => founded,
    };
    if let Some(backup) = &options.restore {
        let state_dir = cluster.first().state().join("controlplane");
        let restored = async {
            let restored = restore::into_state_dir(backup, &state_dir, None)?;
            Ok((
                (),
                format!("{} objects of revision {}", restored.objects, restored.from),
            ))
        };
        progress.step("backup", restored).await?;
    }
    progress
        .step("network", async {
            let bridge = cluster.bridge();
            bridge
                .create(record.subnet)
                .context("make the cluster's bridge")?;
            Ok(((), network(&bridge, record.subnet)))
        })
        .await?;
    progress
        .step("machine", async {
            boot_beside(cluster, &record, parts, &numbers)?;
            let at = |number: &u8| {
                let name = cluster.numbered(*number).name().to_owned();
                format!("{name} at {}", node::address(&record, *number))
            };
            Ok(((), numbers.iter().map(at).collect::<Vec<_>>().join(", ")))
        })
        .await?;
    Ok(record)
}

/// Opens the machines' way to other networks; a cluster works without.
fn network(bridge: &Bridge, subnet: Subnet) -> String {
    let net = subnet.cidr();
    match open_uplink(bridge, subnet) {
        Ok(()) => format!("{net}, other networks through this host"),
        Err(error) => format!(
            "{net}, no way to other networks: {:#}",
            anyhow::Error::from(error)
        ),
    }
}

/// Boots the machines of the other nodes, which need what the control plane has made.
pub(super) async fn join(
    cluster: &Cluster,
    record: &Record,
    parts: &Parts,
    progress: &Progress,
) -> anyhow::Result<()> {
    let stopped = |number: &u8| cluster.numbered(*number).leader().is_none();
    let others: Vec<u8> = record.nodes.iter().copied().filter(stopped).collect();
    if others.is_empty() {
        return Ok(());
    }
    let booted = async {
        boot_beside(cluster, record, parts, &others)?;
        Ok(((), format!("{} more", others.len())))
    };
    progress.step("machines", booted).await
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
