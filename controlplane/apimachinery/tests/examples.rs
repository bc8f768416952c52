//! The examples do what they say, asked of a whole API server in this process.

#![expect(clippy::unwrap_used, reason = "tests may fail by panicking")]

use std::sync::Arc;

use controlplane_apimachinery::UserInfo;
use controlplane_apiserver::{ApiServer, Bootstrap, Parts, PodNetworks, SystemClock};
use controlplane_store::{MemoryState, Options, Store};

#[path = "../examples/typed.rs"]
#[expect(
    dead_code,
    unreachable_pub,
    reason = "a program of its own, whose main nobody calls here"
)]
mod typed;
#[path = "../examples/untyped.rs"]
#[expect(
    dead_code,
    unreachable_pub,
    reason = "a program of its own, whose main nobody calls here"
)]
mod untyped;

/// An administrator's client of a new server.
async fn client() -> kube::Client {
    let server = ApiServer::new(Parts {
        registry: controlplane_api::builtin(),
        store: Store::open(MemoryState::default(), Options::default()).unwrap(),
        archive: None,
        trouble: Default::default(),
        schemas: controlplane_schema::builtin(),
        clock: Arc::new(SystemClock),
        pods: PodNetworks {
            range: "10.42.0.0/16".parse().unwrap(),
            node_mask: 24,
        },
        service_cidr: "10.43.0.0/16".parse().unwrap(),
        cluster_dns: "10.43.0.10".parse().unwrap(),
        nodes: None,
        accounts: None,
        metrics: controlplane_apiserver::Metrics::default(),
    });
    let bootstrap = Bootstrap {
        advertise: "10.0.0.1:6443".parse().unwrap(),
        token: None,
    };
    server.bootstrap(&bootstrap).await.unwrap();
    let admin = UserInfo {
        username: "admin".to_owned(),
        groups: vec!["system:masters".to_owned(), "system:authenticated".to_owned()],
        ..UserInfo::default()
    };
    kube::Client::new(server.in_process(admin), "default")
}

#[tokio::test]
async fn the_untyped_client_finds_a_kind_and_goes_through_the_life_of_an_object() {
    let said = untyped::run(client().await).await.unwrap();
    assert_eq!(
        said,
        [
            "cm is ConfigMap at /api/v1/namespaces/default/configmaps",
            "{\"data\":{\"colour\":\"blue\",\"size\":null}} makes data {\"colour\":\"blue\"}",
            "app=example finds it: true",
            "then the answer is 404 Some(NotFound)",
        ]
    );
}

#[tokio::test]
async fn the_typed_client_owns_what_it_applies_and_its_condition_keeps_its_time() {
    let said = typed::run(client().await).await.unwrap();
    let [owned, reviewed] = &*said else {
        panic!("{said:?}")
    };
    assert!(owned.contains(".spec.replicas"), "{owned}");
    assert!(
        owned.contains(".spec.template.spec.containers[name=\"c\"].image"),
        "{owned}"
    );
    assert_eq!(reviewed, "Reviewed Again since 1970-01-01T00:16:40Z");
}
