//! Which remembered connections are forgotten when endpoints change.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod objects;

use std::net::IpAddr;

use agent_proxy::{Config, Engine, Model, Sweep, Update, sweep};
use cni_plugins_nft::{
    Element, ElementKey, Field, Flow, MemoryFlows, MemoryRuleset, Protocol, Ruleset as _, Tuple, Value,
    comment,
};
use objects::{service, slice, slice_of};
use serde_json::json;

fn engine(service: agent_proxy::Service, slices: Vec<agent_proxy::Slice>) -> Engine<MemoryRuleset> {
    let config = Config {
        node_name: "n1".to_owned(),
        ..Config::default()
    };
    let mut engine = Engine::new(Model::new(config), MemoryRuleset::default());
    engine.update(Update::Services(vec![service]));
    engine.update(Update::Slices(slices));
    engine.sync().unwrap();
    engine
}

/// Addresses of the node.
fn local() -> Vec<IpAddr> {
    ["127.0.0.1", "10.88.0.2", "192.0.2.2"]
        .map(|addr| addr.parse().unwrap())
        .to_vec()
}

fn flow(destination: &str, server: &str) -> Flow {
    Flow::new(
        "10.42.0.9:40000".parse().unwrap(),
        destination.parse().unwrap(),
        server.parse().unwrap(),
    )
}

#[test]
fn udp_flows_whose_endpoint_has_gone_are_forgotten_and_no_others() {
    let dns = service(
        "dns",
        "10.43.0.7",
        &json!({"type": "NodePort", "ports": [{"name": "dns", "port": 53, "protocol": "UDP", "nodePort": 30053}]}),
    );
    let ends = |addr| vec![slice_of("dns", "dns", "UDP", 53, &[(addr, "n2", "ready")])];
    let mut engine = engine(dns, ends("10.42.1.5"));
    engine.update(Update::Slices(ends("10.42.1.6")));
    let report = engine.sync().unwrap();
    let kept = [
        flow("10.43.0.7:53", "10.42.1.6:53"),
        flow("8.8.8.8:53", "8.8.8.8:53"),
        flow("8.8.8.8:30053", "8.8.8.8:30053"),
        flow("10.88.0.2:30053", "10.42.1.6:53"),
        // Another machine's port of that number.
        flow("10.88.0.9:30053", "10.88.0.9:30053"),
    ];
    let stale = [
        flow("10.43.0.7:53", "10.42.1.5:53"),
        // Begun before there was a service.
        flow("10.43.0.7:53", "10.43.0.7:53"),
        flow("10.88.0.2:30053", "10.42.1.5:53"),
        flow("10.88.0.2:30053", "10.88.0.2:30053"),
        // Node ports are on every address of the node.
        flow("192.0.2.2:30053", "10.42.1.5:53"),
    ];
    let mut flows = MemoryFlows {
        flows: kept.iter().chain(&stale).cloned().collect(),
        local: local(),
    };
    let work = Sweep::after(&engine, &report.targets);
    assert_eq!(sweep(&work, engine.rules(), &mut flows).unwrap(), stale.len());
    assert_eq!(flows.flows, kept);
}

/// A client that is sent to `endpoint` whenever it connects to `to`.
fn client(client: &str, to: &str, port: u16, endpoint: &str) -> Element {
    Element {
        key: ElementKey {
            set: "affinity4".into(),
            key: Tuple(vec![
                Field::Addr(client.parse().unwrap()),
                Field::Addr(to.parse().unwrap()),
                Field::Protocol(Protocol::Tcp),
                Field::Port(port),
            ]),
        },
        value: Value::Tuple(Tuple(vec![
            Field::Addr(endpoint.parse().unwrap()),
            Field::Port(8080),
        ])),
        comment: comment(""),
    }
}

/// The clients that are remembered.
fn clients(engine: &mut Engine<MemoryRuleset>) -> Vec<Element> {
    let spec = engine.model().structure().sets.get("affinity4").unwrap().clone();
    engine.rules().elements("affinity4", &spec).unwrap()
}

#[test]
fn clients_whose_endpoint_has_gone_choose_anew_and_others_stay() {
    let sticky = service("web", "10.43.0.5", &json!({"sessionAffinity": "ClientIP"}));
    let mut engine = engine(
        sticky.clone(),
        vec![slice(
            "web",
            &[("10.42.1.5", "n2", "ready"), ("10.42.1.6", "n2", "ready")],
        )],
    );
    let stays = client("10.42.0.1", "10.43.0.5", 80, "10.42.1.6");
    let other = client("10.42.0.1", "10.43.0.5", 81, "10.42.1.5");
    for element in [&stays, &other, &client("10.42.0.2", "10.43.0.5", 80, "10.42.1.5")] {
        engine.rules().put(element.clone());
    }
    engine.update(Update::Slices(vec![slice(
        "web",
        &[("10.42.1.6", "n2", "ready")],
    )]));
    let report = engine.sync().unwrap();
    let work = Sweep::after(&engine, &report.targets);
    sweep(&work, engine.rules(), &mut MemoryFlows::default()).unwrap();
    assert_eq!(clients(&mut engine), [stays, other.clone()]);
    // Without affinity nobody is remembered.
    let mut loose = sticky;
    loose.affinity = None;
    engine.update(Update::Service(Box::new(loose)));
    let report = engine.sync().unwrap();
    let work = Sweep::after(&engine, &report.targets);
    sweep(&work, engine.rules(), &mut MemoryFlows::default()).unwrap();
    assert_eq!(clients(&mut engine), [other]);
}

#[test]
fn clients_of_a_node_port_choose_anew_and_those_of_an_address_with_its_number_stay() {
    let spec = json!({
        "type": "NodePort", "sessionAffinity": "ClientIP",
        "ports": [{"name": "http", "port": 80, "nodePort": 30080}],
    });
    let mut engine = engine(
        service("web", "10.43.0.5", &spec),
        vec![slice("web", &[("10.42.1.5", "n2", "ready")])],
    );
    let other = json!({"sessionAffinity": "ClientIP", "ports": [{"name": "http", "port": 30080}]});
    engine.update(Update::Service(Box::new(service("other", "10.43.0.6", &other))));
    engine.update(Update::Slice(Box::new(slice(
        "other",
        &[("10.42.1.7", "n2", "ready")],
    ))));
    engine.sync().unwrap();
    let stays = client("10.42.0.1", "10.43.0.6", 30080, "10.42.1.7");
    let here = ["10.88.0.2", "192.0.2.2"].map(|to| client("10.42.0.1", to, 30080, "10.42.1.5"));
    for element in here.iter().chain([&stays]) {
        engine.rules().put(element.clone());
    }
    engine.update(Update::Slice(Box::new(slice(
        "web",
        &[("10.42.1.6", "n2", "ready")],
    ))));
    let report = engine.sync().unwrap();
    let work = Sweep::after(&engine, &report.targets);
    let mut flows = MemoryFlows {
        local: local(),
        ..MemoryFlows::default()
    };
    assert_eq!(sweep(&work, engine.rules(), &mut flows).unwrap(), here.len());
    assert_eq!(clients(&mut engine), [stays]);
}

#[test]
fn a_change_of_tcp_alone_looks_at_no_flow() {
    let mut engine = engine(service("web", "10.43.0.5", &json!({})), vec![]);
    engine.update(Update::Slices(vec![slice(
        "web",
        &[("10.42.1.6", "n2", "ready")],
    )]));
    let report = engine.sync().unwrap();
    assert!(!report.targets.is_empty());
    assert!(Sweep::after(&engine, &report.targets).is_empty());
}
