//! Names, as pods resolve them.
//!
//! Pods ask with the node's own `getent`, so that the C library's search list and `ndots` count, and
//! with busybox for other records than addresses.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::thread;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests_harness::{BUSYBOX, Cluster, Namespace, Node, eventually};

/// What the test's upstream says to `www.floe.test`.
const OUTSIDE: &str = "192.0.2.80";

/// A name server on the host, for names that are not the cluster's.
struct Upstream {
    address: Ipv4Addr,
}

impl Upstream {
    /// Answers at the host's address of the cluster's network, and is every node's upstream from now on.
    fn serve(cluster: &Cluster) -> Result<Self> {
        let shown = cluster.node().succeed("ip -4 -o addr show host0")?;
        let own = shown
            .split_whitespace()
            .find_map(|word| word.split_once('/')?.0.parse::<Ipv4Addr>().ok())
            .context("the node has no address")?;
        let [a, b, c, _] = own.octets();
        let address = Ipv4Addr::new(a, b, c, 1);
        let socket = UdpSocket::bind((address, 53)).context("be a name server on the host")?;
        // Ends with the test program.
        thread::spawn(move || answer_all(&socket));
        for number in 1..=3 {
            cluster.numbered(number).succeed(&format!(
                "printf 'search floe.test\\nnameserver {address}\\n' > /etc/resolv.conf"
            ))?;
        }
        Ok(Self { address })
    }
}

fn answer_all(socket: &UdpSocket) {
    let mut buffer = [0; 1500];
    while let Ok((length, client)) = socket.recv_from(&mut buffer) {
        if let Some(answer) = buffer.get(..length).and_then(answer) {
            socket.send_to(&answer, client).ok();
        }
    }
}

/// [`OUTSIDE`] for `www.floe.test`, else that there is no such name. (Every name: the search list of a
/// pod tries each of the cluster's names below `floe.test`, too.)
fn answer(query: &[u8]) -> Option<Vec<u8>> {
    let labels = query.get(12..)?;
    let end = 12 + labels.iter().position(|byte| *byte == 0)? + 5;
    let question = query.get(12..end)?;
    let name = question.get(..question.len() - 5)?.to_ascii_lowercase();
    let is_ours = name == b"\x03www\x04floe\x04test";
    let is_address = question.ends_with(&[0, 1, 0, 1]);
    let (code, answers) = (if is_ours { 0x80 } else { 0x83 }, u8::from(is_ours && is_address));
    let mut message = query.get(..2)?.to_vec();
    message.extend([0x81, code, 0, 1, 0, answers, 0, 0, 0, 0]);
    message.extend(question);
    if answers == 1 {
        message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 80]);
    }
    Some(message)
}

/// A pod that can ask; `more` is laid over its spec.
fn asker(name: &str, more: &Value) -> Value {
    let mounts = [("/lib", "lib"), ("/lib64", "lib64"), ("/node/bin", "bin")];
    let mounts: Vec<Value> = mounts
        .iter()
        .map(|(path, volume)| json!({ "name": volume, "mountPath": path, "readOnly": true }))
        .collect();
    let volume = |name: &str| json!({ "name": name, "hostPath": { "path": format!("/usr/{name}") } });
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "labels": { "app": name.split_once('-').map_or(name, |(app, _)| app) } },
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "main", "image": BUSYBOX, "command": ["/bin/sleep", "3600"], "volumeMounts": mounts,
                "ports": [{ "name": "web", "containerPort": 8080 }],
            }],
            "volumes": [volume("lib"), volume("lib64"), volume("bin")],
        },
    });
    lay_over(&mut pod, more);
    pod
}

fn service(name: &str, app: &str, more: &Value) -> Value {
    let mut service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": name },
        "spec": { "selector": { "app": app }, "ports": [{ "name": "web", "port": 80, "targetPort": "web" }] },
    });
    lay_over(&mut service, more);
    service
}

fn lay_over(object: &mut Value, more: &Value) {
    let spec = object.get_mut("spec").and_then(Value::as_object_mut);
    if let (Some(spec), Some(more)) = (spec, more.as_object()) {
        spec.extend(more.clone());
    }
}

fn apply(ns: &Namespace, objects: &[Value]) -> Result<()> {
    let documents: Vec<String> = objects.iter().map(Value::to_string).collect();
    ns.apply(&documents.join("\n---\n"))?;
    let pods = objects
        .iter()
        .filter(|object| object.get("kind").is_some_and(|kind| kind == "Pod"));
    for name in pods.filter_map(|pod| pod.pointer("/metadata/name")?.as_str()) {
        ns.succeed(&[
            "wait",
            "--for=condition=Ready",
            &format!("pod/{name}"),
            "--timeout=240s",
        ])?;
    }
    Ok(())
}

/// The addresses that the C library in `pod` finds for `name`.
fn addresses(ns: &Namespace, pod: &str, name: &str) -> Result<Vec<IpAddr>> {
    let found = ns.execute(&["exec", pod, "--", "/node/bin/getent", "ahostsv4", name])?;
    let words = found
        .output
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    let mut addresses: Vec<IpAddr> = words.filter_map(|word| word.parse().ok()).collect();
    addresses.sort();
    addresses.dedup();
    Ok(addresses)
}

fn cluster_ip(ns: &Namespace, service: &str) -> Result<IpAddr> {
    let address = ns.succeed(&["get", "service", service, "-o", "jsonpath={.spec.clusterIP}"])?;
    address.trim().parse().context("no cluster IP")
}

/// Every name below: whether the pod of that policy finds it.
const MATRIX: &[(&str, [&str; 5])] = &[
    // names: fully qualified, by namespace, short, of outside, of outside by the node's search list
    ("first", ["kubernetes", "kubernetes", "web", "outside", "outside"]),
    (
        "hostfirst",
        ["kubernetes", "kubernetes", "web", "outside", "outside"],
    ),
    ("none", ["kubernetes", "kubernetes", "", "outside", ""]),
    ("default", ["", "", "", "outside", "outside"]),
    ("hostplain", ["", "", "", "outside", "outside"]),
];

const NAMES: [&str; 5] = [
    "kubernetes.default.svc.cluster.local",
    "kubernetes.default",
    "web",
    "www.floe.test",
    "www",
];

pub(crate) fn policies(cluster: &Cluster) -> Result<()> {
    let upstream = Upstream::serve(cluster)?;
    let ns = cluster.kubectl()?.namespace("policies")?;
    let config = json!({
        "nameservers": ["10.43.0.10"], "searches": ["svc.cluster.local"],
        "options": [{ "name": "ndots", "value": "2" }],
    });
    let on = |number: u8, mut spec: Value| {
        let node = json!(format!("{}-{number}", cluster.name()));
        spec.as_object_mut()
            .and_then(|spec| spec.insert("nodeName".to_owned(), node));
        spec
    };
    apply(
        &ns,
        &[
            service("web", "first", &json!({})),
            asker("first", &on(1, json!({ "dnsPolicy": "ClusterFirst" }))),
            asker("default", &on(2, json!({ "dnsPolicy": "Default" }))),
            asker(
                "none",
                &on(3, json!({ "dnsPolicy": "None", "dnsConfig": config })),
            ),
            asker(
                "hostfirst",
                &on(
                    2,
                    json!({ "dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": true }),
                ),
            ),
            asker(
                "hostplain",
                &on(3, json!({ "dnsPolicy": "ClusterFirst", "hostNetwork": true })),
            ),
        ],
    )?;
    let web = cluster_ip(&ns, "web")?;
    for (pod, row) in MATRIX {
        for (name, wanted) in NAMES.iter().zip(row) {
            let wanted: Vec<IpAddr> = match *wanted {
                "kubernetes" => vec!["10.43.0.1".parse()?],
                "web" => vec![web],
                "outside" => vec![OUTSIDE.parse()?],
                _ => Vec::new(),
            };
            eventually(&format!("{name} in {pod}"), || {
                let found = addresses(&ns, pod, name)?;
                ensure!(
                    found == wanted,
                    "{found:?} where {wanted:?} is right (upstream {})",
                    upstream.address
                );
                Ok(())
            })?;
        }
    }
    Ok(())
}

pub(crate) fn records(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("records")?;
    let on = |number: u8| format!("{}-{number}", cluster.name());
    let pet = |n: u8| json!({ "hostname": format!("pet-{n}"), "subdomain": "pets", "nodeName": on(n), "setHostnameAsFQDN": n == 1 });
    apply(
        &ns,
        &[
            service("pets", "pet", &json!({ "clusterIP": "None" })),
            asker("pet-1", &pet(1)),
            asker("pet-2", &pet(2)),
            asker("pet-3", &pet(3)),
        ],
    )?;
    let address = |pod: &str| -> Result<IpAddr> {
        let text = ns.succeed(&["get", "pod", pod, "-o", "jsonpath={.status.podIP}"])?;
        text.trim().parse().context("no pod IP")
    };
    let mut all = vec![address("pet-1")?, address("pet-2")?, address("pet-3")?];
    all.sort();
    for pod in ["pet-1", "pet-2", "pet-3"] {
        eventually(&format!("the names of all pets in {pod}"), || {
            ensure!(addresses(&ns, pod, "pets")? == all, "not all of {all:?}");
            ensure!(
                addresses(&ns, pod, "pet-2.pets")? == [address("pet-2")?],
                "another pet-2"
            );
            Ok(())
        })?;
        let srv = "_web._tcp.pets.records.svc.cluster.local";
        let reverse = address("pet-3")?.to_string();
        eventually(&format!("the other records in {pod}"), || {
            let srv = ns.succeed(&["exec", pod, "--", "nslookup", "-type=srv", srv])?;
            ensure!(
                srv.matches("8080").count() == 3 && srv.contains("pet-3.pets.records.svc.cluster.local"),
                "{srv}"
            );
            let reverse = ns.succeed(&["exec", pod, "--", "nslookup", &reverse])?;
            ensure!(
                reverse.contains("pet-3.pets.records.svc.cluster.local"),
                "{reverse}"
            );
            Ok(())
        })?;
    }
    let hostname = ns.succeed(&["exec", "pet-1", "--", "hostname"])?;
    ensure!(
        hostname.trim() == "pet-1.pets.records.svc.cluster.local",
        "{hostname}"
    );
    let hosts = ns.succeed(&["exec", "pet-2", "--", "cat", "/etc/hosts"])?;
    ensure!(
        hosts.contains("pet-2.pets.records.svc.cluster.local\tpet-2"),
        "{hosts}"
    );
    Ok(())
}

pub(crate) fn agent_restarted(cluster: &Cluster) -> Result<()> {
    let node = cluster.numbered(2);
    node.wait_until_succeeds("test -s /var/lib/floe/agent/dns.json")?;
    for how in ["kill --signal=KILL", "restart"] {
        // A question may wait for the agent, and be asked again where that takes long, but is never refused.
        let said = node.succeed(&format!(
            "systemctl {how} floe-agent.service
             for try in 1 2 3 4 5 6 7 8 9 10; do
               said=$(busybox nslookup kubernetes.default.svc.cluster.local 10.43.0.10 2>&1) && break
               case $said in *refused*) break;; esac
             done
             echo \"$said\""
        ))?;
        ensure!(said.contains("10.43.0.1\n"), "{how}: {said}");
        node.wait_for_unit("floe-agent.service")?;
    }
    Ok(())
}
