//! Services that change while they are used, slices written by hand, and names of all kinds.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tests_harness::{BUSYBOX, Cluster, Namespace, Node as _, eventually};
use tests_machine::mount_of_node;

use crate::hooks::health;

/// Requests that show whether one server answers or all: that one of two stays silent is as likely as 1 in 30 000.
const REQUESTS: usize = 16;

/// A server that says its name on port 8080, and its name with a bang on 8081.
fn server(name: &str) -> Value {
    let script = format!(
        "mkdir /tmp/a /tmp/b; echo {name} > /tmp/a/index.html; echo {name}! > /tmp/b/index.html; \
         httpd -p 8081 -h /tmp/b; exec httpd -f -p 8080 -h /tmp/a"
    );
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "labels": { "app": "web" } },
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "main", "image": BUSYBOX, "command": ["/bin/sh", "-c", script],
                "readinessProbe": { "tcpSocket": { "port": 8080 }, "periodSeconds": 1 },
            }],
        },
    })
}

/// A namespace with two servers and a Service of them for each of `specs`.
fn deploy(cluster: &Cluster, name: &str, services: &[(&str, Value)]) -> Result<Namespace> {
    let ns = cluster.kubectl()?.namespace(name)?;
    let services = services.iter().map(|(name, spec)| {
        json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": name }, "spec": spec })
    });
    let objects = [server("one"), server("two")].into_iter().chain(services);
    let documents: Vec<String> = objects.map(|object| object.to_string()).collect();
    ns.apply(&documents.join("\n---\n"))?;
    ns.succeed(&["wait", "--for=condition=Ready", "pod", "--all", "--timeout=240s"])?;
    Ok(ns)
}

fn said(ns: &Namespace, url: &str) -> Result<BTreeSet<String>> {
    let script = format!("for i in $(seq {REQUESTS}); do timeout 3 wget -q -O - {url} || echo failed; done");
    let said = ns.succeed(&["exec", "one", "--", "sh", "-c", &script])?;
    Ok(said.split_whitespace().map(str::to_owned).collect())
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn field(ns: &Namespace, service: &str, path: &str) -> Result<String> {
    ns.succeed(&["get", "service", service, "-o", &format!("jsonpath={{{path}}}")])
}

/// Affinity is switched off, on and off again for a cluster address and for a node port.
pub(crate) fn affinity(cluster: &Cluster) -> Result<()> {
    let spec = |kind: &str| json!({ "type": kind, "selector": { "app": "web" }, "ports": [{ "port": 80, "targetPort": 8080 }] });
    let services = [("inside", spec("ClusterIP")), ("outside", spec("NodePort"))];
    let ns = deploy(cluster, "affinity", &services)?;
    let node = ns.succeed(&["get", "pod", "one", "-o", "jsonpath={.status.hostIP}"])?;
    let urls = [
        (
            "inside",
            format!("http://{}/", field(&ns, "inside", ".spec.clusterIP")?),
        ),
        (
            "outside",
            format!(
                "http://{node}:{}/",
                field(&ns, "outside", ".spec.ports[0].nodePort")?
            ),
        ),
    ];
    for (name, url) in urls {
        for (affinity, answers) in [("None", 2), ("ClientIP", 1), ("None", 2)] {
            let patch = format!("{{\"spec\":{{\"sessionAffinity\":\"{affinity}\"}}}}");
            ns.succeed(&["patch", "service", name, "-p", &patch])?;
            eventually(&format!("{name} with affinity {affinity}"), || {
                let said = said(&ns, &url)?;
                ensure!(
                    said.len() == answers && said.is_subset(&set(&["one", "two"])),
                    "{said:?}"
                );
                Ok(())
            })?;
        }
    }
    Ok(())
}

/// Services of two ports: without selector, with a slice for each port, of one pod, then of two; and with one.
pub(crate) fn slices(cluster: &Cluster) -> Result<()> {
    let ports = json!({ "ports": [
        { "name": "plain", "port": 80, "targetPort": 8080 }, { "name": "loud", "port": 81, "targetPort": 8081 },
    ] });
    let mut selected = ports.clone();
    selected["selector"] = json!({ "app": "web" });
    let services = [
        ("one-pod", ports.clone()),
        ("two-pods", ports),
        ("selected", selected),
    ];
    let ns = deploy(cluster, "slices", &services)?;
    let address = |pod: &str| ns.succeed(&["get", "pod", pod, "-o", "jsonpath={.status.podIP}"]);
    for (service, loud) in [("one-pod", "one"), ("two-pods", "two")] {
        for (port, number, pod) in [("plain", 8080, "one"), ("loud", 8081, loud)] {
            let slice = json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                "metadata": { "name": format!("{service}-{port}"), "labels": { "kubernetes.io/service-name": service } },
                "endpoints": [{ "addresses": [address(pod)?] }], "ports": [{ "name": port, "port": number }],
            });
            ns.apply(&slice.to_string())?;
        }
        let ip = field(&ns, service, ".spec.clusterIP")?;
        eventually(&format!("both ports of {service}"), || {
            let plain = said(&ns, &format!("http://{ip}:80/"))?;
            ensure!(plain == set(&["one"]), "{plain:?}");
            let loud_said = said(&ns, &format!("http://{ip}:81/"))?;
            ensure!(loud_said == set(&[&format!("{loud}!")]), "{loud_said:?}");
            Ok(())
        })?;
    }
    let ip = field(&ns, "selected", ".spec.clusterIP")?;
    for (port, names) in [(80, ["one", "two"]), (81, ["one!", "two!"])] {
        eventually(&format!("the pods that a selector finds, port {port}"), || {
            let said = said(&ns, &format!("http://{ip}:{port}/"))?;
            ensure!(said == set(&names), "{said:?}");
            Ok(())
        })?;
    }
    Ok(())
}

/// What the cluster's DNS says of `name`, asked by UDP.
fn resolved(ns: &Namespace, kind: &str, name: &str) -> Result<String> {
    Ok(ns
        .execute(&["exec", "one", "--", "nslookup", &format!("-type={kind}"), name])?
        .output)
}

/// The name of an external Service is an alias, which follows it, and an address once it has one.
pub(crate) fn external_name(cluster: &Cluster) -> Result<()> {
    let spec = json!({ "type": "ExternalName", "externalName": "foo.example.com" });
    let ns = deploy(cluster, "external", &[("away", spec)])?;
    let name = "away.external.svc.cluster.local";
    let says = |kind: &str, wanted: &str| {
        eventually(&format!("{wanted} as {kind} of {name}"), || {
            let said = resolved(&ns, kind, name)?;
            ensure!(said.contains(wanted), "{said}");
            Ok(())
        })
    };
    says("cname", "canonical name = foo.example.com")?;
    ns.succeed(&[
        "patch",
        "service",
        "away",
        "-p",
        r#"{"spec":{"externalName":"bar.example.com"}}"#,
    ])?;
    says("cname", "canonical name = bar.example.com")?;
    let inside = r#"{"spec":{"type":"ClusterIP","externalName":null,"ports":[{"port":80,"targetPort":8080}],"selector":{"app":"web"}}}"#;
    ns.succeed(&["patch", "service", "away", "-p", inside])?;
    says("a", &field(&ns, "away", ".spec.clusterIP")?)
}

/// Names below the cluster's domain as a pod's resolver completes them, asked with the node's C library.
pub(crate) fn partial_names(cluster: &Cluster) -> Result<()> {
    let web = |ip: Value| json!({ "clusterIP": ip, "selector": { "app": "web" }, "ports": [{ "name": "http", "port": 80, "targetPort": 8080 }] });
    let services = [("headless", web("None".into())), ("plain", web(Value::Null))];
    let ns = deploy(cluster, "partial", &services)?;
    let mut pod = server("asks");
    pod["metadata"]["labels"]["app"] = "asker".into();
    let mounts = [
        ("/usr/lib", "/lib"),
        ("/usr/lib64", "/lib64"),
        ("/usr/bin", "/node/bin"),
    ];
    mount_of_node(&mut pod, &mounts);
    ns.apply(&pod.to_string())?;
    ns.succeed(&["wait", "--for=condition=Ready", "pod/asks", "--timeout=240s"])?;
    let ip = |pod: &str| ns.succeed(&["get", "pod", pod, "-o", "jsonpath={.status.podIP}"]);
    let pods = BTreeSet::from([ip("one")?, ip("two")?]);
    let plain = BTreeSet::from([field(&ns, "plain", ".spec.clusterIP")?]);
    for (service, addresses) in [("headless", pods), ("plain", plain)] {
        for suffix in ["", ".partial", ".partial.svc", ".partial.svc.cluster.local"] {
            let name = format!("{service}{suffix}");
            eventually(&name, || {
                let words = ["exec", "asks", "--", "/node/bin/getent", "ahostsv4", &name];
                let said = ns.execute(&words)?.output;
                let found = said.lines().filter_map(|line| line.split_whitespace().next());
                let found: BTreeSet<String> = found.map(str::to_owned).collect();
                ensure!(found == addresses, "{found:?}");
                Ok(())
            })?;
        }
        let asked = format!("_http._tcp.{service}.partial.svc.cluster.local");
        eventually(&asked, || {
            let srv = resolved(&ns, "srv", &asked)?;
            let target = format!("{service}.partial.svc.cluster.local");
            let mut targets = srv.lines().filter_map(|line| line.split_once("service = "));
            ensure!(targets.any(|(_, said)| said.contains(&target)), "{srv}");
            Ok(())
        })?;
    }
    Ok(())
}

/// Asks by UDP as bash does, which every node has, again where a packet is lost. (Its `read` would take a byte of each.)
const ASK: &str = "for i in 1 2 3 4 5; do exec 3<>/dev/udp/$0/$1; echo $2 >&3; timeout 2 head -n 1 <&3 | grep . && exit; done; exit 1";

/// Pods that answer by UDP on 5000, beside a TCP server on the same port, are reached by address, by name and by node port.
pub(crate) fn datagrams(cluster: &Cluster) -> Result<()> {
    let both = json!({ "type": "NodePort", "selector": { "app": "udp" }, "ports": [
        { "name": "rpc", "protocol": "TCP", "port": 80, "targetPort": 5000 },
        { "name": "text", "protocol": "UDP", "port": 80, "targetPort": 5000 },
    ] });
    let ns = deploy(cluster, "datagrams", &[("both", both)])?;
    for name in ["answers", "asks"] {
        let mut pod = health(cluster, name, "3600", &[("/usr/bin", "/node/bin")])?;
        pod["metadata"]["labels"] = json!({ "app": if name == "answers" { "udp" } else { "client" } });
        pod["spec"]["containers"][0]["livenessProbe"] = Value::Null;
        pod["spec"]["containers"][0]["readinessProbe"] =
            json!({ "grpc": { "port": 5000 }, "periodSeconds": 1 });
        ns.apply(&pod.to_string())?;
    }
    ns.succeed(&[
        "wait",
        "--for=condition=Ready",
        "pod/answers",
        "pod/asks",
        "--timeout=240s",
    ])?;
    let field_of = |path: &str| ns.succeed(&["get", "pod", "answers", "-o", &format!("jsonpath={{{path}}}")]);
    let node_port = field(&ns, "both", ".spec.ports[?(@.name==\"text\")].nodePort")?;
    let tcp_port = field(&ns, "both", ".spec.ports[?(@.name==\"rpc\")].nodePort")?;
    ensure!(
        node_port == tcp_port,
        "one port of two protocols has {node_port} and {tcp_port}"
    );
    let ip = field(&ns, "both", ".spec.clusterIP")?;
    for (host, port) in [
        (field_of(".status.podIP")?, "5000"),
        (ip.clone(), "80"),
        (field_of(".status.hostIP")?, &node_port),
    ] {
        eventually(&format!("an answer of {host}:{port}"), || {
            let words = [
                "exec",
                "asks",
                "--",
                "/node/bin/bash",
                "-c",
                ASK,
                &host,
                port,
                "pod",
            ];
            ensure!(ns.succeed(&words)?.trim() == "pod!", "a pod's answer");
            let asked = format!("bash -c '{ASK}' {host} {port} node");
            ensure!(
                cluster.node().succeed(&asked)?.trim() == "node!",
                "a node's answer"
            );
            Ok(())
        })?;
    }
    // The same address and port by TCP: a server that speaks HTTP/2 alone closes what is no preface.
    let opened = format!("timeout 60 bash -c 'exec 3<>/dev/tcp/{ip}/80'");
    cluster.node().succeed(&opened).map(drop)
}
