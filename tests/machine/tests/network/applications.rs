//! What people run: several parts that find each other by name, and a chart.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tests_harness::{Cluster, Namespace, Node, debian_image, eventually};

const REDIS: &str = "localhost/redis:1";
const DEMO: &str = "localhost/floe-demo";

/// As the Kubernetes documentation's guestbook has it.
const GUESTBOOK: &str = include_str!("guestbook.yaml");

pub(crate) fn several_parts(cluster: &Cluster) -> Result<()> {
    images(cluster)?;
    let kubectl = cluster.kubectl()?.namespace("guestbook")?;
    kubectl.apply(GUESTBOOK)?;
    for name in ["redis-leader", "counter", "frontend"] {
        kubectl.succeed(&[
            "rollout",
            "status",
            &format!("deployment/{name}"),
            "--timeout=240s",
        ])?;
    }
    eventually("every client to have found redis by its name", || {
        let said = kubectl.succeed(&["logs", "-l", "app=counter", "--prefix", "--tail=50"])?;
        let counted = |line: &&str| {
            line.split_whitespace()
                .last()
                .is_some_and(|n| n.parse::<u32>().is_ok())
        };
        let clients: std::collections::BTreeSet<_> = said
            .lines()
            .filter(counted)
            .filter_map(|line| line.split_whitespace().next())
            .collect();
        ensure!(clients.len() == 3, "{said}");
        Ok(())
    })?;
    let port = kubectl.succeed(&[
        "get",
        "service",
        "frontend",
        "-o",
        "jsonpath={.spec.ports[0].nodePort}",
    ])?;
    for address in node_addresses(&kubectl)? {
        eventually("the front's page from outside", || {
            let page = fetch(&format!("http://{address}:{port}/"))?;
            ensure!(page.contains("guestbook"), "{address}: {page}");
            Ok(())
        })?;
    }
    Ok(())
}

fn node_addresses(kubectl: &Namespace) -> Result<Vec<String>> {
    let path = "jsonpath={.items[*].status.addresses[?(@.type==\"InternalIP\")].address}";
    let said = kubectl.succeed(&["get", "nodes", "-o", path])?;
    Ok(said.split_whitespace().map(str::to_owned).collect())
}

/// Fetches `url` from this host, which is outside of the cluster.
fn fetch(url: &str) -> Result<String> {
    let done = Command::new("curl")
        .args(["--silent", "--fail", "--max-time", "5", url])
        .output()?;
    ensure!(done.status.success(), "fetch {url}: {}", done.status);
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

pub(crate) fn chart(cluster: &Cluster) -> Result<()> {
    images(cluster)?;
    let kubectl = cluster.kubectl()?.namespace("charts")?;
    let helm = Helm::new(cluster, kubectl.name())?;
    let chart = cluster.scratch().join("shop");
    if !chart.exists() {
        helm.run(&["create", &chart.to_string_lossy()])?;
    }
    let chart = chart.to_string_lossy().into_owned();
    let image = format!("image.repository={DEMO}");
    let common = [
        "--server-side=false",
        "--wait",
        "--timeout=240s",
        "--set",
        &image,
        "--set",
        "image.tag=1",
    ];
    let with = |words: &[&'static str]| -> Vec<String> {
        let words = words.iter().copied().chain(common);
        words.map(str::to_owned).collect()
    };
    helm.call("install", &chart, with(&["--set", "replicaCount=1"]))?;
    replicas(&kubectl, "1")?;
    helm.call("upgrade", &chart, with(&["--set", "replicaCount=3"]))?;
    replicas(&kubectl, "3")?;
    let history = helm.run(&["history", "shop"])?;
    ensure!(
        history.contains("superseded") && history.contains("deployed"),
        "{history}"
    );
    helm.run(&[
        "rollback",
        "shop",
        "1",
        "--server-side=false",
        "--wait",
        "--timeout=240s",
    ])?;
    replicas(&kubectl, "1")?;
    let status = helm.run(&["status", "shop"])?;
    ensure!(status.contains("STATUS: deployed"), "{status}");
    helm.run(&["uninstall", "shop", "--wait", "--timeout=240s"])?;
    // Helm waits for what it has made itself; sets and pods follow.
    eventually("nothing left of the chart", || {
        let left = kubectl.succeed(&[
            "get",
            "all,configmaps,secrets,serviceaccounts",
            "-l",
            "app.kubernetes.io/instance=shop",
        ])?;
        ensure!(left.contains("No resources found"), "{left}");
        Ok(())
    })
}

/// Waits until as many pods are ready as `wanted` says.
fn replicas(kubectl: &Namespace, wanted: &str) -> Result<()> {
    let path = "jsonpath={.status.readyReplicas}";
    eventually("the chart's pods", || {
        let ready = kubectl.succeed(&["get", "deployment", "shop", "-o", path])?;
        ensure!(ready == wanted, "{ready} are ready, {wanted} are asked for");
        Ok(())
    })
}

/// The real Helm, in one namespace of the cluster.
struct Helm {
    program: PathBuf,
    kubeconfig: PathBuf,
    namespace: String,
    home: PathBuf,
}

impl Helm {
    fn new(cluster: &Cluster, namespace: &str) -> Result<Self> {
        let program = std::env::var_os("FLOE_HELM").context("FLOE_HELM is not set; use tests/run")?;
        Ok(Self {
            program: program.into(),
            kubeconfig: cluster.kubeconfig(),
            namespace: namespace.to_owned(),
            home: cluster.scratch().join("helm"),
        })
    }

    fn call(&self, verb: &str, chart: &str, options: Vec<String>) -> Result<String> {
        let mut words = vec![verb, "shop", chart];
        words.extend(options.iter().map(String::as_str));
        self.run(&words)
    }

    fn run(&self, words: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.program);
        command
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(["--namespace", &self.namespace]);
        command
            .args(words)
            .env("HOME", &self.home)
            .env_remove("KUBECONFIG");
        let done = command.output().context("start helm")?;
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        ensure!(
            done.status.success(),
            "helm {}: {said}{}",
            words.join(" "),
            String::from_utf8_lossy(&done.stderr)
        );
        Ok(said)
    }
}

/// Brings the images of these tests onto every node, once.
fn images(cluster: &Cluster) -> Result<()> {
    static LOADED: std::sync::Mutex<bool> = std::sync::Mutex::new(false);
    let mut loaded = LOADED
        .lock()
        .map_err(|_| anyhow::anyhow!("loading the images failed before"))?;
    if *loaded {
        return Ok(());
    }
    let redis = debian_image(cluster.scratch(), REDIS, &["redis-server", "redis-tools"])?;
    let demo = cluster.scratch().join("demo.tar");
    cluster.succeed(&["image", "demo", &demo.to_string_lossy()])?;
    for image in [redis.as_path(), &demo] {
        load(cluster, image)?;
    }
    *loaded = true;
    Ok(())
}

fn load(cluster: &Cluster, image: &Path) -> Result<()> {
    cluster
        .succeed(&["image", "load", &image.to_string_lossy()])
        .map(drop)
}

pub(crate) fn cut_off_and_healed(cluster: &Cluster) -> Result<()> {
    images(cluster)?;
    let kubectl = cluster.kubectl()?.namespace("cut")?;
    kubectl.apply(GUESTBOOK)?;
    kubectl.succeed(&["rollout", "status", "deployment/redis-leader", "--timeout=240s"])?;
    kubectl.succeed(&["rollout", "status", "deployment/counter", "--timeout=240s"])?;
    let leader = kubectl.succeed(&[
        "get",
        "pods",
        "-l",
        "app=redis",
        "-o",
        "jsonpath={.items[0].spec.nodeName}",
    ])?;
    let other = (2..=3)
        .map(|number| cluster.numbered(number))
        .find(|node| node.name() != leader);
    let other = other.context("no node without redis")?;
    let path = format!(
        "jsonpath={{.items[?(@.spec.nodeName==\"{}\")].metadata.name}}",
        other.name()
    );
    let client = kubectl.succeed(&["get", "pods", "-l", "app=counter", "-o", &path])?;
    let starts = |node: &dyn Fn(&str) -> Result<String>| {
        node("systemctl show -p ActiveEnterTimestamp 'floe-cut:counter-*.service'")
    };
    let before = starts(&|command| other.succeed(command))?;
    cluster.succeed(&["node", "isolate", other.name()])?;
    // Alone it keeps its pods and its names; the others keep what they have of each other.
    ensure!(
        starts(&|command| other.succeed(command))? == before,
        "its pods were disturbed"
    );
    let pings = |of: &str| {
        let said = kubectl.succeed(&["exec", of, "--", "redis-cli", "-h", "redis-leader", "ping"])?;
        ensure!(said.contains("PONG"), "{said}");
        Ok(())
    };
    eventually("redis from its own side", || pings("deployment/redis-leader"))?;
    cluster.succeed(&["node", "heal", other.name()])?;
    eventually("the client on the healed node to reach redis again", || {
        pings(&client)
    })?;
    ensure!(
        starts(&|command| other.succeed(command))? == before,
        "healing disturbed its pods"
    );
    Ok(())
}
