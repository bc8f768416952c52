//! Both implementations and the contract; what only the kernel can show, in a namespace of a test's
//! own. Needs root and iproute2.

use std::process::Command;

use super::*;
use crate::socket::Netlink;
use crate::{Monitor, Notice, Watched};

fn ip(words: &str) -> bool {
    Command::new("ip")
        .args(words.split_whitespace())
        .output()
        .is_ok_and(|output| output.status.success())
}

/// A network namespace that ends with the value.
struct Netns(String);

impl Netns {
    /// `None` (with the reason printed) where the test cannot run.
    fn new(name: &str) -> Option<Self> {
        let name = format!("floe-links-{name}-{}", std::process::id());
        if ip(&format!("netns add {name}")) {
            return Some(Self(name));
        }
        println!("skipped: needs root and iproute2");
        None
    }

    fn ip(&self, words: &str) {
        assert!(ip(&format!("-n {} {words}", self.0)), "ip {words}");
    }

    fn open(&self) -> Netlink {
        Netlink::open_in(format!("/run/netns/{}", self.0).as_ref()).unwrap()
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        ip(&format!("netns del {}", self.0));
    }
}

fn device() -> Vxlan {
    Vxlan {
        name: "floe.vx".to_owned(),
        vni: 42,
        port: 8472,
        local: [192, 0, 2, 1].into(),
        mac: Mac([0x0a, 0x58, 10, 42, 1, 0]),
        mtu: 1450,
    }
}

#[tokio::test]
async fn links_in_memory_hold_the_contract() {
    contract::run(&MemoryLinks::new()).await;
}

#[tokio::test]
async fn the_kernel_holds_the_contract() {
    let Some(netns) = Netns::new("contract") else {
        return;
    };
    contract::run(&netns.open()).await;
}

#[tokio::test]
async fn a_device_that_is_taken_down_loses_routes_and_neighbours_alone() {
    let Some(netns) = Netns::new("down") else { return };
    let site = Site {
        subnet: "10.42.2.0/24".parse().unwrap(),
        node: [192, 0, 2, 2].into(),
    };
    let kernel = netns.open();
    let memory = MemoryLinks::new();
    let (in_kernel, in_memory) = (
        kernel.make(&device()).await.unwrap(),
        memory.make(&device()).await.unwrap(),
    );
    let own = Entry::Address("10.42.1.0/32".parse().unwrap());
    for entry in site.entries().into_iter().rev().chain([own]).rev() {
        kernel.set(in_kernel, &entry).await.unwrap();
        memory.set(in_memory, &entry).await.unwrap();
    }
    netns.ip("link set floe.vx down");
    memory.lower(in_memory);
    let left = |tables: &Tables, index| tables.of(index).copied().collect::<Vec<_>>();
    let (kernel, memory) = (kernel.tables().await.unwrap(), memory.tables().await.unwrap());
    assert_eq!(left(&kernel, in_kernel), left(&memory, in_memory));
    assert_eq!(left(&kernel, in_kernel), [own, site.entries()[0]]);
}

#[tokio::test]
async fn what_others_made_is_seen_and_told() {
    let test = Box::pin(seen_and_told());
    tokio::time::timeout(std::time::Duration::from_secs(30), test)
        .await
        .unwrap();
}

async fn seen_and_told() {
    let Some(netns) = Netns::new("others") else { return };
    let kernel = netns.open();
    let index = kernel.make(&device()).await.unwrap();
    let path = format!("/run/netns/{}", netns.0);
    let runtime = tokio::runtime::Handle::current();
    let mut monitor = crate::inside(path.as_ref(), || {
        let _entered = runtime.enter();
        Monitor::open(Watched::Everything).unwrap()
    })
    .unwrap();
    netns.ip("neigh add 10.42.9.0 lladdr 0a:58:0a:2a:09:00 nud permanent dev floe.vx");
    assert_eq!(monitor.next().await, Some(Notice::Neighbour(index)));
    netns.ip("route add 10.42.9.0/24 dev floe.vx");
    assert_eq!(monitor.next().await, Some(Notice::Route(Some(index))));
    let tables = kernel.tables().await.unwrap();
    let route = Entry::Route {
        subnet: "10.42.9.0/24".parse().unwrap(),
        via: None,
    };
    assert!(tables.of(index).any(|entry| *entry == route), "{tables:?}");
    kernel.unset(index, &route).await.unwrap();
    assert_eq!(monitor.next().await, Some(Notice::Route(Some(index))));
    netns.ip("link del floe.vx");
    while monitor.next().await != Some(Notice::LinkGone(index)) {}
}

#[tokio::test]
async fn networks_of_other_links_are_told_without_the_default_route() {
    let Some(netns) = Netns::new("conflict") else {
        return;
    };
    netns.ip("link add lan type bridge");
    netns.ip("addr add 10.42.5.7/22 dev lan");
    netns.ip("link set lan up");
    netns.ip("route add default via 10.42.5.1");
    let tables = netns.open().tables().await.unwrap();
    let net = "10.42.4.0/22".parse().unwrap();
    assert_eq!(
        tables.foreign(&[]),
        [(net, "lan".to_owned()), (net, "lan".to_owned())]
    );
    assert_eq!(tables.foreign(&["lan"]), []);
    for (subnet, common) in [
        ("10.42.6.0/24", true),
        ("10.42.0.0/16", true),
        ("10.42.8.0/24", false),
    ] {
        assert_eq!(overlap(subnet.parse().unwrap(), net), common, "{subnet}");
    }
    assert_eq!(tables.with_address([10, 42, 5, 7].into()).unwrap().name, "lan");
    assert_eq!(tables.with_address([10, 42, 5, 1].into()), None);
}

#[tokio::test]
async fn a_link_of_another_kind_is_never_deleted() {
    let memory = MemoryLinks::new();
    memory.add("floe.vx", 1500, &[]);
    let refused = changes(&device(), &Default::default(), &memory.tables().await.unwrap());
    assert!(refused.unwrap_err().to_string().contains("rename or delete it"));
}

#[tokio::test]
async fn a_device_of_another_address_is_made_anew_with_everything() {
    let memory = MemoryLinks::new();
    let site = Site {
        subnet: "10.42.2.0/24".parse().unwrap(),
        node: [192, 0, 2, 2].into(),
    };
    let wanted = site.entries().into_iter().collect();
    for local in [[192, 0, 2, 1], [192, 0, 2, 9]] {
        let device = Vxlan {
            local: local.into(),
            ..device()
        };
        let steps = changes(&device, &wanted, &memory.tables().await.unwrap()).unwrap();
        apply(&memory, &device.name, &steps).await.unwrap();
        let tables = memory.tables().await.unwrap();
        assert_eq!(changes(&device, &wanted, &tables), Ok(Vec::new()));
    }
}
