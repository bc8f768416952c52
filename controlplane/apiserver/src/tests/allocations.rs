//! Whatever is done to Services, what is held is exactly what they have.

use std::collections::BTreeSet;

use controlplane_store::{Key, Range};
use proptest::prelude::*;

use super::*;

const SERVICES: &str = "/api/v1/namespaces/default/services";

/// Something that a client does to the Service of this number.
#[derive(Debug, Clone)]
enum Step {
    Create(u8, Value),
    Patch(u8, Value),
    Delete(u8),
}

fn specs() -> impl Strategy<Value = Value> {
    let kind = prop::sample::select(vec!["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"]);
    let address = prop::sample::select(vec!["", "None", "10.43.0.30", "10.43.0.31", "192.0.2.1"]);
    let port = prop::sample::select(vec![0, 30_001, 30_002, 80]);
    let local = any::<bool>();
    (kind, address, port, local).prop_map(|(kind, address, port, local)| {
        let mut spec = json!({"type": kind, "ports": [{"name": "a", "port": 80}, {"name": "b", "port": 80, "protocol": "UDP"}]});
        match kind {
            "ExternalName" => spec["externalName"] = json!("example.com"),
            "LoadBalancer" if local => spec["externalTrafficPolicy"] = json!("Local"),
            _ => {}
        }
        if !address.is_empty() {
            spec["clusterIP"] = json!(address);
        }
        if port > 0 {
            spec["ports"][0]["nodePort"] = json!(port);
        }
        spec
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..3_u8, specs()).prop_map(|(number, spec)| Step::Create(number, spec)),
        (0..3_u8, specs()).prop_map(|(number, spec)| Step::Patch(number, spec)),
        (0..3_u8).prop_map(Step::Delete),
    ];
    prop::collection::vec(step, 1..12)
}

async fn take(api: &Api, step: &Step) {
    let answer = match step {
        Step::Create(number, spec) => {
            let metadata = json!({"name": format!("s{number}")});
            let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec});
            api.post(SERVICES, &service).await
        }
        Step::Patch(number, spec) => {
            let path = format!("{SERVICES}/s{number}");
            api.patch(&path, "merge-patch+json", &json!({ "spec": spec }))
                .await
        }
        Step::Delete(number) => api.delete(&format!("{SERVICES}/s{number}")).await,
    };
    assert!(answer.code < 500, "{step:?}: {}", answer.body);
}

/// What the Services have: no address or node port twice.
async fn wanted(api: &Api) -> BTreeSet<String> {
    let list = api.get("/api/v1/services").await.body;
    let mut wanted = BTreeSet::new();
    for service in list["items"].as_array().unwrap() {
        let spec = &service["spec"];
        let addresses = spec["clusterIPs"].as_array().into_iter().flatten();
        let addresses = addresses
            .filter_map(Value::as_str)
            .filter(|address| *address != "None");
        let ports = spec["ports"].as_array().into_iter().flatten();
        let ports = ports
            .map(|port| &port["nodePort"])
            .chain([&spec["healthCheckNodePort"]]);
        let ports: BTreeSet<u64> = ports.filter_map(Value::as_u64).filter(|port| *port > 0).collect();
        for held in addresses
            .map(str::to_owned)
            .chain(ports.iter().map(u64::to_string))
        {
            assert!(wanted.insert(held.clone()), "{held} belongs to two Services");
        }
    }
    wanted
}

fn held(api: &Api) -> BTreeSet<String> {
    let folders = ["networking.k8s.io/ipaddresses/", "floe.dev/nodeports/"].into_iter();
    let ranges = folders.map(|folder| Range::prefix(format!("{}{folder}", Key::ROOT)));
    let listings = ranges.map(|range| api.server.0.store.list(&range).unwrap());
    listings
        .flat_map(|listing| listing.entries)
        .map(|entry| entry.key.name().to_owned())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_held_is_exactly_what_services_have(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let api = Api::start().await;
            for step in &steps {
                take(&api, step).await;
                assert_eq!(held(&api), wanted(&api).await, "after {step:?}");
            }
        });
    }
}
