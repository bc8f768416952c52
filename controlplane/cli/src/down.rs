//! `floe down`: stops a cluster and removes every trace of it.

use std::time::Duration;

use anyhow::Context;
use controlplane_machine::{Keep, Place, close_uplink};

use crate::cluster::Cluster;
use crate::host;
use crate::progress::Progress;

/// Stops the machines of `cluster` and removes its links and files, also after a half-failed `up`.
pub(crate) fn run(cluster: &Cluster, keep: Keep) -> anyhow::Result<()> {
    host::require_root()?;
    let progress = Progress::new();
    let _guard = Cluster::lock()?;
    if !cluster.is_there() {
        progress.line(&format!("There is no cluster {}; nothing to do.", cluster.name()));
        return Ok(());
    }
    take_down(cluster, keep)?;
    let left = match keep {
        Keep::Nothing => "Nothing of it is left",
        Keep::State => "Its state is kept for the next `up`",
    };
    progress.line(&format!(
        "Cluster {} is down ({:.1} s). {left}.",
        cluster.name(),
        progress.seconds()
    ));
    Ok(())
}

/// Every part is taken down even where one before it failed; the first failure is reported.
fn take_down(cluster: &Cluster, keep: Keep) -> anyhow::Result<()> {
    let nodes = cluster.nodes();
    let stopped: Vec<_> = nodes.iter().map(|place| stop(place, keep)).collect();
    let bridge = cluster.bridge();
    let unlinked = bridge.remove().context("remove the cluster's bridge");
    let closed = close_uplink(&bridge).context("close the machines' way to other networks");
    stopped.into_iter().collect::<anyhow::Result<()>>()?;
    unlinked.and(closed)?;
    if keep == Keep::Nothing && cluster.dir().exists() {
        std::fs::remove_dir_all(cluster.dir())
            .with_context(|| format!("remove {}", cluster.dir().display()))?;
        Cluster::remove_shared_folders();
    }
    Ok(())
}

fn stop(place: &Place, keep: Keep) -> anyhow::Result<()> {
    let name = place.name();
    // Pods whose state is kept get the grace they ask for by default; others have nothing to save.
    let patience = Duration::from_secs(if keep == Keep::State { 40 } else { 5 });
    place
        .stop(patience)
        .with_context(|| format!("stop node {name}"))?;
    place
        .remove(keep)
        .with_context(|| format!("remove what is left of node {name}"))
}
