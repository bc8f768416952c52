//! What the API server does with writes that are wrong, late or at odds.

use std::io::{BufRead as _, BufReader};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tests_harness::Cluster;
use tests_machine::pod;

use crate::kubectl::Background;

pub(crate) fn invalid(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("invalid")?;
    let nameless = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"bad"},"spec":{"containers":[{"name":"A_b"}]}}"#;
    std::fs::write(cluster.scratch().join("bad.json"), nameless)?;
    let path = cluster.scratch().join("bad.json").to_string_lossy().into_owned();
    let said = ns.fail(&["create", "-f", &path])?;
    ensure!(said.contains("The Pod \"bad\" is invalid"), "{said}");
    ensure!(
        said.contains("spec.containers[0].image: Required value"),
        "{said}"
    );
    ensure!(
        said.contains("spec.containers[0].name: Invalid value: \"A_b\""),
        "{said}"
    );
    let unknown = pod("odd", "Always", "true").replace("\"restartPolicy\"", "\"restartPolitics\"");
    std::fs::write(&path, unknown)?;
    let said = ns.fail(&["create", "-f", &path])?;
    ensure!(
        said.contains("strict decoding error: unknown field \"spec.restartPolitics\""),
        "{said}"
    );
    ensure!(
        ns.fail(&["get", "pod", "absent"])?
            .contains("pods \"absent\" not found"),
        "no 404"
    );
    ns.succeed(&["create", "configmap", "once"])?;
    ensure!(
        ns.fail(&["create", "configmap", "once"])?
            .contains("already exists"),
        "no 409"
    );
    let raw = ns.fail(&[
        "create",
        "--raw",
        "/api/v1/namespaces/invalid/configmaps",
        "-f",
        "/etc/hostname",
    ])?;
    ensure!(
        raw.contains("400") || raw.contains("BadRequest") || raw.contains("415"),
        "{raw}"
    );
    Ok(())
}

/// Both writers start from one read; one writes the spec side, the other the status.
pub(crate) fn status_race(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("race")?;
    ns.apply(&pod("raced", "Always", "sleep 3600"))?;
    for round in 0..20 {
        let label = format!("round={round}");
        let patch = format!(r#"{{"status":{{"message":"round {round}"}}}}"#);
        let words = [
            "patch",
            "pod",
            "raced",
            "--subresource=status",
            "--type=merge",
            "-p",
            &patch,
        ];
        let mut writer = ns.start(&words)?;
        ns.succeed(&["label", "--overwrite", "pod", "raced", &label])?;
        ensure!(
            writer.wait()?.success(),
            "the status write of round {round} failed"
        );
        let found = ns.get("pod", "raced")?;
        ensure!(
            found["metadata"]["labels"]["round"].as_str() == label.strip_prefix("round="),
            "the label of {round} was lost"
        );
        ensure!(
            found["status"]["message"] == format!("round {round}"),
            "the status of {round} was lost"
        );
    }
    Ok(())
}

pub(crate) fn status_after_delete(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("late")?;
    ns.apply(&pod("late", "Always", "sleep 3600"))?;
    ns.succeed(&["delete", "pod", "late", "--wait"])?;
    let patch = r#"{"status":{"message":"too late"}}"#;
    let said = ns.fail(&[
        "patch",
        "pod",
        "late",
        "--subresource=status",
        "--type=merge",
        "-p",
        patch,
    ])?;
    ensure!(said.contains("NotFound"), "{said}");
    ensure!(
        ns.fail(&["get", "pod", "late"])?.contains("NotFound"),
        "the status write made a pod"
    );
    Ok(())
}

/// 500 changes of a pod's spec, each a generation; the node ends with the last of them.
pub(crate) fn five_hundred_generations(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("generations")?;
    ns.apply(&pod("changing", "Always", "sleep 3600"))?;
    ns.succeed(&["wait", "--for=condition=Ready", "pod/changing", "--timeout=240s"])?;
    let before = ns.get("pod", "changing")?;
    ensure!(before["metadata"]["generation"] == 1, "{}", before["metadata"]);
    let tolerations = before["spec"]["tolerations"]
        .as_array()
        .context("no tolerations")?
        .len();
    let mut proxy = Background(ns.start(&["proxy", "--port=0"])?);
    let mut line = String::new();
    BufReader::new(proxy.0.stdout.take().context("no output")?).read_line(&mut line)?;
    let at = line.trim().rsplit(' ').next().unwrap_or_default();
    let url = format!("http://{at}/api/v1/namespaces/generations/pods/changing");
    // One process for all of them: kubectl would need a minute.
    let change = |index: usize| {
        let path = match index {
            1 => format!("/spec/tolerations/{tolerations}"),
            _ => format!("/spec/tolerations/{tolerations}/tolerationSeconds"),
        };
        let value = match index {
            1 => {
                json!({ "key": "changes", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1000 })
            }
            _ => json!(1000 - index),
        };
        let patch = json!([{ "op": "add", "path": path, "value": value }]).to_string();
        let quoted = patch.replace('"', "\\\"");
        format!(
            "url = \"{url}\"\nrequest = PATCH\noutput = /dev/null\nfail\n\
             header = \"Content-Type: application/json-patch+json\"\ndata = \"{quoted}\"\n"
        )
    };
    let all: Vec<String> = (1..=500).map(change).collect();
    let config = cluster.scratch().join("generations");
    std::fs::write(&config, all.join("next\n"))?;
    let done = Command::new("curl")
        .args(["-sS", "--fail-early", "--config"])
        .arg(&config)
        .output()?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let after = ns.wait_for("pod", "changing", |pod| {
        pod["status"]["observedGeneration"] == 501
    })?;
    ensure!(after["metadata"]["generation"] == 501, "{}", after["metadata"]);
    ensure!(
        after["status"]["containerStatuses"][0]["restartCount"] == 0,
        "{}",
        after["status"]
    );
    Ok(())
}
