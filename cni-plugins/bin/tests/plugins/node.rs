//! Nodes and pods as network namespaces.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A network namespace that ends with the value.
pub(crate) struct Netns(pub(crate) String);

impl Netns {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "floe-test-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        assert!(
            Command::new("ip")
                .args(["netns", "add", &name])
                .status()
                .unwrap()
                .success()
        );
        Self(name)
    }

    pub(crate) fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.0)
    }

    /// Runs `command` inside and returns what it prints.
    pub(crate) fn sh(&self, command: &str) -> String {
        let output = Command::new("ip")
            .args(["netns", "exec", &self.0, "sh", "-c", command])
            .output()
            .unwrap();
        format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    }
}

impl Netns {
    /// The names of all links of a kind inside, from a listing that nothing changed meanwhile:
    /// `ip` says on its standard error that another change came between, and then lists too much or
    /// too little.
    pub(crate) fn links(&self, kind: &str) -> Vec<String> {
        (0..50).find_map(|_| self.listed(kind)).unwrap()
    }

    fn listed(&self, kind: &str) -> Option<Vec<String>> {
        let output = Command::new("ip")
            .args(["-n", &self.0, "-j", "link", "show", "type", kind])
            .output()
            .unwrap();
        if !output.status.success() || !output.stderr.is_empty() {
            println!("ip: {}", String::from_utf8_lossy(&output.stderr));
            return None;
        }
        let listed: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        // A listing without any link of that kind is a list of empty objects.
        let names = listed.as_array().into_iter().flatten();
        let names = names.filter_map(|link| link["ifname"].as_str().map(str::to_owned));
        Some(names.collect())
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        drop(Command::new("ip").args(["netns", "del", &self.0]).status());
    }
}

/// A node with a plugin folder and the configuration of one network.
pub(crate) struct Node {
    pub(crate) netns: Netns,
    pub(crate) dir: TempDir,
    pub(crate) config: Value,
}

impl Node {
    /// `None` (with the reason printed) where the test cannot run.
    pub(crate) fn new() -> Option<Self> {
        let root = Command::new("id")
            .arg("-u")
            .output()
            .is_ok_and(|o| o.stdout == b"0\n");
        if !root || Command::new("ip").arg("-V").output().is_err() {
            println!("skipped: needs root and iproute2");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        for name in ["bridge", "host-local", "loopback", "portmap", "vxlan"] {
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_floe-cni"), dir.path().join(name)).unwrap();
        }
        let config = json!({
            "cniVersion": "1.1.0", "name": "pods", "type": "bridge", "bridge": "floe0",
            "isDefaultGateway": true, "ipMasq": true, "masqueradeExcept": ["10.88.0.0/16"], "hairpinMode": true, "mtu": 1400,
            "ipam": {"type": "host-local", "dataDir": dir.path().join("data"), "ranges": [[{"subnet": "10.88.7.0/24"}]]},
        });
        let node = Self {
            netns: Netns::new(),
            dir,
            config,
        };
        node.netns.sh("ip link set lo up");
        Some(node)
    }

    pub(crate) fn call(&self, plugin: &str, verb: &str, pod: Option<(&str, &Path)>, extra: Value) -> Output {
        let mut config = self.config.clone();
        for (key, value) in extra.as_object().into_iter().flatten() {
            config[key] = value.clone();
        }
        self.run(&[], plugin, verb, pod, &config)
    }

    /// Calls a plugin with a configuration of its own, under another program where one is named.
    pub(crate) fn run(
        &self,
        under: &[&str],
        plugin: &str,
        verb: &str,
        pod: Option<(&str, &Path)>,
        config: &Value,
    ) -> Output {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.netns.0])
            .args(under)
            .arg(self.dir.path().join(plugin));
        command.env("CNI_COMMAND", verb).env("CNI_PATH", self.dir.path());
        if let Some((id, netns)) = pod {
            command
                .env("CNI_CONTAINERID", id)
                .env("CNI_NETNS", netns)
                .env("CNI_IFNAME", "eth0");
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // One that is killed does not read it all.
        drop(
            child
                .stdin
                .take()
                .unwrap()
                .write_all(config.to_string().as_bytes()),
        );
        child.wait_with_output().unwrap()
    }

    /// Calls a plugin that must succeed.
    pub(crate) fn ok(&self, plugin: &str, verb: &str, pod: Option<(&str, &Path)>, extra: Value) -> Value {
        let output = self.call(plugin, verb, pod, extra);
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{plugin} {verb}: {printed} {}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    pub(crate) fn code(&self, verb: &str, pod: Option<(&str, &Path)>, extra: Value) -> u64 {
        let output = self.call("bridge", verb, pod, extra);
        assert!(!output.status.success(), "{verb} should have failed");
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["code"]
            .as_u64()
            .unwrap()
    }
}

pub(crate) fn address(result: &Value) -> String {
    result["ips"][0]["address"]
        .as_str()
        .unwrap()
        .split('/')
        .next()
        .unwrap()
        .to_owned()
}
