//! Resizing in place: units of pods that run get other limits.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tests_harness::{BUSYBOX, Cluster, Namespace, Node as _, eventually};

/// A pod whose container says its limit of memory, and ends well when it is asked to.
fn pod(name: &str, cpu: &str, policy: &str) -> String {
    let script = "trap 'exit 0' TERM; echo limit $LIMIT; while true; do sleep 0.1; done";
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "OnFailure",
            "terminationGracePeriodSeconds": 5,
            "containers": [{
                "name": "main", "image": BUSYBOX, "command": ["/bin/sh", "-c", script],
                "env": [{"name": "LIMIT", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory"}}}],
                "resources": {"requests": {"cpu": cpu, "memory": "16Mi"}, "limits": {"cpu": cpu, "memory": "32Mi"}},
                "resizePolicy": [{"resourceName": "memory", "restartPolicy": policy}],
            }],
        },
    })
    .to_string()
}

fn run(ns: &Namespace, name: &str, cpu: &str, policy: &str) -> Result<()> {
    ns.apply(&pod(name, cpu, policy))?;
    let pod = format!("pod/{name}");
    ns.succeed(&["wait", "--for=condition=Ready", &pod, "--timeout=240s"])
        .map(drop)
}

fn resize(ns: &Namespace, name: &str, resources: &Value) -> Result<String> {
    let patch = json!({"spec": {"containers": [{"name": "main", "resources": resources}]}}).to_string();
    ns.succeed(&["patch", "pod", name, "--subresource", "resize", "--patch", &patch])
}

/// A property of the pod's units: its container's service, or its slice.
fn property(cluster: &Cluster, ns: &Namespace, (pod, kind): (&str, &str), name: &str) -> Result<String> {
    let unit = match kind {
        "slice" => format!("floe-pods-*{}:{pod}:*.slice", ns.name().replace('-', "_")),
        _ => format!("floe-{}:{pod}:*:main.service", ns.name()),
    };
    let told = cluster
        .node()
        .execute(&format!("systemctl show --property={name} --value '{unit}'"))?;
    Ok(told.output.trim().to_owned())
}

fn condition<'a>(pod: &'a Value, kind: &str) -> &'a Value {
    let all = pod["status"]["conditions"].as_array();
    let mut all = all.into_iter().flatten();
    all.find(|condition| condition["type"] == kind)
        .unwrap_or(&Value::Null)
}

/// Waits until the status says that the container has these limits, and nothing of a resize any more.
fn settled(ns: &Namespace, name: &str, limits: &Value) -> Result<Value> {
    ns.wait_for("pod", name, |pod| {
        pod["status"]["containerStatuses"][0]["resources"]["limits"] == *limits
            && pod["status"]["observedGeneration"] == pod["metadata"]["generation"]
            && condition(pod, "PodResizeInProgress").is_null()
            && condition(pod, "PodResizePending").is_null()
    })
}

pub(crate) fn up_and_down(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("resize")?;
    run(&ns, "app", "100m", "NotRequired")?;
    let before = ns.get("pod", "app")?;
    let (service, slice) = (("app", "service"), ("app", "slice"));
    for (cpu, quota, memory, bytes) in [
        ("200m", "200ms", "64Mi", 64 << 20),
        ("50m", "50ms", "24Mi", 24 << 20),
    ] {
        let limits = json!({"cpu": cpu, "memory": memory});
        resize(&ns, "app", &json!({"limits": limits, "requests": {"cpu": cpu}}))?;
        let after = settled(&ns, "app", &limits)?;
        let status = &after["status"]["containerStatuses"][0];
        ensure!(
            status["allocatedResources"] == json!({"cpu": cpu, "memory": "16Mi"})
                && status["restartCount"] == 0
                && status["containerID"] == before["status"]["containerStatuses"][0]["containerID"],
            "{status}"
        );
        for unit in [service, slice] {
            let (has_memory, has_quota) = (
                property(cluster, &ns, unit, "MemoryMax")?,
                property(cluster, &ns, unit, "CPUQuotaPerSecUSec")?,
            );
            ensure!(
                has_memory == bytes.to_string() && has_quota == quota,
                "{unit:?} has {has_memory} and {has_quota}"
            );
        }
    }
    eventually("the events of the resize", || {
        let told = ns.succeed(&["get", "events", "-o", "jsonpath={.items[*].reason}"])?;
        ensure!(
            told.contains("ResizeStarted") && told.contains("ResizeCompleted"),
            "{told}"
        );
        Ok(())
    })?;
    // systemd restarts the container with what it was given last, and its pod leaves nothing of it.
    cluster
        .node()
        .execute("systemctl kill --signal=KILL 'floe-resize:app:*:main.service'")?;
    ns.wait_for("pod", "app", |pod| {
        pod["status"]["containerStatuses"][0]["restartCount"] == 1
    })?;
    ensure!(
        property(cluster, &ns, service, "MemoryMax")? == (24 << 20).to_string(),
        "it was lost"
    );
    ns.succeed(&["delete", "pod", "app", "--timeout=240s"])?;
    eventually("systemd keeps no file of the unit", || {
        let left = cluster
            .node()
            .execute("find /run/systemd /etc/systemd -name 'floe-resize:app:*'")?;
        ensure!(left.output.is_empty(), "{}", left.output);
        Ok(())
    })
}

pub(crate) fn by_restart(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("resize-restart")?;
    run(&ns, "app", "50m", "RestartContainer")?;
    let cpu = json!({"cpu": "60m", "memory": "32Mi"});
    resize(&ns, "app", &json!({"limits": {"cpu": "60m"}}))?;
    let first = settled(&ns, "app", &cpu)?;
    ensure!(
        first["status"]["containerStatuses"][0]["restartCount"] == 0,
        "{first}"
    );
    resize(&ns, "app", &json!({"limits": {"memory": "48Mi"}}))?;
    let again = settled(&ns, "app", &json!({"cpu": "60m", "memory": "48Mi"}))?;
    // It ended well, and a pod that starts again on failure alone would be done.
    let again = if again["status"]["containerStatuses"][0]["restartCount"] == 1 {
        again
    } else {
        ns.wait_for("pod", "app", |pod| {
            pod["status"]["containerStatuses"][0]["restartCount"] == 1
        })?
    };
    ensure!(again["status"]["phase"] == "Running", "{again}");
    let said = eventually("the container says its new limit", || {
        let said = ns.succeed(&["logs", "app"])?;
        ensure!(said.contains("limit 50331648"), "{said}");
        Ok(said)
    })?;
    ensure!(!said.contains("33554432"), "one run has two limits: {said}");
    ensure!(
        property(cluster, &ns, ("app", "service"), "MemoryMax")? == (48 << 20).to_string(),
        "the unit was not made anew"
    );
    Ok(())
}

/// Thousandths of a cpu.
fn millis(cpu: &Value) -> Option<u64> {
    let cpu = cpu.as_str()?;
    match cpu.strip_suffix('m') {
        Some(thousandths) => thousandths.parse().ok(),
        None => Some(cpu.parse::<u64>().ok()? * 1000),
    }
}

/// Thousandths of a cpu that nothing but `but` holds of the node: other tests have left pods.
fn free_cpu(cluster: &Cluster, but: &str) -> Result<u64> {
    let kubectl = cluster.kubectl()?;
    let json = |words: &[&str]| -> Result<Value> { Ok(serde_json::from_str(&kubectl.succeed(words)?)?) };
    let node = json(&["get", "node", cluster.node().name(), "-o", "json"])?;
    let offered = millis(&node["status"]["allocatable"]["cpu"]).context("the node offers no cpu")?;
    let pods = json(&["get", "pods", "--all-namespaces", "-o", "json"])?;
    let pods = pods["items"].as_array().into_iter().flatten();
    let ended = |pod: &&Value| matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    let others = pods.filter(|pod| pod["metadata"]["namespace"] != *but && !ended(pod));
    let containers = others
        .filter_map(|pod| pod["spec"]["containers"].as_array())
        .flatten();
    let held = containers.filter_map(|container| millis(&container["resources"]["requests"]["cpu"]));
    Ok(offered.saturating_sub(held.sum()))
}

pub(crate) fn that_does_not_fit(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("resize-fit")?;
    run(&ns, "app", "10m", "NotRequired")?;
    let ask = |cpu: &str| {
        resize(
            &ns,
            "app",
            &json!({"requests": {"cpu": cpu}, "limits": {"cpu": cpu}}),
        )
    };
    ask("1000k")?;
    let pending = |pod: &Value, reason: &str| condition(pod, "PodResizePending")["reason"] == reason;
    let refused = ns.wait_for("pod", "app", |pod| pending(pod, "Infeasible"))?;
    let said = condition(&refused, "PodResizePending")["message"]
        .as_str()
        .unwrap_or_default();
    ensure!(
        said.starts_with("Node didn't have enough capacity: cpu, requested: "),
        "{said}"
    );
    // All that there is, of which another pod holds a part.
    run(&ns, "other", "10m", "NotRequired")?;
    let all = format!("{}m", free_cpu(cluster, "resize-fit")?);
    ask(&all)?;
    let waits = ns.wait_for("pod", "app", |pod| pending(pod, "Deferred"))?;
    ensure!(
        waits["status"]["containerStatuses"][0]["resources"]["limits"]["cpu"] == "10m",
        "{waits}"
    );
    // An agent that starts meanwhile knows both sizes, and gives the larger one once the other pod has gone.
    cluster.node().execute("systemctl restart floe-agent")?;
    ns.succeed(&["delete", "pod", "other", "--timeout=240s"])?;
    let grown = ns.wait_for("pod", "app", |pod| {
        condition(pod, "PodResizePending").is_null() && condition(pod, "PodResizeInProgress").is_null()
    })?;
    let status = &grown["status"]["containerStatuses"][0];
    ensure!(
        millis(&status["resources"]["limits"]["cpu"]) == millis(&json!(all)) && status["restartCount"] == 0,
        "{status}"
    );
    Ok(())
}

/// Sizes of containers: thousandths of a cpu, and MiB of memory.
type Sizes = [(u32, u32); 3];

fn sized(name: &str, (cpu, memory): (u32, u32)) -> Value {
    let sizes = json!({"cpu": format!("{cpu}m"), "memory": format!("{memory}Mi")});
    json!({"name": name, "resources": {"requests": sizes, "limits": sizes}})
}

fn containers(sizes: Sizes) -> Vec<Value> {
    let named = ["c1", "c2", "c3"].into_iter().zip(sizes);
    named.map(|(name, sizes)| sized(name, sizes)).collect()
}

pub(crate) fn many_containers(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("resize-many")?;
    let first = [(20, 16), (30, 20), (40, 24)];
    let mut all = containers(first);
    for container in &mut all {
        container["image"] = json!(BUSYBOX);
        container["command"] = json!(["/bin/sleep", "100000"]);
    }
    let spec = json!({"terminationGracePeriodSeconds": 1, "containers": all});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "app"}, "spec": spec});
    ns.apply(&pod.to_string())?;
    ns.succeed(&["wait", "--for=condition=Ready", "pod/app", "--timeout=240s"])?;
    // More in all, less in all, so little that the kernel knows no difference, and back.
    let (more, less) = ([(40, 32), (50, 40), (30, 16)], [(30, 24), (10, 16), (10, 16)]);
    for wanted in [more, less, [(5, 16), (2, 16), (1, 16)], first] {
        let patch = json!({"spec": {"containers": containers(wanted)}}).to_string();
        ns.succeed(&[
            "patch",
            "pod",
            "app",
            "--subresource",
            "resize",
            "--patch",
            &patch,
        ])?;
        let after = ns.wait_for("pod", "app", |pod| has_all(pod, wanted))?;
        ensure!(after["status"]["qosClass"] == "Guaranteed", "{after}");
        let sum: u32 = wanted.iter().map(|(_, memory)| memory).sum();
        let slice = property(cluster, &ns, ("app", "slice"), "MemoryMax")?;
        ensure!(
            slice == (u64::from(sum) << 20).to_string(),
            "the pod's slice has {slice}"
        );
    }
    Ok(())
}

/// Whether each container of `pod` has what is `wanted`, and has not been restarted for it.
fn has_all(pod: &Value, wanted: Sizes) -> bool {
    let statuses = pod["status"]["containerStatuses"].as_array();
    let mut pairs = statuses.into_iter().flatten().zip(containers(wanted));
    pairs.all(|(status, container)| {
        status["resources"] == container["resources"] && status["restartCount"] == 0
    }) && condition(pod, "PodResizeInProgress").is_null()
}
