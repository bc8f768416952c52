//! Certificates and kubeconfigs, made on the first start and kept valid on later ones.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use controlplane_apiserver::{NodeClient, ServingCertificate};
use controlplane_pki::{
    CertificateAuthority, CertificateFacts, Issued, Request, ServiceAccountKeys, kubeconfig, write_private,
};
use controlplane_raft::{ServerId, tls};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::config::Config;

/// How soon a renewal that failed is tried again.
const RETRY: Duration = Duration::from_secs(60);

/// How long at most until the clock is looked at again.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// What the daemon proves itself with.
#[derive(Debug)]
pub(crate) struct Identities {
    pub(crate) authority: Arc<CertificateAuthority>,
    /// The certificate of the authority for proxies before extension API servers.
    pub(crate) front_proxy_pem: String,
    /// For the API's own port.
    pub(crate) serving: ServingCertificate,
    /// For calls to nodes.
    pub(crate) to_nodes: NodeClient,
    /// For other servers.
    pub(crate) to_servers: tls::Identity,
    /// With what tokens of service accounts are signed.
    pub(crate) accounts: ServiceAccountKeys,
    /// When all are to be issued anew.
    renew_at: Timestamp,
    names: Names,
}

/// Names and addresses of the API's own port.
#[derive(Debug, Clone)]
struct Names {
    dns: Vec<String>,
    addresses: Vec<IpAddr>,
    server: ServerId,
}

/// Makes or loads the authorities, issues what this process needs, and writes the kubeconfigs.
///
/// Leaf certificates are issued anew at each start, so that names follow the configuration.
///
/// # Errors
///
/// Where the state directory cannot be written, or holds something damaged.
pub(crate) fn prepare(config: &Config, server: ServerId, now: Timestamp) -> anyhow::Result<Identities> {
    let pki = config.state_dir.join("pki");
    let load = |name: &str, common_name: &str| {
        let dir = pki.join(name);
        CertificateAuthority::load_or_create(&dir, common_name, now)
            .with_context(|| format!("prepare the certificate authority in {}", dir.display()))
    };
    let authority = load("ca", &format!("{}-ca", config.cluster_name))?;
    let front_proxy = load(
        "front-proxy-ca",
        &format!("{}-front-proxy-ca", config.cluster_name),
    )?;
    let accounts =
        ServiceAccountKeys::load_or_create(&pki.join("sa")).context("prepare the service account keys")?;
    write_kubeconfigs(config, &authority, now)?;
    let names = Names {
        dns: dns_names(config),
        addresses: addresses(config),
        server,
    };
    let pair = Pair::issue(&authority, &names, now)?;
    let (serving, to_nodes) = (&pair.serving, &pair.to_nodes);
    let to_servers = tls::Identity::new(authority.certificate_pem(), borrowed(&pair.to_servers))?;
    Ok(Identities {
        serving: ServingCertificate::new(&serving.certificate_pem, &serving.key_pem)?,
        to_nodes: NodeClient::new(
            authority.certificate_pem(),
            &to_nodes.certificate_pem,
            &to_nodes.key_pem,
        )?,
        to_servers,
        accounts,
        front_proxy_pem: front_proxy.certificate_pem().to_owned(),
        renew_at: pair.renew_at()?,
        authority: Arc::new(authority),
        names,
    })
}

/// The certificates of this process.
struct Pair {
    serving: Issued,
    to_nodes: Issued,
    to_servers: Issued,
}

fn borrowed(issued: &Issued) -> tls::Pair<'_> {
    tls::Pair {
        certificate: &issued.certificate_pem,
        key: &issued.key_pem,
    }
}

impl Pair {
    fn issue(authority: &CertificateAuthority, names: &Names, now: Timestamp) -> anyhow::Result<Self> {
        let issue = |request: &Request| authority.issue(request, now).context("issue a certificate");
        let Names {
            dns,
            addresses,
            server,
        } = names.clone();
        Ok(Self {
            serving: issue(&Request::server("kube-apiserver", dns, addresses))?,
            to_nodes: issue(&Request::client(
                "kube-apiserver-kubelet-client",
                Some("system:masters"),
            ))?,
            to_servers: issue(&tls::certificate_request(server))?,
        })
    }

    fn renew_at(&self) -> anyhow::Result<Timestamp> {
        let at =
            |issued: &Issued| CertificateFacts::parse(&issued.certificate_pem).map(|facts| facts.renew_at());
        Ok(at(&self.serving)?
            .min(at(&self.to_nodes)?)
            .min(at(&self.to_servers)?))
    }
}

impl Identities {
    /// Issues all certificates anew before they expire, until `stop`; nothing is restarted for it.
    pub(crate) async fn keep_valid(mut self, stop: CancellationToken) {
        loop {
            let left = self.renew_at.duration_since(Timestamp::now());
            // Looked at once a day, so that a clock that is set wrong does not matter for long.
            let pause = Duration::try_from(left).unwrap_or_default().clamp(RETRY, LONGEST);
            tokio::select! {
                // Cancel-safe: a token stays cancelled.
                () = stop.cancelled() => return,
                // Cancel-safe: a dropped sleep loses nothing.
                () = tokio::time::sleep(pause) => {}
            }
            if Timestamp::now() < self.renew_at {
                continue;
            }
            match self.renew() {
                Ok(()) => info!("certificates renewed"),
                Err(error) => error!(error = &*error, "certificates could not be renewed, trying again"),
            }
        }
    }

    fn renew(&mut self) -> anyhow::Result<()> {
        let pair = Pair::issue(&self.authority, &self.names, Timestamp::now())?;
        self.serving
            .replace(&pair.serving.certificate_pem, &pair.serving.key_pem)?;
        let authority = self.authority.certificate_pem();
        self.to_nodes
            .replace(authority, &pair.to_nodes.certificate_pem, &pair.to_nodes.key_pem)?;
        self.to_servers.replace(authority, borrowed(&pair.to_servers))?;
        self.renew_at = pair.renew_at()?;
        Ok(())
    }
}

fn dns_names(config: &Config) -> Vec<String> {
    let domain = &config.cluster_domain;
    let mut names = [
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
    ]
    .map(str::to_owned)
    .to_vec();
    names.push(format!("kubernetes.default.svc.{domain}"));
    names.extend(
        config
            .cert_names
            .iter()
            .filter(|name| name.parse::<IpAddr>().is_err())
            .cloned(),
    );
    names
}

fn addresses(config: &Config) -> Vec<IpAddr> {
    let mut addresses = vec![
        config.advertise.ip(),
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ];
    addresses.extend(config.network.services.hosts().next());
    addresses.extend(
        config
            .cert_names
            .iter()
            .filter_map(|name| name.parse::<IpAddr>().ok()),
    );
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// Written anew at each start, with the addresses of the configuration; copies of older ones stay valid.
fn write_kubeconfigs(
    config: &Config,
    authority: &CertificateAuthority,
    now: Timestamp,
) -> anyhow::Result<()> {
    let dir = config.state_dir.join("kubeconfig");
    let own = config.advertise.to_string();
    let server = format!("https://{}", config.public_address.as_deref().unwrap_or(&own));
    for (name, user, group) in [
        ("admin", "kubernetes-admin", Some("system:masters")),
        ("controllers", "system:kube-controller-manager", None),
        ("scheduler", "system:kube-scheduler", None),
    ] {
        let issued = authority
            .issue(&Request::client(user, group), now)
            .context("issue a certificate")?;
        let text = kubeconfig(
            &config.cluster_name,
            &server,
            authority.certificate_pem(),
            user,
            &issued.certificate_pem,
            &issued.key_pem,
        );
        write(&dir.join(format!("{name}.kubeconfig")), &text)?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    write_private(path, text).with_context(|| format!("write {}", path.display()))
}
