//! What people type.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command};

use anyhow::{Context, Result, ensure};
use tests_harness::{BUSYBOX, Cluster, Namespace, eventually};
use tests_machine::pod;

/// Ends a background process when the test is over.
pub(crate) struct Background(pub(crate) Child);

impl Drop for Background {
    fn drop(&mut self) {
        self.0.kill().and_then(|()| self.0.wait()).ok();
    }
}

fn deployment(name: &str, replicas: u32, value: &str) -> String {
    serde_json::json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": name },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "containers": [{
                        "name": "main",
                        "image": BUSYBOX,
                        "command": ["/bin/sleep", "3600"],
                        "env": [{ "name": "VALUE", "value": value }],
                    }],
                },
            },
        },
    })
    .to_string()
}

fn template_value(namespace: &Namespace, name: &str) -> Result<String> {
    let found = namespace.get("deployment", name)?;
    let value = found.pointer("/spec/template/spec/containers/0/env/0/value");
    Ok(value
        .and_then(|value| value.as_str())
        .unwrap_or_default()
        .to_owned())
}

pub(crate) fn rollout(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("rollout")?;
    let finished = |ns: &Namespace| ns.succeed(&["rollout", "status", "deployment/web", "--timeout=240s"]);
    ns.apply(&deployment("web", 2, "one"))?;
    finished(&ns)?;
    ns.apply(&deployment("web", 2, "two"))?;
    finished(&ns)?;
    ns.succeed(&["scale", "deployment/web", "--replicas=3"])?;
    ns.wait_for("deployment", "web", |found| found["status"]["readyReplicas"] == 3)?;
    ns.succeed(&["rollout", "restart", "deployment/web"])?;
    finished(&ns)?;
    let history = ns.succeed(&["rollout", "history", "deployment/web"])?;
    ensure!(
        history
            .lines()
            .filter(|line| line.starts_with(char::is_numeric))
            .count()
            == 3,
        "{history}"
    );
    ns.succeed(&["rollout", "undo", "deployment/web", "--to-revision=1"])?;
    finished(&ns)?;
    ensure!(
        template_value(&ns, "web")? == "one",
        "the undo did not bring the first template back"
    );
    ns.succeed(&["delete", "deployment", "web", "--wait"])?;
    eventually("the deployment's pods to be gone", || {
        let left = ns.succeed(&["get", "pods", "-o", "name"])?;
        ensure!(left.trim().is_empty() || left.contains("No resources"), "{left}");
        Ok(())
    })
}

pub(crate) fn logs(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("logs")?;
    let script = "for i in 1 2 3; do echo line $i; done; echo oops >&2; sleep 2; echo later; sleep 3600";
    ns.apply(&pod("talker", "Always", script))?;
    ns.succeed(&["wait", "--for=condition=Ready", "pod/talker", "--timeout=240s"])?;
    let mut follower = Background(ns.start(&["logs", "-f", "talker"])?);
    let reader = BufReader::new(follower.0.stdout.take().context("no output")?);
    let mut seen = String::new();
    for line in reader.lines() {
        seen.push_str(&line?);
        if seen.contains("later") {
            break;
        }
    }
    ensure!(
        seen.contains("line 3") && seen.contains("oops"),
        "followed: {seen}"
    );
    let tail = ns.succeed(&["logs", "talker", "--tail=1"])?;
    ensure!(tail.trim() == "later", "tail: {tail}");
    let path = "/api/v1/namespaces/logs/pods/talker/log";
    let of = |stream: &str| ns.succeed(&["get", "--raw", &format!("{path}?stream={stream}")]);
    ensure!(of("Stderr")? == "oops\n", "standard error: {:?}", of("Stderr"));
    let out = "line 1\nline 2\nline 3\nlater\n";
    ensure!(of("Stdout")? == out, "standard output: {:?}", of("Stdout"));
    let refused = ns.fail(&["get", "--raw", &format!("{path}?stream=Stderr&tailLines=1")])?;
    ensure!(refused.contains("mutually exclusive"), "{refused}");
    ns.apply(&pod("twice", "Always", "echo run; sleep 1; exit 3"))?;
    ns.wait_for("pod", "twice", |found| {
        found
            .pointer("/status/containerStatuses/0/restartCount")
            .is_some_and(|count| count.as_u64() >= Some(1))
    })?;
    let previous = ns.succeed(&["logs", "--previous", "twice"])?;
    ensure!(previous.trim() == "run", "previous: {previous}");
    Ok(())
}

pub(crate) fn exec(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("exec")?;
    ns.apply(&pod("box", "Always", "sleep 3600"))?;
    ns.succeed(&["wait", "--for=condition=Ready", "pod/box", "--timeout=240s"])?;
    ensure!(
        ns.succeed(&["exec", "box", "--", "echo", "hello"])?.trim() == "hello",
        "exec said otherwise"
    );
    ensure!(
        ns.execute(&["exec", "box", "--", "sh", "-c", "exit 7"])?.code == 7,
        "the exit code was lost"
    );
    ensure!(
        ns.feed(&["exec", "-i", "box", "--", "cat"], "through\n")? == "through\n",
        "stdin was lost"
    );
    // The size comes as a message of its own, after the session has begun.
    let typed = "n=0; until [ \"$(stty size 2>&1)\" = \"33 77\" ] || [ $n -gt 600 ]; do n=$((n+1)); sleep 0.1; done; \
                 stty size; tty";
    let words = [
        "--namespace",
        "exec",
        "exec",
        "-it",
        "box",
        "--",
        "sh",
        "-c",
        typed,
    ];
    let command = cluster.kubectl()?.command(&words);
    sees_a_terminal(&command)
}

/// Runs `command`, which prints the size and name of its terminal, on one of 33 lines and 77 columns.
pub(crate) fn sees_a_terminal(command: &Command) -> Result<()> {
    let line = std::iter::once(command.get_program()).chain(command.get_args());
    let quoted: Vec<_> = line.map(|word| format!("'{}'", word.to_string_lossy())).collect();
    let script = format!("stty rows 33 cols 77; {}", quoted.join(" "));
    let shown = Command::new("script")
        .args(["-qec", &script, "/dev/null"])
        .output()?;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    ensure!(
        shown.contains("/dev/pts/") && shown.contains("33 77"),
        "a terminal shows: {shown}"
    );
    Ok(())
}

pub(crate) fn copy(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("copy")?;
    ns.apply(&pod("box", "Always", "sleep 3600"))?;
    ns.succeed(&["wait", "--for=condition=Ready", "pod/box", "--timeout=240s"])?;
    let (there, back) = (cluster.scratch().join("there"), cluster.scratch().join("back"));
    let data: Vec<u8> = (0..300_000_u32)
        .map(|number| number.to_le_bytes()[0] ^ 0x5a)
        .collect();
    std::fs::write(&there, &data)?;
    ns.succeed(&["cp", &there.to_string_lossy(), "box:/tmp/data"])?;
    ns.succeed(&["cp", "box:/tmp/data", &back.to_string_lossy()])?;
    ensure!(std::fs::read(&back)? == data, "the file came back changed");
    Ok(())
}

pub(crate) fn port_forward(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("forward")?;
    let script = "mkdir /tmp/w; echo page > /tmp/w/index.html; exec httpd -f -p 8080 -h /tmp/w";
    ns.apply(&pod("web", "Always", script))?;
    ns.succeed(&["wait", "--for=condition=Ready", "pod/web", "--timeout=240s"])?;
    listens(&ns, "web")?;
    forward(&ns)
}

/// Forwards a port to the server of the pod `web`, and asks it for its page three times.
pub(crate) fn forward(ns: &Namespace) -> Result<()> {
    let mut forward = Background(ns.start(&["port-forward", "pod/web", ":8080"])?);
    let mut line = String::new();
    // Held to the end: kubectl ends when nobody reads what it prints of each connection.
    let mut said = BufReader::new(forward.0.stdout.take().context("no output")?);
    said.read_line(&mut line)?;
    let port = line
        .split("127.0.0.1:")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    let port: u16 = port
        .with_context(|| format!("port-forward said {line:?}"))?
        .parse()?;
    for _ in 0..3 {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply)?;
        ensure!(
            reply.contains("200 OK") && reply.contains("page") && reply.ends_with('\n'),
            "the pod answered {reply:?}"
        );
    }
    Ok(())
}

/// Waits until the pod answers itself: without a readiness probe it is Ready before its server listens.
pub(crate) fn listens(ns: &Namespace, pod: &str) -> Result<String> {
    let fetch = [
        "exec",
        pod,
        "--",
        "wget",
        "-q",
        "-O",
        "-",
        "http://127.0.0.1:8080/",
    ];
    eventually("the pod's own server", || ns.succeed(&fetch))
}

pub(crate) fn edits(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("edits")?;
    let map = "{apiVersion: v1, kind: ConfigMap, metadata: {name: map}, data: {key: one}}";
    ns.apply(map)?;
    ns.succeed(&["label", "configmap", "map", "tier=front"])?;
    ns.succeed(&["annotate", "configmap", "map", "note=seen"])?;
    let listed = ns.succeed(&["get", "configmap", "-l", "tier=front", "-o", "name"])?;
    ensure!(listed.trim() == "configmap/map", "{listed}");
    let changed = map.replace("one", "two");
    let diff = ns.feed(&["diff", "--server-side=false", "-f", "-"], &changed);
    ensure!(
        diff.is_err_and(|err| err.to_string().contains("+  key: two")),
        "diff shows no difference"
    );
    let mut edit = cluster
        .kubectl()?
        .command(&["--namespace", "edits", "edit", "configmap", "map"]);
    let edited = edit.env("KUBE_EDITOR", "sed -i s/one/three/").output()?;
    ensure!(
        edited.status.success(),
        "{}",
        String::from_utf8_lossy(&edited.stderr)
    );
    ensure!(
        ns.get("configmap", "map")?["data"]["key"] == "three",
        "the edit was lost"
    );
    ns.succeed(&[
        "wait",
        "--for=jsonpath={.data.key}=three",
        "configmap/map",
        "--timeout=240s",
    ])?;
    ns.succeed(&["delete", "configmap", "map"])?;
    ensure!(
        ns.fail(&["get", "configmap", "map"])?.contains("(NotFound)"),
        "it is still there"
    );
    Ok(())
}

/// kubectl checks a `List` on its side, by the OpenAPI v2 document.
pub(crate) fn lists(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("lists")?;
    let item = |name: &str, field: &str| {
        format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}}}, {field}: {{a: b}}}}")
    };
    let list = |second: &str| {
        format!(
            "{{apiVersion: v1, kind: List, items: [{}, {second}]}}",
            item("one", "data")
        )
    };
    let refused = ns.feed(
        &["apply", "--server-side=false", "-f", "-"],
        &list(&item("two", "date")),
    );
    ensure!(
        refused.is_err_and(|error| error.to_string().contains("unknown field \"date\"")),
        "a field that is not there was not refused"
    );
    ns.apply(&list(&item("two", "data")))?;
    let names = ns.succeed(&["get", "configmap", "one", "two", "-o", "name"])?;
    ensure!(names == "configmap/one\nconfigmap/two\n", "{names}");
    Ok(())
}

pub(crate) fn shows(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("shows")?;
    ns.apply(&pod("seen", "Always", "sleep 3600"))?;
    ns.succeed(&["wait", "--for=condition=Ready", "pod/seen", "--timeout=240s"])?;
    let all = ns.succeed(&["get", "pods", "-A"])?;
    let row = all
        .lines()
        .find(|line| line.contains("seen"))
        .context("no row for the pod")?;
    let words: Vec<_> = row.split_whitespace().collect();
    ensure!(
        words.get(..5) == Some(&["shows", "seen", "1/1", "Running", "0"]),
        "{row}"
    );
    let wide = ns.succeed(&["get", "pods", "-o", "wide"])?;
    ensure!(
        wide.contains("10.42.") && wide.contains(&format!("{}-1", cluster.name())),
        "{wide}"
    );
    eventually("the events of a started pod", || {
        let described = ns.succeed(&["describe", "pod", "seen"])?;
        for reason in ["Scheduled", "Pulled", "Created", "Started"] {
            ensure!(described.contains(reason), "no {reason} in {described}");
        }
        Ok(())
    })
}
