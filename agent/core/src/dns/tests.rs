use k8s_openapi::api::core::v1::{HostAlias, Pod, PodDNSConfig, PodDNSConfigOption, PodSpec};

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

fn with_config(policy: &str, config: PodDNSConfig) -> Pod {
    let mut pod = pod(policy, false);
    pod.spec.as_mut().unwrap().dns_config = Some(config);
    pod
}

fn in_subdomain(subdomain: &str) -> Pod {
    let mut pod = pod("ClusterFirst", false);
    pod.spec.as_mut().unwrap().subdomain = Some(subdomain.to_owned());
    pod
}

fn texts(list: &[&str]) -> Option<Vec<String>> {
    Some(list.iter().map(ToString::to_string).collect())
}

fn option(name: &str, value: Option<&str>) -> PodDNSConfigOption {
    PodDNSConfigOption {
        name: Some(name.to_owned()),
        value: value.map(ToOwned::to_owned),
    }
}

fn conf(pod: &Pod) -> ResolvConf {
    let cluster = ClusterDns {
        server: "10.43.0.10".parse().unwrap(),
        domain: "cluster.local",
    };
    resolv_conf(pod, "nameserver 1.1.1.1\nsearch corp\n", cluster)
}

fn resolved(pod: &Pod) -> String {
    conf(pod).text
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
    let config = PodDNSConfig {
        nameservers: texts(&["9.9.9.9"]),
        searches: texts(&["x"]),
        ..PodDNSConfig::default()
    };
    assert_eq!(
        resolved(&with_config("None", config)),
        "search x\nnameserver 9.9.9.9\n"
    );
}

/// The example of the documentation ("Pod's DNS Config"), on top of a policy.
#[test]
fn the_pods_config_is_merged_without_duplicates_and_its_options_win() {
    let config = PodDNSConfig {
        nameservers: texts(&["192.0.2.1", "10.43.0.10"]),
        searches: texts(&["ns1.svc.cluster-domain.example", "cluster.local"]),
        options: Some(vec![option("ndots", Some("2")), option("edns0", None)]),
    };
    assert_eq!(
        resolved(&with_config("ClusterFirst", config)),
        "search shop.svc.cluster.local svc.cluster.local cluster.local corp ns1.svc.cluster-domain.example\n\
         nameserver 10.43.0.10\nnameserver 192.0.2.1\noptions ndots:2 edns0\n"
    );
}

#[test]
fn more_than_resolvers_take_is_left_out_and_said() {
    let many: Vec<String> = (0..40).map(|n| format!("domain-{n}.example")).collect();
    let config = PodDNSConfig {
        nameservers: texts(&["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"]),
        searches: Some(many),
        options: None,
    };
    let conf = conf(&with_config("None", config));
    let search = conf.text.lines().next().unwrap();
    assert_eq!(search.split(' ').count(), 1 + 32, "{search}");
    assert!(!conf.text.contains("192.0.2.4"));
    assert!(conf.omitted[0].starts_with("Nameserver limits were exceeded"));
    assert!(conf.omitted[1].starts_with("Search Line limits were exceeded"));

    let long = PodDNSConfig {
        searches: Some((0..20).map(|n| format!("{n}{}", "x".repeat(200))).collect()),
        ..PodDNSConfig::default()
    };
    let conf = self::conf(&with_config("None", long));
    let search = conf.text.lines().next().unwrap().strip_prefix("search ").unwrap();
    assert!(search.len() <= 2048 && search.len() > 1800, "{}", search.len());
}

#[test]
fn comments_last_dots_and_older_lines_of_the_node_do_not_count() {
    let node =
        "# nameserver 5.5.5.5\n; search no\nsearch old\ndomain older\nsearch corp. .\nnameserver 1.1.1.1 x\n";
    let cluster = ClusterDns {
        server: "10.43.0.10".parse().unwrap(),
        domain: "cluster.local",
    };
    let conf = resolv_conf(&pod("Default", false), node, cluster);
    assert_eq!(conf.text, "search corp .\nnameserver 1.1.1.1\n");
    assert_eq!(nameservers(node), ["1.1.1.1"]);
}

#[test]
fn behind_the_stub_of_systemd_resolved_its_own_upstreams_are_taken() {
    let (stub, behind) = ("nameserver 127.0.0.53\n", "nameserver 192.0.2.1\n");
    assert_eq!(node_resolver(stub, Some(behind)), behind);
    assert_eq!(node_resolver(stub, None), stub);
    assert_eq!(
        node_resolver("nameserver 192.0.2.9\n", Some(behind)),
        "nameserver 192.0.2.9\n"
    );
    assert_eq!(node_resolver("", Some(behind)), "");
}

#[test]
fn hosts_name_the_pod_its_domain_and_its_aliases() {
    let mut pod = in_subdomain("web");
    pod.spec.as_mut().unwrap().host_aliases = Some(vec![HostAlias {
        ip: "1.2.3.4".to_owned(),
        hostnames: texts(&["db", "db.corp"]),
    }]);
    let addresses = ["10.42.0.5".parse().unwrap(), "fd00::5".parse().unwrap()];
    let text = hosts(&pod, &addresses, "cluster.local");
    assert!(
        text.contains("\n10.42.0.5\tweb-0.web.shop.svc.cluster.local\tweb-0\nfd00::5\tweb-0.web.shop"),
        "{text}"
    );
    assert!(
        text.ends_with("\n# Entries added by HostAliases.\n1.2.3.4\tdb\tdb.corp\n"),
        "{text}"
    );
    let on_host = host_network_hosts(&pod, "127.0.0.1 localhost");
    assert!(on_host.contains("localhost\n\n# Entries added"), "{on_host}");
}

#[test]
fn the_kernel_gets_the_full_name_where_the_pod_wants_it_and_it_fits() {
    let mut pod = in_subdomain("web");
    assert_eq!(kernel_hostname(&pod, "cluster.local").unwrap(), "web-0");
    pod.spec.as_mut().unwrap().set_hostname_as_fqdn = Some(true);
    assert_eq!(
        kernel_hostname(&pod, "cluster.local").unwrap(),
        "web-0.web.shop.svc.cluster.local"
    );
    pod.metadata.name = Some("x".repeat(40));
    let refused = kernel_hostname(&pod, "cluster.local").unwrap_err().to_string();
    assert!(
        refused.contains("is too long (64 characters is the max, 67 characters requested)"),
        "{refused}"
    );
    pod.spec.as_mut().unwrap().subdomain = None;
    assert_eq!(kernel_hostname(&pod, "cluster.local").unwrap(), "x".repeat(40));
}

#[test]
fn an_overriding_host_name_has_no_domain() {
    let mut pod = in_subdomain("web");
    let spec = pod.spec.as_mut().unwrap();
    spec.hostname = Some("wished".to_owned());
    assert_eq!(hostname(&pod), "wished");
    pod.spec.as_mut().unwrap().hostname_override = Some("other.example".to_owned());
    assert_eq!(hostname(&pod), "other.example");
    assert_eq!(fqdn(&pod, "cluster.local"), None);
}

#[test]
fn a_long_name_is_cut_where_a_label_may_end() {
    let mut pod = pod("ClusterFirst", false);
    pod.metadata.name = Some(format!("{}-tail", "y".repeat(62)));
    assert_eq!(hostname(&pod), "y".repeat(62));
}
