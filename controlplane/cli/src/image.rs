//! `floe image load`: images from an archive onto every node.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use controlplane_machine::{Place, run};

use crate::cluster::Cluster;
use crate::progress::Progress;

/// Loads `source`, an OCI archive or a folder in OCI layout, onto every node of `cluster`.
pub(crate) fn load(cluster: &Cluster, source: &Path) -> anyhow::Result<()> {
    cluster.require_running()?;
    if !source.exists() {
        bail!(
            "{} does not exist; give an OCI archive or a folder in OCI layout",
            source.display()
        );
    }
    let progress = Progress::new();
    // A node that is stopped now gets nothing; `floe node start` says so.
    for place in cluster.nodes().iter().filter(|place| place.is_running()) {
        let loaded = load_on(place, source)?;
        progress.line(&format!("{}: {}", place.name(), loaded.trim()));
    }
    Ok(())
}

/// Loads `source` on one node and returns what its agent says of it.
///
/// The archive is copied into the node's state first: the machine sees nothing else of this host.
pub(crate) fn load_on(place: &Place, source: &Path) -> anyhow::Result<String> {
    let incoming = place.state().join("incoming");
    std::fs::create_dir_all(&incoming).with_context(|| format!("create {}", incoming.display()))?;
    let folder =
        tempfile::tempdir_in(&incoming).with_context(|| format!("create in {}", incoming.display()))?;
    let copy = folder.path().join("image");
    run(Command::new("cp")
        .args(["--recursive", "--reflink=auto"])
        .arg(source)
        .arg(&copy))
    .with_context(|| format!("copy {} to node {}", source.display(), place.name()))?;
    let inside = place.seen_inside(&copy);
    place
        .agent(&["image", "load", &inside.to_string_lossy()])
        .with_context(|| format!("load {} on node {}", source.display(), place.name()))
}
