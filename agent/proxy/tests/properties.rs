//! Random histories of services, slices and vandalism.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod objects;

use std::collections::{BTreeMap, BTreeSet};

use agent_proxy::{Config, Engine, Model, ObjectName, Service, Slice, Update};
use cni_plugins_nft::{Element, MemoryRuleset};
use objects::{service, slice};
use proptest::prelude::*;
use serde_json::json;

/// What happens, in terms of small numbers.
#[derive(Debug, Clone)]
enum Step {
    Service { id: u8, kind: u8, affinity: bool },
    NoService(u8),
    Slice { id: u8, endpoints: Vec<(u8, u8, u8)> },
    NoSlice(u8),
    Relist,
    Sync,
    LoseElement(usize),
    Wipe,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..6_u8, 0..5_u8, any::<bool>()).prop_map(|(id, kind, affinity)| Step::Service { id, kind, affinity }),
        2 => (0..6_u8).prop_map(Step::NoService),
        5 => (0..6_u8, prop::collection::vec((0..9_u8, 0..2_u8, 0..3_u8), 0..6))
            .prop_map(|(id, endpoints)| Step::Slice { id, endpoints }),
        2 => (0..6_u8).prop_map(Step::NoSlice),
        1 => Just(Step::Relist),
        6 => Just(Step::Sync),
        1 => any::<usize>().prop_map(Step::LoseElement),
        1 => Just(Step::Wipe),
    ]
}

fn name(name: String) -> ObjectName {
    ObjectName {
        namespace: "default".to_owned(),
        name,
    }
}

fn make_service(id: u8, kind: u8, affinity: bool) -> Service {
    // Two services in conflict about a node port, too.
    let port = 30_080 + u32::from(id / 2);
    let ports = json!([{"name": "http", "port": 80, "nodePort": port}]);
    let mut spec = match kind {
        0 => json!({}),
        1 => json!({"type": "NodePort", "ports": ports}),
        2 => json!({"type": "NodePort", "ports": ports, "externalTrafficPolicy": "Local"}),
        3 => json!({"internalTrafficPolicy": "Local"}),
        _ => {
            json!({"type": "NodePort", "ports": ports, "externalTrafficPolicy": "Local", "internalTrafficPolicy": "Local"})
        }
    };
    if affinity {
        spec["sessionAffinity"] = json!("ClientIP");
    }
    service(&format!("s{id}"), &format!("10.43.0.{id}"), &spec)
}

fn make_slice(id: u8, endpoints: &[(u8, u8, u8)]) -> Slice {
    let addrs: Vec<String> = endpoints
        .iter()
        .map(|(host, node, _)| format!("10.42.{node}.{host}"))
        .collect();
    let endpoints: Vec<(&str, &str, &str)> = endpoints
        .iter()
        .zip(&addrs)
        .map(|((_, node, state), addr)| {
            let node = if *node == 0 { "n1" } else { "n2" };
            let state = ["ready", "ending", "not"]
                .get(usize::from(*state))
                .copied()
                .unwrap_or("not");
            (addr.as_str(), node, state)
        })
        .collect();
    slice(&format!("s{id}"), &endpoints)
}

fn new_engine() -> Engine<MemoryRuleset> {
    let config = Config {
        node_name: "n1".to_owned(),
        ..Config::default()
    };
    let mut engine = Engine::new(Model::new(config), MemoryRuleset::default());
    engine.update(Update::Services(Vec::new()));
    engine.update(Update::Slices(Vec::new()));
    engine.sync().unwrap();
    engine
}

/// Everything that a verdict leads to is there: a choice among slots finds an endpoint in each.
fn every_choice_finds_endpoints(all: &BTreeSet<Element>) {
    let keys: BTreeSet<String> = all.iter().map(|element| element.key.to_string()).collect();
    for element in all {
        let line = element.to_string();
        let Some((_, chain)) = line.rsplit_once(": goto ") else {
            continue;
        };
        let chain = chain.trim_end_matches(" }");
        let (stem, slots) = if let Some(slot) = chain.strip_prefix("to-") {
            let (stem, slot) = slot.rsplit_once('-').unwrap();
            let slot: usize = slot.parse().unwrap();
            (stem.to_owned(), slot..slot + 1)
        } else if let Some(choice) = chain.strip_prefix("pick") {
            let (stem, choice) = choice
                .strip_prefix("-node")
                .map_or(("endpoints", choice), |rest| ("node-endpoints", rest));
            let choice = choice.strip_prefix("4-").unwrap();
            let (count, from) = choice.split_once("-from-").unwrap_or((choice, "0"));
            let from: usize = from.parse().unwrap();
            (format!("{stem}4"), from..from + count.parse::<usize>().unwrap())
        } else {
            continue;
        };
        for slot in slots {
            let wanted = format!("{stem}-{slot} {{ {} }}", element.key.key);
            assert!(keys.contains(&wanted), "{line} needs {wanted}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_history_ends_in_the_table_that_its_last_state_asks_for(steps in prop::collection::vec(step(), 1..40)) {
        let mut engine = new_engine();
        let (mut services, mut slices) = (BTreeMap::new(), BTreeMap::new());
        for step in steps {
            match step {
                Step::Service { id, kind, affinity } => {
                    let service = make_service(id, kind, affinity);
                    services.insert(id, service.clone());
                    engine.update(Update::Service(Box::new(service)));
                }
                Step::NoService(id) => {
                    services.remove(&id);
                    engine.update(Update::NoService(name(format!("s{id}"))));
                }
                Step::Slice { id, endpoints } => {
                    let slice = make_slice(id, &endpoints);
                    slices.insert(id, slice.clone());
                    engine.update(Update::Slice(Box::new(slice)));
                }
                Step::NoSlice(id) => {
                    slices.remove(&id);
                    engine.update(Update::NoSlice(name(format!("s{id}-http-x"))));
                }
                Step::Relist => {
                    engine.update(Update::Services(services.values().cloned().collect()));
                    engine.update(Update::Slices(slices.values().cloned().collect()));
                }
                Step::Sync => {
                    engine.sync().unwrap();
                    let wanted: BTreeSet<Element> = engine.model().wanted().collect();
                    prop_assert_eq!(engine.rules().all(), wanted);
                    every_choice_finds_endpoints(&engine.rules().all());
                }
                Step::LoseElement(at) => {
                    let all: Vec<Element> = engine.rules().all().into_iter().collect();
                    if let Some(lost) = all.get(at % all.len().max(1)) {
                        engine.rules().lose(&lost.key);
                        engine.distrust();
                    }
                }
                Step::Wipe => {
                    engine.rules().wipe();
                    engine.distrust();
                }
            }
        }
        engine.sync().unwrap();
        let mut fresh = new_engine();
        fresh.update(Update::Services(services.into_values().collect()));
        fresh.update(Update::Slices(slices.into_values().collect()));
        fresh.sync().unwrap();
        prop_assert_eq!(engine.rules().all(), fresh.rules().all());
    }
}
