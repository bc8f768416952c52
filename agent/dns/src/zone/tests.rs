use std::str::FromStr as _;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RecordType};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

pub(crate) fn zone() -> Zone {
    let scope = Scope {
        domain: Name::from_str("cluster.local.").unwrap(),
        server: "10.43.0.10".parse().unwrap(),
        ranges: vec!["10.43.0.0/16".parse().unwrap(), "10.42.0.0/16".parse().unwrap()],
    };
    Zone::new(scope, 7)
}

pub(crate) fn service(namespace: &str, name: &str, spec: Value) -> ServiceFacts {
    let meta = json!({"namespace": namespace, "name": name});
    let service: Service = serde_json::from_value(json!({"metadata": meta, "spec": spec})).unwrap();
    ServiceFacts::of(&service).unwrap()
}

pub(crate) fn slice(namespace: &str, service: &str, endpoints: Value, ports: Value) -> SliceFacts {
    named_slice(&format!("{service}-x7k2p"), namespace, service, endpoints, ports)
}

fn named_slice(name: &str, namespace: &str, service: &str, endpoints: Value, ports: Value) -> SliceFacts {
    let labels = json!({"kubernetes.io/service-name": service});
    let slice: EndpointSlice = serde_json::from_value(json!({
        "metadata": {"namespace": namespace, "name": name, "labels": labels},
        "addressType": "IPv4", "endpoints": endpoints, "ports": ports,
    }))
    .unwrap();
    SliceFacts::of(&slice).unwrap()
}

/// The cluster of the specification's examples.
pub(crate) fn example() -> Zone {
    let mut zone = zone();
    ["default", "empty"]
        .iter()
        .for_each(|name| zone.put_namespace(name));
    let https = json!([{"name": "https", "port": 443, "protocol": "TCP"}]);
    zone.put_service(service(
        "default",
        "kubernetes",
        json!({"clusterIP": "10.43.0.1", "ports": https}),
    ));
    let dual = json!({"clusterIPs": ["10.43.0.9", "fd00:43::9"], "ports": [{"port": 80}]});
    zone.put_service(service("default", "dual", dual));
    zone.put_service(service(
        "default",
        "headless",
        json!({"clusterIP": "None", "ports": https}),
    ));
    zone.put_slice(slice(
        "default",
        "headless",
        json!([
            {"addresses": ["10.42.0.100"], "hostname": "my-pet", "conditions": {"ready": true}},
            {"addresses": ["10.42.1.7"], "conditions": {"ready": true}},
            {"addresses": ["10.42.1.8"], "hostname": "ill", "conditions": {"ready": false}},
        ]),
        https.clone(),
    ));
    zone.put_service(service(
        "default",
        "idle",
        json!({"clusterIP": "None", "ports": https}),
    ));
    let external = json!({"type": "ExternalName", "externalName": "www.example.com"});
    zone.put_service(service("default", "foo", external));
    zone
}

fn asked(zone: &Zone, name: &str, kind: RecordType) -> Option<Answer> {
    match zone.answer(&Name::from_ascii(name).unwrap(), kind, 0) {
        Verdict::Answer(answer) => Some(answer),
        Verdict::Outside => None,
    }
}

/// The answer's records as text, sorted; the code where there are none.
fn said(zone: &Zone, name: &str, kind: &str) -> Vec<String> {
    let kind = RecordType::from_str(kind).unwrap();
    let Some(answer) = asked(zone, name, kind) else {
        return vec!["outside".to_owned()];
    };
    if answer.answers.is_empty() {
        let soa = answer
            .authorities
            .iter()
            .any(|record| record.record_type() == RecordType::SOA);
        assert!(soa, "a denial without SOA: {name}");
        return vec![format!("{:?}", answer.code)];
    }
    let mut lines: Vec<String> = answer.answers.iter().map(ToString::to_string).collect();
    lines.sort();
    lines
}

const NONE: &[&str] = &["NoError"];
const NO_NAME: &[&str] = &["NXDomain"];

/// The specification's examples: name, type, what is said.
const SPECIFIED: &[(&str, &str, &[&str])] = &[
    // 2.2
    (
        "dns-version.cluster.local.",
        "TXT",
        &["dns-version.cluster.local. 28800 IN TXT 1.1.0"],
    ),
    // 2.3.1 – 2.3.3
    (
        "kubernetes.default.svc.cluster.local.",
        "A",
        &["kubernetes.default.svc.cluster.local. 5 IN A 10.43.0.1"],
    ),
    (
        "dual.default.svc.cluster.local.",
        "AAAA",
        &["dual.default.svc.cluster.local. 5 IN AAAA fd00:43::9"],
    ),
    (
        "_https._tcp.kubernetes.default.svc.cluster.local.",
        "SRV",
        &[
            "_https._tcp.kubernetes.default.svc.cluster.local. 5 IN SRV 0 100 443 kubernetes.default.svc.cluster.local.",
        ],
    ),
    (
        "1.0.43.10.in-addr.arpa.",
        "PTR",
        &["1.0.43.10.in-addr.arpa. 5 IN PTR kubernetes.default.svc.cluster.local."],
    ),
    (
        "9.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.3.4.0.0.0.0.d.f.ip6.arpa.",
        "PTR",
        &[
            "9.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.3.4.0.0.0.0.d.f.ip6.arpa. 5 IN PTR dual.default.svc.cluster.local.",
        ],
    ),
    // 2.4.1 – 2.4.3
    (
        "headless.default.svc.cluster.local.",
        "A",
        &[
            "headless.default.svc.cluster.local. 5 IN A 10.42.0.100",
            "headless.default.svc.cluster.local. 5 IN A 10.42.1.7",
        ],
    ),
    (
        "my-pet.headless.default.svc.cluster.local.",
        "A",
        &["my-pet.headless.default.svc.cluster.local. 5 IN A 10.42.0.100"],
    ),
    (
        "10-42-1-7.headless.default.svc.cluster.local.",
        "A",
        &["10-42-1-7.headless.default.svc.cluster.local. 5 IN A 10.42.1.7"],
    ),
    (
        "_https._tcp.headless.default.svc.cluster.local.",
        "SRV",
        &[
            "_https._tcp.headless.default.svc.cluster.local. 5 IN SRV 0 50 443 10-42-1-7.headless.default.svc.cluster.local.",
            "_https._tcp.headless.default.svc.cluster.local. 5 IN SRV 0 50 443 my-pet.headless.default.svc.cluster.local.",
        ],
    ),
    (
        "100.0.42.10.in-addr.arpa.",
        "PTR",
        &["100.0.42.10.in-addr.arpa. 5 IN PTR my-pet.headless.default.svc.cluster.local."],
    ),
    ("idle.default.svc.cluster.local.", "A", NO_NAME),
    // 2.5
    (
        "foo.default.svc.cluster.local.",
        "A",
        &["foo.default.svc.cluster.local. 5 IN CNAME www.example.com."],
    ),
    // 2.6
    (
        "1-2-3-4.default.pod.cluster.local.",
        "A",
        &["1-2-3-4.default.pod.cluster.local. 5 IN A 1.2.3.4"],
    ),
    (
        "fd00--5.default.pod.cluster.local.",
        "AAAA",
        &["fd00--5.default.pod.cluster.local. 5 IN AAAA fd00::5"],
    ),
];

#[test]
fn the_records_of_the_specification_are_there() {
    let zone = example();
    for (name, kind, expected) in SPECIFIED {
        assert_eq!(said(&zone, name, kind), *expected, "{name} {kind}");
    }
}

#[test]
fn a_name_that_exists_without_the_record_is_told_from_one_that_does_not() {
    let rows: &[(&str, &str, &[&str])] = &[
        ("kubernetes.default.svc.cluster.local.", "AAAA", NONE),
        ("kubernetes.default.svc.cluster.local.", "MX", NONE),
        ("headless.default.svc.cluster.local.", "AAAA", NONE),
        ("nothing.default.svc.cluster.local.", "A", NO_NAME),
        ("kubernetes.nowhere.svc.cluster.local.", "A", NO_NAME),
        ("ill.headless.default.svc.cluster.local.", "A", NO_NAME),
        ("_http._tcp.kubernetes.default.svc.cluster.local.", "SRV", NO_NAME),
        (
            "_https._udp.kubernetes.default.svc.cluster.local.",
            "SRV",
            NO_NAME,
        ),
        ("_tcp.kubernetes.default.svc.cluster.local.", "SRV", NONE),
        ("_udp.kubernetes.default.svc.cluster.local.", "A", NO_NAME),
        ("_._tcp.dual.default.svc.cluster.local.", "SRV", NO_NAME),
        ("empty.svc.cluster.local.", "A", NONE),
        ("nowhere.svc.cluster.local.", "A", NO_NAME),
        ("svc.cluster.local.", "A", NONE),
        ("dns.cluster.local.", "A", NONE),
        ("cluster.local.", "A", NONE),
        ("any.cluster.local.", "A", NO_NAME),
        ("1-2-3-4.default.pod.cluster.local.", "AAAA", NONE),
        ("1-2-3-4.nowhere.pod.cluster.local.", "A", NO_NAME),
        ("web-0.default.pod.cluster.local.", "A", NO_NAME),
        ("a.b.c.d.kubernetes.default.svc.cluster.local.", "A", NO_NAME),
        // No wildcards: the specification has none.
        ("*.default.svc.cluster.local.", "A", NO_NAME),
        ("*.kubernetes.default.svc.cluster.local.", "A", NO_NAME),
        ("*.cluster.local.", "NS", NO_NAME),
        // Reverse names of the cluster's ranges stay here; others are an upstream's.
        ("77.0.43.10.in-addr.arpa.", "PTR", NO_NAME),
        ("1.0.43.10.in-addr.arpa.", "A", NONE),
        ("1.2.0.192.in-addr.arpa.", "PTR", &["outside"]),
        ("43.10.in-addr.arpa.", "PTR", &["outside"]),
        ("www.example.com.", "A", &["outside"]),
        ("notcluster.local.", "A", &["outside"]),
        ("local.", "A", &["outside"]),
        (".", "NS", &["outside"]),
    ];
    let zone = example();
    for (name, kind, expected) in rows {
        assert_eq!(said(&zone, name, kind), *expected, "{name} {kind}");
    }
}

#[test]
fn the_domain_itself_names_its_server() {
    let zone = example();
    assert_eq!(
        said(&zone, "cluster.local.", "NS"),
        ["cluster.local. 5 IN NS ns.dns.cluster.local."]
    );
    assert_eq!(
        said(&zone, "ns.dns.cluster.local.", "A"),
        ["ns.dns.cluster.local. 5 IN A 10.43.0.10"]
    );
    let soa = said(&zone, "cluster.local.", "SOA").remove(0);
    assert!(
        soa.contains("ns.dns.cluster.local. hostmaster.cluster.local."),
        "{soa}"
    );
    let denial = asked(&zone, "77.0.43.10.in-addr.arpa.", RecordType::PTR).unwrap();
    assert_eq!(denial.authorities[0].name.to_string(), "43.10.in-addr.arpa.");
}

#[test]
fn letters_compare_without_case_and_come_back_as_asked() {
    let name = "KuBerNetes.Default.SVC.cluster.LOCAL.";
    assert_eq!(said(&example(), name, "A"), [format!("{name} 5 IN A 10.43.0.1")]);
}

#[test]
fn addresses_beside_an_srv_answer_are_those_of_its_targets() {
    let answer = asked(
        &example(),
        "_https._tcp.headless.default.svc.cluster.local.",
        RecordType::SRV,
    )
    .unwrap();
    let mut beside: Vec<String> = answer.additionals.iter().map(ToString::to_string).collect();
    beside.sort();
    assert_eq!(
        beside,
        [
            "10-42-1-7.headless.default.svc.cluster.local. 5 IN A 10.42.1.7",
            "my-pet.headless.default.svc.cluster.local. 5 IN A 10.42.0.100",
        ]
    );
}

#[test]
fn an_alias_is_followed_unless_it_is_itself_asked_for() {
    let zone = example();
    let chase = |kind| {
        asked(&zone, "foo.default.svc.cluster.local.", kind)
            .unwrap()
            .chase
    };
    assert_eq!(
        chase(RecordType::A),
        Some(Name::from_str("www.example.com.").unwrap())
    );
    assert_eq!(chase(RecordType::CNAME), None);
}

#[test]
fn an_external_name_that_reads_as_an_address_is_no_name() {
    let mut zone = example();
    let spec = json!({"type": "ExternalName", "externalName": "192.0.2.1"});
    zone.put_service(service("default", "number", spec));
    assert_eq!(said(&zone, "number.default.svc.cluster.local.", "A"), NO_NAME);
}

#[test]
fn endpoints_that_are_not_ready_are_published_where_the_service_says_so() {
    let mut zone = example();
    let spec = json!({"clusterIP": "None", "publishNotReadyAddresses": true, "ports": []});
    zone.put_service(service("default", "headless", spec));
    assert_eq!(said(&zone, "headless.default.svc.cluster.local.", "A").len(), 3);
    assert_eq!(said(&zone, "8.1.42.10.in-addr.arpa.", "PTR").len(), 1);
}

#[test]
fn equals_take_turns_in_coming_first() {
    let zone = example();
    let name = Name::from_str("headless.default.svc.cluster.local.").unwrap();
    let first = |turn| match zone.answer(&name, RecordType::A, turn) {
        Verdict::Answer(answer) => answer.answers[0].clone(),
        Verdict::Outside => panic!("outside"),
    };
    assert_ne!(first(0), first(1));
    assert_eq!(first(0), first(2));
}

#[test]
fn an_address_that_moves_between_services_belongs_to_the_last() {
    let mut zone = example();
    zone.put_service(service(
        "default",
        "kubernetes",
        json!({"clusterIP": "10.43.0.2"}),
    ));
    zone.put_service(service("default", "heir", json!({"clusterIP": "10.43.0.1"})));
    zone.remove_service("default", "kubernetes");
    assert_eq!(
        said(&zone, "1.0.43.10.in-addr.arpa.", "PTR"),
        ["1.0.43.10.in-addr.arpa. 5 IN PTR heir.default.svc.cluster.local."]
    );
    assert_eq!(said(&zone, "2.0.43.10.in-addr.arpa.", "PTR"), NO_NAME);
}

#[test]
fn an_endpoint_that_moves_between_slices_is_never_lost() {
    let mut zone = example();
    let pet = json!([{"addresses": ["10.42.0.100"], "hostname": "my-pet"}]);
    zone.put_slice(named_slice(
        "headless-other",
        "default",
        "headless",
        pet,
        json!([]),
    ));
    zone.remove_slice("default", "headless-x7k2p");
    assert_eq!(
        said(&zone, "my-pet.headless.default.svc.cluster.local.", "A").len(),
        1
    );
    assert_eq!(said(&zone, "100.0.42.10.in-addr.arpa.", "PTR").len(), 1);
}

#[test]
fn a_zone_emptied_again_holds_nothing() {
    let mut zone = example();
    let contents = zone.contents();
    for slice in &contents.slices {
        zone.remove_slice(&slice.namespace, &slice.name);
    }
    for service in &contents.services {
        zone.remove_service(&service.namespace, &service.name);
    }
    contents
        .namespaces
        .iter()
        .for_each(|name| zone.remove_namespace(name));
    assert_eq!(zone.contents(), Contents::default());
    assert!(zone.namespaces.is_empty() && zone.slice_owner.is_empty());
    assert!(zone.by_cluster_ip.is_empty() && zone.by_endpoint.is_empty());
}

#[test]
fn a_huge_headless_service_is_answered_within_bounds() {
    let mut zone = zone();
    zone.put_service(service("big", "big", json!({"clusterIP": "None"})));
    let endpoint = |n: u32| json!({"addresses": [format!("10.42.{}.{}", n / 250, 1 + n % 250)]});
    let all: Vec<Value> = (0..5000).map(endpoint).collect();
    zone.put_slice(slice("big", "big", json!(all), json!([{"name": "p", "port": 1}])));
    for (name, kind) in [
        ("big.big.svc.cluster.local.", RecordType::A),
        ("_p._tcp.big.big.svc.cluster.local.", RecordType::SRV),
    ] {
        let answer = asked(&zone, name, kind).unwrap();
        assert_eq!(
            (answer.answers.len(), answer.code),
            (1000, ResponseCode::NoError),
            "{name}"
        );
    }
}

proptest! {
    /// Whatever is asked below the domain, the answer is whole: records of the asked name, or a SOA.
    #[test]
    fn every_question_below_the_domain_gets_a_whole_answer(
        labels in prop::collection::vec("[a-zA-Z0-9_*-]{1,12}|svc|pod|default|headless|_tcp|kubernetes", 0..7),
        kind in prop::sample::select(vec!["A", "AAAA", "SRV", "TXT", "PTR", "NS", "SOA", "ANY", "CNAME", "MX"]),
        turn: usize,
    ) {
        let mut labels: Vec<String> = labels;
        labels.extend(["cluster".to_owned(), "local".to_owned()]);
        let name = Name::from_labels(labels.iter().map(String::as_bytes)).unwrap();
        let kind = RecordType::from_str(kind).unwrap();
        let Verdict::Answer(answer) = example().answer(&name, kind, turn) else {
            return Err(TestCaseError::fail("outside"));
        };
        prop_assert!(answer.answers.iter().all(|record| record.name == name));
        prop_assert_eq!(answer.answers.is_empty(), answer.authorities.len() == 1);
        prop_assert!(answer.code == ResponseCode::NoError || answer.answers.is_empty());
    }

    /// An endpoint's name leads to its address, and an address's name back to the address.
    #[test]
    fn names_of_addresses_round_trip(address: u32, wide: u128) {
        for address in [IpAddr::V4(address.into()), IpAddr::V6(wide.into())] {
            let label = facts::dashed(address);
            let read = facts::undashed(&label);
            // `0` stands in where a label may not begin or end with a dash.
            prop_assert_eq!(read, Some(address), "{}", label);
            prop_assert!(!label.starts_with('-') && !label.ends_with('-'));
        }
    }

    /// However changes come, the zone is that of the last state, and its contents make it again.
    #[test]
    fn changes_and_contents_lead_to_the_same_zone(changes in prop::collection::vec((0..3_u8, 0..4_u8, 0..4_u8), 0..40)) {
        let mut zone = zone();
        for (what, which, state) in changes {
            let name = format!("s{which}");
            match what {
                0 => zone.put_service(service("ns", &name, json!({"clusterIP": format!("10.43.1.{which}{state}")}))),
                1 if state == 0 => zone.remove_service("ns", &name),
                1 => zone.remove_slice("ns", &format!("slice{which}")),
                _ => {
                    let endpoints = json!([{"addresses": [format!("10.42.0.{state}")], "hostname": format!("h{state}")}]);
                    let owner = format!("s{state}");
                    zone.put_slice(named_slice(&format!("slice{which}"), "ns", &owner, endpoints, json!([])));
                }
            }
        }
        let mut again = super::tests::zone();
        again.load(zone.contents());
        prop_assert_eq!(again.contents(), zone.contents());
        prop_assert_eq!(again.by_cluster_ip, zone.by_cluster_ip);
        prop_assert_eq!(again.by_endpoint, zone.by_endpoint);
    }
}
