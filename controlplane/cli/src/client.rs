//! A client of a cluster's API, with the administrator's certificate.

use anyhow::Context;
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::cluster::Cluster;

/// Connects as the administrator of `cluster`.
pub(crate) async fn admin(cluster: &Cluster) -> anyhow::Result<Client> {
    cluster.require_running()?;
    let path = cluster.admin_kubeconfig();
    let kubeconfig = Kubeconfig::read_from(&path)
        .with_context(|| format!("read the administrator's kubeconfig {}", path.display()))?;
    of(kubeconfig, &KubeConfigOptions::default()).await
}

/// Connects as `kubeconfig` says.
pub(crate) async fn of(kubeconfig: Kubeconfig, options: &KubeConfigOptions) -> anyhow::Result<Client> {
    install_crypto();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, options)
        .await
        .context("understand the kubeconfig")?;
    Client::try_from(config).context("prepare a client of the API server")
}

/// Chooses the one TLS implementation that is linked; a second call changes nothing.
fn install_crypto() {
    rustls::crypto::ring::default_provider().install_default().ok();
}
