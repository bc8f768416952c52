//! Which certificates nodes may have. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;

use controlplane_pki::{CsrFacts, Usages};
use k8s_openapi::api::certificates::v1::CertificateSigningRequestSpec;
use k8s_openapi::api::core::v1::Node;

/// Group of all nodes, and the organization of their certificates.
const NODES: &str = "system:nodes";
/// Beginning of a node's user name; the rest is the node's name.
const NODE_PREFIX: &str = "system:node:";
/// Group of those who joined with a bootstrap token.
const BOOTSTRAPPERS: &str = "system:bootstrappers";

/// The signers served here; Kubernetes documentation, "Certificate Signing Requests".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SignerName {
    /// `kubernetes.io/kube-apiserver-client`: never approved by a machine.
    Client,
    /// `kubernetes.io/kube-apiserver-client-kubelet`.
    NodeClient,
    /// `kubernetes.io/kubelet-serving`.
    NodeServing,
}

impl SignerName {
    /// Recognises the signers served here.
    pub(super) fn parse(raw: &str) -> Option<Self> {
        match raw {
            "kubernetes.io/kube-apiserver-client" => Some(Self::Client),
            "kubernetes.io/kube-apiserver-client-kubelet" => Some(Self::NodeClient),
            "kubernetes.io/kubelet-serving" => Some(Self::NodeServing),
            _ => None,
        }
    }

    /// What its certificates are good for.
    pub(super) fn usages(self) -> Usages {
        match self {
            Self::Client | Self::NodeClient => Usages::Client,
            Self::NodeServing => Usages::Server,
        }
    }
}

/// Checks a request against what its signer signs at all.
pub(super) fn validate(
    signer: SignerName,
    spec: &CertificateSigningRequestSpec,
    facts: &CsrFacts,
) -> Result<(), &'static str> {
    match signer {
        SignerName::Client => usages_within(spec, "client auth"),
        SignerName::NodeClient => {
            node_subject(facts)?;
            if !facts.dns_names.is_empty() || !facts.ip_addresses.is_empty() {
                return Err("DNS and IP names are not allowed in a node's client certificate");
            }
            usages_within(spec, "client auth")
        }
        SignerName::NodeServing => {
            node_subject(facts)?;
            if facts.dns_names.is_empty() && facts.ip_addresses.is_empty() {
                return Err("a serving certificate needs a DNS or IP name");
            }
            usages_within(spec, "server auth")
        }
    }
}

fn node_subject(facts: &CsrFacts) -> Result<(), &'static str> {
    if facts.organizations != [NODES] {
        return Err("the organization must be exactly system:nodes");
    }
    if node_name(facts).is_none() {
        return Err("the common name must be system:node:<name>");
    }
    if facts.has_other_names {
        return Err("e-mail and URI names are not allowed");
    }
    Ok(())
}

/// The node a request is for.
pub(super) fn node_name(facts: &CsrFacts) -> Option<&str> {
    facts
        .common_name
        .strip_prefix(NODE_PREFIX)
        .filter(|name| !name.is_empty())
}

fn usages_within(spec: &CertificateSigningRequestSpec, required: &str) -> Result<(), &'static str> {
    let usages: BTreeSet<&str> = spec.usages.iter().flatten().map(String::as_str).collect();
    if !usages.contains(required) {
        return Err("the usages lack the one this signer is for");
    }
    let allowed = ["digital signature", "key encipherment", required];
    if usages.iter().all(|usage| allowed.contains(usage)) {
        Ok(())
    } else {
        Err("the usages name one that this signer does not sign")
    }
}

/// Whether whoever asks may have this certificate without a person's approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Approval {
    /// Yes, for this reason.
    Yes(&'static str),
    /// Not yet: the node does not have these names, or is not registered.
    NotYet,
    /// A person must decide.
    Person,
}

/// Decides about a request that is valid for its signer. `node` is the Node it names.
pub(super) fn approval(
    signer: SignerName,
    spec: &CertificateSigningRequestSpec,
    facts: &CsrFacts,
    node: Option<&Node>,
) -> Approval {
    let groups = || spec.groups.iter().flatten();
    let itself = spec.username.as_deref() == Some(&facts.common_name) && groups().any(|group| group == NODES);
    match signer {
        SignerName::NodeClient if itself => Approval::Yes("Auto approving self kubelet client certificate."),
        SignerName::NodeClient if groups().any(|group| group == BOOTSTRAPPERS) => {
            Approval::Yes("Auto approving kubelet client certificate of a bootstrapping node.")
        }
        SignerName::NodeServing if itself => {
            if node.is_some_and(|node| covers(node, facts)) {
                Approval::Yes("Auto approving kubelet serving certificate for the node's own names.")
            } else {
                Approval::NotYet
            }
        }
        SignerName::NodeClient | SignerName::NodeServing | SignerName::Client => Approval::Person,
    }
}

/// Whether all names asked for are names of the node: without this any node could have a
/// certificate in the API server's name.
fn covers(node: &Node, facts: &CsrFacts) -> bool {
    let status = node.status.as_ref();
    let addresses: Vec<&str> = status
        .iter()
        .flat_map(|status| status.addresses.iter().flatten())
        .map(|address| address.address.as_str())
        .chain(node.metadata.name.as_deref())
        .collect();
    let ips: Vec<IpAddr> = addresses.iter().filter_map(|raw| raw.parse().ok()).collect();
    facts
        .dns_names
        .iter()
        .all(|name| addresses.contains(&name.as_str()))
        && facts.ip_addresses.iter().all(|ip| ips.contains(ip))
}
