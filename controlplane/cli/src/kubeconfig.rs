//! `floe kubeconfig`.

use std::io::Write;

use anyhow::Context;

use crate::cluster::Cluster;

/// Prints the administrator's kubeconfig of `cluster`.
pub(crate) fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let path = cluster.admin_kubeconfig();
    let text = std::fs::read(&path).with_context(|| {
        format!(
            "read {}; `floe up --name {}` makes it",
            path.display(),
            cluster.name()
        )
    })?;
    std::io::stdout().write_all(&text).context("print the kubeconfig")
}
