//! Streams as older clients ask for them, and what is reached through the API server.

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tests_harness::{Cluster, Kubectl, Namespace, eventually};
use tests_machine::pod;

use crate::kubectl::{Background, forward, listens, sees_a_terminal};

const WEB: &str =
    "mkdir /tmp/w; echo \"<a href='/x'>page</a>\" > /tmp/w/index.html; exec httpd -f -p 8080 -h /tmp/w";

fn ready(ns: &Namespace, name: &str) -> Result<()> {
    let pod = format!("pod/{name}");
    ns.succeed(&["wait", "--for=condition=Ready", &pod, "--timeout=240s"])
        .map(drop)
}

/// kubectl 1.20 knows no WebSockets: exec, attach, cp and port-forward are SPDY/3.1 over HTTP/1.1.
pub(crate) fn by_spdy(cluster: &Cluster) -> Result<()> {
    let old = cluster.old_kubectl()?;
    let ns = old.namespace("spdy")?;
    ns.apply(&pod("web", "Always", WEB))?;
    ready(&ns, "web")?;
    exec(&old, &ns)?;
    copy(&ns, cluster.scratch())?;
    attach(&ns)?;
    listens(&ns, "web")?;
    forward(&ns)
}

fn exec(old: &Kubectl, ns: &Namespace) -> Result<()> {
    let said = ns.execute(&["exec", "web", "--", "sh", "-c", "echo out; echo err >&2; exit 7"])?;
    ensure!(
        said.code == 7 && said.output.contains("out") && said.output.contains("err"),
        "exec ended with {}: {}",
        said.code,
        said.output
    );
    let text = "through\n\nand  through";
    ensure!(
        ns.feed(&["exec", "-i", "web", "--", "cat"], text)? == text,
        "stdin was lost"
    );
    let typed = "n=0; until [ \"$(stty size 2>&1)\" = \"33 77\" ] || [ $n -gt 600 ]; do n=$((n+1)); sleep 0.1; done; \
                 stty size; tty";
    let command = old.command(&["-n", "spdy", "exec", "-it", "web", "--", "sh", "-c", typed]);
    sees_a_terminal(&command)?;
    let refused = ns.fail(&["exec", "web", "-c", "none", "--", "true"])?;
    ensure!(
        refused.contains("container none is not valid for pod web"),
        "{refused}"
    );
    Ok(())
}

fn copy(ns: &Namespace, scratch: &Path) -> Result<()> {
    let (there, back) = (scratch.join("spdy-there"), scratch.join("spdy-back"));
    let data: Vec<u8> = (0..3_000_000_u32)
        .map(|number| number.to_le_bytes()[1] ^ 0x5a)
        .collect();
    std::fs::write(&there, &data)?;
    ns.succeed(&["cp", &there.to_string_lossy(), "web:/tmp/data"])?;
    ns.succeed(&["cp", "web:/tmp/data", &back.to_string_lossy()])?;
    ensure!(std::fs::read(&back)? == data, "the file came back changed");
    Ok(())
}

fn attach(ns: &Namespace) -> Result<()> {
    let mut listener: Value = serde_json::from_str(&pod(
        "echo",
        "Always",
        "while read line; do echo \"got $line\"; done",
    ))?;
    listener["spec"]["containers"][0]["stdin"] = true.into();
    ns.apply(&listener.to_string())?;
    ready(ns, "echo")?;
    ns.talk(&["attach", "-i", "echo"], "word\n", "got word\n")
        .map(drop)
}

/// A Service's pods, a pod and a node, through the API server.
pub(crate) fn through_the_api(cluster: &Cluster) -> Result<()> {
    let kubectl = cluster.kubectl()?;
    let ns = kubectl.namespace("through")?;
    let mut web: Value = serde_json::from_str(&pod("web", "Always", WEB))?;
    web["metadata"]["labels"] = serde_json::json!({ "app": "web" });
    ns.apply(&web.to_string())?;
    ns.apply(
        "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {selector: {app: web}, \
         ports: [{name: http, port: 80, targetPort: 8080}]}}",
    )?;
    ready(&ns, "web")?;
    listens(&ns, "web")?;
    let raw = |path: &str| kubectl.succeed(&["get", "--raw", path]);
    for name in ["services/web:http", "services/web:80", "pods/web:8080"] {
        let root = format!("/api/v1/namespaces/through/{name}/proxy/");
        let page = eventually("a page through the proxy", || raw(&root))?;
        ensure!(page == format!("<a href='{root}x'>page</a>\n"), "{name}: {page}");
    }
    let refused = ns.fail(&[
        "get",
        "--raw",
        "/api/v1/namespaces/through/services/web:81/proxy/",
    ])?;
    ensure!(
        refused.contains("no service port 81 found for service \"web\""),
        "{refused}"
    );
    let refused = ns.fail(&["get", "--raw", "/api/v1/namespaces/through/pods/web:81/proxy/"])?;
    ensure!(refused.contains("error trying to reach service"), "{refused}");
    let healthy = raw(&format!("/api/v1/nodes/{}-1/proxy/healthz", cluster.name()))?;
    ensure!(healthy.trim() == "ok", "{healthy}");
    Ok(())
}

/// What curl says of a path of a `kubectl proxy`.
fn curl(at: &[&str], words: &[&str], body: Option<&str>) -> Result<String> {
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "60"]).args(at).args(words);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take().context("no input")?;
    input.write_all(body.unwrap_or_default().as_bytes())?;
    drop(input);
    let done = child.wait_with_output()?;
    ensure!(
        done.status.success(),
        "curl {words:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    Ok(String::from_utf8(done.stdout)?)
}

/// `kubectl proxy` by port and by unix socket: a Pod's JSON is posted, listed, watched and deleted with curl.
pub(crate) fn kubectl_proxy(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("proxied")?;
    let socket = cluster.scratch().join("proxy.sock");
    let by_socket = format!("--unix-socket={}", socket.display());
    for (round, how) in ["--port=0", &by_socket].into_iter().enumerate() {
        let mut proxy = Background(ns.start(&["proxy", how])?);
        let mut line = String::new();
        let mut said = BufReader::new(proxy.0.stdout.take().context("no output")?);
        said.read_line(&mut line)?;
        let at = line.trim().rsplit(' ').next().unwrap_or_default().to_owned();
        let socket = socket.to_string_lossy().into_owned();
        let (options, base) = match at.starts_with('/') {
            true => (vec!["--unix-socket", &socket], "http://localhost".to_owned()),
            false => (Vec::new(), format!("http://{at}")),
        };
        life_of_a_pod(&options, &base, &format!("pod-{round}"))?;
    }
    Ok(())
}

fn life_of_a_pod(at: &[&str], base: &str, name: &str) -> Result<()> {
    let pods = format!("{base}/api/v1/namespaces/proxied/pods");
    let one = format!("{pods}/{name}");
    let only = format!("{pods}?fieldSelector=metadata.name={name}");
    let json = |text: String| serde_json::from_str::<Value>(&text).context(text);
    let mut watch = Background(watching(at, &format!("{only}&watch=true"))?);
    let manifest = pod(name, "Always", "sleep 3600");
    let post = [
        "-X",
        "POST",
        "-H",
        "Content-Type: application/json",
        "--data-binary",
        "@-",
        &pods,
    ];
    let made = json(curl(at, &post, Some(&manifest))?)?;
    ensure!(made["metadata"]["name"] == name, "{made}");
    // Seen before it is deleted: a watch that begins later would see nothing of it.
    let mut events = BufReader::new(watch.0.stdout.take().context("no output")?).lines();
    let mut next = || -> Result<Value> { json(events.next().context("the watch ended")??) };
    let first = next()?;
    ensure!(first["type"] == "ADDED", "the watch began with {first}");
    let listed = json(curl(at, &[&only], None)?)?;
    ensure!(
        listed["items"][0]["metadata"]["uid"] == made["metadata"]["uid"],
        "{listed}"
    );
    let deleted = curl(
        at,
        &["-X", "DELETE", &format!("{one}?gracePeriodSeconds=0")],
        None,
    )?;
    ensure!(deleted.contains(name), "{deleted}");
    while next()?["type"] != "DELETED" {}
    Ok(())
}

/// A watch; one that begins late still shows the pod as added.
fn watching(at: &[&str], url: &str) -> Result<Child> {
    let mut command = Command::new("curl");
    command.args(["-sSN", "--max-time", "120"]).args(at).arg(url);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command.spawn().context("start curl")
}
