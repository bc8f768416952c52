//! The API server stopped for a minute under traffic.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests_harness::{BUSYBOX, Cluster, Namespace, Node, eventually};

const NAMESPACE: &str = "outage";
const NODES: [u8; 3] = [1, 2, 3];
/// Longer than a node may be silent, so that the control plane comes back to nodes it would call lost.
const OUTAGE: Duration = Duration::from_mins(1);
/// What the clients ask all the time: a Service by address and by name, and a pod of every node.
const TARGETS: [&str; 5] = ["service", "name", "pod-1", "pod-2", "pod-3"];
/// Failures of one target in a row that are an outage of it, and not the moment in which it is disturbed.
const OUT: usize = 4;

const SERVER: &str = "mkdir /tmp/www; echo served > /tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www";
const CLIENT: &str = "ask() { if timeout 5 wget -q -O /dev/null http://$2/; then echo ok $1; else echo failed $1; fi; }; \
                      while sleep 0.2; do ask service $SERVICE; ask name steady; \
                      ask pod-1 $POD_1:8080; ask pod-2 $POD_2:8080; ask pod-3 $POD_3:8080; done";

/// The outage as the test goes through it.
struct Outage<'a> {
    cluster: &'a Cluster,
    ns: Namespace,
    /// Address of the Service, then of every node's server.
    addresses: BTreeMap<&'static str, String>,
}

pub(crate) fn a_minute(cluster: &Cluster) -> Result<()> {
    // Pods of the tests before may still be coming back.
    let before = eventually("nodes on which nothing moves", || {
        let before = everywhere(cluster)?;
        std::thread::sleep(Duration::from_secs(3));
        let now = everywhere(cluster)?;
        let moved: Vec<_> = now.symmetric_difference(&before).collect();
        ensure!(moved.is_empty(), "{moved:?}");
        Ok(now)
    })?;
    let outage = Outage::deploy(cluster)?;
    let uids = outage.pods(&[])?;
    let first = cluster.node();
    first.succeed("systemctl stop floe-controlplane.service")?;
    let stopped = Instant::now();
    let without = outage.disturb();
    if without.is_ok() {
        // The claim is about a minute, so it has to pass.
        std::thread::sleep(OUTAGE.saturating_sub(stopped.elapsed()));
    }
    let asked = outage.asked();
    first.succeed("systemctl start floe-controlplane.service")?;
    without?;
    judge(&asked?)?;
    outage.converges(&uids)?;
    outage
        .ns
        .succeed(&["delete", "namespace", NAMESPACE, "--timeout=240s"])?;
    for number in NODES {
        let gone = "! busybox nslookup steady.outage.svc.cluster.local 10.43.0.10";
        cluster.numbered(number).wait_until_succeeds(gone)?;
        let rules = "! nft list table inet floe | grep outage/";
        cluster.numbered(number).wait_until_succeeds(rules)?;
    }
    eventually("everything of the pods to be gone", || {
        let now = everywhere(cluster)?;
        let left: Vec<&String> = now.difference(&before).collect();
        ensure!(left.is_empty(), "left behind: {left:?}");
        Ok(())
    })
}

/// What pods of this test, and any pods, make on all nodes.
fn everywhere(cluster: &Cluster) -> Result<BTreeSet<String>> {
    let mut all = BTreeSet::new();
    for number in NODES {
        all.extend(tests_machine::traces(&cluster.numbered(number), NAMESPACE)?);
    }
    Ok(all)
}

fn pod(cluster: &Cluster, name: &str, number: u8, script: &str, env: &[Value]) -> Value {
    let app = name.split('-').next().unwrap_or_default();
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "labels": { "app": app } },
        "spec": {
            "nodeName": format!("{}-{number}", cluster.name()),
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "main", "image": BUSYBOX, "command": ["/bin/sh", "-c", script], "env": env,
            }],
        },
    })
}

fn documents(objects: &[Value]) -> String {
    let texts: Vec<String> = objects.iter().map(Value::to_string).collect();
    texts.join("\n---\n")
}

impl<'a> Outage<'a> {
    /// Servers `steady-N` behind a Service, a `victim-N` to be killed, and a client on every node.
    fn deploy(cluster: &'a Cluster) -> Result<Self> {
        let ns = cluster.kubectl()?.namespace(NAMESPACE)?;
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": "steady" },
            "spec": { "selector": { "app": "steady" }, "ports": [{ "port": 80, "targetPort": 8080 }] },
        });
        let mut objects = vec![service];
        for number in NODES {
            objects.push(pod(cluster, &format!("steady-{number}"), number, SERVER, &[]));
            objects.push(pod(cluster, &format!("victim-{number}"), number, SERVER, &[]));
        }
        ns.apply(&documents(&objects))?;
        ns.succeed(&["wait", "--for=condition=Ready", "pod", "--all", "--timeout=240s"])?;
        let text = |kind: &str, name: &str, path: &str| -> Result<String> {
            let object = ns.get(kind, name)?;
            let found = object.pointer(path).and_then(Value::as_str);
            Ok(found.with_context(|| format!("{name} has no {path}"))?.to_owned())
        };
        let mut addresses = BTreeMap::from([("SERVICE", text("service", "steady", "/spec/clusterIP")?)]);
        for (number, variable) in NODES.into_iter().zip(["POD_1", "POD_2", "POD_3"]) {
            addresses.insert(
                variable,
                text("pod", &format!("steady-{number}"), "/status/podIP")?,
            );
        }
        let env: Vec<Value> = addresses
            .iter()
            .map(|(name, value)| json!({ "name": name, "value": value }))
            .collect();
        let clients = NODES.map(|number| pod(cluster, &format!("client-{number}"), number, CLIENT, &env));
        ns.apply(&documents(&clients))?;
        ns.succeed(&["wait", "--for=condition=Ready", "pod", "--all", "--timeout=240s"])?;
        let outage = Self {
            cluster,
            ns,
            addresses,
        };
        for number in NODES {
            eventually("a client to reach everything", || {
                outage.client_reaches_all(number)
            })?;
            // What is known is on disk soon after it is known; a restart reads it there.
            let saved = "grep -q steady /var/lib/floe/agent/dns.json";
            cluster.numbered(number).wait_until_succeeds(saved)?;
        }
        Ok(outage)
    }

    /// One answer of each target to the client of a node.
    fn client_reaches_all(&self, number: u8) -> Result<()> {
        let lines = self.cluster.numbered(number).succeed(&format!(
            "journalctl --no-pager -o cat -n 40 FLOE_NAMESPACE=outage FLOE_POD=client-{number}"
        ))?;
        let missing = TARGETS
            .iter()
            .find(|target| !lines.contains(&format!("ok {target}")));
        ensure!(
            missing.is_none(),
            "client {number} does not reach {missing:?}: {lines}"
        );
        Ok(())
    }

    /// What goes wrong on the nodes meanwhile: containers and agents die, the overlay is lost.
    fn disturb(&self) -> Result<()> {
        for (number, how) in [
            (1, "kill --signal=KILL"),
            (2, "restart"),
            (3, "kill --signal=KILL"),
        ] {
            let node = self.cluster.numbered(number);
            let unit = format!("floe-outage:victim-{number}:*.service");
            let invocation = format!("systemctl show -p InvocationID '{unit}'");
            let ran = node.succeed(&invocation)?;
            node.succeed(&format!("systemctl {how} '{unit}'"))?;
            eventually("systemd to have started the container again", || {
                let runs = node.succeed(&format!("{invocation}; systemctl is-active '{unit}'"))?;
                ensure!(!runs.contains(ran.trim()) && runs.contains("\nactive"), "{runs}");
                Ok(())
            })?;
        }
        let node = self.cluster.numbered(2);
        node.succeed("systemctl kill --signal=KILL floe-agent.service")?;
        // What the clients see of it is judged in the end; a node's single question may come too late for its patience.
        eventually("everything while an agent comes back", || self.nodes_reach_all())?;
        node.wait_for_unit("floe-agent.service")?;
        eventually("everything once it is back", || self.nodes_reach_all())?;
        let node = self.cluster.numbered(3);
        node.succeed("systemctl restart floe-agent.service && ip link del floe.vx")?;
        eventually("the overlay to be back", || self.nodes_reach_all())
    }

    /// Every node reaches the Service by address, and every pod; its name server answers.
    fn nodes_reach_all(&self) -> Result<()> {
        let service = self.addresses.get("SERVICE").context("no service")?;
        for number in NODES {
            let node = self.cluster.numbered(number);
            let said = node.succeed("busybox nslookup steady.outage.svc.cluster.local 10.43.0.10")?;
            ensure!(said.contains(service), "node {number} is told {said}");
            for (name, address) in &self.addresses {
                let port = if *name == "SERVICE" { 80 } else { 8080 };
                let page = node.succeed(&format!(
                    "timeout 5 busybox wget -q -O - http://{address}:{port}/"
                ))?;
                ensure!(page.trim() == "served", "{name} from node {number}: {page}");
            }
        }
        Ok(())
    }

    /// What the clients have seen so far, by node.
    fn asked(&self) -> Result<BTreeMap<u8, String>> {
        let read = |number| {
            let node = self.cluster.numbered(number);
            let journal =
                format!("journalctl --no-pager -o cat FLOE_NAMESPACE=outage FLOE_POD=client-{number}");
            Ok((number, node.succeed(&journal)?))
        };
        NODES.into_iter().map(read).collect()
    }

    /// UID and restarts of each pod, with more fields of interest.
    fn pods(&self, more: &[&str]) -> Result<BTreeMap<String, String>> {
        let listed = self.ns.succeed(&["get", "pods", "-o", "json"])?;
        let listed: Value = serde_json::from_str(&listed)?;
        let items = listed.get("items").and_then(Value::as_array);
        let text = |pod: &Value, path: &str| pod.pointer(path).map(Value::to_string).unwrap_or_default();
        let told = |pod: &Value| {
            let fields: Vec<String> = more.iter().map(|path| text(pod, path)).collect();
            let uid = text(pod, "/metadata/uid");
            (
                text(pod, "/metadata/name"),
                [vec![uid], fields].concat().join(" "),
            )
        };
        Ok(items.into_iter().flatten().map(told).collect())
    }

    /// The control plane finds what ran meanwhile, calls no node lost, and goes on working.
    fn converges(&self, uids: &BTreeMap<String, String>) -> Result<()> {
        eventually("the API server", || self.ns.succeed(&["get", "nodes"]).map(drop))?;
        let paths = [
            "/status/containerStatuses/0/restartCount",
            "/status/containerStatuses/0/ready",
        ];
        let wanted: BTreeMap<String, String> = uids
            .iter()
            .map(|(name, uid)| {
                // One that is restarted by hand counts as any other run.
                let restarts = u8::from(name.contains("victim"));
                (name.clone(), format!("{uid} {restarts} true"))
            })
            .collect();
        eventually("the same pods, with the restarts that they had", || {
            let found = self.pods(&paths)?;
            ensure!(found == wanted, "{found:#?} where {wanted:#?} is right");
            Ok(())
        })?;
        let nodes = self
            .ns
            .succeed(&["get", "nodes", "-o", "jsonpath={.items[*].spec.taints}"])?;
        ensure!(nodes.trim().is_empty(), "nodes are tainted: {nodes}");
        let ready = self.ns.succeed(&["get", "nodes", "--no-headers"])?;
        ensure!(ready.matches(" Ready ").count() == NODES.len(), "{ready}");
        let late = pod(self.cluster, "steady-late", 2, SERVER, &[]);
        self.ns.apply(&late.to_string())?;
        let reached = "jsonpath={.items[*].endpoints[?(@.targetRef.name==\"steady-late\")].conditions.ready}";
        eventually("a new pod to serve", || {
            let select = ["get", "endpointslices", "-o", reached];
            let said = self.ns.succeed(&select)?;
            ensure!(said.trim() == "true", "{said}");
            Ok(())
        })
    }
}

/// Each client asked each target all along, and none was out.
fn judge(asked: &BTreeMap<u8, String>) -> Result<()> {
    for (number, lines) in asked {
        for target in TARGETS {
            let answers = lines.lines().filter_map(|line| {
                let (word, about) = line.split_once(' ')?;
                (about == target).then_some(word == "ok")
            });
            let answers: Vec<bool> = answers.collect();
            ensure!(
                answers.len() > 15,
                "client {number} asked {target} only {} times",
                answers.len()
            );
            let out = answers.windows(OUT).any(|some| some.iter().all(|ok| !ok));
            let failed = answers.iter().filter(|ok| !**ok).count();
            ensure!(
                !out && failed * 5 < answers.len(),
                "client {number} did not reach {target}: {failed} of {} failed",
                answers.len()
            );
        }
    }
    Ok(())
}
