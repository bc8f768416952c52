//! Certificates and kubeconfigs, made on the first start and kept valid on later ones.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use controlplane_pki::{
    CertificateAuthority, Issued, Request, ServiceAccountKeys, kubeconfig, write_private,
};
use jiff::Timestamp;

use crate::config::Config;

/// What the daemon proves itself with.
#[derive(Debug)]
pub(crate) struct Identities {
    pub(crate) authority: Arc<CertificateAuthority>,
    /// For the API's own port.
    pub(crate) serving: Issued,
    /// For calls to nodes.
    pub(crate) to_nodes: Issued,
}

/// Makes or loads the authorities, issues what this process needs, and writes the kubeconfigs.
///
/// Leaf certificates are issued anew at each start, so that names follow the configuration.
///
/// # Errors
///
/// Where the state directory cannot be written, or holds something damaged.
pub(crate) fn prepare(config: &Config, now: Timestamp) -> anyhow::Result<Identities> {
    let pki = config.state_dir.join("pki");
    let load = |name: &str, common_name: &str| {
        let dir = pki.join(name);
        CertificateAuthority::load_or_create(&dir, common_name, now)
            .with_context(|| format!("prepare the certificate authority in {}", dir.display()))
    };
    let authority = load("ca", &format!("{}-ca", config.cluster_name))?;
    load(
        "front-proxy-ca",
        &format!("{}-front-proxy-ca", config.cluster_name),
    )?;
    ServiceAccountKeys::load_or_create(&pki.join("sa")).context("prepare the service account keys")?;
    let issue = |request: &Request| authority.issue(request, now).context("issue a certificate");
    let serving = issue(&Request::server(
        "kube-apiserver",
        dns_names(config),
        addresses(config),
    ))?;
    let to_nodes = issue(&Request::client(
        "kube-apiserver-kubelet-client",
        Some("system:masters"),
    ))?;
    write_kubeconfigs(config, &authority, now)?;
    Ok(Identities {
        authority: Arc::new(authority),
        serving,
        to_nodes,
    })
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
    addresses.extend(config.service_cidr.hosts().next());
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
    let server = format!("https://{}", config.advertise);
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
