//! `floe kubeconfig`.

use std::io::Write;

use anyhow::Context;

use crate::client;
use crate::cluster::Cluster;

/// Prints the administrator's kubeconfig of `cluster`: of one server that answers, where it has several.
pub(crate) async fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let path = match cluster.is_running() {
        true => client::admin_kubeconfig(cluster).await?,
        false => Cluster::admin_kubeconfig(&cluster.first()),
    };
    let text = std::fs::read(&path).with_context(|| {
        format!(
            "read {}; `floe up --name {}` makes it",
            path.display(),
            cluster.name()
        )
    })?;
    std::io::stdout().write_all(&text).context("print the kubeconfig")
}
