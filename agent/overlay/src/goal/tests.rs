use cni_plugins_netlink::{Links as _, MemoryLinks};

use super::*;

fn own() -> Own {
    Own {
        name: "one".to_owned(),
        site: Site {
            subnet: "10.42.1.0/24".parse().unwrap(),
            node: [192, 0, 2, 1].into(),
        },
        cluster: "10.42.0.0/16".parse().unwrap(),
        links: vec!["floe0".to_owned()],
    }
}

fn node(since: &str, subnet: &str, address: &str) -> NodeFacts {
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    NodeFacts {
        since: since.to_owned(),
        subnet: some(subnet),
        address: some(address),
    }
}

fn goal_of(nodes: &[(&str, NodeFacts)], tables: &Tables) -> Goal {
    let nodes = nodes
        .iter()
        .map(|(name, facts)| ((*name).to_owned(), facts.clone()))
        .collect();
    goal(&own(), &nodes, tables)
}

fn skipped(nodes: &[(&str, NodeFacts)]) -> Vec<String> {
    let goal = goal_of(nodes, &Tables::default());
    goal.skipped.iter().map(ToString::to_string).collect()
}

/// A node whose network card takes packets of `mtu` bytes and that has a bridge of pods.
async fn machine(mtu: u32) -> Tables {
    let links = MemoryLinks::new();
    let net = |text: &str| text.parse().unwrap();
    links.add("eth0", mtu, &[Entry::Address(net("192.0.2.1/24"))]);
    links.add("floe0", 1450, &[Entry::Address(net("10.42.1.1/24"))]);
    let lab = Entry::Route {
        subnet: net("10.42.7.0/25"),
        via: None,
    };
    links.add("lab0", 1500, &[lab]);
    links.tables().await.unwrap()
}

#[tokio::test]
async fn a_peer_is_three_entries_and_the_device_is_this_nodes_own() {
    let tables = machine(9000).await;
    let goal = goal_of(&[("two", node("1", "10.42.2.0/24", "192.0.2.2"))], &tables);
    let entries: Vec<String> = goal.entries.iter().map(ToString::to_string).collect();
    assert_eq!(
        entries,
        [
            "address 10.42.1.0/32",
            "frames to 0a:58:0a:2a:02:00 by 192.0.2.2",
            "neighbour 10.42.2.0 at 0a:58:0a:2a:02:00",
            "route to 10.42.2.0/24 by 10.42.2.0",
        ]
    );
    assert_eq!(goal.device.mac.to_string(), "0a:58:0a:2a:01:00");
    assert_eq!(
        (goal.device.mtu, goal.device.local),
        (8950, [192, 0, 2, 1].into())
    );
    assert!(goal.skipped.is_empty());
}

#[test]
fn a_node_that_says_nothing_or_nonsense_is_skipped_with_the_reason() {
    let nodes = [
        ("a", node("1", "", "192.0.2.2")),
        ("b", node("1", "10.42.2.0/24", "")),
        ("c", node("1", "10.42.3.9/24", "192.0.2.3")),
        ("d", node("1", "everything", "192.0.2.4")),
        ("e", node("1", "10.42.5.0/24", "127.0.0.1")),
        ("f", node("1", "10.42.6.0/24", "192.0.2.1")),
        ("g", node("1", "0.0.0.0/0", "192.0.2.7")),
        ("h", node("1", "10.43.0.0/24", "192.0.2.8")),
        ("i", node("1", "10.42.0.0/15", "192.0.2.9")),
    ];
    assert_eq!(
        skipped(&nodes),
        [
            "node a is left out of the overlay: it has no pod network yet",
            "node b is left out of the overlay: it has no internal address of IPv4",
            "node c is left out of the overlay: its pod network \"10.42.3.9/24\" is no network of IPv4 with room for pods",
            "node d is left out of the overlay: its pod network \"everything\" is no network of IPv4 with room for pods",
            "node e is left out of the overlay: its internal address \"127.0.0.1\" is none that a node can have",
            "node f is left out of the overlay: its internal address 192.0.2.1 is this node's own",
            "node g is left out of the overlay: its pod network \"0.0.0.0/0\" is no network of IPv4 with room for pods",
            "node h is left out of the overlay: its pod network 10.43.0.0/24 lies outside of the cluster's, 10.42.0.0/16 (key cluster_cidr)",
            "node i is left out of the overlay: its pod network 10.42.0.0/15 lies outside of the cluster's, 10.42.0.0/16 (key cluster_cidr)",
        ]
    );
}

#[test]
fn of_two_nodes_with_one_network_the_older_keeps_it_and_this_node_always_does() {
    let nodes = [
        ("new", node("2", "10.42.2.0/24", "192.0.2.2")),
        ("old", node("1", "10.42.2.0/24", "192.0.2.3")),
        ("wide", node("3", "10.42.2.0/23", "192.0.2.4")),
        ("mine", node("0", "10.42.1.128/25", "192.0.2.5")),
    ];
    assert_eq!(
        skipped(&nodes),
        [
            "node mine is left out of the overlay: its pod network 10.42.1.128/25 overlaps 10.42.1.0/24 of node one",
            "node new is left out of the overlay: its pod network 10.42.2.0/24 overlaps 10.42.2.0/24 of node old",
            "node wide is left out of the overlay: its pod network 10.42.2.0/23 overlaps 10.42.2.0/24 of node old",
        ]
    );
}

#[tokio::test]
async fn a_network_that_this_machine_uses_is_not_routed_elsewhere() {
    let tables = machine(1500).await;
    let goal = goal_of(&[("seven", node("1", "10.42.7.0/24", "192.0.2.7"))], &tables);
    let reason = goal.skipped.first().unwrap().to_string();
    assert!(
        reason.ends_with("overlaps 10.42.7.0/25, which this node reaches through link lab0"),
        "{reason}"
    );
    assert_eq!(goal.entries.len(), 1);
}
