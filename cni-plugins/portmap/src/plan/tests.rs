use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::settings::tests::call;

fn settings(mappings: serde_json::Value) -> Settings {
    Settings::read(&call(json!({"runtimeConfig": {"portMappings": mappings}}))).unwrap()
}

fn of(container: &str, addresses: &[&str], mappings: serde_json::Value) -> Vec<Element> {
    let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
    elements(
        &Owner::new(container, "eth0"),
        "ns/pod",
        &settings(mappings),
        &addresses,
    )
}

fn shown(elements: &[Element]) -> Vec<String> {
    elements.iter().map(ToString::to_string).collect()
}

/// The table after `changes`; each must be possible.
fn applied(found: &[Element], changes: &[Change]) -> Vec<Element> {
    let mut table: BTreeMap<ElementKey, Element> = found.iter().map(|e| (e.key.clone(), e.clone())).collect();
    for change in changes {
        match change {
            Change::Add(element) => assert!(table.insert(element.key.clone(), element.clone()).is_none()),
            Change::Remove(key) => assert!(table.remove(key).is_some()),
        }
    }
    table.into_values().collect()
}

#[test]
fn a_port_is_an_element_of_each_family_that_the_container_has() {
    let both = of(
        "a",
        &["10.42.0.2", "fd42::2"],
        json!([
            {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
            {"hostPort": 53, "containerPort": 5353, "protocol": "udp", "hostIP": "192.0.2.1"},
            {"hostPort": 53, "containerPort": 5353, "protocol": "sctp", "hostIP": "::"},
        ]),
    );
    assert_eq!(
        shown(&both),
        [
            "address-ports4 { 192.0.2.1 . udp . 53 comment \"a eth0 ns/pod\" : 10.42.0.2 . 5353 }",
            "pods4 { 10.42.0.2 . 10.42.0.2 comment \"a eth0 ns/pod\" }",
            "pods6 { fd42::2 . fd42::2 comment \"a eth0 ns/pod\" }",
            "ports4 { tcp . 8080 comment \"a eth0 ns/pod\" : 10.42.0.2 . 80 }",
            "ports6 { tcp . 8080 comment \"a eth0 ns/pod\" : fd42::2 . 80 }",
            "ports6 { sctp . 53 comment \"a eth0 ns/pod\" : fd42::2 . 5353 }",
        ]
    );
}

#[test]
fn a_port_of_an_address_of_a_family_that_the_container_lacks_is_none() {
    let port = json!([{"hostPort": 53, "containerPort": 53, "protocol": "udp", "hostIP": "::1"}]);
    assert!(of("a", &["10.42.0.2"], port).is_empty());
}

#[test]
fn two_containers_may_have_one_port_on_two_addresses_and_as_two_protocols() {
    let port = |protocol: &str, address: &str| json!([{"hostPort": 80, "containerPort": 80, "protocol": protocol, "hostIP": address}]);
    let mut table = Vec::new();
    for (name, pod, protocol, address) in [
        ("a", "10.42.0.2", "tcp", "127.0.0.1"),
        ("b", "10.42.0.3", "tcp", "192.0.2.1"),
        ("c", "10.42.0.4", "udp", "192.0.2.1"),
    ] {
        let wanted = of(name, &[pod], port(protocol, address));
        let planned = changes(&table, &Owner::new(name, "eth0"), &wanted);
        assert!(planned.iter().all(|change| matches!(change, Change::Add(_))));
        table = applied(&table, &planned);
    }
    assert_eq!(table.len(), 6);
}

#[test]
fn the_most_recent_container_has_a_port_and_the_older_ones_end_leaves_it_alone() {
    let port = json!([{"hostPort": 80, "containerPort": 80, "protocol": "tcp"}]);
    let old = of("old", &["10.42.0.2"], port.clone());
    let new = of("new", &["10.42.0.3"], port);
    let taken = applied(&old, &changes(&old, &Owner::new("new", "eth0"), &new));
    let left = applied(&taken, &changes(&taken, &Owner::new("old", "eth0"), &[]));
    assert_eq!(left, new);
}

#[test]
fn long_identifiers_are_told_apart_and_found_again() {
    let long = |end: char| Owner::new(&format!("{}{end}", "x".repeat(120)), "eth0");
    assert_ne!(long('a'), long('b'));
    let element = |owner: &Owner| Element {
        comment: owner.comment(&"n".repeat(200)),
        ..of(
            "a",
            &["10.42.0.2"],
            json!([{"hostPort": 1, "containerPort": 1, "protocol": "tcp"}]),
        )
        .remove(0)
    };
    for owner in [long('a'), Owner::new("a", "net1")] {
        assert_eq!(Owner::of(&element(&owner)), owner);
        assert!(element(&owner).comment.len() <= MAX_COMMENT);
    }
}

/// What a container may ask for: few ports and addresses, so that containers meet.
fn asked() -> impl Strategy<Value = serde_json::Value> {
    let address = prop_oneof![
        Just(""),
        Just("0.0.0.0"),
        Just("192.0.2.1"),
        Just("::"),
        Just("2001:db8::1")
    ];
    let protocol = prop_oneof![Just("tcp"), Just("udp"), Just("sctp")];
    let mapping = (1..4_u16, 1..4_u16, protocol, address).prop_map(|(host, port, protocol, address)| {
        json!({"hostPort": host, "containerPort": port, "protocol": protocol, "hostIP": address})
    });
    prop::collection::vec(mapping, 0..4).prop_map(serde_json::Value::from)
}

/// Containers that come (with ports) and go (without), by number.
fn history() -> impl Strategy<Value = Vec<(u8, serde_json::Value)>> {
    prop::collection::vec((0..4_u8, asked()), 0..12)
}

fn owner(number: u8) -> Owner {
    Owner::new(&format!("c{number}"), "eth0")
}

fn wanted(number: u8, mappings: serde_json::Value) -> Vec<Element> {
    let addresses = [format!("10.42.0.{number}"), format!("fd42::{number}")];
    of(&format!("c{number}"), &[&addresses[0], &addresses[1]], mappings)
}

proptest! {
    #[test]
    fn after_a_call_its_container_has_what_it_wants_and_a_second_call_changes_nothing(history in history()) {
        let mut table = Vec::new();
        for (number, mappings) in history {
            let mine = wanted(number, mappings);
            table = applied(&table, &changes(&table, &owner(number), &mine));
            prop_assert!(changes(&table, &owner(number), &mine).is_empty());
            let held: Vec<&Element> = table.iter().filter(|e| Owner::of(e) == owner(number)).collect();
            prop_assert_eq!(held.len(), mine.len());
            prop_assert!(mine.iter().all(|element| table.contains(element)));
        }
    }

    #[test]
    fn when_all_have_gone_by_del_or_by_sweep_nothing_is_left(history in history(), kept in 0..4_u8) {
        let mut table = Vec::new();
        for (number, mappings) in history {
            table = applied(&table, &changes(&table, &owner(number), &wanted(number, mappings)));
        }
        let swept = applied(&table, &sweep(&table, &BTreeSet::from([owner(kept)])));
        prop_assert!(swept.iter().all(|element| Owner::of(element) == owner(kept)));
        prop_assert_eq!(swept.len(), table.iter().filter(|e| Owner::of(e) == owner(kept)).count());
        let mut left = table;
        for number in 0..4 {
            left = applied(&left, &changes(&left, &owner(number), &[]));
        }
        prop_assert!(left.is_empty());
    }

    #[test]
    fn a_table_that_lost_anything_is_whole_again_and_keeps_what_it_has(history in history(), lost in any::<u64>()) {
        let mut table = Vec::new();
        let mut newest: Vec<(u8, Vec<Element>)> = Vec::new();
        for (number, mappings) in history {
            let mine = wanted(number, mappings);
            table = applied(&table, &changes(&table, &owner(number), &mine));
            newest.retain(|(other, _)| *other != number);
            newest.insert(0, (number, mine));
        }
        let kept: Vec<Element> = table.iter().enumerate()
            .filter(|(index, _)| lost >> (index % 64) & 1 == 0).map(|(_, e)| e.clone()).collect();
        let all: Vec<Element> = newest.into_iter().flat_map(|(_, mine)| mine).collect();
        let repaired = applied(&kept, &missing(&kept, all.clone()));
        prop_assert!(table.iter().all(|element| repaired.contains(element)));
        prop_assert!(missing(&repaired, all).is_empty());
    }
}
