//! The texts of a pod's host name, `/etc/hosts` and `/etc/resolv.conf`.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{HostAlias, Pod, PodDNSConfig, PodSpec};

/// The pod's host name: `spec.hostname`, else its name, cut at 63 bytes.
#[must_use]
pub fn hostname(pod: &Pod) -> String {
    let wished = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.hostname.as_deref())
        .filter(|name| !name.is_empty());
    let name = wished.or(pod.metadata.name.as_deref()).unwrap_or_default();
    let cut: String = name.chars().take(63).collect();
    cut.trim_end_matches(['-', '.']).to_owned()
}

/// The pod's fully qualified name, where it has a subdomain.
#[must_use]
pub fn fqdn(pod: &Pod, cluster_domain: &str) -> Option<String> {
    let subdomain = pod
        .spec
        .as_ref()?
        .subdomain
        .as_deref()
        .filter(|name| !name.is_empty())?;
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    Some(format!(
        "{}.{subdomain}.{namespace}.svc.{cluster_domain}",
        hostname(pod)
    ))
}

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

/// The cluster's name service.
#[derive(Debug, Clone, Copy)]
pub struct ClusterDns<'a> {
    /// Address of the cluster's name server.
    pub server: IpAddr,
    /// The cluster's domain.
    pub domain: &'a str,
}

#[derive(Debug, Default)]
struct Resolver {
    servers: Vec<String>,
    searches: Vec<String>,
    options: Vec<String>,
}

/// `/etc/resolv.conf` by the pod's DNS policy and `dnsConfig`; `node` is the node's own text.
#[must_use]
pub fn resolv_conf(pod: &Pod, node: &str, cluster: ClusterDns<'_>) -> String {
    let Some(spec) = pod.spec.as_ref() else {
        return node.to_owned();
    };
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let mut resolver = by_policy(spec, namespace, node, cluster);
    if let Some(config) = &spec.dns_config {
        merge(&mut resolver, config);
    }
    render(&resolver)
}

fn by_policy(spec: &PodSpec, namespace: &str, node: &str, cluster: ClusterDns<'_>) -> Resolver {
    let on_host = spec.host_network == Some(true);
    match spec.dns_policy.as_deref() {
        Some("None") => Resolver::default(),
        Some("Default") => parse(node),
        Some("ClusterFirstWithHostNet") => cluster_first(namespace, node, cluster),
        _ if on_host => parse(node),
        _ => cluster_first(namespace, node, cluster),
    }
}

fn cluster_first(namespace: &str, node: &str, cluster: ClusterDns<'_>) -> Resolver {
    let domain = cluster.domain;
    let mut searches = vec![
        format!("{namespace}.svc.{domain}"),
        format!("svc.{domain}"),
        domain.to_owned(),
    ];
    let more: Vec<String> = parse(node)
        .searches
        .into_iter()
        .filter(|name| !searches.contains(name))
        .collect();
    searches.extend(more);
    Resolver {
        servers: vec![cluster.server.to_string()],
        searches,
        options: vec!["ndots:5".to_owned()],
    }
}

fn parse(text: &str) -> Resolver {
    let mut resolver = Resolver::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let keyword = words.next();
        let rest = words.map(ToOwned::to_owned);
        match keyword {
            Some("nameserver") => resolver.servers.extend(rest.take(1)),
            Some("search" | "domain") => resolver.searches = rest.collect(),
            Some("options") => resolver.options = rest.collect(),
            Some(_) | None => {}
        }
    }
    resolver
}

fn merge(resolver: &mut Resolver, config: &PodDNSConfig) {
    append_new(&mut resolver.servers, config.nameservers.iter().flatten());
    append_new(&mut resolver.searches, config.searches.iter().flatten());
    for option in config.options.iter().flatten() {
        let Some(name) = option.name.as_deref() else {
            continue;
        };
        resolver
            .options
            .retain(|known| known.split(':').next() != Some(name));
        resolver.options.push(match option.value.as_deref() {
            Some(value) if !value.is_empty() => format!("{name}:{value}"),
            Some(_) | None => name.to_owned(),
        });
    }
}

fn append_new<'a>(list: &mut Vec<String>, more: impl Iterator<Item = &'a String>) {
    for item in more {
        if !list.contains(item) {
            list.push(item.clone());
        }
    }
}

fn render(resolver: &Resolver) -> String {
    let mut text = String::new();
    if !resolver.searches.is_empty() {
        line(&mut text, &format!("search {}", resolver.searches.join(" ")));
    }
    for server in resolver.servers.iter().take(3) {
        line(&mut text, &format!("nameserver {server}"));
    }
    if !resolver.options.is_empty() {
        line(&mut text, &format!("options {}", resolver.options.join(" ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(policy: &str, host_network: bool) -> Pod {
        let mut pod = Pod::default();
        pod.metadata.name = Some("web-0".to_owned());
        pod.metadata.namespace = Some("shop".to_owned());
        pod.spec = Some(PodSpec {
            dns_policy: Some(policy.to_owned()),
            host_network: Some(host_network),
            ..PodSpec::default()
        });
        pod
    }

    fn resolved(pod: &Pod) -> String {
        let cluster = ClusterDns {
            server: "10.43.0.10".parse().unwrap(),
            domain: "cluster.local",
        };
        resolv_conf(pod, "nameserver 1.1.1.1\nsearch corp\n", cluster)
    }

    #[test]
    fn cluster_first_asks_the_cluster_and_keeps_the_nodes_searches() {
        assert_eq!(
            resolved(&pod("ClusterFirst", false)),
            "search shop.svc.cluster.local svc.cluster.local cluster.local corp\nnameserver 10.43.0.10\noptions ndots:5\n"
        );
    }

    #[test]
    fn default_and_cluster_first_on_the_host_network_ask_whom_the_node_asks() {
        let node = "search corp\nnameserver 1.1.1.1\n";
        assert_eq!(resolved(&pod("Default", false)), node);
        assert_eq!(resolved(&pod("ClusterFirst", true)), node);
        assert_ne!(resolved(&pod("ClusterFirstWithHostNet", true)), node);
    }

    #[test]
    fn none_holds_what_the_pod_says_alone() {
        let mut pod = pod("None", false);
        let config = PodDNSConfig {
            nameservers: Some(vec!["9.9.9.9".to_owned()]),
            searches: Some(vec!["x".to_owned()]),
            ..PodDNSConfig::default()
        };
        pod.spec.as_mut().unwrap().dns_config = Some(config);
        assert_eq!(resolved(&pod), "search x\nnameserver 9.9.9.9\n");
    }

    #[test]
    fn hosts_name_the_pod_its_domain_and_its_aliases() {
        let mut pod = pod("ClusterFirst", false);
        let spec = pod.spec.as_mut().unwrap();
        spec.subdomain = Some("web".to_owned());
        spec.host_aliases = Some(vec![HostAlias {
            ip: "1.2.3.4".to_owned(),
            hostnames: Some(vec!["db".to_owned()]),
        }]);
        let text = hosts(&pod, &["10.42.0.5".parse().unwrap()], "cluster.local");
        assert!(
            text.contains("\n10.42.0.5\tweb-0.web.shop.svc.cluster.local\tweb-0\n"),
            "{text}"
        );
        assert!(
            text.ends_with("\n# Entries added by HostAliases.\n1.2.3.4\tdb\n"),
            "{text}"
        );
    }
}
