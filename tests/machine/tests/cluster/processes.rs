//! Pods whose containers see each other's processes.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tests_harness::{BUSYBOX, Cluster, Namespace, Node as _, eventually};

fn holder() -> Value {
    let container =
        |name: &str, seconds: &str| json!({ "name": name, "image": BUSYBOX, "command": ["sleep", seconds] });
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "many" },
        "spec": {
            "shareProcessNamespace": true, "terminationGracePeriodSeconds": 1,
            "containers": [container("a", "1111"), container("b", "2222")],
        },
    })
}

/// How often container `index` was restarted, where it runs.
fn restarts(pod: &Value, index: usize) -> Option<u64> {
    let status = pod.pointer(&format!("/status/containerStatuses/{index}"))?;
    status["state"]["running"].as_object()?;
    status["restartCount"].as_u64()
}

fn wait_for_restarts(ns: &Namespace, wanted: [u64; 2]) -> Result<Value> {
    let wanted = wanted.map(Some);
    ns.wait_for("pod", "many", |pod| {
        [restarts(pod, 0), restarts(pod, 1)] == wanted
    })
}

pub(crate) fn shared(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("processes")?;
    ns.apply(&holder().to_string())?;
    ns.succeed(&["wait", "--for=condition=Ready", "pod/many", "--timeout=240s"])?;
    let inside = |script: &str| ns.succeed(&["exec", "many", "-c", "a", "--", "sh", "-c", script]);
    let seen = inside("ps -o pid,args")?;
    ensure!(
        seen.contains("    1 /pause\n"),
        "the first process is nobody's: {seen}"
    );
    ensure!(
        seen.contains("sleep 1111") && seen.contains("sleep 2222"),
        "{seen}"
    );
    // The first process is out of reach: neither its files nor its life are the containers'.
    ns.fail(&["exec", "many", "-c", "a", "--", "ls", "/proc/1/root/"])?;
    let who = inside("cat /proc/1/status")?;
    ensure!(
        who.contains("Uid:\t65535\t65535") && who.contains("CapEff:\t0000000000000000"),
        "{who}"
    );
    // An orphan that has ended is buried; the loop ends with the limit of whoever waits for it.
    inside(
        "kill -TERM 1; kill -KILL 1; (sleep 0.17 &); while ps -o stat,args | grep -E '^Z|^[^ ]+ +sleep 0[.]17'; do sleep 0.1; done",
    )?;
    // A debugger sees all without a target.
    let image = format!("--image={BUSYBOX}");
    let words = [
        "debug",
        "many",
        "--profile=general",
        &image,
        "-c",
        "tool",
        "-i",
        "--",
        "ps",
    ];
    let said = ns.talk(&words, "", "sleep 2222")?;
    ensure!(said.contains("sleep 1111"), "{said}");
    ends_alone(&ns)?;
    let uid = ends_with_its_namespace(cluster, &ns)?;
    ns.succeed(&["delete", "pod", "many", "--timeout=240s"])?;
    let node = cluster.node();
    eventually("nothing to be left of the pod", || {
        let left = node.succeed("systemctl list-units --all --plain --no-legend 'floe-processes:*'")?;
        ensure!(left.trim().is_empty(), "{left}");
        let mounts = node.succeed("nsenter --mount=/run/floe/ns/mnt cat /proc/self/mountinfo")?;
        ensure!(!mounts.contains(&uid), "{mounts}");
        Ok(())
    })
}

/// Whether both containers see each other, from within container `name`.
fn see_each_other(ns: &Namespace, name: &str) -> Result<()> {
    eventually("both containers in one namespace", || {
        let seen = ns.succeed(&["exec", "many", "-c", name, "--", "ps"])?;
        ensure!(
            seen.contains("sleep 1111") && seen.contains("sleep 2222"),
            "{seen}"
        );
        Ok(())
    })
}

/// One container's end by another's hand is its own alone.
fn ends_alone(ns: &Namespace) -> Result<()> {
    let script = "kill -TERM $(ps -o pid,args | awk '/sleep [2]222/ { print $1 }')";
    ns.succeed(&["exec", "many", "-c", "a", "--", "sh", "-c", script])?;
    wait_for_restarts(ns, [0, 1])?;
    see_each_other(ns, "b")
}

/// Without its first process the namespace ends, and everything is there again in another; where its unit was stopped,
/// the agent makes it anew. Returns the pod's UID.
fn ends_with_its_namespace(cluster: &Cluster, ns: &Namespace) -> Result<String> {
    let node = cluster.node();
    node.succeed("systemctl kill -s KILL 'floe-processes:many:*:_processes.service'")?;
    wait_for_restarts(ns, [1, 2])?;
    see_each_other(ns, "a")?;
    node.succeed("systemctl stop 'floe-processes:many:*:_processes.service'")?;
    let found = ns.wait_for("pod", "many", |pod| restarts(pod, 0) == Some(2))?;
    let uid = found["metadata"]["uid"].as_str().context("no uid")?;
    Ok(uid.to_owned())
}
