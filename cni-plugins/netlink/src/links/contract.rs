//! What every [`Links`] must do. The one in memory runs it as a unit test, the kernel's in a network
//! namespace of a test's own.

#![expect(
    clippy::expect_used,
    reason = "a suite of assertions, compiled for tests alone"
)]

use std::collections::BTreeSet;

use super::{Entry, Links, Mac, Site};
use crate::vxlan::Vxlan;

/// Runs the whole suite.
///
/// # Panics
///
/// Where a claim does not hold.
pub async fn run(links: &impl Links) {
    let device = device();
    let index = a_made_device_is_listed_as_it_was_asked_for(links, &device).await;
    a_second_device_of_that_name_is_refused(links, &device).await;
    entries_that_were_set_are_listed_and_setting_again_is_harmless(links, index).await;
    an_entry_takes_the_place_of_that_with_its_key(links, index).await;
    entries_that_were_taken_away_are_gone_and_again_is_harmless(links, index).await;
    a_device_is_raised(links, index).await;
    a_deleted_device_takes_its_entries_along(links, index).await;
    a_link_that_is_not_there_takes_no_entry(links, index).await;
}

fn device() -> Vxlan {
    Vxlan {
        name: "floe.test".to_owned(),
        vni: 42,
        port: 8472,
        local: [192, 0, 2, 1].into(),
        mac: Mac([0x0a, 0x58, 10, 42, 1, 0]),
        mtu: 1400,
    }
}

fn sites() -> [Site; 2] {
    [2, 3].map(|n| Site {
        subnet: format!("10.42.{n}.0/24").parse().expect("a subnet"),
        node: [192, 0, 2, n].into(),
    })
}

async fn entries(links: &impl Links, index: u32) -> BTreeSet<Entry> {
    let tables = links.tables().await.expect("list");
    tables.of(index).copied().collect()
}

async fn a_made_device_is_listed_as_it_was_asked_for(links: &impl Links, device: &Vxlan) -> u32 {
    let index = links.make(device).await.expect("make the device");
    let tables = links.tables().await.expect("list");
    let found = tables.named(&device.name).expect("it is listed");
    assert_eq!((found.index, found.up, found.mtu), (index, true, 1400));
    assert_eq!(device.mismatch(found), None);
    index
}

async fn a_second_device_of_that_name_is_refused(links: &impl Links, device: &Vxlan) {
    let error = links.make(device).await.expect_err("there is one");
    assert!(error.is_exists(), "{error:?}");
}

async fn entries_that_were_set_are_listed_and_setting_again_is_harmless(links: &impl Links, index: u32) {
    let own = Entry::Address("10.42.1.0/32".parse().expect("an address"));
    let all: BTreeSet<Entry> = sites().iter().flat_map(Site::entries).chain([own]).collect();
    for _ in 0..2 {
        links.set(index, &own).await.expect("set the address");
        for entry in sites().iter().flat_map(Site::entries) {
            links.set(index, &entry).await.expect("set an entry");
        }
        assert_eq!(entries(links, index).await, all);
    }
}

async fn an_entry_takes_the_place_of_that_with_its_key(links: &impl Links, index: u32) {
    let moved = Site {
        node: [192, 0, 2, 9].into(),
        ..sites()[0]
    };
    for entry in moved.entries() {
        links.set(index, &entry).await.expect("set an entry anew");
    }
    let other = Entry::Neighbour {
        address: moved.address(),
        mac: Mac([2, 0, 0, 0, 0, 1]),
    };
    links.set(index, &other).await.expect("set the neighbour anew");
    let now = entries(links, index).await;
    let [forward, neighbour, route] = moved.entries();
    assert!(now.contains(&forward) && now.contains(&other) && now.contains(&route));
    assert!(!now.contains(&sites()[0].entries()[0]) && !now.contains(&neighbour));
    assert_eq!(now.len(), 7);
    links.set(index, &neighbour).await.expect("set it back");
}

async fn entries_that_were_taken_away_are_gone_and_again_is_harmless(links: &impl Links, index: u32) {
    let gone: Vec<Entry> = entries(links, index).await.into_iter().collect();
    for _ in 0..2 {
        for entry in gone.iter().rev() {
            links.unset(index, entry).await.expect("take an entry away");
        }
        assert_eq!(entries(links, index).await, BTreeSet::new());
    }
}

async fn a_device_is_raised(links: &impl Links, index: u32) {
    links.raise(index, 1300).await.expect("raise it");
    let tables = links.tables().await.expect("list");
    let found = tables.named("floe.test").expect("it is listed");
    assert_eq!((found.up, found.mtu), (true, 1300));
}

async fn a_deleted_device_takes_its_entries_along(links: &impl Links, index: u32) {
    for entry in sites().iter().flat_map(Site::entries) {
        links.set(index, &entry).await.expect("set an entry");
    }
    for _ in 0..2 {
        links.delete(index).await.expect("delete it");
        assert_eq!(entries(links, index).await, BTreeSet::new());
    }
}

async fn a_link_that_is_not_there_takes_no_entry(links: &impl Links, index: u32) {
    for entry in sites()[0].entries() {
        let error = links.set(index, &entry).await.expect_err("no such link");
        assert!(error.is_absent(), "{error:?}");
        links.unset(index, &entry).await.expect("nothing to take away");
    }
}
