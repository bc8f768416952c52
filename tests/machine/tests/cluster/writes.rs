//! What the API server does with writes that are wrong, late or at odds.

use anyhow::{Result, ensure};
use tests_harness::Cluster;
use tests_machine::pod;

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
