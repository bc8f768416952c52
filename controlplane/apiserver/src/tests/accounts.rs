use super::*;

#[tokio::test]
async fn a_pod_runs_as_the_default_account_unless_it_names_one() {
    let api = Api::start().await;
    let created = api.post(PODS, &pod("p")).await.body;
    assert_eq!(created["spec"]["serviceAccountName"], "default");
    assert_eq!(created["spec"]["serviceAccount"], "default");
}

#[tokio::test]
async fn a_pod_whose_account_is_absent_is_forbidden() {
    let api = Api::start().await;
    let mut object = pod("p");
    object["spec"]["serviceAccountName"] = json!("builder");
    let refused = api.post(PODS, &object).await;
    assert_eq!(
        (refused.code, &refused.body["reason"]),
        (403, &json!("Forbidden"))
    );
    assert_eq!(
        refused.body["message"],
        r#"pods "p" is forbidden: error looking up service account default/builder: serviceaccount "builder" not found"#
    );
}

#[tokio::test]
async fn a_pod_in_an_absent_namespace_is_not_found_whatever_its_account() {
    let api = Api::start().await;
    let refused = api.post("/api/v1/namespaces/absent/pods", &pod("p")).await;
    assert_eq!(
        (refused.code, &refused.body["details"]["kind"]),
        (404, &json!("namespaces"))
    );
}

#[tokio::test]
async fn a_pod_waits_a_moment_for_the_default_account_of_a_new_namespace() {
    let api = Api::start().await;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "new"}});
    api.post("/api/v1/namespaces", &namespace).await;
    let (late, pods) = (api.clone(), "/api/v1/namespaces/new/pods");
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move { late.post(pods, &pod("p")).await.code });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    api.post("/api/v1/namespaces/new/serviceaccounts", &account).await;
    assert_eq!(tasks.join_all().await, [201]);
}

#[tokio::test]
async fn a_pod_gets_its_accounts_pull_secrets_unless_it_has_its_own() {
    let api = Api::start().await;
    let patch = json!({"imagePullSecrets": [{"name": "registry"}]});
    let path = format!("{ACCOUNTS}/default");
    assert_eq!(api.patch(&path, "merge-patch+json", &patch).await.code, 200);
    let lent = api.post(PODS, &pod("lent")).await.body;
    assert_eq!(lent["spec"]["imagePullSecrets"], json!([{"name": "registry"}]));
    let mut own = pod("own");
    own["spec"]["imagePullSecrets"] = json!([{"name": "mine"}]);
    let own = api.post(PODS, &own).await.body;
    assert_eq!(own["spec"]["imagePullSecrets"], json!([{"name": "mine"}]));
}
