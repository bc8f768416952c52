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

/// How the volumes are called that a pod's containers mount for the API.
fn token_volumes(pod: &Value) -> Vec<&str> {
    let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    let names = volumes.filter_map(|volume| volume["name"].as_str());
    names
        .filter(|name| name.starts_with("kube-api-access-"))
        .collect()
}

#[tokio::test]
async fn a_pod_reaches_the_api_as_its_account_unless_it_or_its_account_opts_out() {
    let api = Api::start().await;
    let account = |mounts: bool| {
        let name = if mounts { "mount" } else { "nomount" };
        json!({
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name},
            "automountServiceAccountToken": mounts,
        })
    };
    for mounts in [true, false] {
        assert_eq!(api.post(ACCOUNTS, &account(mounts)).await.code, 201);
    }
    for (name, said, mounted) in [
        ("default", None, true),
        ("default", Some(true), true),
        ("default", Some(false), false),
        ("mount", None, true),
        ("mount", Some(true), true),
        ("mount", Some(false), false),
        ("nomount", None, false),
        ("nomount", Some(true), true),
        ("nomount", Some(false), false),
    ] {
        let mut object = pod("");
        object["metadata"] = json!({"generateName": "p-"});
        object["spec"]["serviceAccountName"] = json!(name);
        object["spec"]["automountServiceAccountToken"] = json!(said);
        let made = api.post(PODS, &object).await;
        let volumes = token_volumes(&made.body);
        assert_eq!(
            volumes.len(),
            usize::from(mounted),
            "{name} {said:?}: {}",
            made.body
        );
        let mounts = &made.body["spec"]["containers"][0]["volumeMounts"];
        assert_eq!(mounts[0]["name"].as_str(), volumes.first().copied());
    }
}

#[tokio::test]
async fn an_update_leaves_the_token_of_a_pod_alone() {
    let api = Api::start().await;
    let made = api.post(PODS, &pod("p")).await.body;
    assert_eq!(token_volumes(&made).len(), 1);
    let out = json!({"automountServiceAccountToken": false});
    assert_eq!(
        api.patch(&format!("{ACCOUNTS}/default"), "merge-patch+json", &out)
            .await
            .code,
        200
    );
    let label = json!({"metadata": {"labels": {"a": "b"}}});
    let path = format!("{PODS}/p");
    let changed = api.patch(&path, "merge-patch+json", &label).await.body;
    assert_eq!(changed["spec"], made["spec"]);
    let without = api.put(&path, &pod("p")).await;
    assert_eq!(without.code, 422, "{}", without.body);
}

#[tokio::test]
async fn a_strict_account_lets_its_pods_use_the_secrets_it_lists_and_no_others() {
    let api = Api::start().await;
    let strict = json!({
        "metadata": {"annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}},
        "secrets": [{"name": "listed"}],
    });
    let path = format!("{ACCOUNTS}/default");
    assert_eq!(api.patch(&path, "merge-patch+json", &strict).await.code, 200);
    let ask = async |secret: &str| {
        let mut object = pod(secret);
        object["spec"]["volumes"] = json!([{"name": "v", "secret": {"secretName": secret}}]);
        api.post(PODS, &object).await
    };
    assert_eq!(ask("listed").await.code, 201);
    let refused = ask("other").await;
    assert_eq!(refused.code, 403);
    assert_eq!(
        refused.body["message"],
        "pods \"other\" is forbidden: volume with secret.secretName=\"other\" is not allowed because service account default \
         does not reference that secret"
    );
    let debugger = json!([{
        "name": "d", "image": "i",
        "env": [{"name": "E", "valueFrom": {"secretKeyRef": {"name": "other", "key": "k"}}}],
    }]);
    let patch = json!({"spec": {"ephemeralContainers": debugger}});
    let path = format!("{PODS}/listed/ephemeralcontainers");
    let refused = api.patch(&path, "strategic-merge-patch+json", &patch).await;
    assert_eq!(refused.code, 403, "{}", refused.body);
}

#[tokio::test]
async fn a_mirror_pod_has_no_account() {
    let api = Api::start().await;
    let mut mirror = pod("mirror");
    mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "h"});
    mirror["spec"]["nodeName"] = json!("a");
    let made = api.post(PODS, &mirror).await;
    assert_eq!(made.code, 201, "{}", made.body);
    assert_eq!(made.body["spec"]["serviceAccountName"], Value::Null);
    assert!(token_volumes(&made.body).is_empty());
    mirror["spec"]["serviceAccountName"] = json!("default");
    let refused = api.post(PODS, &mirror).await;
    assert_eq!(
        (refused.code, &refused.body["message"]),
        (
            403,
            &json!("pods \"mirror\" is forbidden: a mirror pod may not reference service accounts")
        )
    );
}
