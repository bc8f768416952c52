//! What the model plans, and that the engine makes it so.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod objects;

use std::collections::BTreeSet;

use agent_proxy::{Config, Engine, Model, ObjectName, Service, Slice, Update};
use cni_plugins_nft::{Element, MemoryRuleset};
use objects::{service, slice, slice_of};
use serde_json::{Value, json};

fn config() -> Config {
    Config {
        node_name: "n1".to_owned(),
        pod_ranges: vec!["10.42.0.0/16".parse().unwrap()],
        node_local: vec!["10.43.0.10".parse().unwrap()],
    }
}

/// An engine that knows these objects and has applied them.
fn engine(services: Vec<Service>, slices: Vec<Slice>) -> Engine<MemoryRuleset> {
    let mut engine = Engine::new(Model::new(config()), MemoryRuleset::default());
    engine.update(Update::Services(services));
    engine.update(Update::Slices(slices));
    engine.sync().unwrap();
    engine
}

/// The elements, in nft's words, but for those of the node itself.
fn table(services: Vec<Service>, slices: Vec<Slice>) -> Vec<String> {
    let all = engine(services, slices).rules().all();
    let own = all
        .iter()
        .filter(|element| !element.key.set.starts_with("node-local"));
    own.map(Element::to_string).collect()
}

/// What `set` says, one line each.
fn lines(table: &[String], set: &str) -> Vec<String> {
    let begin = format!("{set} {{ ");
    table
        .iter()
        .filter(|line| line.starts_with(&begin))
        .cloned()
        .collect()
}

fn web(more: &Value) -> Service {
    service("web", "10.43.0.5", more)
}

#[test]
fn a_cluster_address_leads_to_the_ready_endpoints_of_all_nodes() {
    let slice = slice(
        "web",
        &[
            ("10.42.0.5", "n1", "ready"),
            ("10.42.1.6", "n2", "ready"),
            ("10.42.1.7", "n2", "not"),
        ],
    );
    assert_eq!(
        table(vec![web(&json!({}))], vec![slice]),
        [
            "cluster-addresses4 { 10.43.0.5 comment \"default/web\" }",
            "endpoints4-0 { 10.43.0.5 . tcp . 80 comment \"default/web:http\" : 10.42.0.5 . 8080 }",
            "endpoints4-1 { 10.43.0.5 . tcp . 80 comment \"default/web:http\" : 10.42.1.6 . 8080 }",
            "hairpin4 { 10.42.0.5 . tcp . 8080 . 10.42.0.5 comment \"default/web:http\" }",
            "services4 { 10.43.0.5 . tcp . 80 comment \"default/web:http\" : goto pick4-2 }",
        ]
    );
}

#[test]
fn a_service_without_endpoints_is_refused() {
    let table = table(
        vec![web(
            &json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]}),
        )],
        vec![],
    );
    assert_eq!(
        lines(&table, "services4"),
        ["services4 { 10.43.0.5 . tcp . 80 comment \"default/web:80\" : goto refuse }"]
    );
    assert_eq!(
        lines(&table, "node-ports4"),
        ["node-ports4 { tcp . 30080 comment \"default/web:80\" : goto refuse }"]
    );
}

#[test]
fn a_node_port_and_a_balancer_lead_where_the_cluster_address_does_and_masquerade() {
    let object = json!({
        "metadata": {"namespace": "default", "name": "web"},
        "spec": {
            "type": "LoadBalancer", "clusterIP": "10.43.0.5", "externalIPs": ["192.0.2.1"],
            "ports": [{"name": "http", "port": 80, "nodePort": 30080}],
        },
        "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.9"}, {"ip": "203.0.113.10", "ipMode": "Proxy"}]}},
    });
    let service = Service::read(&serde_json::from_value(object).unwrap()).unwrap();
    let table = table(vec![service], vec![slice("web", &[("10.42.1.6", "n2", "ready")])]);
    assert_eq!(
        table,
        [
            "balancer-addresses4 { 203.0.113.9 comment \"default/web\" }",
            "cluster-addresses4 { 10.43.0.5 comment \"default/web\" }",
            "endpoints4-0 { 10.43.0.5 . tcp . 80 comment \"default/web:http\" : 10.42.1.6 . 8080 }",
            "endpoints4-0 { 203.0.113.9 . tcp . 80 comment \"default/web:http\" : 10.42.1.6 . 8080 }",
            "masquerade-node-ports4 { tcp . 30080 comment \"default/web:http\" : goto from-all }",
            "masquerade-services4 { 203.0.113.9 . tcp . 80 comment \"default/web:http\" : goto from-all }",
            "node-endpoints4-0 { tcp . 30080 comment \"default/web:http\" : 10.42.1.6 . 8080 }",
            "node-ports4 { tcp . 30080 comment \"default/web:http\" : goto to-node-endpoints4-0 }",
            "services4 { 10.43.0.5 . tcp . 80 comment \"default/web:http\" : goto to-endpoints4-0 }",
            "services4 { 203.0.113.9 . tcp . 80 comment \"default/web:http\" : goto to-endpoints4-0 }",
        ]
    );
}

#[test]
fn the_local_external_policy_serves_outsiders_from_this_node_and_pods_from_all() {
    let local = json!({"type": "NodePort", "externalTrafficPolicy": "Local", "ports": [{"name": "http", "port": 80, "nodePort": 30080}]});
    let here = slice(
        "web",
        &[("10.42.0.5", "n1", "ready"), ("10.42.1.6", "n2", "ready")],
    );
    let both = table(vec![web(&local)], vec![here]);
    assert!(lines(&both, "local-node-ports4")[0].ends_with(": goto to-node-endpoints4-0 }"));
    assert!(lines(&both, "node-endpoints4-0")[0].ends_with(": 10.42.0.5 . 8080 }"));
    assert!(lines(&both, "node-ports4")[0].ends_with(": goto pick-node4-2 }"));
    assert!(lines(&both, "masquerade-node-ports4")[0].ends_with(": goto from-node }"));
    let elsewhere = table(
        vec![web(&local)],
        vec![slice("web", &[("10.42.1.6", "n2", "ready")])],
    );
    assert!(lines(&elsewhere, "local-node-ports4")[0].ends_with(": drop }"));
    assert!(lines(&elsewhere, "node-ports4")[0].ends_with(": goto to-node-endpoints4-0 }"));
    let nowhere = table(vec![web(&local)], vec![]);
    assert!(lines(&nowhere, "local-node-ports4").is_empty());
    assert!(lines(&nowhere, "node-ports4")[0].ends_with(": goto refuse }"));
}

#[test]
fn the_local_internal_policy_serves_from_this_node_or_drops() {
    let local = json!({"internalTrafficPolicy": "Local"});
    let verdict = |endpoints: &[(&str, &str, &str)]| {
        let table = table(vec![web(&local)], vec![slice("web", endpoints)]);
        let line = lines(&table, "services4").remove(0);
        line.rsplit_once(" : ").unwrap().1.to_owned()
    };
    assert_eq!(
        verdict(&[("10.42.0.5", "n1", "ready"), ("10.42.1.6", "n2", "ready")]),
        "goto to-endpoints4-0 }"
    );
    assert_eq!(verdict(&[("10.42.1.6", "n2", "ready")]), "drop }");
    assert_eq!(verdict(&[("10.42.1.6", "n2", "not")]), "goto refuse }");
}

#[test]
fn endpoints_that_end_serve_only_where_none_is_ready() {
    let ends = |endpoints: &[(&str, &str, &str)]| {
        let table = table(vec![web(&json!({}))], vec![slice("web", endpoints)]);
        lines(&table, "endpoints4-0").len() + lines(&table, "endpoints4-1").len()
    };
    assert_eq!(
        ends(&[("10.42.0.5", "n1", "ending"), ("10.42.1.6", "n2", "ready")]),
        1
    );
    assert_eq!(
        ends(&[("10.42.0.5", "n1", "ending"), ("10.42.1.6", "n2", "ending")]),
        2
    );
    // Of this node all end, elsewhere some are ready: outsiders get the former, all others the latter.
    let local = json!({"type": "NodePort", "externalTrafficPolicy": "Local", "ports": [{"name": "http", "port": 80, "nodePort": 30080}]});
    let mixed = slice(
        "web",
        &[
            ("10.42.0.5", "n1", "ending"),
            ("10.42.0.6", "n1", "ending"),
            ("10.42.1.6", "n2", "ready"),
        ],
    );
    let table = table(vec![web(&local)], vec![mixed]);
    assert!(lines(&table, "node-ports4")[0].ends_with(": goto to-node-endpoints4-0 }"));
    assert!(lines(&table, "local-node-ports4")[0].ends_with(": goto pick-node4-2-from-1 }"));
    assert!(lines(&table, "node-endpoints4-2")[0].ends_with(": 10.42.0.6 . 8080 }"));
}

#[test]
fn a_balancer_with_source_ranges_is_restricted_to_them() {
    let table = |sources: Value| {
        let object = json!({
            "metadata": {"namespace": "default", "name": "web"},
            "spec": {
                "type": "LoadBalancer", "clusterIP": "10.43.0.5", "ports": [{"name": "http", "port": 80}],
                "loadBalancerSourceRanges": sources,
            },
            "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.9"}]}},
        });
        let service = Service::read(&serde_json::from_value(object).unwrap()).unwrap();
        let mut engine = engine(vec![service], vec![]);
        let lines = engine
            .rules()
            .all()
            .iter()
            .map(Element::to_string)
            .collect::<Vec<_>>();
        let restricted = lines.into_iter().find(|line| line.starts_with("restricted"));
        let text = engine.model().structure().commands(cni_plugins_nft::TABLE);
        (restricted, text)
    };
    let (element, commands) = table(json!(["192.0.2.0/24", "10.0.0.0/8"]));
    let element = element.unwrap();
    assert!(
        element.starts_with("restricted-services4 { 203.0.113.9 . tcp . 80 "),
        "{element}"
    );
    let chain = element.rsplit_once("jump ").unwrap().1.trim_end_matches(" }");
    let rule = format!("add rule inet floe {chain} ip saddr {{ 10.0.0.0/8, 192.0.2.0/24 }} return");
    assert!(commands.contains(&rule), "{commands}");
    assert_eq!(table(json!([])).0, None);
    assert_eq!(table(json!(["10.0.0.0/8", "0.0.0.0/0"])).0, None);
}

#[test]
fn affinity_is_noted_for_every_key_that_leads_anywhere() {
    let sticky =
        json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}});
    let sticky = web(&sticky);
    let table_with = table(
        vec![sticky.clone()],
        vec![slice("web", &[("10.42.0.5", "n1", "ready")])],
    );
    assert_eq!(
        lines(&table_with, "affine-services4"),
        ["affine-services4 { 10.43.0.5 . tcp . 80 comment \"default/web:http\" : jump remember4-60 }"]
    );
    assert!(lines(&table(vec![sticky], vec![]), "affine-services4").is_empty());
}

#[test]
fn ports_are_matched_by_name_and_protocol() {
    let dns = json!({"ports": [
        {"name": "dns", "port": 53, "protocol": "UDP"},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
    ]});
    let slices = vec![
        slice_of("web", "dns", "UDP", 5353, &[("10.42.0.5", "n1", "ready")]),
        slice_of("web", "dns-tcp", "TCP", 5354, &[("10.42.0.5", "n1", "ready")]),
        slice_of("web", "other", "TCP", 1, &[("10.42.0.9", "n1", "ready")]),
    ];
    let table = table(vec![web(&dns)], slices);
    assert_eq!(
        lines(&table, "endpoints4-0"),
        [
            "endpoints4-0 { 10.43.0.5 . tcp . 53 comment \"default/web:dns-tcp\" : 10.42.0.5 . 5354 }",
            "endpoints4-0 { 10.43.0.5 . udp . 53 comment \"default/web:dns\" : 10.42.0.5 . 5353 }",
        ]
    );
}

#[test]
fn what_is_not_proxied_makes_no_element() {
    let read = |labels: Value, spec: Value| {
        let object = json!({"metadata": {"namespace": "a", "name": "b", "labels": labels}, "spec": spec});
        Service::read(&serde_json::from_value(object).unwrap())
    };
    let ports = json!([{"port": 80}]);
    assert!(
        read(
            json!({}),
            json!({"clusterIP": "None", "clusterIPs": ["None"], "ports": ports})
        )
        .is_none()
    );
    assert!(
        read(
            json!({}),
            json!({"type": "ExternalName", "externalName": "example.org"})
        )
        .is_none()
    );
    let other = json!({"service.kubernetes.io/service-proxy-name": "x"});
    assert!(read(other, json!({"clusterIP": "10.43.0.9", "ports": ports})).is_none());
    // Answered by the node itself.
    let dns = service("kube-dns", "10.43.0.10", &json!({}));
    assert_eq!(table(vec![dns], vec![]), Vec::<String>::new());
}

#[test]
fn nothing_is_touched_before_both_lists_are_complete() {
    let mut engine = engine(vec![web(&json!({}))], vec![]);
    let before = engine.rules().all();
    let rules = std::mem::take(engine.rules());
    let mut again = Engine::new(Model::new(config()), rules);
    again.update(Update::Slices(vec![]));
    again.sync().unwrap();
    assert_eq!(again.rules().all(), before);
    assert_eq!(again.rules().loads, 2);
}

#[test]
fn a_new_agent_changes_only_what_differs() {
    let web = web(&json!({}));
    let slice = slice("web", &[("10.42.0.5", "n1", "ready")]);
    let mut first = engine(vec![web.clone()], vec![slice.clone()]);
    let rules = std::mem::take(first.rules());
    let mut second = Engine::new(Model::new(config()), rules);
    second.update(Update::Services(vec![
        web,
        service("api", "10.43.0.6", &json!({})),
    ]));
    second.update(Update::Slices(vec![slice]));
    let report = second.sync().unwrap();
    assert_eq!(report.changed, 2, "{report:?}");
    assert!(report.compared && !report.rebuilt);
}

#[test]
fn one_changed_service_is_one_small_transaction() {
    let services: Vec<Service> = (0..200)
        .map(|n| service(&format!("s{n}"), &format!("10.43.1.{n}"), &json!({})))
        .collect();
    let mut engine = engine(services, vec![]);
    engine.update(Update::Slice(Box::new(slice(
        "s7",
        &[("10.42.1.5", "n2", "ready")],
    ))));
    let report = engine.sync().unwrap();
    assert_eq!(report.changed, 3, "{report:?}");
    assert_eq!(engine.rules().transactions.last(), Some(&3));
    let loads = engine.rules().loads;
    engine.update(Update::Slice(Box::new(slice(
        "s8",
        &[("10.42.1.6", "n2", "ready")],
    ))));
    engine.sync().unwrap();
    assert_eq!(engine.rules().loads, loads, "no new structure is needed");
}

#[test]
fn a_port_that_two_services_claim_is_the_firsts_until_it_goes() {
    let claims = |name: &str, ip: &str| {
        service(
            name,
            ip,
            &json!({"type": "NodePort", "ports": [{"name": "http", "port": 80, "nodePort": 30080}]}),
        )
    };
    let slices = vec![
        slice("a", &[("10.42.1.5", "n2", "ready")]),
        slice("b", &[("10.42.1.6", "n2", "ready")]),
    ];
    let mut engine = engine(vec![claims("b", "10.43.0.6"), claims("a", "10.43.0.5")], slices);
    let leads = |engine: &mut Engine<MemoryRuleset>| {
        let all = engine.rules().all();
        let found = all
            .iter()
            .find(|element| &*element.key.set == "node-endpoints4-0")
            .unwrap()
            .to_string();
        found.rsplit_once(" : ").unwrap().1.to_owned()
    };
    assert_eq!(leads(&mut engine), "10.42.1.5 . 8080 }");
    let name = ObjectName {
        namespace: "default".to_owned(),
        name: "a".to_owned(),
    };
    engine.update(Update::NoService(name));
    engine.sync().unwrap();
    assert_eq!(leads(&mut engine), "10.42.1.6 . 8080 }");
}

#[test]
fn drift_of_every_kind_is_repaired_and_reported() {
    let mut engine = engine(
        vec![web(&json!({}))],
        vec![slice("web", &[("10.42.0.5", "n1", "ready")])],
    );
    let right = engine.rules().all();
    let repaired = |engine: &mut Engine<MemoryRuleset>| {
        engine.distrust();
        let report = engine.sync().unwrap();
        assert_eq!(engine.rules().all(), right);
        (report.rebuilt, report.changed)
    };
    assert_eq!(repaired(&mut engine), (false, 0));
    let lost = right.first().unwrap().key.clone();
    engine.rules().lose(&lost);
    assert_eq!(repaired(&mut engine), (false, 1));
    let mut extra = right.first().unwrap().clone();
    extra.key.key.0[0] = cni_plugins_nft::Field::Addr("192.0.2.1".parse().unwrap());
    engine.rules().put(extra);
    assert_eq!(repaired(&mut engine), (false, 1));
    engine.rules().lose_rules("refuse");
    assert_eq!(repaired(&mut engine), (true, 0));
    engine.rules().make_chain("masquerade-floe");
    engine.rules().wipe();
    assert_eq!(repaired(&mut engine), (true, right.len()));
}

#[test]
fn a_change_that_fails_is_followed_by_a_comparison() {
    let mut engine = engine(
        vec![web(&json!({}))],
        vec![slice("web", &[("10.42.0.5", "n1", "ready")])],
    );
    engine.rules().wipe();
    engine.update(Update::Slices(vec![]));
    engine.sync().unwrap_err();
    let report = engine.sync().unwrap();
    assert!(report.compared && report.rebuilt);
    let wanted: BTreeSet<Element> = engine.model().wanted().collect();
    assert_eq!(engine.rules().all(), wanted);
}

#[test]
fn a_full_list_removes_what_is_not_in_it() {
    let mut engine = engine(
        vec![web(&json!({})), service("api", "10.43.0.6", &json!({}))],
        vec![slice("web", &[("10.42.0.5", "n1", "ready")])],
    );
    engine.update(Update::Services(vec![service("api", "10.43.0.6", &json!({}))]));
    engine.update(Update::Slices(vec![]));
    engine.sync().unwrap();
    let left = engine.rules().all();
    assert!(
        left.iter().all(|element| !element.comment.contains("web")),
        "{left:?}"
    );
}

#[test]
fn a_service_that_grows_one_by_one_leaves_few_chains_behind() {
    let mut engine = engine(vec![web(&json!({}))], vec![]);
    let addrs: Vec<String> = (1..=200).map(|n| format!("10.42.1.{n}")).collect();
    for count in 1..=200 {
        let endpoints: Vec<_> = addrs
            .iter()
            .take(count)
            .map(|addr| (addr.as_str(), "n2", "ready"))
            .collect();
        engine.update(Update::Slice(Box::new(slice("web", &endpoints))));
        engine.sync().unwrap();
    }
    let chains = engine.rules().chains();
    let picks = chains.iter().filter(|chain| chain.starts_with("pick")).count();
    assert!(picks <= 65, "{picks}");
    engine.distrust();
    let report = engine.sync().unwrap();
    assert!(!report.rebuilt && report.changed == 0, "{report:?}");
}

/// The whole table of a few services; `FLOE_UPDATE_GOLDEN=1` writes the file anew.
#[test]
fn the_table_is_the_golden_one() {
    let sticky = json!({
        "type": "NodePort", "sessionAffinity": "ClientIP", "externalTrafficPolicy": "Local",
        "ports": [{"name": "http", "port": 80, "nodePort": 30080}],
    });
    let mut engine = engine(
        vec![web(&sticky), service("lonely", "10.43.0.6", &json!({}))],
        vec![slice(
            "web",
            &[
                ("10.42.0.5", "n1", "ready"),
                ("10.42.0.6", "n1", "ready"),
                ("10.42.1.6", "n2", "ready"),
            ],
        )],
    );
    let elements = engine.rules().all();
    let elements = elements
        .iter()
        .map(|element| format!("add element inet floe {element}\n"));
    let table = engine.model().structure().commands(cni_plugins_nft::TABLE) + &elements.collect::<String>();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/table.nft");
    if std::env::var_os("FLOE_UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &table).unwrap();
    }
    let golden = std::fs::read_to_string(path).unwrap();
    assert!(table == golden, "not as in {path}:\n{table}");
}
