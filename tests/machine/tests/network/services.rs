//! Services of every kind, reached by pods of every node, by nodes, and from outside.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests_harness::{BUSYBOX, Cluster, Namespace, Node, eventually};

pub(crate) const NODES: [u8; 3] = [1, 2, 3];
/// Requests that show which servers answer: that one of three stays silent is as likely as 1 in 400 000.
const REQUESTS: usize = 32;

/// A web server that says its name, on one node.
fn server(cluster: &Cluster, app: &str, number: u8) -> Value {
    let name = format!("{app}-{number}");
    let script =
        format!("mkdir /tmp/www; echo {name} > /tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www");
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "labels": { "app": app } },
        "spec": {
            "nodeName": format!("{}-{number}", cluster.name()),
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "main", "image": BUSYBOX, "command": ["/bin/sh", "-c", script],
                "ports": [{ "name": "web", "containerPort": 8080 }],
                "volumeMounts": [{ "name": "tmp", "mountPath": "/tmp" }, { "name": "client", "mountPath": "/client" }],
            }],
            "volumes": [
                { "name": "tmp", "emptyDir": {} },
                { "name": "client", "hostPath": { "path": "/var/lib/client", "type": "DirectoryOrCreate" } },
            ],
        },
    })
}

fn service(name: &str, app: &str, more: &Value) -> Value {
    let mut spec = json!({
        "selector": { "app": app }, "ports": [{ "name": "http", "port": 80, "targetPort": "web" }],
    });
    if let (Some(spec), Some(more)) = (spec.as_object_mut(), more.as_object()) {
        spec.extend(more.clone());
    }
    json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": name }, "spec": spec })
}

/// A namespace with a server of `web` on every node, one of `single` on the first, and `services`.
fn deploy(cluster: &Cluster, name: &str, services: &[Value]) -> Result<Namespace> {
    let ns = cluster.kubectl()?.namespace(name)?;
    let pods = NODES.map(|number| server(cluster, "web", number));
    let single = [server(cluster, "single", 1)];
    let objects = pods.iter().chain(&single).chain(services);
    let documents: Vec<String> = objects.map(Value::to_string).collect();
    ns.apply(&documents.join("\n---\n"))?;
    ns.succeed(&["wait", "--for=condition=Ready", "pod", "--all", "--timeout=240s"])?;
    Ok(ns)
}

fn field(ns: &Namespace, service: &str, path: &str) -> Result<String> {
    let object = ns.get("service", service)?;
    let value = object
        .pointer(path)
        .with_context(|| format!("{service} has no {path}"))?;
    Ok(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

fn url(ns: &Namespace, service: &str) -> Result<String> {
    Ok(format!("http://{}/", field(ns, service, "/spec/clusterIP")?))
}

/// The names that many requests get, asked by a shell command given `script`.
fn names(run: impl Fn(&str) -> Result<String>, url: &str) -> Result<BTreeSet<String>> {
    let loop_over =
        format!("for i in $(seq {REQUESTS}); do timeout 3 busybox wget -q -O - {url} || echo failed; done");
    let said = run(&loop_over)?;
    Ok(said.split_whitespace().map(str::to_owned).collect())
}

fn from_pod(ns: &Namespace, pod: &str, url: &str) -> Result<BTreeSet<String>> {
    names(
        |script| ns.succeed(&["exec", pod, "--", "sh", "-c", &script.replace("busybox ", "")]),
        url,
    )
}

fn from_node(cluster: &Cluster, number: u8, url: &str) -> Result<BTreeSet<String>> {
    names(|script| cluster.numbered(number).succeed(script), url)
}

fn all_web() -> BTreeSet<String> {
    NODES.iter().map(|number| format!("web-{number}")).collect()
}

pub(crate) fn node_address(cluster: &Cluster, ns: &Namespace, number: u8) -> Result<IpAddr> {
    let node = ns.get("node", &format!("{}-{number}", cluster.name()))?;
    let addresses = node.pointer("/status/addresses").and_then(Value::as_array);
    let internal = addresses
        .into_iter()
        .flatten()
        .find(|address| address.get("type").is_some_and(|kind| kind == "InternalIP"));
    let address = internal.and_then(|address| address.get("address")?.as_str());
    address
        .context("the node has no address")?
        .parse()
        .context("no address")
}

/// What the host, which is no part of the cluster, is answered when it asks for `path`: the last word.
pub(crate) fn from_outside(address: IpAddr, port: u16, path: &str) -> Result<String> {
    let target = SocketAddr::new(address, port);
    let mut stream = TcpStream::connect_timeout(&target, Duration::from_secs(3))?;
    stream.set_read_timeout(Some(Duration::from_secs(3)))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.split_whitespace().last().unwrap_or_default().to_owned())
}

pub(crate) fn matrix(cluster: &Cluster) -> Result<()> {
    let sticky = json!({ "sessionAffinity": "ClientIP" });
    let ns = deploy(
        cluster,
        "services",
        &[
            service("plain", "web", &json!({})),
            service("open", "web", &json!({ "type": "NodePort" })),
            service("sticky", "web", &sticky),
            service("nearest", "web", &json!({ "internalTrafficPolicy": "Local" })),
            service("headless", "web", &json!({ "clusterIP": "None" })),
            service("lonely", "nobody", &json!({})),
        ],
    )?;
    for number in NODES {
        let pod = format!("web-{number}");
        for kind in ["plain", "open"] {
            eventually(&format!("{kind} from {pod}"), || {
                let found = from_pod(&ns, &pod, &url(&ns, kind)?)?;
                ensure!(found == all_web(), "{found:?}");
                let found = from_node(cluster, number, &url(&ns, kind)?)?;
                ensure!(found == all_web(), "from the node: {found:?}");
                Ok(())
            })?;
        }
        eventually(&format!("the other services from {pod}"), || {
            let found = from_pod(&ns, &pod, &url(&ns, "sticky")?)?;
            ensure!(
                found.len() == 1 && found.is_subset(&all_web()),
                "sticky: {found:?}"
            );
            let found = from_pod(&ns, &pod, &url(&ns, "nearest")?)?;
            ensure!(found == BTreeSet::from([pod.clone()]), "nearest: {found:?}");
            let lonely = url(&ns, "lonely")?;
            let refused = ns.fail(&[
                "exec", &pod, "--", "timeout", "3", "wget", "-q", "-O", "-", &lonely,
            ])?;
            ensure!(refused.contains("refused"), "lonely: {refused}");
            Ok(())
        })?;
        let rules = cluster.numbered(number).succeed("nft list table inet floe")?;
        ensure!(
            rules.contains("services/plain:http") && !rules.contains("services/headless"),
            "{rules}"
        );
    }
    Ok(())
}

pub(crate) fn node_ports(cluster: &Cluster) -> Result<()> {
    let local = json!({ "type": "NodePort", "externalTrafficPolicy": "Local" });
    let ns = deploy(
        cluster,
        "node-ports",
        &[
            service("open", "web", &json!({ "type": "NodePort" })),
            service("local", "single", &local),
        ],
    )?;
    let port = |name: &str| -> Result<u16> { Ok(field(&ns, name, "/spec/ports/0/nodePort")?.parse()?) };
    for number in NODES {
        let address = node_address(cluster, &ns, number)?;
        eventually(&format!("the node port of node {number}"), || {
            let found = (0..REQUESTS).map(|_| from_outside(address, port("open")?, "/"));
            let found = found.collect::<Result<BTreeSet<String>>>()?;
            ensure!(found == all_web(), "{found:?}");
            Ok(())
        })?;
        // Pods and nodes reach every node's port as well.
        let open = format!("http://{address}:{}/", port("open")?);
        for other in NODES {
            eventually(&format!("node {number} from {other}"), || {
                let found = from_pod(&ns, &format!("web-{other}"), &open)?;
                ensure!(found == all_web(), "from its pod: {found:?}");
                let found = from_node(cluster, other, &open)?;
                ensure!(found == all_web(), "from the node: {found:?}");
                Ok(())
            })?;
        }
        let local = port("local")?;
        let ask = || from_outside(address, local, "/");
        if number == 1 {
            let answer = eventually("the local endpoint", ask)?;
            ensure!(answer == "single-1", "{answer}");
        } else {
            let answer = ask();
            ensure!(answer.is_err(), "node {number} has none: {answer:?}");
        }
    }
    Ok(())
}

pub(crate) fn changes(cluster: &Cluster) -> Result<()> {
    let ns = deploy(cluster, "changes", &[service("web", "web", &json!({}))])?;
    let url = url(&ns, "web")?;
    let reached = |wanted: &[&str]| {
        let wanted: BTreeSet<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
        eventually(&format!("{wanted:?}"), || {
            for number in NODES {
                let found = from_node(cluster, number, &url)?;
                ensure!(found == wanted, "node {number}: {found:?}");
            }
            Ok(())
        })
    };
    reached(&["web-1", "web-2", "web-3"])?;
    ns.succeed(&["delete", "pod", "web-2"])?;
    reached(&["web-1", "web-3"])?;
    ns.succeed(&["label", "pod", "web-3", "--overwrite", "app=none"])?;
    reached(&["web-1"])?;
    ns.succeed(&[
        "patch",
        "service",
        "web",
        "-p",
        r#"{"spec":{"selector":{"app":"single"}}}"#,
    ])?;
    reached(&["single-1"])?;
    ns.succeed(&["delete", "service", "web"])?;
    for number in NODES {
        let rules = "! nft list table inet floe | grep changes/web";
        cluster.numbered(number).wait_until_succeeds(rules)?;
    }
    Ok(())
}

pub(crate) fn kubernetes(cluster: &Cluster) -> Result<()> {
    let ns = deploy(cluster, "api", &[])?;
    let kubectl = std::env::var_os("FLOE_KUBECTL").context("FLOE_KUBECTL is not set; use tests/run")?;
    for number in NODES {
        let node = cluster.numbered(number);
        node.copy_from_host(Path::new(&kubectl), "/var/lib/client/kubectl")?;
        node.copy_from_host(&cluster.kubeconfig(), "/var/lib/client/config")?;
        let pod = format!("web-{number}");
        let words = [
            "exec",
            &pod,
            "--",
            "/client/kubectl",
            "--kubeconfig=/client/config",
            "--server=https://10.43.0.1",
            "get",
            "--raw",
            "/readyz",
        ];
        eventually(&format!("the API from {pod}"), || {
            let said = ns.succeed(&words)?;
            ensure!(said.trim() == "ok", "{said}");
            Ok(())
        })?;
        node.succeed("rm /var/lib/client/config")?;
    }
    Ok(())
}

pub(crate) fn vandalised(cluster: &Cluster) -> Result<()> {
    let ns = deploy(cluster, "vandals", &[service("web", "web", &json!({}))])?;
    let url = url(&ns, "web")?;
    let node = cluster.numbered(2);
    let works = || {
        eventually("the service from node 2", || {
            let found = from_node(cluster, 2, &url)?;
            ensure!(found == all_web(), "{found:?}");
            Ok(())
        })
    };
    works()?;
    for vandalism in [
        "nft flush ruleset",
        "nft delete table inet floe",
        "nft flush chain inet floe dispatch4",
        "nft flush map inet floe services4",
    ] {
        let before = node.succeed("date +%s.%N")?;
        node.succeed(vandalism)?;
        works().with_context(|| format!("after {vandalism}"))?;
        let told = format!(
            "journalctl -u floe-agent --since=@{} | grep 'someone changed the table'",
            before.trim()
        );
        node.wait_until_succeeds(&told)?;
        node.wait_until_succeeds("nft list chain inet floe masquerade-floe | grep -q masquerade")
            .context("the plugin's rules")?;
    }
    Ok(())
}
