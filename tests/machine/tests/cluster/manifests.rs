//! Manifests of the kind that the Kubernetes documentation teaches with.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests_harness::{Cluster, eventually};
use tests_machine::pod;

fn first_container<'a>(pod: &'a Value, field: &str) -> Option<&'a Value> {
    pod.pointer("/status/containerStatuses/0")?.get(field)
}

pub(crate) fn init_containers(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("init")?;
    ns.apply(include_str!("../manifests/init-containers.yaml"))?;
    ns.succeed(&["wait", "--for=condition=Ready", "pod/init-demo", "--timeout=240s"])?;
    let page = ns.succeed(&["exec", "init-demo", "-c", "web", "--", "cat", "/work/page"])?;
    ensure!(page == "first\nsecond\n", "the init containers wrote {page:?}");
    let found = ns.get("pod", "init-demo")?;
    for index in 0..2 {
        let state = found.pointer(&format!(
            "/status/initContainerStatuses/{index}/state/terminated/reason"
        ));
        ensure!(
            state.is_some_and(|reason| reason == "Completed"),
            "{}",
            found["status"]
        );
    }
    Ok(())
}

pub(crate) fn crash_loop(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("crash")?;
    ns.apply(&pod("crash", "Always", "echo going; exit 42"))?;
    let found = ns.wait_for("pod", "crash", |found| {
        let waiting = first_container(found, "state").and_then(|state| state.pointer("/waiting/reason"));
        waiting.is_some_and(|reason| reason == "CrashLoopBackOff")
    })?;
    let last = first_container(&found, "lastState").context("no last state")?;
    ensure!(
        last.pointer("/terminated/exitCode")
            .is_some_and(|code| code == 42),
        "{last}"
    );
    ensure!(
        first_container(&found, "restartCount").is_some_and(|count| count.as_u64() >= Some(1)),
        "{found}"
    );
    Ok(())
}

pub(crate) fn liveness(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("liveness")?;
    ns.apply(include_str!("../manifests/liveness.yaml"))?;
    ns.wait_for("pod", "liveness-exec", |found| {
        first_container(found, "restartCount").is_some_and(|count| count.as_u64() >= Some(1))
    })?;
    eventually("the events of a failed probe", || {
        let events = ns.succeed(&["get", "events"])?;
        ensure!(
            events.contains("Unhealthy") && events.contains("Killing"),
            "{events}"
        );
        Ok(())
    })
}

pub(crate) fn readiness(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("readiness")?;
    ns.apply(include_str!("../manifests/readiness.yaml"))?;
    ns.succeed(&[
        "wait",
        "--for=condition=Ready",
        "pod/readiness-http",
        "--timeout=240s",
    ])?;
    ns.succeed(&["exec", "readiness-http", "--", "rm", "/tmp/w/ready"])?;
    ns.succeed(&[
        "wait",
        "--for=condition=Ready=false",
        "pod/readiness-http",
        "--timeout=240s",
    ])?;
    let found = ns.get("pod", "readiness-http")?;
    ensure!(
        first_container(&found, "restartCount").is_some_and(|count| count == 0),
        "it was restarted"
    );
    Ok(())
}

pub(crate) fn environment(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("environment")?;
    ns.apply(include_str!("../manifests/environment.yaml"))?;
    ns.succeed(&[
        "wait",
        "--for=jsonpath={.status.phase}=Succeeded",
        "pod/env-demo",
        "--timeout=240s",
    ])?;
    let said = ns.succeed(&["logs", "env-demo"])?;
    for line in [
        "LEVEL=debug",
        "COLOUR=blue",
        "PASSWORD=s3cr3t-value",
        "p_LEVEL=debug",
        "p_colour=blue",
        "s_password=s3cr3t-value",
        "GREETING=hello debug",
        "POD=env-demo",
        "file: debug",
        "mode: 400",
    ] {
        ensure!(said.lines().any(|found| found == line), "no {line:?} in {said}");
    }
    ensure!(said.contains("KUBERNETES_SERVICE_HOST=10.43.0.1"), "{said}");
    Ok(())
}

pub(crate) fn unknown_image(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("unknown")?;
    ns.succeed(&["run", "ghost", "--image=registry.example/no/such:1"])?;
    ns.wait_for("pod", "ghost", |found| {
        let waiting = first_container(found, "state").and_then(|state| state.pointer("/waiting/reason"));
        waiting.is_some_and(|reason| reason == "ImagePullBackOff")
    })?;
    eventually("the event that says why", || {
        let events = ns.succeed(&["get", "events"])?;
        ensure!(events.contains("registry.example/no/such:1"), "{events}");
        Ok(())
    })
}

pub(crate) fn missing_program(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("missing")?;
    let mut lost: Value = serde_json::from_str(&pod("lost", "Never", "unused"))?;
    lost["spec"]["containers"][0]["command"] = json!(["/no/such/program"]);
    ns.apply(&lost.to_string())?;
    let found = ns.wait_for("pod", "lost", |found| found["status"]["phase"] == "Failed")?;
    let ended = &found["status"]["containerStatuses"][0]["state"]["terminated"];
    ensure!(
        ended["reason"] == "StartError" && ended["exitCode"] == 128,
        "{ended}"
    );
    let of_pod = ["get", "events", "--field-selector=involvedObject.name=lost"];
    let told = |reason: &str| -> Result<String> {
        let reason = format!("{},reason={reason}", of_pod[2]);
        ns.succeed(&["get", "events", &reason, "-o", "jsonpath={.items[*].message}"])
    };
    eventually("the event of the failure", || {
        ensure!(
            told("Failed")?.contains("/no/such/program"),
            "{}",
            ns.succeed(&of_pod)?
        );
        ensure!(
            told("Created")? == "Created container: main",
            "{}",
            ns.succeed(&of_pod)?
        );
        Ok(())
    })?;
    ensure!(
        told("Started")?.is_empty(),
        "it never started: {}",
        ns.succeed(&of_pod)?
    );
    ns.succeed(&["delete", "pod", "lost"]).map(drop)
}
