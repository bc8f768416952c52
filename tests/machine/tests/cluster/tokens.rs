//! Tokens of service accounts in volumes, as those check them whom they are shown to.

use std::path::PathBuf;

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
    ns.succeed(&["wait", "--for=condition=Ready", "pod/holder", "--timeout=240s"])?;
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

/// Where clients in a pod look for what they need to reach the API.
const ACCESS: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// A pod of the account `default` that stays.
fn guest(name: &str) -> Result<Value> {
    Ok(serde_json::from_str(&pod(name, "Always", "sleep 3600"))?)
}

/// kubectl runs in a pod as it does outside: it finds address, token, certificate and namespace by itself.
pub(crate) fn in_every_pod(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("guests")?;
    // At once: neither the account nor the certificate of the namespace may be there yet.
    ns.apply(&guest("guest")?.to_string())?;
    let mut silent = guest("silent")?;
    silent["spec"]["automountServiceAccountToken"] = false.into();
    ns.apply(&silent.to_string())?;
    ns.succeed(&[
        "wait",
        "--for=condition=Ready",
        "pod/guest",
        "pod/silent",
        "--timeout=240s",
    ])?;
    let inside = |script: &str| ns.succeed(&["exec", "guest", "--", "sh", "-c", script]);
    ensure!(
        inside(&format!("cat {ACCESS}/namespace"))? == "guests",
        "its namespace"
    );
    let published = ns.get("configmap", "kube-root-ca.crt")?["data"]["ca.crt"].take();
    let held = inside(&format!("cat {ACCESS}/ca.crt"))?;
    ensure!(published == json!(held), "its certificate: {held}");
    let status = reviewed(&ns, &inside(&format!("cat {ACCESS}/token"))?, &json!([]))?;
    let bound = &status["user"]["extra"]["authentication.kubernetes.io/pod-name"];
    ensure!(bound == &json!(["guest"]), "{status}");
    let written = ns.fail(&[
        "exec",
        "guest",
        "--",
        "sh",
        "-c",
        &format!("echo x > {ACCESS}/token"),
    ])?;
    ensure!(written.contains("Read-only file system"), "{written}");

    let kubectl: PathBuf = std::env::var_os("FLOE_KUBECTL")
        .context("FLOE_KUBECTL is not set")?
        .into();
    ns.succeed(&["cp", &kubectl.to_string_lossy(), "guest:/tmp/kubectl"])?;
    let who = inside("/tmp/kubectl auth whoami -o json")?;
    let who: Value = serde_json::from_str(&who)?;
    let user = &who["status"]["userInfo"]["username"];
    ensure!(user == "system:serviceaccount:guests:default", "{who}");
    let versions = inside("KUBERNETES_SERVICE_HOST=kubernetes.default.svc /tmp/kubectl get --raw /api")?;
    ensure!(versions.contains("APIVersions"), "{versions}");

    ns.fail(&["exec", "silent", "--", "ls", ACCESS])?;
    let described = ns.succeed(&["describe", "pod", "guest"])?;
    for words in [
        "/var/run/secrets/kubernetes.io/serviceaccount from kube-api-access-",
        "Projected (a volume that contains injected data from multiple sources)",
        "TokenExpirationSeconds:  3607",
        "ConfigMapName:           kube-root-ca.crt",
    ] {
        ensure!(described.contains(words), "{words}: {described}");
    }
    ns.succeed(&["delete", "pods", "--all"]).map(drop)
}
