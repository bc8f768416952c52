//! Who the node is: its certificates, and the API client that uses them.

mod client;
mod csr;
mod files;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use agent_server::ServingCertificate;
use anyhow::Context as _;
use kube::Client;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub(crate) use client::Renewable;
use files::{KeyPair, Store};

use crate::config::Config;
use crate::full_disk;
use crate::servers::Servers;

/// Usage and names of one of the node's two certificates.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    /// `kubernetes.io/…` signer.
    signer: &'static str,
    /// Extended usage in CSR words.
    usage: &'static str,
    /// Name of the files.
    file: &'static str,
    node: String,
    addresses: Vec<IpAddr>,
}

impl Wish {
    fn client(config: &Config) -> Self {
        Self {
            signer: "kubernetes.io/kube-apiserver-client-kubelet",
            usage: "client auth",
            file: "client",
            node: config.node_name.clone(),
            addresses: Vec::new(),
        }
    }

    fn serving(config: &Config) -> Self {
        Self {
            signer: "kubernetes.io/kubelet-serving",
            usage: "server auth",
            file: "serving",
            node: config.node_name.clone(),
            addresses: vec![config.node_ip],
        }
    }
}

/// The node's identity: a client that survives renewal, the serving certificate, the cluster's CA.
#[derive(Clone)]
pub(crate) struct Identity {
    renewable: Renewable,
    pub(crate) client: Client,
    pub(crate) serving: Arc<ServingCertificate>,
    pub(crate) ca_pem: String,
}

/// Loads the identity, or joins the cluster: repeats until it succeeds, for the API server may come later.
pub(crate) async fn establish(config: &Config, servers: &Servers) -> anyhow::Result<Identity> {
    let ca_pem = std::fs::read_to_string(&config.ca_file)
        .with_context(|| format!("read the cluster's CA certificate {}", config.ca_file.display()))?;
    let store = Store::open(&config.state_dir.join("pki"))?;
    let pair = match store.load("client") {
        Some(pair) if !pair.is_expired(crate::clock::now()) => pair,
        Some(_) | None => join(config, servers, &ca_pem, &store).await?,
    };
    let renewable = Renewable::new(client::with_certificate(&ca_pem, &pair)?, servers.clone());
    let client = renewable.client();
    let serving = serving_pair(config, &store)?;
    let serving = ServingCertificate::new(&serving.certificate_pem, &serving.key_pem)?;
    Ok(Identity {
        renewable,
        client,
        serving,
        ca_pem,
    })
}

async fn join(config: &Config, servers: &Servers, ca_pem: &str, store: &Store) -> anyhow::Result<KeyPair> {
    let file = config.bootstrap_token_file.as_ref().context(
        "no client certificate and no bootstrap token; set the key bootstrap_token_file to join the cluster",
    )?;
    let token = std::fs::read_to_string(file)
        .with_context(|| format!("read the bootstrap token {}", file.display()))?;
    let bootstrap = client::with_token(ca_pem, token.trim())?;
    let bootstrap = Renewable::new(bootstrap, servers.clone()).client();
    let pair = obtain_for_sure(&bootstrap, &Wish::client(config), store).await;
    info!(node = %config.node_name, "node joined the cluster");
    Ok(pair)
}

/// The serving certificate kept from before; else one signed by itself, until [`renew`] has a real one:
/// the signer wants to see the node's addresses in its object first.
fn serving_pair(config: &Config, store: &Store) -> anyhow::Result<KeyPair> {
    match kept_serving(config, store) {
        Some(pair) => Ok(pair),
        None => files::self_signed(&config.node_name),
    }
}

fn kept_serving(config: &Config, store: &Store) -> Option<KeyPair> {
    let wish = Wish::serving(config);
    store
        .load(wish.file)
        .filter(|pair| !pair.is_expired(crate::clock::now()) && pair.covers(&wish.addresses))
}

/// Asks for a certificate until there is one, with a growing pause.
async fn obtain_for_sure(client: &Client, wish: &Wish, store: &Store) -> KeyPair {
    let mut pause = Duration::from_millis(200);
    loop {
        match csr::obtain(client, wish, store).await {
            Ok(pair) => return pair,
            Err(error) => warn!(
                error = full_disk::chain(&error),
                signer = wish.signer,
                "certificate not obtained"
            ),
        }
        tokio::time::sleep(pause.mul_f64(rand::random_range(0.8..1.2))).await;
        pause = (pause * 2).min(Duration::from_secs(10));
    }
}

/// Gets the serving certificate once the node is `registered`, and renews both before they expire,
/// until `stop`.
pub(crate) async fn renew(
    identity: Identity,
    config: Config,
    mut registered: watch::Receiver<bool>,
    stop: CancellationToken,
) {
    let work = async {
        let Ok(store) = Store::open(&config.state_dir.join("pki")) else {
            return;
        };
        if registered.wait_for(|done| *done).await.is_err() {
            return;
        }
        loop {
            let now = crate::clock::now();
            let client = store
                .load("client")
                .map_or(Duration::ZERO, |pair| pair.renew_in(now));
            let serving = kept_serving(&config, &store).map_or(Duration::ZERO, |pair| pair.renew_in(now));
            let (wait, wish) = if serving <= client {
                (serving, Wish::serving(&config))
            } else {
                (client, Wish::client(&config))
            };
            tokio::time::sleep(wait).await;
            if let Err(error) = renew_one(&identity, &store, &wish).await {
                warn!(
                    error = full_disk::chain(&error),
                    signer = wish.signer,
                    "certificate not renewed"
                );
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
        }
    };
    stop.run_until_cancelled(work).await;
}

async fn renew_one(identity: &Identity, store: &Store, wish: &Wish) -> anyhow::Result<()> {
    let pair = csr::obtain(&identity.client, wish, store).await?;
    if wish.file == "client" {
        identity
            .renewable
            .replace(client::with_certificate(&identity.ca_pem, &pair)?);
    } else {
        identity.serving.replace(&pair.certificate_pem, &pair.key_pem)?;
    }
    info!(signer = wish.signer, "certificate renewed");
    Ok(())
}
