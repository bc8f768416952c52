//! What `up` prints at its end.

use kube::Client;

use crate::cluster::Cluster;
use crate::progress::Progress;
use crate::{demo, status};

/// What is there now, a page of the demo, and what to type next.
pub(super) async fn print(cluster: &Cluster, client: &Client, progress: &Progress) -> anyhow::Result<()> {
    for line in status::nodes(client)
        .await?
        .into_iter()
        .chain(status::pods(client).await?)
    {
        progress.line(&line);
    }
    if let Some(page) = demo::fetch(client, cluster).await? {
        progress.line(&format!("\nThe demo's page:\n{page}"));
    }
    let name = match cluster.name() {
        "floe" => String::new(),
        other => format!(" --name {other}"),
    };
    let node = cluster.first();
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
