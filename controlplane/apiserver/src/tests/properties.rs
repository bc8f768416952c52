//! What holds whatever clients do.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

/// Something that a client does to the config map of this number.
#[derive(Debug, Clone)]
enum Step {
    Create(u8, Option<u8>),
    Label(u8, Option<u8>),
    Change(u8, u8),
    Delete(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let label = || proptest::option::of(0..2_u8);
    let step = prop_oneof![
        3 => (0..4_u8, label()).prop_map(|(number, label)| Step::Create(number, label)),
        3 => (0..4_u8, label()).prop_map(|(number, label)| Step::Label(number, label)),
        2 => (0..4_u8, 0..3_u8).prop_map(|(number, value)| Step::Change(number, value)),
        2 => (0..4_u8).prop_map(Step::Delete),
    ];
    proptest::collection::vec(step, 0..16)
}

async fn take(api: &Api, step: &Step) {
    let path = |number: u8| format!("{CONFIG_MAPS}/m{number}");
    let label = |label: Option<u8>| label.map(|label| label.to_string());
    let answer = match step {
        Step::Create(number, value) => {
            let mut object = config_map(&format!("m{number}"));
            object["metadata"]["labels"] = json!({"app": label(*value)});
            api.post(CONFIG_MAPS, &object).await
        }
        Step::Label(number, value) => {
            let patch = json!({"metadata": {"labels": {"app": label(*value)}}});
            api.patch(&path(*number), "merge-patch+json", &patch).await
        }
        Step::Change(number, value) => {
            let patch = json!({"data": {"k": value.to_string()}});
            api.patch(&path(*number), "merge-patch+json", &patch).await
        }
        Step::Delete(number) => api.delete(&path(*number)).await,
    };
    assert!(answer.code < 500, "{step:?}: {}", answer.body);
}

/// The objects of a list by name, and the version of the list.
async fn listed(api: &Api, query: &str) -> (BTreeMap<String, Value>, String) {
    let list = api.get(&format!("{CONFIG_MAPS}{query}")).await.body;
    let items = list["items"].as_array().unwrap();
    let version = list["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    (
        items.iter().map(|item| (name_of(item), bare(item))).collect(),
        version,
    )
}

fn name_of(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap().to_owned()
}

/// An object as lists and watches both show it; items of lists have neither kind nor version.
fn bare(object: &Value) -> Value {
    let mut object = object.clone();
    let map = object.as_object_mut().unwrap();
    map.remove("kind");
    map.remove("apiVersion");
    object
}

/// A list with the events of a watch replayed over it, up to the object `last`.
async fn replayed(
    api: &Api,
    query: &str,
    (mut state, version): (BTreeMap<String, Value>, String),
    last: &str,
) -> BTreeMap<String, Value> {
    let join = if query.is_empty() { "?" } else { "&" };
    let mut events = api
        .watch(&format!(
            "{CONFIG_MAPS}{query}{join}watch=true&resourceVersion={version}"
        ))
        .await;
    while !state.contains_key(last) {
        let event = events.next().await.unwrap();
        let name = name_of(&event["object"]);
        let known = state.contains_key(&name);
        match event["type"].as_str().unwrap() {
            "ADDED" => assert!(!known, "{name} is added twice"),
            "MODIFIED" => assert!(known, "{name} is modified before it is added"),
            "DELETED" => {
                assert!(known, "{name} is deleted before it is added");
                state.remove(&name);
                continue;
            }
            other => panic!("{other}: {event}"),
        }
        state.insert(name, bare(&event["object"]));
    }
    state
}

fn run(test: impl Future<Output = Result<(), TestCaseError>>) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(test)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn events_replayed_over_a_list_give_the_next_list(before in steps(), after in steps()) {
        run(async {
            let api = Api::start().await;
            for step in &before {
                take(&api, step).await;
            }
            let queries = ["", "?labelSelector=app%3D1", "?labelSelector=!app", "?fieldSelector=metadata.name!%3Dm1"];
            let mut first = Vec::new();
            for query in queries {
                first.push(listed(&api, query).await);
            }
            for step in &after {
                take(&api, step).await;
            }
            // One that all of the selectors see at the end.
            for (name, labels) in [("y", json!({"app": "1"})), ("z", json!({}))] {
                let mut object = config_map(name);
                object["metadata"]["labels"] = labels;
                api.post(CONFIG_MAPS, &object).await;
            }
            for (query, first) in queries.into_iter().zip(first) {
                let last = if query.contains("app%3D1") { "y" } else { "z" };
                let seen = replayed(&api, query, first, last).await;
                prop_assert_eq!(seen, listed(&api, query).await.0, "{}", query);
            }
            Ok(())
        })?;
    }

    #[test]
    fn an_apply_that_went_through_makes_no_revision_the_second_time(
        replicas in proptest::option::of(0..3_u8), images in proptest::collection::btree_map("[a-c]", "[x-z]", 1..4),
        ports in proptest::collection::btree_set(1..4_u8, 0..3), others in steps(),
    ) {
        run(async {
            let api = Api::start().await;
            for step in &others {
                take(&api, step).await;
            }
            let ports: Vec<Value> = ports.iter().map(|port| json!({"containerPort": port})).collect();
            let containers: Vec<Value> = images
                .iter()
                .map(|(name, image)| json!({"name": name, "image": image, "ports": ports}))
                .collect();
            let mut config = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
                "spec": {"selector": {"matchLabels": {"a": "b"}},
                    "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": containers}}}});
            if let Some(replicas) = replicas {
                config["spec"]["replicas"] = replicas.into();
            }
            let path = format!("{DEPLOYMENTS}/web?fieldManager=m");
            let first = api.patch(&path, "apply-patch+yaml", &config).await;
            prop_assert_eq!(first.code, 201, "{}", first.body);
            api.clock.advance(5);
            let second = api.patch(&path, "apply-patch+yaml", &config).await;
            prop_assert_eq!((second.code, second.body), (200, first.body));
            Ok(())
        })?;
    }
}
