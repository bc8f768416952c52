//! `kubectl debug`: ephemeral containers in pods that run, copies of pods, and pods on a node.

use anyhow::{Result, ensure};
use serde_json::Value;
use tests_harness::{BUSYBOX, Cluster, Namespace, Node as _, eventually};
use tests_machine::pod;

use crate::terminals::{on_a_terminal, shows, types};

/// What `kubectl debug` is asked for on `pod`, with a container `name` that looks into `main`.
fn debug<'a>(name: &'a str, image: &'a str) -> [&'a str; 7] {
    [
        "debug",
        "app",
        "--profile=general",
        "--target=main",
        image,
        "-c",
        name,
    ]
}

fn status_of<'a>(found: &'a Value, name: &str) -> &'a Value {
    let all = found["status"]["ephemeralContainerStatuses"].as_array();
    let mut all = all.into_iter().flatten();
    all.find(|status| status["name"] == name).unwrap_or(&Value::Null)
}

fn wait_for_state(ns: &Namespace, name: &str, accept: impl Fn(&Value) -> bool) -> Result<Value> {
    let found = ns.wait_for("pod", "app", |found| accept(&status_of(found, name)["state"]))?;
    Ok(status_of(&found, name).clone())
}

pub(crate) fn into_a_pod(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("debug")?;
    let image = format!("--image={BUSYBOX}");
    ns.apply(&pod("app", "Always", "while true; do sleep 4242; done"))?;
    ns.succeed(&["wait", "--for=condition=Ready", "pod/app", "--timeout=240s"])?;
    // On a terminal, in the pod's name and among its container's processes.
    let words: Vec<&str> = debug("first", &image)
        .into_iter()
        .chain(["-it", "--", "sh"])
        .collect();
    let mut shell = on_a_terminal(cluster, ns.name(), &words)?;
    types(
        &mut shell,
        "echo on-$(hostname)-$((40 + 2)); until ps | grep 'sleep 424[2]'; do sleep 0.1; done\n",
    )?;
    let seen = shows(&mut shell, "sleep 4242")?;
    ensure!(seen.contains("on-app-42"), "{seen:?}");
    types(&mut shell, "exit 3\n")?;
    shell.wait()?;
    let ended = wait_for_state(&ns, "first", |state| state["terminated"].is_object())?;
    ensure!(ended["state"]["terminated"]["exitCode"] == 3, "{ended}");
    let logs = ns.succeed(&["logs", "app", "-c", "first"])?;
    ensure!(logs.contains("on-app-42"), "{logs:?}");
    no_image(&ns)?;
    // Nothing of it is the pod's: it runs on, ready, and its container has not been started again.
    let found = ns.get("pod", "app")?;
    ensure!(
        found["status"]["phase"] == "Running" && found["status"]["containerStatuses"][0]["restartCount"] == 0,
        "{found}"
    );
    let ready = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
    ensure!(
        ns.succeed(&["get", "pod", "app", "-o", ready])? == "True",
        "{found}"
    );
    eventually("no failed unit for a shell's code", || {
        let failed = cluster
            .node()
            .execute("systemctl list-units --failed --no-legend 'floe-debug:app:*'")?;
        ensure!(failed.output.is_empty(), "{}", failed.output);
        Ok(())
    })
}

/// An image that nobody has is the debugger's own trouble.
fn no_image(ns: &Namespace) -> Result<()> {
    ns.succeed(&[
        "debug",
        "app",
        "--profile=general",
        "--image=localhost:1/none",
        "-c",
        "lost",
    ])?;
    let waits = wait_for_state(ns, "lost", |state| {
        let reason = state["waiting"]["reason"].as_str();
        matches!(reason, Some("ErrImagePull" | "ImagePullBackOff"))
    })?;
    ensure!(waits["ready"] == false && waits["imageID"] == "", "{waits}");
    Ok(())
}

pub(crate) fn outlives_the_agent(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("debug-agent")?;
    let image = format!("--image={BUSYBOX}");
    ns.apply(&pod("app", "Always", "sleep 100000"))?;
    ns.succeed(&["wait", "--for=condition=Ready", "pod/app", "--timeout=240s"])?;
    let script = ["--", "sh", "-c", "echo once; exec sleep 100000"];
    let words: Vec<&str> = debug("tool", &image).into_iter().chain(script).collect();
    ns.succeed(&words)?;
    let before = wait_for_state(&ns, "tool", |state| state["running"].is_object())?;
    let node = cluster.node();
    node.execute("systemctl restart floe-agent")?;
    eventually("exec into the debugger after the agent's restart", || {
        let seen = ns.succeed(&["exec", "app", "-c", "tool", "--", "ps"])?;
        ensure!(seen.contains("sleep 100000"), "{seen}");
        Ok(())
    })?;
    let after = ns.get("pod", "app")?;
    ensure!(
        status_of(&after, "tool")["containerID"] == before["containerID"],
        "{after}"
    );
    ensure!(
        ns.succeed(&["logs", "app", "-c", "tool"])? == "once\n",
        "it ran twice"
    );
    // It goes with its pod.
    ns.succeed(&["delete", "pod", "app", "--timeout=240s"])?;
    eventually("no unit is left of the pod", || {
        let left = node.execute("systemctl list-units --all --no-legend 'floe-debug-agent:*'")?;
        ensure!(left.output.is_empty(), "{}", left.output);
        Ok(())
    })
}

pub(crate) fn copy_and_node(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("debug-copy")?;
    let image = format!("--image={BUSYBOX}");
    ns.apply(&pod("app", "Always", "sleep 100000"))?;
    let copy = [
        "debug",
        "app",
        "--profile=general",
        &image,
        "--copy-to=copy",
        "-c",
        "tool",
    ];
    let words: Vec<&str> = copy.into_iter().chain(["--", "sleep", "100000"]).collect();
    ns.succeed(&words)?;
    ns.succeed(&["wait", "--for=condition=Ready", "pod/copy", "--timeout=240s"])?;
    let names = ns.get("pod", "copy")?;
    ensure!(
        names["status"]["containerStatuses"][1]["name"] == "tool",
        "{names}"
    );
    let seen = ns.succeed(&["exec", "copy", "-c", "tool", "--", "ps"])?;
    ensure!(
        seen.contains("/pause") && seen.matches("sleep 100000").count() == 2,
        "a copy shares its processes: {seen}"
    );
    // On a node: its processes, and its files under /host.
    let node = format!("node/{}", cluster.node().name());
    let on_node = ["debug", &node, "--profile=sysadmin", &image, "-i", "--", "sh"];
    ns.talk(
        &on_node,
        "chroot /host systemctl is-active floe-agent; exit\n",
        "active\n",
    )?;
    ns.talk(
        &on_node,
        "ps | grep -q system[d] && echo sees-$((40 + 2)); exit\n",
        "sees-42\n",
    )
    .map(drop)
}
