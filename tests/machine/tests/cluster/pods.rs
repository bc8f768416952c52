//! Pods as an operator of the node sees them.

use anyhow::{Context, Result, ensure};
use tests_harness::{BUSYBOX, Cluster, Node, eventually};
use tests_machine::pod;

use crate::kubectl::listens;

pub(crate) fn units(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("units")?;
    ns.apply(&pod("shown", "Always", "echo said; sleep 3600"))?;
    ns.succeed(&["wait", "--for=condition=Ready", "pod/shown", "--timeout=240s"])?;
    let node = cluster.node();
    let listed =
        node.succeed("systemctl list-units --plain --no-legend 'floe-units:shown:*:main.service'")?;
    ensure!(listed.contains("running"), "{listed}");
    let unit = listed.split_whitespace().next().context("no unit")?;
    let status = node.succeed(&format!("systemctl status '{unit}'"))?;
    ensure!(status.contains("sleep 3600"), "{status}");
    eventually("the journal's line", || {
        let lines = node.succeed("journalctl --no-pager -o cat FLOE_POD=shown FLOE_NAMESPACE=units")?;
        ensure!(lines.lines().any(|line| line == "said"), "{lines}");
        Ok(())
    })
}

pub(crate) fn addresses(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("addresses")?;
    let serve = "mkdir /tmp/w; hostname > /tmp/w/index.html; exec httpd -f -p 8080 -h /tmp/w";
    ns.apply(&pod("left", "Always", serve))?;
    ns.apply(&pod("right", "Always", serve))?;
    ns.succeed(&[
        "wait",
        "--for=condition=Ready",
        "pod/left",
        "pod/right",
        "--timeout=240s",
    ])?;
    listens(&ns, "left")?;
    listens(&ns, "right")?;
    let address = |name: &str| -> Result<String> {
        ns.succeed(&["get", "pod", name, "-o", "jsonpath={.status.podIP}"])
    };
    let url = format!("http://{}:8080/", address("right")?);
    let from_pod = ns.succeed(&["exec", "left", "--", "wget", "-q", "-O", "-", &url])?;
    ensure!(from_pod.trim() == "right", "pod to pod: {from_pod}");
    for name in ["left", "right"] {
        let url = format!("http://{}:8080/", address(name)?);
        let page = cluster.node().succeed(&format!("busybox wget -q -O - {url}"))?;
        ensure!(page.trim() == name, "node to pod: {page}");
    }
    Ok(())
}

pub(crate) fn secrets(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("secrets")?;
    let value = "hush-7f3a9c";
    ns.succeed(&[
        "create",
        "secret",
        "generic",
        "login",
        &format!("--from-literal=word={value}"),
    ])?;
    let manifest = serde_json::json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "keeper" },
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "main", "image": BUSYBOX, "command": ["/bin/sleep", "3600"],
                "env": [{ "name": "WORD", "valueFrom": { "secretKeyRef": { "name": "login", "key": "word" } } }],
            }],
        },
    });
    ns.apply(&manifest.to_string())?;
    ns.succeed(&["wait", "--for=condition=Ready", "pod/keeper", "--timeout=240s"])?;
    let inside = ns.succeed(&[
        "exec",
        "keeper",
        "--",
        "sh",
        "-c",
        "tr '\\0' '\\n' < /proc/1/environ",
    ])?;
    ensure!(inside.contains(value), "the container does not have the secret");
    let node = cluster.node();
    let shown =
        node.succeed("systemctl show 'floe-secrets:keeper:*' --all; systemctl cat 'floe-secrets:keeper:*'")?;
    ensure!(!shown.contains(value), "a unit property holds the secret");
    let journal = node.succeed("journalctl --no-pager -o export")?;
    ensure!(!journal.contains(value), "the journal holds the secret");
    let lines = node.succeed("cat /proc/[0-9]*/cmdline | tr '\\0' ' '")?;
    ensure!(!lines.contains(value), "a command line holds the secret");
    let open = node.succeed(
        "find /run/floe /var/lib/floe/agent -type f -perm /077 -exec grep -ls hush-7f3a9c {} + 2>/dev/null || true",
    )?;
    ensure!(
        open.trim().is_empty(),
        "others than root read the secret in {open}"
    );
    Ok(())
}

pub(crate) fn descriptors(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("descriptors")?;
    ns.apply(&pod("bare", "Always", "exec sleep 3600"))?;
    ns.succeed(&["wait", "--for=condition=Ready", "pod/bare", "--timeout=240s"])?;
    let held = ns.succeed(&["exec", "bare", "--", "ls", "/proc/1/fd"])?;
    ensure!(
        held.split_whitespace().collect::<Vec<_>>() == ["0", "1", "2"],
        "its init holds {held}"
    );
    let cwd = ns.succeed(&["exec", "bare", "--", "readlink", "/proc/1/cwd"])?;
    ensure!(cwd.trim() == "/", "its working directory is {cwd}");
    Ok(())
}

/// Four at a time of a kind, 200 in all: every exit code from 1 to 200 must come back.
pub(crate) fn two_hundred(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("codes")?;
    let per_pod = 20;
    for first in (1..=200).step_by(per_pod) {
        let containers: Vec<_> = (first..first + per_pod)
            .map(|code| serde_json::json!({
                "name": format!("c{code}"), "image": BUSYBOX, "command": ["/bin/sh", "-c", format!("exit {code}")],
            }))
            .collect();
        let manifest = serde_json::json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": format!("codes-{first}") },
            "spec": { "restartPolicy": "Never", "containers": containers },
        });
        ns.apply(&manifest.to_string())?;
    }
    for first in (1..=200).step_by(per_pod) {
        let found = ns.wait_for("pod", &format!("codes-{first}"), |found| {
            found["status"]["phase"] == "Failed"
        })?;
        let statuses = found["status"]["containerStatuses"]
            .as_array()
            .context("no statuses")?;
        ensure!(statuses.len() == per_pod, "{} statuses", statuses.len());
        for status in statuses {
            let name = status["name"].as_str().unwrap_or_default();
            let code = status
                .pointer("/state/terminated/exitCode")
                .and_then(serde_json::Value::as_i64);
            ensure!(
                code.map(|code| format!("c{code}")).as_deref() == Some(name),
                "{status}"
            );
            ensure!(status["restartCount"] == 0, "{status}");
        }
    }
    Ok(())
}

/// Many at once: a container that exits before its start is through must not count as failed.
pub(crate) fn quick_init_containers(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("quick")?;
    let step = |word: &str| {
        serde_json::json!({
            "name": word, "image": BUSYBOX, "command": ["/bin/sh", "-c", format!("echo {word} >> /work/steps")],
            "volumeMounts": [{ "name": "work", "mountPath": "/work" }],
        })
    };
    for index in 0..20 {
        let mut last = step("main");
        last["command"] = serde_json::json!(["/bin/sh", "-c", "cat /work/steps"]);
        let manifest = serde_json::json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": format!("quick-{index}") },
            "spec": {
                "restartPolicy": "OnFailure",
                "initContainers": [step("first"), step("second")],
                "containers": [last],
                "volumes": [{ "name": "work", "emptyDir": {} }],
            },
        });
        ns.apply(&manifest.to_string())?;
    }
    for index in 0..20 {
        let name = format!("quick-{index}");
        ns.wait_for("pod", &name, |found| found["status"]["phase"] == "Succeeded")?;
        let steps = ns.succeed(&["logs", &name, "-c", "main"])?;
        ensure!(steps == "first\nsecond\n", "{name} ran {steps:?}");
    }
    eventually("a list of failed units without the ones that exited 0", || {
        let failed = cluster
            .node()
            .succeed("systemctl list-units --failed --plain --no-legend 'floe-quick:*'")?;
        ensure!(failed.trim().is_empty(), "{failed}");
        Ok(())
    })
}
