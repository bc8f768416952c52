//! A client of a cluster's API, with the administrator's certificate.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use controlplane_machine::Place;
use k8s_openapi::api::core::v1::Namespace;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};

use crate::cluster::Cluster;

/// What the verbs call themselves.
const AGENT: &str = concat!("floe/", env!("CARGO_PKG_VERSION"));

/// How long one of several servers may take to answer until the next is asked.
const PATIENCE: Duration = Duration::from_secs(2);

/// Connects as the administrator of `cluster`, to a server that answers.
pub(crate) async fn admin(cluster: &Cluster) -> anyhow::Result<Client> {
    Ok(reach(cluster).await?.0)
}

/// The administrator's kubeconfig of a server of `cluster` that answers.
pub(crate) async fn admin_kubeconfig(cluster: &Cluster) -> anyhow::Result<PathBuf> {
    Ok(reach(cluster).await?.1)
}

async fn reach(cluster: &Cluster) -> anyhow::Result<(Client, PathBuf)> {
    cluster.require_running()?;
    let servers = cluster.servers();
    let running: Vec<&Place> = servers.iter().filter(|place| place.is_running()).collect();
    // One that is alone says itself what is wrong with it.
    if let [several @ .., _] = running.as_slice()
        && !several.is_empty()
    {
        for place in &running {
            let path = Cluster::admin_kubeconfig(place);
            if let Ok(client) = read(&path).await
                && answers(&client).await
            {
                return Ok((client, path));
            }
        }
    }
    let path = Cluster::admin_kubeconfig(&cluster.first());
    Ok((read(&path).await?, path))
}

async fn read(path: &Path) -> anyhow::Result<Client> {
    let kubeconfig = Kubeconfig::read_from(path)
        .with_context(|| format!("read the administrator's kubeconfig {}", path.display()))?;
    of(kubeconfig, &KubeConfigOptions::default()).await
}

/// Whether the server shows what is there now: one without a majority of the others does not.
async fn answers(client: &Client) -> bool {
    let namespaces = Api::<Namespace>::all(client.clone());
    let asked = tokio::time::timeout(PATIENCE, namespaces.get("kube-system")).await;
    asked.is_ok_and(|answer| answer.is_ok())
}

/// Connects as `kubeconfig` says.
pub(crate) async fn of(kubeconfig: Kubeconfig, options: &KubeConfigOptions) -> anyhow::Result<Client> {
    install_crypto();
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, options)
        .await
        .context("understand the kubeconfig")?;
    // A refusal is told at once: the server itself waits for a leader, and somebody waits for the command.
    config.default_retry = false;
    // By this the server names who owns the fields that a verb writes.
    config
        .headers
        .push((http::header::USER_AGENT, http::HeaderValue::from_static(AGENT)));
    Client::try_from(config).context("prepare a client of the API server")
}

/// Chooses the one TLS implementation that is linked; a second call changes nothing.
fn install_crypto() {
    rustls::crypto::ring::default_provider().install_default().ok();
}
