//! Hooks, probes and restarts: what the agent does to containers while they run.

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use serde_json::{Value, json};
use tests_harness::{BUSYBOX, Cluster, Namespace, Node as _, eventually, floe_binaries};
use tests_machine::{mount_of_node, pod};

use crate::kubectl::listens;

fn with(name: &str, restart_policy: &str, script: &str, more: &Value) -> Result<Value> {
    let mut pod: Value = serde_json::from_str(&pod(name, restart_policy, script))?;
    for (field, value) in more.as_object().into_iter().flatten() {
        pod["spec"]["containers"][0][field] = value.clone();
    }
    Ok(pod)
}

fn apply(ns: &Namespace, objects: &[Value]) -> Result<()> {
    let documents: Vec<String> = objects.iter().map(Value::to_string).collect();
    ns.apply(&documents.join("\n---\n")).map(drop)
}

fn status<'a>(pod: &'a Value, field: &str) -> &'a Value {
    &pod["status"]["containerStatuses"][0][field]
}

/// A pod that logs the paths it is asked for, and pods whose hooks ask it.
pub(crate) fn hooks(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("hooks")?;
    let serve = "mkdir /tmp/w; cd /tmp/w; touch index.html post-exec post-http pre-exec pre-http; exec httpd -f -vv -p 8080 -h /tmp/w";
    ns.apply(&pod("handler", "Always", serve))?;
    ns.succeed(&["wait", "--for=condition=Ready", "pod/handler", "--timeout=240s"])?;
    listens(&ns, "handler")?;
    let host = ns.succeed(&["get", "pod", "handler", "-o", "jsonpath={.status.podIP}"])?;
    let exec = |path: &str| json!({ "exec": { "command": ["wget", "-q", "-O", "-", format!("http://{host}:8080/{path}")] } });
    let http = |path: &str| json!({ "httpGet": { "host": host, "port": 8080, "path": format!("/{path}") } });
    let hooked = |name: &str, hook: &str, action: Value| -> Result<Value> {
        let mut pod = with(
            name,
            "Always",
            "trap 'exit 0' TERM; while :; do sleep 0.1; done",
            &json!({ "lifecycle": { hook: action } }),
        )?;
        pod["spec"]["terminationGracePeriodSeconds"] = 200.into();
        Ok(pod)
    };
    apply(
        &ns,
        &[
            hooked("post-exec", "postStart", exec("post-exec"))?,
            hooked("post-http", "postStart", http("post-http"))?,
            hooked("pre-exec", "preStop", exec("pre-exec"))?,
            hooked("pre-http", "preStop", http("pre-http"))?,
        ],
    )?;
    let asked = |path: &str| {
        eventually(&format!("the hook of {path}"), || {
            let said = ns.succeed(&["logs", "handler"])?;
            ensure!(said.contains(&format!("url:/{path}")), "{said}");
            Ok(())
        })
    };
    let names = ["post-exec", "post-http", "pre-exec", "pre-http"];
    for name in names {
        let name = format!("pod/{name}");
        ns.succeed(&["wait", "--for=condition=Ready", &name, "--timeout=240s"])?;
    }
    asked("post-exec")?;
    asked("post-http")?;
    let said = ns.succeed(&["logs", "handler"])?;
    ensure!(!said.contains("url:/pre-"), "asked before its time: {said}");
    ns.succeed(&[&["delete", "pod", "--grace-period=100"], names.as_slice()].concat())?;
    asked("pre-exec")?;
    asked("pre-http")
}

fn probed(name: &str, script: &str, kind: &str, probe: &Value) -> Result<Value> {
    let mut probe = probe.clone();
    // Fails by its answer alone, not by the time that a busy node takes for it.
    for (field, value) in [
        ("periodSeconds", 1),
        ("failureThreshold", 1),
        ("timeoutSeconds", 60),
    ] {
        probe[field] = value.into();
    }
    with(name, "Always", script, &json!({ kind: probe }))
}

/// Has the container's life probed only once the probe has succeeded, however long its program takes to begin.
fn once_up(mut pod: Value) -> Value {
    let container = &mut pod["spec"]["containers"][0];
    container["startupProbe"] = container["livenessProbe"].clone();
    container["startupProbe"]["failureThreshold"] = 200.into();
    pod
}

/// A page that is there, and one that is for five seconds; a file, a port; a health service that serves and one that stops.
pub(crate) fn probes(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("probes")?;
    let serve = "mkdir /tmp/w; touch /tmp/w/healthz; httpd -p 8080 -h /tmp/w;";
    let healthz = json!({ "httpGet": { "path": "/healthz", "port": 8080 }, "initialDelaySeconds": 2 });
    let file = json!({ "exec": { "command": ["cat", "/tmp/health"] }, "initialDelaySeconds": 2 });
    let port = json!({ "tcpSocket": { "port": 8080 }, "initialDelaySeconds": 2 });
    let late = json!({ "tcpSocket": { "port": 8080 }, "initialDelaySeconds": 6 });
    let stays = format!("{serve} touch /tmp/health; sleep 3600");
    let goes = format!("{serve} sleep 5; rm /tmp/w/healthz; sleep 3600");
    let lasting = ["page", "file", "port", "late", "rpc"];
    apply(
        &ns,
        &[
            once_up(probed("page", &stays, "livenessProbe", &healthz)?),
            once_up(probed("file", &stays, "livenessProbe", &file)?),
            once_up(probed("port", &stays, "livenessProbe", &port)?),
            probed("page-goes", &goes, "livenessProbe", &healthz)?,
            probed("late", &stays, "readinessProbe", &late)?,
            once_up(health(cluster, "rpc", "3600", &[])?),
            health(cluster, "rpc-goes", "5", &[])?,
        ],
    )?;
    for name in lasting {
        let name = format!("pod/{name}");
        ns.succeed(&["wait", "--for=condition=Ready", &name, "--timeout=240s"])?;
    }
    for name in ["page-goes", "rpc-goes"] {
        ns.wait_for("pod", name, |pod| status(pod, "restartCount").as_u64() >= Some(1))?;
    }
    // They were probed as often as those that were restarted meanwhile.
    for name in lasting {
        let found = ns.get("pod", name)?;
        ensure!(status(&found, "restartCount") == 0, "{name}: {}", found["status"]);
    }
    let found = ns.get("pod", "late")?;
    let conditions = found["status"]["conditions"]
        .as_array()
        .context("no conditions")?;
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready");
    let ready = &ready.context("never ready")?["lastTransitionTime"];
    let began = &status(&found, "state")["running"]["startedAt"];
    let waited = time(ready)?.duration_since(time(began)?).as_secs();
    // Both are told in whole seconds.
    ensure!(waited >= 5, "ready {waited} s after its start");
    Ok(())
}

fn time(value: &Value) -> Result<Timestamp> {
    value.as_str().context("no time")?.parse().context("no time")
}

/// A pod with a health service that serves for `seconds`, probed for its life, with paths of the node at hand. The
/// program is of this build, and dynamic, so that the node's libraries are mounted, too.
pub(crate) fn health(cluster: &Cluster, name: &str, seconds: &str, paths: &[(&str, &str)]) -> Result<Value> {
    let node = cluster.node();
    let place = format!("/var/lib/health-{name}");
    node.copy_from_host(&floe_binaries()?.join("examples/health"), &place)?;
    let libraries = [
        ("/usr/lib", "/lib"),
        ("/usr/lib64", "/lib64"),
        (&place, "/health"),
    ];
    let probe = json!({ "grpc": { "port": 5000 }, "initialDelaySeconds": 2 });
    let mut pod = probed(name, "", "livenessProbe", &probe)?;
    mount_of_node(&mut pod, &[&libraries, paths].concat());
    pod["spec"]["containers"][0]["command"] = json!(["/health", "5000", seconds]);
    Ok(pod)
}

/// A container that fails once, ends well once, then stays; and pods that never get anywhere.
pub(crate) fn restarts(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("restarts")?;
    let script =
        "echo hello >> /count/f; case $(wc -l < /count/f) in 1) exit 1;; 2) exit 0;; esac; sleep 3600";
    let count = json!({ "volumeMounts": [{ "name": "count", "mountPath": "/count" }] });
    let cases = [
        ("always", "Always", 2, "Running"),
        ("onfailure", "OnFailure", 1, "Succeeded"),
        ("never", "Never", 0, "Failed"),
    ];
    let mut pods = Vec::new();
    for (name, policy, ..) in cases {
        let mut pod = with(name, policy, script, &count)?;
        pod["spec"]["volumes"] = json!([{ "name": "count", "emptyDir": { "medium": "Memory" } }]);
        pods.push(pod);
    }
    pods.push(with("fails", "Always", "exit 1", &json!({}))?);
    let mut stuck = with("stuck", "Always", "sleep 3600", &json!({}))?;
    let init = |name: &str, command: &str| json!({ "name": name, "image": BUSYBOX, "command": [command] });
    stuck["spec"]["initContainers"] = json!([init("init1", "false"), init("init2", "true")]);
    pods.push(stuck);
    apply(&ns, &pods)?;
    for (name, _, restarts, phase) in cases {
        let found = ns.wait_for("pod", name, |pod| {
            pod["status"]["phase"] == phase && status(pod, "restartCount") == restarts
        })?;
        let runs = phase == "Running";
        let state = if runs { "running" } else { "terminated" };
        ensure!(
            !status(&found, "state")[state].is_null(),
            "{name}: {}",
            found["status"]
        );
        if runs {
            ns.succeed(&["wait", "--for=condition=Ready", "pod/always", "--timeout=240s"])?;
        } else {
            ensure!(status(&found, "ready") == false, "{name}: {}", found["status"]);
        }
    }
    // It goes on failing while others are looked at.
    let found = ns.wait_for("pod", "fails", |pod| {
        status(pod, "restartCount").as_u64() >= Some(1)
    })?;
    let last = &status(&found, "lastState")["terminated"];
    ensure!(last["reason"] == "Error" && last["exitCode"] == 1, "{last}");
    stays_uninitialised(&ns)?;
    ns.succeed(&["delete", "pod", "--all", "--timeout=240s"])
        .map(drop)
}

fn stays_uninitialised(ns: &Namespace) -> Result<()> {
    let found = ns.wait_for("pod", "stuck", |pod| {
        pod["status"]["initContainerStatuses"][0]["restartCount"].as_u64() >= Some(2)
    })?;
    ensure!(found["status"]["phase"] == "Pending", "{}", found["status"]);
    for name in [
        status(&found, "state"),
        &found["status"]["initContainerStatuses"][1]["state"],
    ] {
        ensure!(name["waiting"]["reason"] == "PodInitializing", "{name}");
    }
    let conditions = found["status"]["conditions"]
        .as_array()
        .context("no conditions")?;
    let initialized = conditions
        .iter()
        .find(|condition| condition["type"] == "Initialized");
    let initialized = initialized.context("no condition")?;
    ensure!(
        initialized["status"] == "False"
            && initialized["reason"] == "ContainersNotInitialized"
            && initialized["message"] == "containers with incomplete status: [init1 init2]",
        "{initialized}"
    );
    Ok(())
}
