//! How long a pod that is deleted may take.

use anyhow::{Context, Result, ensure};
use tests_harness::{Cluster, Namespace, Node, eventually};
use tests_machine::pod;

/// A pod that runs, with this grace of its own.
fn run(ns: &Namespace, name: &str, grace: u32, script: &str) -> Result<()> {
    let mut manifest: serde_json::Value = serde_json::from_str(&pod(name, "Always", script))?;
    manifest["spec"]["terminationGracePeriodSeconds"] = grace.into();
    ns.apply(&manifest.to_string())?;
    ns.wait_for("pod", name, |found| found["status"]["phase"] == "Running")?;
    // The shell has set its trap.
    eventually("the container's first words", || {
        let said = ns.succeed(&["logs", name])?;
        ensure!(said.contains("ready"), "{said}");
        Ok(())
    })
}

fn units(cluster: &Cluster, namespace: &str, name: &str) -> Result<String> {
    let listed =
        format!("systemctl list-units --all --plain --no-legend 'floe-{namespace}:{name}:*.service'");
    cluster.node().succeed(&listed)
}

pub(crate) fn longer(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("patient")?;
    // The pod's own grace is what there is to ask for more, however slow the node is; what is granted is far longer.
    let slow = "trap 'sleep 12; echo done; exit 0' TERM; echo ready; while :; do sleep 0.1; done";
    run(&ns, "slow", 5, slow)?;
    ns.succeed(&["delete", "pod", "slow", "--grace-period=240"])?;
    let said = |name: &str| {
        let lines = format!("journalctl --no-pager -o cat FLOE_POD={name} FLOE_NAMESPACE=patient");
        cluster.node().succeed(&lines)
    };
    ensure!(
        said("slow")?.contains("done"),
        "killed before its time: {}",
        said("slow")?
    );
    run(&ns, "stopped", 1, slow)?;
    let unit = units(cluster, "patient", "stopped")?;
    let unit = unit.split_whitespace().next().context("no unit")?;
    cluster.node().succeed(&format!("systemctl stop '{unit}'"))?;
    ensure!(
        !said("stopped")?.contains("done"),
        "without a deletion the pod's own grace counts: {}",
        said("stopped")?
    );
    ns.succeed(&["delete", "pod", "stopped"]).map(drop)
}

pub(crate) fn shorter(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("hasty")?;
    let deaf = "trap '' TERM; echo ready; while :; do sleep 0.1; done";
    for (name, second) in [
        ("cut-short", ["--grace-period=1", "--wait=true"]),
        ("forced", ["--grace-period=0", "--force"]),
    ] {
        run(&ns, name, 3600, deaf)?;
        ns.succeed(&["delete", "pod", name, "--wait=false"])?;
        ns.wait_for("pod", name, |found| {
            !found["metadata"]["deletionTimestamp"].is_null()
        })?;
        // The first grace is longer than anybody waits here.
        ns.succeed(&[&["delete", "pod", name], second.as_slice(), &["--timeout=240s"]].concat())?;
        eventually("the container to be gone", || {
            let left = units(cluster, "hasty", name)?;
            ensure!(left.trim().is_empty(), "{left}");
            Ok(())
        })?;
    }
    Ok(())
}
