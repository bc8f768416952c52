//! Three daemons as one cluster: joining, kill -9, SIGSTOP, and leaving.

#[cfg(test)]
mod group {
    use std::collections::BTreeSet;
    use std::net::TcpListener;
    use std::path::PathBuf;
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::api::{
        ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, ObjectMeta, PostParams,
    };
    use kube::config::{KubeConfigOptions, Kubeconfig};
    use kube::{Api, Client, Config};
    use tempfile::TempDir;

    fn free_port() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    }

    /// A daemon with a state folder of its own; killed at the end.
    struct Server {
        dir: TempDir,
        name: &'static str,
        peer_port: u16,
        child: Option<Child>,
    }

    impl Drop for Server {
        fn drop(&mut self) {
            self.kill();
        }
    }

    impl Server {
        fn new(name: &'static str, join: Option<&Self>) -> Self {
            let (port, peer_port, dir) = (free_port(), free_port(), tempfile::tempdir().unwrap());
            let state = dir.path().join("state");
            let mut config = format!(
                "state_dir = {state:?}\nserver_name = {name:?}\nlisten = \"127.0.0.1:{port}\"\n\
                 peer_listen = \"127.0.0.1:{peer_port}\"\n"
            );
            if let Some(other) = join {
                let token = other.dir.path().join("state/join-token");
                config += &format!(
                    "join = \"127.0.0.1:{}\"\njoin_token_file = {token:?}\n",
                    other.peer_port
                );
            }
            std::fs::write(dir.path().join("config.toml"), config).unwrap();
            Self {
                dir,
                name,
                peer_port,
                child: None,
            }
        }

        fn start(&mut self) {
            let log = std::fs::File::create(self.dir.path().join("log")).unwrap();
            let child = Command::new(env!("CARGO_BIN_EXE_floe-controlplane"))
                .arg("--config")
                .arg(self.dir.path().join("config.toml"))
                .env_remove("JOURNAL_STREAM")
                .stderr(log)
                .stdout(Stdio::null())
                .spawn();
            self.child = Some(child.unwrap());
        }

        fn kill(&mut self) {
            if let Some(mut child) = self.child.take() {
                child.kill().unwrap();
                child.wait().unwrap();
            }
        }

        fn signal(&self, name: &str) {
            let id = self.child.as_ref().unwrap().id().to_string();
            assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
        }

        async fn client(&self) -> Option<Client> {
            let file: PathBuf = self.dir.path().join("state/kubeconfig/admin.kubeconfig");
            let options = KubeConfigOptions::default();
            let kubeconfig = Kubeconfig::read_from(file).ok()?;
            let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await.ok()?;
            config.read_timeout = Some(Duration::from_secs(8));
            config.connect_timeout = Some(Duration::from_secs(2));
            Client::try_from(config).ok()
        }

        /// The cluster's servers as this one shows them: names and roles.
        async fn servers(&self) -> Option<Vec<(String, String)>> {
            let kind = GroupVersionKind::gvk("floe.dev", "v1", "Server");
            let kind = ApiResource::from_gvk_with_plural(&kind, "servers");
            let api: Api<DynamicObject> = Api::all_with(self.client().await?, &kind);
            let list = api.list(&ListParams::default()).await.ok()?;
            let shown = list.items.into_iter().map(|object| {
                let role = object.data["status"]["role"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned();
                (object.metadata.name.unwrap_or_default(), role)
            });
            Some(shown.collect())
        }

        async fn remove(&self, name: &str) {
            let kind = GroupVersionKind::gvk("floe.dev", "v1", "Server");
            let kind = ApiResource::from_gvk_with_plural(&kind, "servers");
            let api: Api<DynamicObject> = Api::all_with(self.client().await.unwrap(), &kind);
            api.delete(name, &DeleteParams::default()).await.unwrap();
        }

        async fn create(&self, name: &str) -> bool {
            let Some(client) = self.client().await else {
                return false;
            };
            let object = ConfigMap {
                metadata: ObjectMeta {
                    name: Some(name.to_owned()),
                    ..ObjectMeta::default()
                },
                ..ConfigMap::default()
            };
            let api: Api<ConfigMap> = Api::namespaced(client, "default");
            api.create(&PostParams::default(), &object).await.is_ok()
        }

        async fn names(&self) -> Option<BTreeSet<String>> {
            let api: Api<ConfigMap> = Api::namespaced(self.client().await?, "default");
            let list = api.list(&ListParams::default()).await.ok()?;
            Some(
                list.items
                    .into_iter()
                    .filter_map(|item| item.metadata.name)
                    .collect(),
            )
        }

        fn log(&self) -> String {
            let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().rev().take(12).collect();
            lines
                .into_iter()
                .rev()
                .map(|line| format!("{}: {line}\n", self.name))
                .collect()
        }
    }

    async fn eventually<F: Future<Output = bool>>(what: &str, all: &[&Server], condition: impl Fn() -> F) {
        let begun = Instant::now();
        while !condition().await {
            let logs: String = all.iter().map(|server| server.log()).collect();
            assert!(
                begun.elapsed() < Duration::from_secs(40),
                "not in time: {what}\n{logs}"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn all_vote(servers: &[&Server], count: usize) {
        eventually("all servers vote", servers, || async {
            let shown = servers[0].servers().await.unwrap_or_default();
            let voting = shown
                .iter()
                .filter(|(_, role)| role == "Voter" || role == "Leader");
            shown.len() == count && voting.count() == count
        })
        .await;
    }

    /// Which of `servers` leads, as the first that answers says.
    async fn leader(servers: &[Server]) -> usize {
        loop {
            for server in servers.iter().filter(|server| server.child.is_some()) {
                let shown = server.servers().await.unwrap_or_default();
                let leader = shown.into_iter().find(|(_, role)| role == "Leader");
                if let Some(at) =
                    leader.and_then(|(name, _)| servers.iter().position(|server| server.name == name))
                {
                    return at;
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn three() -> Vec<Server> {
        let mut first = Server::new("one", None);
        first.start();
        eventually("the first serves", &[&first], || async {
            first.servers().await.is_some()
        })
        .await;
        let mut servers = vec![first];
        for name in ["two", "three"] {
            let mut next = Server::new(name, Some(&servers[0]));
            next.start();
            servers.push(next);
            let all: Vec<&Server> = servers.iter().collect();
            all_vote(&all, all.len()).await;
        }
        servers
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn three_servers_lose_no_acknowledged_write_when_each_leader_is_killed() {
        let mut servers = three().await;
        let mut acknowledged = BTreeSet::new();
        for round in 0..3 {
            let at = leader(&servers).await;
            for (number, server) in servers.iter().enumerate() {
                let name = format!("r{round}-s{number}");
                assert!(server.create(&name).await, "{name}: {}", server.log());
                acknowledged.insert(name);
            }
            servers[at].kill();
            let other = &servers[(at + 1) % 3];
            let (killed, mut attempt) = (Instant::now(), 0);
            loop {
                attempt += 1;
                let name = format!("r{round}-after-{attempt}");
                if other.create(&name).await {
                    acknowledged.insert(name);
                    break;
                }
                assert!(killed.elapsed() < Duration::from_secs(15), "{}", other.log());
            }
            servers[at].start();
            let all: Vec<&Server> = servers.iter().collect();
            let wanted = &acknowledged;
            eventually("the killed server shows all", &all, || async {
                let names = all[at].names().await.unwrap_or_default();
                wanted.iter().all(|name| names.contains(name))
            })
            .await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_leader_that_was_paused_serves_no_stale_read_and_a_removed_server_is_gone() {
        let mut servers = three().await;
        let at = leader(&servers).await;
        servers[at].signal("-STOP");
        let other = (at + 1) % 3;
        let all: Vec<&Server> = servers.iter().collect();
        eventually("another server takes writes", &all, || {
            all[other].create("while-paused")
        })
        .await;
        servers[at].signal("-CONT");
        // Its first answer is either a refusal or up to date.
        let seen = servers[at].names().await;
        assert!(seen.is_none_or(|names| names.contains("while-paused")));
        let gone = (leader(&servers).await + 1) % 3;
        let stays = (gone + 1) % 3;
        let name = servers[gone].name;
        servers[gone].kill();
        servers[stays].remove(name).await;
        let left: Vec<&Server> = servers.iter().filter(|server| server.name != name).collect();
        all_vote(&left, 2).await;
        assert!(left[0].create("of-two").await);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn every_server_gives_a_whole_backup_of_all_that_was_acknowledged() {
        let servers = three().await;
        // The namespaces' own come by themselves.
        let mut made = 0;
        eventually("all namespaces have theirs", &[&servers[0]], || async {
            let names = servers[0].names().await.unwrap_or_default();
            names.contains("kube-root-ca.crt")
        })
        .await;
        for (number, server) in servers.iter().cycle().take(12).enumerate() {
            let name = format!("through-{number}");
            assert!(server.create(&name).await, "{}", server.log());
            let request = http::Request::get("/backup").body(kube::client::Body::empty());
            let answer = server
                .client()
                .await
                .unwrap()
                .send(request.unwrap())
                .await
                .unwrap();
            assert!(answer.status().is_success());
            let bytes = answer.into_body().collect_bytes().await.unwrap();
            let file = server.dir.path().join("backup.db");
            std::fs::write(&file, &bytes).unwrap();
            let found = controlplane_store_sqlite::inspect(&file).unwrap();
            let maps = found.resources["configmaps"].objects;
            assert!(
                maps > made,
                "the last is missing from {}: {made} before, {maps} now",
                server.name
            );
            made = maps;
        }
    }

    #[test]
    fn a_wrong_join_token_is_refused_in_one_sentence() {
        let mut first = Server::new("one", None);
        first.start();
        let token = first.dir.path().join("state/join-token");
        let begun = Instant::now();
        while !token.exists() {
            assert!(begun.elapsed() < Duration::from_secs(20), "{}", first.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        let own = std::fs::read_to_string(&token).unwrap();
        let (authority, secret) = own.trim().rsplit_once('.').unwrap();
        let other = format!("floe-join.{}.{secret}", "0".repeat(64));
        for (wrong, why) in [
            (
                format!("{authority}.{}", "a".repeat(32)),
                "not that of this cluster",
            ),
            (other, "not of the cluster that the join token names"),
        ] {
            let second = Server::new("two", Some(&first));
            let file = second.dir.path().join("token");
            std::fs::write(&file, wrong).unwrap();
            let config = second.dir.path().join("config.toml");
            let text = std::fs::read_to_string(&config).unwrap();
            let text = text.replace(token.to_str().unwrap(), file.to_str().unwrap());
            std::fs::write(&config, text).unwrap();
            let ended = Command::new(env!("CARGO_BIN_EXE_floe-controlplane"))
                .args(["--config", config.to_str().unwrap()])
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&ended.stderr).into_owned();
            assert!(!ended.status.success() && said.contains(why), "{said}");
        }
    }
}
