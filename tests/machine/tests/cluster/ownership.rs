//! Who owns which fields, as kubectl's own commands leave it.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use serde_json::Value;
use tests_harness::{Cluster, Namespace};

/// Writes a Deployment without pods into a file: replicas only where given, and the image of its container.
fn manifest(cluster: &Cluster, replicas: Option<u32>, image: &str) -> Result<PathBuf> {
    let mut object = serde_json::json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "owned" },
        "spec": {
            "paused": true,
            "selector": { "matchLabels": { "app": "owned" } },
            "template": {
                "metadata": { "labels": { "app": "owned" } },
                "spec": { "containers": [{ "name": "main", "image": image }] },
            },
        },
    });
    if let (Some(replicas), Some(spec)) = (replicas, object["spec"].as_object_mut()) {
        spec.insert("replicas".to_owned(), replicas.into());
    }
    let path = cluster.scratch().join(format!("owned-{image}.json"));
    std::fs::write(&path, object.to_string())?;
    Ok(path)
}

/// Each owner of the Deployment but the controllers, sorted: `manager operation`.
fn owners(namespace: &Namespace) -> Result<Vec<String>> {
    let text = namespace.succeed(&[
        "get",
        "deployment",
        "owned",
        "--show-managed-fields",
        "-o",
        "json",
    ])?;
    let found: Value = serde_json::from_str(&text)?;
    let entries = found["metadata"]["managedFields"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let shown = entries.iter().map(|entry| {
        let word = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
        format!("{} {}", word("manager"), word("operation"))
    });
    let mut shown: Vec<String> = shown
        .filter(|owner| !owner.starts_with("kube-controller-manager"))
        .collect();
    // Their own order is by second, and kubectl's two requests may be of one or of two.
    shown.sort();
    Ok(shown)
}

pub(crate) fn moves(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("ownership")?;
    let (one, two) = (
        manifest(cluster, Some(0), "one")?,
        manifest(cluster, None, "two")?,
    );
    let (one, two) = (one.to_string_lossy(), two.to_string_lossy());
    ns.succeed(&["apply", "-f", &one])?;
    ensure!(
        owners(&ns)? == ["kubectl-client-side-apply Update"],
        "{:?}",
        owners(&ns)?
    );
    // kubectl goes on from its own client-side apply without a conflict, and takes the ownership over.
    ns.succeed(&["apply", "--server-side", "-f", &two])?;
    ensure!(
        owners(&ns)? == ["kubectl Apply", "kubectl-last-applied Apply"],
        "{:?}",
        owners(&ns)?
    );
    let refused = ns.fail(&["apply", "--server-side", "--field-manager=other", "-f", &one])?;
    ensure!(
        refused.contains(
            "Apply failed with 1 conflict: conflict with \"kubectl\": .spec.template.spec.containers[name=\"main\"].image"
        ),
        "{refused}"
    );
    ns.succeed(&[
        "apply",
        "--server-side",
        "--field-manager=other",
        "--force-conflicts",
        "-f",
        &one,
    ])?;
    let image = |ns: &Namespace| -> Result<Value> {
        Ok(ns.get("deployment", "owned")?["spec"]["template"]["spec"]["containers"][0]["image"].clone())
    };
    ensure!(image(&ns)? == "one", "{}", image(&ns)?);
    ensure!(
        owners(&ns)?.contains(&"other Apply".to_owned()),
        "{:?}",
        owners(&ns)?
    );
    let shown = ns.execute(&["diff", "--server-side", "--force-conflicts", "-f", &two])?;
    ensure!(
        shown.code == 1 && shown.output.contains("image: two"),
        "{}",
        shown.output
    );
    says_its_name(&ns)
}

/// Each command owns what it changes under a name of its own; a test that fails changes nothing.
fn says_its_name(ns: &Namespace) -> Result<()> {
    ns.succeed(&["label", "deployment", "owned", "tier=front"])?;
    ns.succeed(&["set", "image", "deployment/owned", "main=three"])?;
    ensure!(
        owners(ns)?.iter().any(|owner| owner == "kubectl-label Update")
            && owners(ns)?.iter().any(|owner| owner == "kubectl-set Update"),
        "{:?}",
        owners(ns)?
    );
    let test = r#"[{"op": "test", "path": "/spec/paused", "value": false}]"#;
    let refused = ns.fail(&["patch", "deployment", "owned", "--type=json", "-p", test])?;
    ensure!(
        refused.contains(
            "The request is invalid: the server rejected our request due to an error in our request"
        ),
        "{refused}"
    );
    Ok(())
}
