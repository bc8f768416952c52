//! `/etc/resolv.conf`.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Pod, PodDNSConfig, PodSpec};

/// Most name servers that resolvers ask (resolv.conf(5), MAXNS).
const MOST_SERVERS: usize = 3;
/// Most search domains, all their characters together, and those of one: as upstream allows.
const MOST_SEARCHES: usize = 32;
const LONGEST_SEARCH_LINE: usize = 2048;
const LONGEST_DOMAIN: usize = 253;

/// The addresses of systemd-resolved's stub. It answers on the node's own loopback only, so neither
/// pods nor a server with its own idea of recursion can use it.
const RESOLVED_STUBS: [&str; 2] = ["127.0.0.53", "127.0.0.54"];

/// The cluster's name service.
#[derive(Debug, Clone, Copy)]
pub struct ClusterDns<'a> {
    /// Address of the cluster's name server.
    pub server: IpAddr,
    /// The cluster's domain.
    pub domain: &'a str,
}

/// A pod's `/etc/resolv.conf`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvConf {
    /// The file.
    pub text: String,
    /// What was left out of it, in upstream's words: for events with the reason `DNSConfigForming`.
    pub omitted: Vec<String>,
}

#[derive(Debug, Default)]
struct Resolver {
    servers: Vec<String>,
    searches: Vec<String>,
    options: Vec<String>,
}

/// The text that says whom the node really asks: `etc` (`/etc/resolv.conf`), or where that names
/// systemd-resolved's stub alone, `resolved` (`/run/systemd/resolve/resolv.conf`).
#[must_use]
pub fn node_resolver<'a>(etc: &'a str, resolved: Option<&'a str>) -> &'a str {
    let servers = parse(etc).servers;
    let all_stub = servers
        .iter()
        .all(|server| RESOLVED_STUBS.contains(&server.as_str()));
    resolved
        .filter(|_| !servers.is_empty() && all_stub)
        .unwrap_or(etc)
}

/// The name servers that the text of a `resolv.conf` names.
#[must_use]
pub fn nameservers(text: &str) -> Vec<String> {
    parse(text).servers
}

/// `/etc/resolv.conf` by the pod's DNS policy and `dnsConfig`; `node` is the node's own text, as
/// [`node_resolver`] picks it.
#[must_use]
pub fn resolv_conf(pod: &Pod, node: &str, cluster: ClusterDns<'_>) -> ResolvConf {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let mut resolver = match &pod.spec {
        Some(spec) => by_policy(spec, namespace, node, cluster),
        None => parse(node),
    };
    if let Some(config) = pod.spec.as_ref().and_then(|spec| spec.dns_config.as_ref()) {
        merge(&mut resolver, config);
    }
    let omitted = [limit_servers(&mut resolver), limit_searches(&mut resolver)];
    ResolvConf {
        text: render(&resolver),
        omitted: omitted.into_iter().flatten().collect(),
    }
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
    append_new(&mut searches, parse(node).searches.iter());
    Resolver {
        servers: vec![cluster.server.to_string()],
        searches,
        options: vec!["ndots:5".to_owned()],
    }
}

/// resolv.conf(5): the last `search`, `domain` and `options` count, name servers add up.
fn parse(text: &str) -> Resolver {
    let mut resolver = Resolver::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let keyword = words.next();
        let rest = words.map(ToOwned::to_owned);
        match keyword {
            Some("nameserver") => resolver.servers.extend(rest.take(1)),
            Some("search") => resolver.searches = rest.map(without_dot).collect(),
            Some("domain") => resolver.searches = rest.take(1).map(without_dot).collect(),
            Some("options") => resolver.options = rest.collect(),
            Some(_) | None => {}
        }
    }
    resolver
}

/// The same domain with and without its last dot counts once; the root stays what it is.
fn without_dot(domain: String) -> String {
    match domain.strip_suffix('.') {
        Some(bare) if !bare.is_empty() => bare.to_owned(),
        Some(_) | None => domain,
    }
}

fn merge(resolver: &mut Resolver, config: &PodDNSConfig) {
    append_new(&mut resolver.servers, config.nameservers.iter().flatten());
    append_new(&mut resolver.searches, config.searches.iter().flatten());
    for option in config.options.iter().flatten() {
        let Some(name) = option.name.as_deref() else {
            continue;
        };
        let text = match option.value.as_deref() {
            Some(value) if !value.is_empty() => format!("{name}:{value}"),
            Some(_) | None => name.to_owned(),
        };
        let known = |known: &&mut String| known.split(':').next() == Some(name);
        match resolver.options.iter_mut().find(known) {
            Some(known) => *known = text,
            None => resolver.options.push(text),
        }
    }
}

fn append_new<'a>(list: &mut Vec<String>, more: impl Iterator<Item = &'a String>) {
    for item in more {
        if !list.contains(item) {
            list.push(item.clone());
        }
    }
}

fn limit_servers(resolver: &mut Resolver) -> Option<String> {
    if resolver.servers.len() <= MOST_SERVERS {
        return None;
    }
    resolver.servers.truncate(MOST_SERVERS);
    Some(format!(
        "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: {}",
        resolver.servers.join(" ")
    ))
}

fn limit_searches(resolver: &mut Resolver) -> Option<String> {
    let searches = &mut resolver.searches;
    let before = searches.len();
    searches.truncate(MOST_SEARCHES);
    searches.retain(|domain| domain.len() <= LONGEST_DOMAIN);
    while searches.join(" ").len() > LONGEST_SEARCH_LINE {
        searches.pop();
    }
    (searches.len() != before).then(|| {
        format!(
            "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: {}",
            searches.join(" ")
        )
    })
}

fn render(resolver: &Resolver) -> String {
    let mut text = String::new();
    if !resolver.searches.is_empty() {
        text.push_str(&format!("search {}\n", resolver.searches.join(" ")));
    }
    for server in &resolver.servers {
        text.push_str(&format!("nameserver {server}\n"));
    }
    if !resolver.options.is_empty() {
        text.push_str(&format!("options {}\n", resolver.options.join(" ")));
    }
    text
}
