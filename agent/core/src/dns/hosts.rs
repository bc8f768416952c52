//! `/etc/hosts`.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{HostAlias, Pod};

use super::name::{fqdn, hostname};

/// `/etc/hosts` of a pod with its own network.
#[must_use]
pub fn hosts(pod: &Pod, pod_ips: &[IpAddr], cluster_domain: &str) -> String {
    let mut text = String::from(
        "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n",
    );
    let names = match fqdn(pod, cluster_domain) {
        Some(fqdn) => format!("{fqdn}\t{}", hostname(pod)),
        None => hostname(pod),
    };
    for ip in pod_ips {
        line(&mut text, &format!("{ip}\t{names}"));
    }
    with_aliases(text, pod)
}

/// `/etc/hosts` of a pod on the node's network: the node's, and the pod's aliases.
#[must_use]
pub fn host_network_hosts(pod: &Pod, node_hosts: &str) -> String {
    with_aliases(
        format!("# Kubernetes-managed hosts file (host network).\n{node_hosts}"),
        pod,
    )
}

fn with_aliases(mut text: String, pod: &Pod) -> String {
    let aliases: &[HostAlias] = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.host_aliases.as_deref())
        .unwrap_or_default();
    if !aliases.is_empty() {
        // The node's own file may end without one.
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str("\n# Entries added by HostAliases.\n");
    }
    for alias in aliases {
        let names = alias.hostnames.as_deref().unwrap_or_default().join("\t");
        line(&mut text, &format!("{}\t{names}", alias.ip));
    }
    text
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}
