//! How long a pod that is deleted may take.

use std::time::{Duration, Instant};

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
    let slow = "trap 'sleep 5; echo done; exit 0' TERM; echo ready; while :; do sleep 0.1; done";
    run(&ns, "slow", 1, slow)?;
    ns.succeed(&["delete", "pod", "slow", "--grace-period=30"])?;
    let said = cluster
        .node()
        .succeed("journalctl --no-pager -o cat FLOE_POD=slow FLOE_NAMESPACE=patient")?;
    ensure!(said.contains("done"), "killed before its time: {said}");
    run(&ns, "stopped", 1, slow)?;
    let unit = units(cluster, "patient", "stopped")?;
    let unit = unit.split_whitespace().next().context("no unit")?;
    let began = Instant::now();
    cluster.node().succeed(&format!("systemctl stop '{unit}'"))?;
    ensure!(
        began.elapsed() < Duration::from_secs(4),
        "without a deletion the pod's own grace counts: {:?}",
        began.elapsed()
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
        run(&ns, name, 600, deaf)?;
        ns.succeed(&["delete", "pod", name, "--wait=false"])?;
        ns.wait_for("pod", name, |found| {
            !found["metadata"]["deletionTimestamp"].is_null()
        })?;
        let began = Instant::now();
        ns.succeed(&[&["delete", "pod", name], second.as_slice()].concat())?;
        eventually("the container to be gone", || {
            let left = units(cluster, "hasty", name)?;
            ensure!(left.trim().is_empty(), "{left}");
            Ok(())
        })?;
        ensure!(
            began.elapsed() < Duration::from_secs(20),
            "{name} took {:?}",
            began.elapsed()
        );
    }
    Ok(())
}
