use cni_plugins_netlink::{Entry, MemoryLinks, Netlink, Tables};
use proptest::prelude::*;

use super::*;

const SUBNETS: [&str; 9] = [
    "10.42.1.0/24",
    "10.42.2.0/24",
    "10.42.3.0/24",
    "10.42.2.0/23",
    "10.42.4.0/22",
    "10.42.5.0/24",
    "nonsense",
    "10.90.0.0/24",
    "192.168.7.0/24",
];

fn place() -> Place {
    Place {
        name: "n0".to_owned(),
        node: [192, 0, 2, 1].into(),
        subnet: None,
        cluster: "10.0.0.0/8".parse().unwrap(),
        links: vec!["floe0".to_owned()],
    }
}

/// A machine with a network card, and an overlay that has done nothing yet.
fn engine(place: Place) -> Engine<MemoryLinks> {
    let links = MemoryLinks::new();
    let net = |text: &str| Entry::Address(text.parse().unwrap());
    links.add("eth0", 1500, &[net("192.0.2.1/24"), net("10.90.0.7/16")]);
    Engine::new(links, place)
}

fn node(since: u8, subnet: &str, last: u8) -> NodeFacts {
    NodeFacts {
        since: since.to_string(),
        subnet: Some(subnet.to_owned()),
        address: Some(format!("192.0.2.{last}")),
    }
}

fn nodes(all: &[(&str, &str, u8)]) -> BTreeMap<String, NodeFacts> {
    let facts = |(name, subnet, last): &(&str, &str, u8)| ((*name).to_owned(), node(0, subnet, *last));
    all.iter().map(facts).collect()
}

/// Whether a packet to a pod of `site` finds its way.
fn reaches(tables: &Tables, site: Site) -> bool {
    let Some(device) = tables.named(DEVICE).filter(|link| link.up) else {
        return false;
    };
    let pod = Ipv4Addr::from(u32::from(site.subnet.network()) + 5);
    let routes = tables.entries.iter().filter_map(|(link, entry)| match entry {
        Entry::Route { subnet, .. } if subnet.contains(&pod) => Some((subnet.prefix_len(), *link, *entry)),
        _ => None,
    });
    let [forward, neighbour, route] = site.entries();
    let there = |wanted: Entry| tables.of(device.index).any(|entry| *entry == wanted);
    let best = routes.max_by_key(|(length, ..)| *length);
    there(forward)
        && there(neighbour)
        && best.is_some_and(|(_, link, entry)| (link, entry) == (device.index, route))
}

fn sites(nodes: &BTreeMap<String, NodeFacts>) -> Vec<Site> {
    let others = nodes.iter().filter(|(name, _)| *name != "n0");
    others.filter_map(|(_, facts)| facts.site().ok()).collect()
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(future)
}

fn changed(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Ready { changed, .. } => changed.len(),
        Outcome::Waiting(_) | Outcome::Refused(_) => 0,
    }
}

#[tokio::test]
async fn a_node_that_comes_changes_three_entries_and_one_that_goes_too() {
    let mut engine = engine(place());
    let two = nodes(&[("n0", "10.42.1.0/24", 1), ("n1", "10.42.2.0/24", 2)]);
    let three = nodes(&[
        ("n0", "10.42.1.0/24", 1),
        ("n1", "10.42.2.0/24", 2),
        ("n2", "10.42.3.0/24", 3),
    ]);
    assert_eq!(changed(&engine.look(&two, Cause::Look).await.unwrap()), 5);
    for (all, count) in [(&two, 0), (&three, 3), (&three, 0), (&two, 3), (&two, 0)] {
        assert_eq!(changed(&engine.look(all, Cause::Api).await.unwrap()), count);
    }
}

#[tokio::test]
async fn a_node_with_another_address_is_one_change() {
    let mut engine = engine(place());
    for (last, count) in [(2, 5), (3, 1)] {
        let all = nodes(&[("n0", "10.42.1.0/24", 1), ("n1", "10.42.2.0/24", last)]);
        assert_eq!(changed(&engine.look(&all, Cause::Api).await.unwrap()), count);
    }
}

#[tokio::test]
async fn without_a_network_of_its_own_a_node_leaves_everything_as_it_is() {
    let mut engine = engine(place());
    let all = nodes(&[("n0", "10.42.1.0/24", 1), ("n1", "10.42.2.0/24", 2)]);
    engine.look(&all, Cause::Api).await.unwrap();
    let before = engine.links().tables().await.unwrap();
    let outcome = engine.look(&BTreeMap::new(), Cause::Api).await.unwrap();
    assert_eq!(
        outcome,
        Outcome::Waiting("this node: it has no pod network yet".to_owned())
    );
    assert_eq!(engine.links().tables().await.unwrap(), before);
}

#[tokio::test]
async fn a_network_in_use_on_this_machine_is_refused_in_one_sentence() {
    let mut engine = engine(place());
    let all = nodes(&[("n0", "10.90.3.0/24", 1)]);
    let outcome = engine.look(&all, Cause::Api).await.unwrap();
    let Outcome::Refused(why) = outcome else {
        unreachable!("{outcome:?}")
    };
    assert_eq!(
        why,
        "the pod network 10.90.3.0/24 of this node overlaps 10.90.0.0/16, which is in use on its link eth0: \
         choose another with the control plane's key pod_cidr, or free 10.90.0.0/16"
    );
    assert_eq!(engine.links().tables().await.unwrap().named(DEVICE), None);
}

#[tokio::test]
async fn a_network_that_was_set_on_this_node_counts_until_the_object_says_another() {
    let subnet = Some("10.42.5.0/24".parse().unwrap());
    let mut engine = engine(Place { subnet, ..place() });
    let all = nodes(&[("n1", "10.42.1.0/24", 2)]);
    engine.look(&all, Cause::Api).await.unwrap();
    let tables = engine.links().tables().await.unwrap();
    assert!(reaches(&tables, all["n1"].site().unwrap()));
    let other = nodes(&[("n0", "10.42.1.0/24", 1)]);
    let Outcome::Refused(why) = engine.look(&other, Cause::Api).await.unwrap() else {
        unreachable!("others would send nothing here")
    };
    assert!(
        why.starts_with("the key pod_cidr gives this node 10.42.5.0/24, its Node object says 10.42.1.0/24"),
        "{why}"
    );
    assert_eq!(
        engine.links().tables().await.unwrap(),
        tables,
        "what is there stays"
    );
}

#[tokio::test]
async fn a_network_outside_of_the_clusters_is_refused_on_its_own_node() {
    let mut engine = engine(place());
    let all = nodes(&[("n0", "192.168.7.0/24", 1)]);
    let Outcome::Refused(why) = engine.look(&all, Cause::Api).await.unwrap() else {
        unreachable!("others would send nothing here")
    };
    assert!(
        why.contains("192.168.7.0/24 of this node lies outside of the cluster's, 10.0.0.0/8"),
        "{why}"
    );
}

#[tokio::test]
async fn a_withdrawn_overlay_leaves_no_device_and_may_be_withdrawn_again() {
    let mut engine = engine(place());
    let all = nodes(&[("n0", "10.42.1.0/24", 1)]);
    engine.look(&all, Cause::Api).await.unwrap();
    for _ in 0..2 {
        engine.withdraw().await.unwrap();
        assert_eq!(engine.links().tables().await.unwrap().named(DEVICE), None);
    }
}

/// A network namespace that ends with the value.
struct Netns(String);

impl Netns {
    fn ip(words: &str) -> bool {
        let run = std::process::Command::new("ip")
            .args(words.split_whitespace())
            .output();
        run.is_ok_and(|output| output.status.success())
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        Self::ip(&format!("netns del {}", self.0));
    }
}

#[tokio::test]
async fn the_kernel_is_left_with_nothing_to_plan_whatever_others_do() {
    let netns = Netns(format!("floe-engine-{}", std::process::id()));
    if !Netns::ip(&format!("netns add {}", netns.0)) {
        println!("skipped: needs root and iproute2");
        return;
    }
    let on = |words: &str| assert!(Netns::ip(&format!("-n {} {words}", netns.0)), "ip {words}");
    on("link add eth0 type bridge");
    on("addr add 192.0.2.1/24 dev eth0");
    on("link set eth0 up");
    let path = format!("/run/netns/{}", netns.0);
    let mut engine = Engine::new(Netlink::open_in(path.as_ref()).unwrap(), place());
    let all = nodes(&[
        ("n0", "10.42.1.0/24", 1),
        ("n1", "10.42.2.0/24", 2),
        ("n2", "10.42.3.0/24", 3),
    ]);
    for vandalism in [
        "link show",
        "neigh flush dev floe.vx nud permanent",
        "route flush dev floe.vx",
        "route add 10.42.77.0/24 dev floe.vx",
        "link set floe.vx mtu 1300",
        "link set floe.vx down",
        "addr flush dev floe.vx",
        "link set floe.vx address 02:00:00:00:00:01",
        "link del floe.vx",
        "addr add 10.42.200.1/32 dev floe.vx",
    ] {
        engine.look(&all, Cause::Look).await.unwrap();
        on(vandalism);
        engine.look(&all, Cause::Kernel).await.unwrap();
        let tables = engine.links().tables().await.unwrap();
        for site in sites(&all) {
            assert!(reaches(&tables, site), "{vandalism}: {tables:?}");
        }
        assert_eq!(
            changed(&engine.look(&all, Cause::Look).await.unwrap()),
            0,
            "{vandalism}"
        );
    }
}

/// Nodes `n0` (this one, with the first subnet) and up to five others that may say anything.
fn any_nodes() -> impl Strategy<Value = BTreeMap<String, NodeFacts>> {
    let other = (0..3_u8, 0..SUBNETS.len(), 1..5_u8)
        .prop_map(|(since, subnet, last)| node(since, SUBNETS[subnet], last));
    proptest::collection::btree_map("n[1-5]", other, 0..6).prop_map(|mut all| {
        all.insert("n0".to_owned(), node(1, SUBNETS[0], 1));
        all
    })
}

proptest! {
    #[test]
    fn an_applied_plan_leaves_nothing_to_plan(first in any_nodes(), second in any_nodes(), cut in 0..20_usize) {
        run(async {
            let mut engine = engine(place());
            engine.look(&first, Cause::Look).await.unwrap();
            // Cut off anywhere, begun again, and then there is nothing to do.
            engine.links().fail_after(Some(cut));
            drop(engine.look(&second, Cause::Api).await);
            engine.links().fail_after(None);
            engine.look(&second, Cause::Look).await.unwrap();
            prop_assert_eq!(changed(&engine.look(&second, Cause::Look).await.unwrap()), 0);
            Ok(())
        })?;
    }

    #[test]
    fn no_prefix_of_a_plan_breaks_a_reachable_peer(first in any_nodes(), second in any_nodes(), lost in proptest::collection::vec(any::<prop::sample::Index>(), 0..4)) {
        run(async {
            let mut engine = engine(place());
            engine.look(&first, Cause::Look).await.unwrap();
            let tables = engine.links().tables().await.unwrap();
            let device = tables.named(DEVICE).unwrap().index;
            let entries: Vec<Entry> = tables.of(device).copied().collect();
            for index in &lost {
                engine.links().unset(device, index.get(&entries)).await.unwrap();
            }
            let before = engine.links().tables().await.unwrap();
            let own = engine.own(&second).unwrap();
            let goal = goal(&own, &second, &before);
            let kept = |site: &Site| site.entries().iter().all(|entry| goal.entries.contains(entry));
            let reached: Vec<Site> = sites(&second).into_iter().filter(kept).filter(|site| reaches(&before, *site)).collect();
            for step in changes(&goal.device, &goal.entries, &before).unwrap() {
                apply(engine.links(), DEVICE, &[step]).await.unwrap();
                let now = engine.links().tables().await.unwrap();
                for site in &reached {
                    prop_assert!(reaches(&now, *site));
                }
            }
            let after = engine.links().tables().await.unwrap();
            for site in sites(&second).into_iter().filter(kept) {
                prop_assert!(reaches(&after, site));
            }
            Ok(())
        })?;
    }
}
