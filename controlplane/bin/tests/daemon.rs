//! The daemon as a process: how it starts, refuses to start, stops, and what a kill leaves.

#[cfg(test)]
#[path = "support/ports.rs"]
mod ports;

#[cfg(test)]
mod daemon {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::path::{Path, PathBuf};
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
    use kube::api::{ListParams, ObjectMeta, PostParams};
    use kube::config::{KubeConfigOptions, Kubeconfig};
    use kube::{Api, Client, Config};
    use tempfile::TempDir;

    use crate::ports::Port;

    /// A daemon with a state folder of its own; killed at the end.
    struct Daemon {
        dir: TempDir,
        port: Port,
        peer_port: Port,
        child: Option<Child>,
    }

    impl Drop for Daemon {
        fn drop(&mut self) {
            self.kill();
        }
    }

    impl Daemon {
        fn new() -> Self {
            let daemon = Self {
                dir: tempfile::tempdir().unwrap(),
                port: Port::reserve(),
                peer_port: Port::reserve(),
                child: None,
            };
            daemon.configure(&daemon.dir.path().join("state"));
            daemon
        }

        /// Has it keep its state in `state`.
        fn configure(&self, state: &Path) {
            let (port, peers) = (self.port.number(), self.peer_port.number());
            let config = format!(
                "state_dir = {state:?}\nlisten = \"127.0.0.1:{port}\"\npeer_listen = \"127.0.0.1:{peers}\"\n"
            );
            std::fs::write(self.dir.path().join("config.toml"), config).unwrap();
        }

        fn command(&self) -> Command {
            let mut command = Command::new(env!("CARGO_BIN_EXE_floe-controlplane"));
            command
                .arg("--config")
                .arg(self.dir.path().join("config.toml"))
                .env_remove("JOURNAL_STREAM");
            command
        }

        /// Starts it and waits until a client gets an answer.
        async fn start(&mut self) -> Client {
            self.child = Some(self.command().stderr(Stdio::null()).spawn().unwrap());
            let begun = Instant::now();
            loop {
                if let Some(client) = self.client().await
                    && Api::<Namespace>::all(client.clone())
                        .get("kube-node-lease")
                        .await
                        .is_ok()
                {
                    return client;
                }
                assert!(
                    begun.elapsed() < Duration::from_secs(60),
                    "the daemon does not answer"
                );
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }

        async fn client(&self) -> Option<Client> {
            let file: PathBuf = self.dir.path().join("state/kubeconfig/admin.kubeconfig");
            let kubeconfig = Kubeconfig::read_from(file).ok()?;
            let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
                .await
                .ok()?;
            Client::try_from(config).ok()
        }

        fn kill(&mut self) {
            if let Some(mut child) = self.child.take() {
                child.kill().unwrap();
                child.wait().unwrap();
            }
        }

        /// Runs it to its end, which must be a refusal; answers with what it says.
        fn refusal(&self) -> String {
            let mut child = self.command().stderr(Stdio::piped()).spawn().unwrap();
            let mut said = String::new();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            assert_eq!(child.wait().unwrap().code(), Some(1), "{said}");
            said
        }
    }

    fn config_map(name: &str) -> ConfigMap {
        ConfigMap {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            },
            ..ConfigMap::default()
        }
    }

    #[test]
    fn a_busy_port_is_said_in_one_sentence() {
        let daemon = Daemon::new();
        let _holder = TcpListener::bind(("127.0.0.1", daemon.port.number())).unwrap();
        let said = daemon.refusal();
        assert!(
            said.contains(&format!("cannot listen on 127.0.0.1:{}", daemon.port.number())),
            "{said}"
        );
        assert_eq!(said.trim().lines().count(), 1, "{said}");
    }

    #[test]
    fn an_unknown_key_is_named_with_its_file() {
        let daemon = Daemon::new();
        let file = daemon.dir.path().join("config.toml");
        std::fs::write(&file, "colour = \"blue\"\n").unwrap();
        let said = daemon.refusal();
        assert!(
            said.contains("colour") && said.contains(file.to_str().unwrap()),
            "{said}"
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_second_daemon_on_the_same_state_is_refused() {
        let mut first = Daemon::new();
        first.start().await;
        let mut second = Daemon::new();
        second.configure(&first.dir.path().join("state"));
        let said = second.refusal();
        assert!(said.contains("in use by another process"), "{said}");
        second.kill();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn acknowledged_writes_survive_sigkill() {
        let mut daemon = Daemon::new();
        let mut acknowledged = Vec::new();
        for round in 0..3 {
            let client = daemon.start().await;
            let api: Api<ConfigMap> = Api::namespaced(client, "default");
            for number in 0..20 {
                let name = format!("c-{round}-{number}");
                api.create(&PostParams::default(), &config_map(&name))
                    .await
                    .unwrap();
                acknowledged.push(name);
            }
            daemon.kill();
        }
        let api: Api<ConfigMap> = Api::namespaced(daemon.start().await, "default");
        let found = api.list(&ListParams::default()).await.unwrap();
        let found: Vec<&str> = found
            .items
            .iter()
            .filter_map(|item| item.metadata.name.as_deref())
            .collect();
        assert!(
            acknowledged.iter().all(|name| found.contains(&name.as_str())),
            "{found:?}"
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn sigterm_ends_it_with_success() {
        let mut daemon = Daemon::new();
        daemon.start().await;
        let mut child = daemon.child.take().unwrap();
        let id = child.id().to_string();
        assert!(Command::new("kill").arg(id).status().unwrap().success());
        let begun = Instant::now();
        while child.try_wait().unwrap().is_none() {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "the daemon does not end"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(child.wait().unwrap().success());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_daemon_with_nothing_to_do_looks_for_nothing_and_writes_nothing() {
        let mut daemon = Daemon::new();
        let client = daemon.start().await;
        let api: Api<ConfigMap> = Api::all(client);
        let now = || async {
            let list = api.list(&ListParams::default()).await.unwrap();
            list.metadata.resource_version.unwrap()
        };
        // The daemon's own time, so that other processes do not matter; a look every few milliseconds takes more.
        let process =
            procfs::process::Process::new(daemon.child.as_ref().unwrap().id().cast_signed()).unwrap();
        let ticks = || process.stat().map(|stat| stat.utime + stat.stime).unwrap();
        let (all, begun) = (5 * procfs::ticks_per_second(), Instant::now());
        // What it has to do at its start takes as long as the machine is slow.
        loop {
            let (revision, before) = (now().await, ticks());
            tokio::time::sleep(Duration::from_secs(5)).await;
            let (later, used) = (now().await, ticks() - before);
            if later == revision && used * 20 < all {
                break;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "{used} ticks of {all}, revisions {revision} to {later}"
            );
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn metrics_tell_of_the_store_the_process_and_what_the_peer_port_refused() {
        let mut daemon = Daemon::new();
        let client = daemon.start().await;
        let config = std::fs::read_to_string(daemon.dir.path().join("config.toml")).unwrap();
        let peers = config.split("peer_listen = \"").nth(1).unwrap();
        let mut stranger = std::net::TcpStream::connect(peers.split('"').next().unwrap()).unwrap();
        stranger.write_all(b"this is no TLS, and never will be").unwrap();
        // Ends when the server has hung up.
        drop(stranger.read_to_end(&mut Vec::new()));
        let request = http::Request::get("/metrics").body(Vec::new()).unwrap();
        let text = client.request_text(request).await.unwrap();
        for wanted in [
            "raft_peer_refusals_total{reason=\"handshake\"} 1",
            "raft_peer_refusals_total{reason=\"stranger\"} 0",
            "raft_is_leader 1",
            "apiserver_storage_size_bytes{storage_cluster_id=",
        ] {
            assert!(text.contains(wanted), "{wanted} is not in\n{text}");
        }
        for positive in [
            "raft_term",
            "raft_applied_index",
            "raft_log_bytes",
            "raft_log_append_duration_seconds_count",
            "store_revision",
            "process_cpu_seconds_total",
            "process_resident_memory_bytes",
            "process_open_fds",
        ] {
            let value = text
                .lines()
                .find_map(|line| line.strip_prefix(positive)?.strip_prefix(' '));
            let value: f64 = value
                .unwrap_or_else(|| panic!("{positive} is not in\n{text}"))
                .parse()
                .unwrap();
            assert!(value > 0.0, "{positive} is {value}");
        }
    }
}
