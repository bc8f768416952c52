use super::*;

fn eviction(name: &str, options: Value) -> Value {
    let mut eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
    eviction["deleteOptions"] = options;
    eviction
}

#[tokio::test]
async fn discovery_lists_evictions_where_drain_looks_for_them() {
    let api = Api::start().await;
    let found = api.get("/api/v1").await.body;
    let found = found["resources"].as_array().unwrap();
    let found = found.iter().find(|resource| resource["name"] == "pods/eviction");
    let wanted = json!({
        "name": "pods/eviction", "singularName": "", "namespaced": true,
        "group": "policy", "version": "v1", "kind": "Eviction", "verbs": ["create"],
    });
    assert_eq!(found, Some(&wanted));
}

#[tokio::test]
async fn an_evicted_pod_ends_in_its_grace_and_says_why() {
    let api = Api::start().await;
    bound_pod(&api, "p").await;
    let wishes = eviction("p", json!({"gracePeriodSeconds": 7}));
    let answer = api.post(&format!("{PODS}/p/eviction"), &wishes).await;
    assert_eq!((answer.code, &answer.body["status"]), (201, &json!("Success")));
    let pod = api.get(&format!("{PODS}/p")).await.body;
    assert_eq!(pod["metadata"]["deletionGracePeriodSeconds"], 7);
    let conditions = pod["status"]["conditions"].as_array().unwrap();
    let why = conditions
        .iter()
        .find(|condition| condition["type"] == "DisruptionTarget")
        .unwrap();
    assert_eq!(
        (&why["status"], &why["reason"]),
        (&json!("True"), &json!("EvictionByEvictionAPI"))
    );
}

#[tokio::test]
async fn a_dry_run_evicts_nothing_wherever_it_is_asked_for() {
    let api = Api::start().await;
    bound_pod(&api, "p").await;
    let path = format!("{PODS}/p/eviction");
    let by_url = api
        .post(&format!("{path}?dryRun=All"), &eviction("p", Value::Null))
        .await;
    let in_body = api.post(&path, &eviction("p", json!({"dryRun": ["All"]}))).await;
    assert_eq!((by_url.code, in_body.code), (201, 201));
    let pod = api.get(&format!("{PODS}/p")).await.body;
    assert_eq!(pod["metadata"].get("deletionTimestamp"), None);
}

#[tokio::test]
async fn a_precondition_that_does_not_hold_evicts_nothing() {
    let api = Api::start().await;
    let pod = bound_pod(&api, "p").await;
    let path = format!("{PODS}/p/eviction");
    let other = eviction("p", json!({"preconditions": {"uid": "another"}}));
    assert_eq!(api.post(&path, &other).await.code, 409);
    let own = eviction("p", json!({"preconditions": {"uid": pod["metadata"]["uid"]}}));
    assert_eq!(api.post(&path, &own).await.code, 201);
}

#[tokio::test]
async fn a_bad_eviction_is_refused_and_an_absent_pod_not_found() {
    let api = Api::start().await;
    bound_pod(&api, "p").await;
    let path = format!("{PODS}/p/eviction");
    let other_name = api.post(&path, &eviction("q", Value::Null)).await;
    assert_eq!(
        (other_name.code, other_name.body["message"].as_str()),
        (
            400,
            Some(r#"name in URL does not match name in Eviction object: "p" != "q""#)
        )
    );
    let absent = api
        .post(&format!("{PODS}/q/eviction"), &eviction("q", Value::Null))
        .await;
    assert_eq!(absent.code, 404);
    assert_eq!(api.post(&path, &pod("p")).await.code, 400);
}

#[tokio::test]
async fn older_clients_evict_by_the_version_that_they_know() {
    let api = Api::start().await;
    bound_pod(&api, "p").await;
    let mut wish = eviction("p", json!({"gracePeriodSeconds": 7}));
    wish["apiVersion"] = "policy/v1beta1".into();
    assert_eq!(api.post(&format!("{PODS}/p/eviction"), &wish).await.code, 201);
}
