use super::*;

fn pod(spec: Value) -> Value {
    json!({"metadata": {"name": "p"}, "spec": spec})
}

fn given(account: &Value, spec: Value) -> Value {
    let mut pod = pod(spec);
    give(account, &mut pod, "x2b4d");
    pod["spec"].take()
}

#[test]
fn every_container_gets_the_token_of_the_default_account() {
    let mount = json!({"name": "kube-api-access-x2b4d", "readOnly": true, "mountPath": MOUNT_PATH});
    let found = given(
        &json!({}),
        json!({
            "initContainers": [{"name": "i"}],
            "containers": [{"name": "a", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}, {"name": "b"}],
            "ephemeralContainers": [{"name": "e"}],
            "volumes": [{"name": "v", "emptyDir": {}}],
        }),
    );
    assert_eq!(found["serviceAccountName"], "default");
    assert_eq!(
        found["initContainers"],
        json!([{"name": "i", "volumeMounts": [mount]}])
    );
    assert_eq!(
        found["containers"][0]["volumeMounts"],
        json!([{"name": "v", "mountPath": "/v"}, mount])
    );
    assert_eq!(found["containers"][1]["volumeMounts"], json!([mount]));
    assert_eq!(found["ephemeralContainers"], json!([{"name": "e"}]));
    assert_eq!(
        found["volumes"][1],
        json!({"name": "kube-api-access-x2b4d", "projected": {"defaultMode": 420, "sources": [
            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [
                {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
        ]}})
    );
}

#[test]
fn what_the_pod_says_of_its_token_counts_before_what_its_account_says() {
    let says = |account: Option<bool>, pod: Option<bool>| {
        let account = json!({"automountServiceAccountToken": account});
        let spec = json!({"automountServiceAccountToken": pod, "containers": [{"name": "a"}]});
        !read::list(&given(&account, spec), "volumes").is_empty()
    };
    assert!(
        says(None, None) && says(None, Some(true)) && says(Some(true), None) && says(Some(false), Some(true))
    );
    assert!(!says(None, Some(false)) && !says(Some(false), None) && !says(Some(true), Some(false)));
}

#[test]
fn a_container_with_something_at_the_tokens_place_keeps_it() {
    let own = json!([{"name": "own", "mountPath": MOUNT_PATH}]);
    let spec = json!({"containers": [{"name": "a", "volumeMounts": own}], "volumes": [{"name": "own", "emptyDir": {}}]});
    let found = given(&json!({}), spec.clone());
    assert_eq!(found["containers"], spec["containers"]);
    assert_eq!(found["volumes"], spec["volumes"]);
}

#[test]
fn the_copy_of_a_pod_keeps_the_volume_of_its_token() {
    let once = given(&json!({}), json!({"containers": [{"name": "a"}]}));
    let mut copy = once.clone();
    copy["containers"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "b"}));
    let found = given(&json!({}), copy);
    assert_eq!(found["volumes"], once["volumes"]);
    assert_eq!(found["containers"][0], once["containers"][0]);
    assert_eq!(
        found["containers"][1]["volumeMounts"],
        once["containers"][0]["volumeMounts"]
    );
}

#[test]
fn a_pod_may_be_bound_to_the_secrets_that_its_account_lists() {
    let account = json!({
        "metadata": {"name": "strict", "annotations": {ENFORCE: "true"}},
        "secrets": [{"name": "listed"}], "imagePullSecrets": [{"name": "pulls"}],
    });
    let env = |name: &str| json!([{"name": "E", "valueFrom": {"secretKeyRef": {"name": name, "key": "k"}}}]);
    let cases = [
        (
            json!({"volumes": [{"name": "v", "secret": {"secretName": "other"}}]}),
            r#"volume with secret.secretName="other" is not allowed because service account strict does not reference that secret"#,
        ),
        (
            json!({"initContainers": [{"name": "i", "env": env("other")}]}),
            r#"init container i with envVar E referencing secret.secretName="other" is not allowed because service account strict does not reference that secret"#,
        ),
        (
            json!({"containers": [{"name": "a", "env": env("listed")}, {"name": "b", "env": env("other")}]}),
            r#"container b with envVar E referencing secret.secretName="other" is not allowed because service account strict does not reference that secret"#,
        ),
        (
            json!({"imagePullSecrets": [{"name": "pulls"}, {"name": "other"}]}),
            r#"imagePullSecrets[1].name="other" is not allowed because service account strict does not reference that imagePullSecret"#,
        ),
    ];
    let loose = json!({"metadata": {"name": "loose", "annotations": {ENFORCE: "no"}}});
    for (spec, why) in cases {
        let pod = pod(spec);
        assert_eq!(check(&account, &pod), Err(why.to_owned()));
        assert_eq!(check(&loose, &pod), Ok(()));
    }
    let debugged = pod(json!({"ephemeralContainers": [{"name": "e", "env": env("other")}]}));
    let why = "ephemeral container e with envVar E referencing secret.secretName=\"other\" is not allowed because service \
               account strict does not reference that secret";
    assert_eq!(check_ephemeral(&account, &debugged), Err(why.to_owned()));
    let fine = pod(json!({
        "volumes": [{"name": "v", "secret": {"secretName": "listed"}}], "imagePullSecrets": [{"name": "pulls"}],
        "ephemeralContainers": [{"name": "e", "env": env("listed")}],
    }));
    assert_eq!(
        (check(&account, &fine), check_ephemeral(&account, &fine)),
        (Ok(()), Ok(()))
    );
}

#[test]
fn a_mirror_pod_runs_as_nobody_and_has_no_secrets() {
    let refused = |spec: Value| check_mirror(&pod(spec)).unwrap_err();
    assert_eq!(
        refused(json!({"serviceAccountName": "default"})),
        "a mirror pod may not reference service accounts"
    );
    let env_from = json!([{"secretRef": {"name": "s"}}]);
    for spec in [
        json!({"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}),
        json!({"volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "s"}}]}}]}),
        json!({"containers": [{"name": "a", "envFrom": env_from}]}),
        json!({"imagePullSecrets": [{"name": "s"}]}),
    ] {
        assert_eq!(refused(spec), "a mirror pod may not reference secrets");
    }
    let token = json!({"serviceAccountToken": {"path": "token"}});
    assert_eq!(
        refused(json!({"volumes": [{"name": "v", "projected": {"sources": [token]}}]})),
        "a mirror pod may not use ServiceAccountToken volume projections"
    );
    assert_eq!(check_mirror(&pod(json!({"containers": [{"name": "a"}]}))), Ok(()));
}
