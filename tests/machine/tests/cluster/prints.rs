//! Pods that end, held against what their annotations say: see `tests/prints`.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tests_harness::{Cluster, Namespace, echo_archive};

/// What stands in a file's texts for what is known only when the pod runs.
type Facts = BTreeMap<&'static str, String>;

pub(crate) fn volumes(cluster: &Cluster) -> Result<()> {
    all(cluster, "prints-volumes", include_str!("../prints/volumes.yaml"))
}

pub(crate) fn containers(cluster: &Cluster) -> Result<()> {
    let image = echo_archive(cluster.scratch())?;
    cluster.succeed(&["image", "load", &image.to_string_lossy()])?;
    all(
        cluster,
        "prints-containers",
        include_str!("../prints/containers.yaml"),
    )
}

/// Applies what `text` holds, pods last, and checks each of them; says of all that differ how.
fn all(cluster: &Cluster, namespace: &str, text: &str) -> Result<()> {
    let ns = cluster.kubectl()?.namespace(namespace)?;
    let (pods, others): (Vec<&str>, Vec<&str>) = text
        .split("\n---\n")
        .partition(|document| document.contains("\nkind: Pod\n"));
    ns.apply(&others.join("\n---\n"))?;
    ns.apply(&pods.join("\n---\n"))?;
    let listed: Value = serde_json::from_str(&ns.succeed(&["get", "pods", "-o", "json"])?)?;
    let listed = listed["items"].as_array().context("no list")?;
    ensure!(
        listed.len() == pods.len(),
        "{} of {} pods",
        listed.len(),
        pods.len()
    );
    let mut differing = Vec::new();
    for pod in listed {
        let name = pod["metadata"]["name"].as_str().context("no name")?;
        if let Err(error) = one(cluster, &ns, name) {
            differing.push(format!("{name}: {error:#}"));
        }
    }
    ensure!(differing.is_empty(), "{}", differing.join("\n"));
    Ok(())
}

fn one(cluster: &Cluster, ns: &Namespace, name: &str) -> Result<()> {
    let ended = |pod: &Value| {
        ["Succeeded", "Failed"]
            .iter()
            .any(|phase| pod["status"]["phase"] == *phase)
    };
    let pod = ns.wait_for("pod", name, ended)?;
    let said = |what: &str| pod["metadata"]["annotations"][what].as_str();
    let phase = said("phase").unwrap_or("Succeeded");
    let printed = printed(ns, &pod)?;
    ensure!(
        pod["status"]["phase"] == phase,
        "{} and printed {printed}",
        pod["status"]
    );
    if let Some(prints) = said("prints") {
        let wanted = filled(prints, &facts(cluster, ns, &pod)?)?;
        ensure!(
            printed.trim_end() == wanted.trim_end(),
            "printed\n{printed}\nnot\n{wanted}"
        );
    }
    let state = &pod["status"]["containerStatuses"][0]["state"];
    if let Some(message) = said("message") {
        let told = state["terminated"]["message"].as_str().unwrap_or_default();
        ensure!(told == message, "its message is {told:?}, not {message:?}");
    }
    if let Some(reason) = said("waiting") {
        ensure!(state["waiting"]["reason"] == reason, "{state}");
    }
    ensure!(
        said("prints").or(said("message")).or(said("waiting")).is_some(),
        "it claims nothing"
    );
    Ok(())
}

/// The logs of all containers, in the order in which they stand in the pod; those that never ran have none.
fn printed(ns: &Namespace, pod: &Value) -> Result<String> {
    let pod_name = pod["metadata"]["name"].as_str().context("no name")?;
    let lists = ["initContainers", "containers"].map(|list| pod["spec"][list].as_array());
    let names = lists.into_iter().flatten().flatten();
    let names = names.filter_map(|container| container["name"].as_str());
    let logs = names.map(|name| Ok(ns.execute(&["logs", pod_name, "-c", name])?.output));
    logs.collect()
}

/// `text` with each `{name}` replaced by the fact of that name.
fn filled(text: &str, facts: &Facts) -> Result<String> {
    let mut text = text.to_owned();
    for (name, value) in facts {
        text = text.replace(&format!("{{{name}}}"), value);
    }
    match text.split_once('{') {
        Some((_, rest)) => bail!("nobody knows {{{rest}"),
        None => Ok(text),
    }
}

fn facts(cluster: &Cluster, ns: &Namespace, pod: &Value) -> Result<Facts> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let status = &pod["status"];
    let node = ns.get("node", &format!("{}-1", cluster.name()))?;
    let allocatable = &node["status"]["allocatable"];
    let memory = text(&allocatable["memory"]);
    let memory: u64 = memory.strip_suffix("Ki").context("memory not in Ki")?.parse()?;
    let services: Value = serde_json::from_str(&ns.succeed(&["get", "services", "-o", "json"])?)?;
    Ok(Facts::from([
        ("namespace", text(&pod["metadata"]["namespace"])),
        ("uid", text(&pod["metadata"]["uid"])),
        ("podIP", text(&status["podIP"])),
        ("hostIP", text(&status["hostIP"])),
        ("hostIPs", text(&status["hostIPs"][0]["ip"])),
        ("cpu", text(&allocatable["cpu"])),
        ("memory", (memory * 1024).to_string()),
        ("fooservice", text(&services["items"][0]["spec"]["clusterIP"])),
    ]))
}
