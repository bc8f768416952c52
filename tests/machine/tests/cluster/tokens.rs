//! Tokens of service accounts in volumes, as those check them whom they are shown to.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tests_harness::{Cluster, Namespace, eventually};
use tests_machine::pod;

/// What the API says of `token` for `audiences`.
fn reviewed(ns: &Namespace, token: &str, audiences: &Value) -> Result<Value> {
    let review = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
        "spec": { "token": token, "audiences": audiences },
    });
    let said = ns.feed(&["create", "-o", "json", "-f", "-"], &review.to_string())?;
    let mut said: Value = serde_json::from_str(&said)?;
    Ok(said["status"].take())
}

pub(crate) fn mounted(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("tokens")?;
    ns.succeed(&["create", "serviceaccount", "reader"])?;
    let mut holder: Value = serde_json::from_str(&pod("holder", "Always", "sleep 3600"))?;
    let spec = &mut holder["spec"];
    spec["serviceAccountName"] = "reader".into();
    spec["volumes"] = json!([{ "name": "tokens", "projected": { "sources": [
        { "serviceAccountToken": { "path": "api" } },
        { "serviceAccountToken": { "path": "vault", "audience": "vault", "expirationSeconds": 600 } },
    ] } }]);
    spec["containers"][0]["volumeMounts"] = json!([{ "name": "tokens", "mountPath": "/tokens" }]);
    spec["containers"][0]["securityContext"] = json!({ "runAsUser": 1000 });
    ns.apply(&holder.to_string())?;
    ns.succeed(&["wait", "--for=condition=Ready", "pod/holder", "--timeout=60s"])?;
    let inside = |script: &str| ns.succeed(&["exec", "holder", "--", "sh", "-c", script]);
    ensure!(inside("stat -Lc %a /tokens/api")?.trim() == "644", "its mode");
    let (api, vault) = (inside("cat /tokens/api")?, inside("cat /tokens/vault")?);
    let status = reviewed(&ns, &api, &json!([]))?;
    let user = &status["user"];
    ensure!(
        status["authenticated"] == true && user["username"] == "system:serviceaccount:tokens:reader",
        "{status}"
    );
    let bound = &user["extra"]["authentication.kubernetes.io/pod-name"];
    ensure!(bound == &json!(["holder"]), "bound to {bound}");
    let status = reviewed(&ns, &vault, &json!(["vault"]))?;
    ensure!(status["audiences"] == json!(["vault"]), "{status}");
    let status = reviewed(&ns, &vault, &json!([]))?;
    ensure!(status["authenticated"] != true, "it is not for the API: {status}");
    ns.succeed(&["delete", "pod", "holder"])?;
    eventually("a token that ended with its pod", || {
        let status = reviewed(&ns, &api, &json!([]))?;
        ensure!(status["authenticated"] != true, "{status}");
        status["error"].as_str().context("no reason").map(drop)
    })
}
