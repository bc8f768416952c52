//! Images out of a registry: Debian's `docker-registry` on the host, which the nodes reach over the bridge.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tests_harness::{Cluster, Namespace, Node, eventually};

/// `alice` and `secret`, as `htpasswd -nbB` writes them.
const HTPASSWD: &str = "alice:$2y$05$xeiB/gYYUIjJE6DfRqeieOk7J7ZNQ10.FgLM9YRM2DmVTVA2YTXoy\n";

/// A registry on the host, with busybox in it.
struct Registry {
    dir: TempDir,
    process: Option<Child>,
    address: SocketAddrV4,
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Registry {
    /// Starts one, with the password of alice where `locked`, and fills it under `repository`.
    fn start(cluster: &Cluster, locked: bool, repository: &str) -> Result<Self> {
        let host = host_address(cluster)?;
        let free = TcpListener::bind((host, 0)).context("find a port")?;
        let address = SocketAddrV4::new(host, free.local_addr()?.port());
        drop(free);
        let dir = tempfile::tempdir()?;
        let path = |name: &str| dir.path().join(name).display().to_string();
        let mut config = json!({
            "version": 0.1, "log": { "level": "error" },
            "storage": { "filesystem": { "rootdirectory": path("data") } },
            "http": { "addr": address.to_string() },
        });
        if locked {
            std::fs::write(dir.path().join("htpasswd"), HTPASSWD)?;
            let auth = json!({ "htpasswd": { "realm": "floe", "path": path("htpasswd") } });
            config
                .as_object_mut()
                .context("no object")?
                .insert("auth".to_owned(), auth);
        }
        std::fs::write(dir.path().join("config.yml"), config.to_string())?;
        let mut registry = Self {
            dir,
            process: None,
            address,
        };
        registry.run()?;
        registry.push(cluster, repository, &[])?;
        Ok(registry)
    }

    fn run(&mut self) -> Result<()> {
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(self.dir.path().join("config.yml"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("start docker-registry")?;
        self.process = Some(process);
        eventually("the registry", || {
            TcpStream::connect(self.address)?;
            Ok(())
        })
    }

    fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().ok();
            process.wait().ok();
        }
    }

    fn push(&self, cluster: &Cluster, repository: &str, how: &[&str]) -> Result<()> {
        let layout = cluster.scratch().join("busybox");
        let done = Command::new("skopeo")
            .args(["--insecure-policy", "copy", "--dest-tls-verify=false"])
            .args(["--dest-creds", "alice:secret"])
            .args(how)
            .arg(format!("oci:{}", layout.display()))
            .arg(format!("docker://{}/{repository}:1", self.address))
            .output()
            .context("run skopeo")?;
        ensure!(
            done.status.success(),
            "skopeo: {}",
            String::from_utf8_lossy(&done.stderr)
        );
        Ok(())
    }

    fn image(&self, repository: &str) -> String {
        format!("{}/{repository}:1", self.address)
    }

    /// Tells every node of the registry, beside what it knows.
    fn introduce(&self, cluster: &Cluster, more: &str) -> Result<()> {
        let table = format!("[registry.\"{}\"]\nplain_http = true\n{more}", self.address);
        for number in 1..=3 {
            let node = cluster.numbered(number);
            node.succeed(&format!(
                "mkdir -p /etc/floe; cat >> /etc/floe/registries.toml <<'EOF'\n{table}EOF"
            ))?;
            // The programs of a node lie in one folder; the running agent tells which.
            node.succeed("$(readlink -f /proc/$(systemctl show -P MainPID floe-agent)/exe) --check")?;
        }
        Ok(())
    }
}

/// The host's address on the cluster's bridge.
fn host_address(cluster: &Cluster) -> Result<Ipv4Addr> {
    let shown = cluster.node().succeed("ip -4 -o addr show host0")?;
    let own = shown
        .split_whitespace()
        .find_map(|word| word.split_once('/')?.0.parse::<Ipv4Addr>().ok());
    let [a, b, c, _] = own.context("the node has no address")?.octets();
    Ok(Ipv4Addr::new(a, b, c, 1))
}

/// A pod on node `number`; `more` is laid over its spec.
fn pod(cluster: &Cluster, name: &str, number: u8, image: &str, more: &Value) -> String {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
        "spec": {
            "nodeName": format!("{}-{number}", cluster.name()),
            "terminationGracePeriodSeconds": 1,
            "containers": [{ "name": "main", "image": image, "command": ["/bin/sleep", "3600"] }],
        },
    });
    let spec = pod.get_mut("spec").and_then(Value::as_object_mut);
    if let (Some(spec), Some(more)) = (spec, more.as_object()) {
        spec.extend(more.clone());
    }
    pod.to_string()
}

fn ready(ns: &Namespace, name: &str) -> Result<Value> {
    ns.wait_for("pod", name, |pod| {
        pod.pointer("/status/containerStatuses/0/ready") == Some(&Value::Bool(true))
    })
}

/// Waits until the container waits for one of `reasons`, and returns its message.
fn waits(ns: &Namespace, name: &str, reasons: &[&str]) -> Result<String> {
    const WAITING: &str = "/status/containerStatuses/0/state/waiting";
    let pod = ns.wait_for("pod", name, |pod| {
        let reason = pod
            .pointer(WAITING)
            .and_then(|waiting| waiting.get("reason")?.as_str());
        reason.is_some_and(|reason| reasons.contains(&reason))
    })?;
    let message = pod.pointer(WAITING).and_then(|waiting| waiting.get("message"));
    Ok(message.and_then(Value::as_str).unwrap_or_default().to_owned())
}

/// A pull has failed: the first reason is told for three seconds, then the other, with the same words in it.
const FAILED: [&str; 2] = ["ErrImagePull", "ImagePullBackOff"];

fn told(ns: &Namespace, pod: &str, words: &[&str]) -> Result<()> {
    eventually("the events of the pull", || {
        let events = ns.succeed(&[
            "get",
            "events",
            &format!("--field-selector=involvedObject.name={pod}"),
        ])?;
        for word in words {
            ensure!(events.contains(word), "no {word:?} in {events}");
        }
        Ok(())
    })
}

pub(crate) fn anonymous(cluster: &Cluster) -> Result<()> {
    let registry = Registry::start(cluster, false, "team/busybox")?;
    registry.introduce(cluster, "")?;
    let (ns, image) = (
        cluster.kubectl()?.namespace("anonymous")?,
        registry.image("team/busybox"),
    );
    for number in 1..=3 {
        ns.apply(&pod(cluster, &format!("p{number}"), number, &image, &json!({})))?;
    }
    for number in 1..=3 {
        let name = format!("p{number}");
        let pod = ready(&ns, &name)?;
        let id = pod
            .pointer("/status/containerStatuses/0/imageID")
            .and_then(Value::as_str);
        let expected = format!("{}/team/busybox@sha256:", registry.address);
        ensure!(
            id.is_some_and(|id| id.starts_with(&expected)),
            "imageID is {id:?}"
        );
        let pulling = format!("Pulling image \"{image}\"");
        let pulled = format!("Successfully pulled image \"{image}\" in ");
        told(
            &ns,
            &name,
            &[&pulling, &pulled, " including waiting). Image size: ", " bytes."],
        )?;
    }
    ns.wait_for("node", &format!("{}-1", cluster.name()), |node| {
        node.pointer("/status/images")
            .is_some_and(|images| images.to_string().contains(&image))
    })?;
    Ok(())
}

pub(crate) fn secrets(cluster: &Cluster) -> Result<()> {
    let registry = Registry::start(cluster, true, "private/busybox")?;
    registry.introduce(cluster, "")?;
    let (ns, image) = (
        cluster.kubectl()?.namespace("secrets")?,
        registry.image("private/busybox"),
    );
    let secret = |name: &str, password: &str| {
        let server = format!("--docker-server={}", registry.address);
        let password = format!("--docker-password={password}");
        let words = [
            "create",
            "secret",
            "docker-registry",
            name,
            &server,
            "--docker-username=alice",
            &password,
        ];
        ns.succeed(&words)
    };
    secret("right", "secret")?;
    secret("wrong", "guess")?;
    let with = |name: &str| json!({ "imagePullSecrets": [{ "name": name }] });
    ns.apply(&pod(cluster, "none", 1, &image, &json!({})))?;
    ns.apply(&pod(cluster, "wrong", 1, &image, &with("wrong")))?;
    let said = waits(&ns, "none", &FAILED)?;
    ensure!(said.contains("imagePullSecrets"), "{said}");
    let said = waits(&ns, "wrong", &["ImagePullBackOff"])?;
    ensure!(
        said.contains("refuses the credentials of user \"alice\""),
        "{said}"
    );
    ensure!(!said.contains("guess"), "the password is told: {said}");
    ns.apply(&pod(cluster, "right", 1, &image, &with("right")))?;
    ready(&ns, "right")?;
    // The image is on the node by now, and still not for everybody.
    ns.apply(&pod(cluster, "late", 1, &image, &json!({})))?;
    let said = waits(&ns, "late", &FAILED)?;
    ensure!(said.contains("pull access denied"), "{said}");
    ns.apply(&pod(cluster, "lost", 2, &image, &with("absent")))?;
    told(
        &ns,
        "lost",
        &["Unable to retrieve some image pull secrets (absent)"],
    )
}

pub(crate) fn registry_away(cluster: &Cluster) -> Result<()> {
    let mut registry = Registry::start(cluster, false, "away/busybox")?;
    registry.introduce(cluster, "")?;
    let (ns, image) = (
        cluster.kubectl()?.namespace("registry-away")?,
        registry.image("away/busybox"),
    );
    ns.apply(&pod(cluster, "first", 1, &image, &json!({})))?;
    ready(&ns, "first")?;
    registry.stop();
    ns.apply(&pod(cluster, "cached", 1, &image, &json!({})))?;
    ready(&ns, "cached")?;
    told(&ns, "cached", &["already present on machine"])?;
    ns.apply(&pod(cluster, "elsewhere", 2, &image, &json!({})))?;
    let said = waits(&ns, "elsewhere", &["ImagePullBackOff"])?;
    ensure!(said.contains("refused"), "{said}");
    registry.run()?;
    ready(&ns, "elsewhere").map(drop)
}

pub(crate) fn moved_tag(cluster: &Cluster) -> Result<()> {
    let registry = Registry::start(cluster, false, "moving/busybox")?;
    registry.introduce(cluster, "")?;
    let (ns, image) = (
        cluster.kubectl()?.namespace("moving")?,
        registry.image("moving/busybox"),
    );
    let run = |name: &str, policy: &str| {
        let mut pod: Value = serde_json::from_str(&pod(cluster, name, 3, &image, &json!({})))?;
        let container = pod
            .pointer_mut("/spec/containers/0")
            .and_then(Value::as_object_mut);
        container
            .context("no container")?
            .insert("imagePullPolicy".to_owned(), policy.into());
        ns.apply(&pod.to_string())?;
        let pod = ready(&ns, name)?;
        let id = pod
            .pointer("/status/containerStatuses/0/imageID")
            .and_then(Value::as_str);
        Ok::<_, anyhow::Error>(id.context("no imageID")?.to_owned())
    };
    let first = run("first", "Always")?;
    // The same layers by a manifest of Docker's form: another digest under the same tag.
    registry.push(cluster, "moving/busybox", &["--format", "v2s2"])?;
    ensure!(
        run("present", "IfNotPresent")? == first,
        "the image that is present is not taken"
    );
    let moved = run("always", "Always")?;
    ensure!(moved != first, "the tag's new image is not pulled: still {first}");
    ensure!(
        run("again", "IfNotPresent")? == moved,
        "the tag's old image is taken"
    );
    let first_pod = ns.get("pod", "first")?;
    let still = first_pod.pointer("/status/containerStatuses/0/imageID");
    ensure!(
        still == Some(&first.clone().into()),
        "a running container changed its image: {still:?}"
    );
    Ok(())
}

pub(crate) fn mirror(cluster: &Cluster) -> Result<()> {
    let registry = Registry::start(cluster, false, "library/only-in-the-mirror")?;
    // Nobody listens on the first mirror's port.
    let mirrors = format!(
        "[registry.\"docker.io\"]\nmirrors = [\"http://{}:1\", \"http://{}\"]\n",
        registry.address.ip(),
        registry.address
    );
    registry.introduce(cluster, &mirrors)?;
    let ns = cluster.kubectl()?.namespace("mirror")?;
    ns.apply(&pod(cluster, "mirrored", 3, "only-in-the-mirror:1", &json!({})))?;
    let pod = ready(&ns, "mirrored")?;
    let id = pod
        .pointer("/status/containerStatuses/0/imageID")
        .and_then(Value::as_str);
    ensure!(
        id.is_some_and(|id| id.starts_with("docker.io/library/only-in-the-mirror@sha256:")),
        "imageID is {id:?}"
    );
    Ok(())
}
