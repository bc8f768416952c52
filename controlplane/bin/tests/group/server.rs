//! A daemon with a state folder of its own, and what is asked of it.

use std::collections::BTreeSet;
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

use crate::ports::Port;

/// A daemon with a state folder of its own; killed at the end.
pub(crate) struct Server {
    pub(crate) dir: TempDir,
    pub(crate) name: &'static str,
    /// Of the API and of its peers, for as long as it is started and stopped.
    ports: [Port; 2],
    pub(crate) child: Option<Child>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Server {
    pub(crate) fn new(name: &'static str, join: Option<&Self>) -> Self {
        let (ports, dir) = ([Port::reserve(), Port::reserve()], tempfile::tempdir().unwrap());
        let [port, peer_port] = [0, 1].map(|which: usize| ports[which].number());
        let state = dir.path().join("state");
        let mut config = format!(
            "state_dir = {state:?}\nserver_name = {name:?}\nlisten = \"127.0.0.1:{port}\"\n\
             peer_listen = \"127.0.0.1:{peer_port}\"\n"
        );
        if let Some(other) = join {
            let token = other.dir.path().join("state/join-token");
            config += &format!(
                "join = \"127.0.0.1:{}\"\njoin_token_file = {token:?}\n",
                other.peer_port()
            );
        }
        std::fs::write(dir.path().join("config.toml"), config).unwrap();
        Self {
            dir,
            name,
            ports,
            child: None,
        }
    }

    pub(crate) fn peer_port(&self) -> u16 {
        self.ports[1].number()
    }

    pub(crate) fn start(&mut self) {
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

    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Ends it as systemd does, and waits for that.
    pub(crate) fn stop(&mut self) {
        self.signal("-TERM");
        let ended = self.child.take().unwrap().wait().unwrap();
        assert!(ended.success(), "{}", self.log());
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    /// The administrator's credentials.
    pub(crate) fn kubeconfig(&self) -> Option<Kubeconfig> {
        Kubeconfig::read_from(self.state().join("kubeconfig/admin.kubeconfig")).ok()
    }

    pub(crate) async fn client(&self) -> Option<Client> {
        self.client_as(self.kubeconfig()?).await
    }

    /// A client of this server, wherever `kubeconfig` says that its own is.
    pub(crate) async fn client_as(&self, mut kubeconfig: Kubeconfig) -> Option<Client> {
        let options = KubeConfigOptions::default();
        let own = self.kubeconfig()?.clusters.pop()?.cluster?.server;
        kubeconfig.clusters.first_mut()?.cluster.as_mut()?.server = own;
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await.ok()?;
        config.read_timeout = Some(Duration::from_secs(8));
        config.connect_timeout = Some(Duration::from_secs(2));
        Client::try_from(config).ok()
    }

    /// The cluster's servers as this one shows them: names and roles.
    pub(crate) async fn servers(&self) -> Option<Vec<(String, String)>> {
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

    pub(crate) async fn remove(&self, name: &str) {
        let kind = GroupVersionKind::gvk("floe.dev", "v1", "Server");
        let kind = ApiResource::from_gvk_with_plural(&kind, "servers");
        let api: Api<DynamicObject> = Api::all_with(self.client().await.unwrap(), &kind);
        api.delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// Creates an object, or finds that an attempt did whose answer was lost.
    pub(crate) async fn create(&self, name: &str) -> bool {
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
        match api.create(&PostParams::default(), &object).await {
            Ok(_) => true,
            Err(kube::Error::Api(status)) => status.code == 409,
            Err(_) => false,
        }
    }

    /// The config map `name` as this server shows it.
    pub(crate) async fn map(&self, name: &str) -> Option<ConfigMap> {
        let api: Api<ConfigMap> = Api::namespaced(self.client().await?, "default");
        api.get_opt(name).await.ok()?
    }

    /// Takes a backup into a file beside the state.
    pub(crate) async fn backup(&self) -> PathBuf {
        let request = http::Request::get("/backup").body(kube::client::Body::empty());
        let answer = self.client().await.unwrap().send(request.unwrap()).await;
        let answer = answer.unwrap();
        assert!(answer.status().is_success(), "{}", self.log());
        let bytes = answer.into_body().collect_bytes().await.unwrap();
        let file = self.dir.path().join("backup.db");
        std::fs::write(&file, &bytes).unwrap();
        file
    }

    pub(crate) async fn names(&self) -> Option<BTreeSet<String>> {
        let api: Api<ConfigMap> = Api::namespaced(self.client().await?, "default");
        let list = api.list(&ListParams::default()).await.ok()?;
        Some(
            list.items
                .into_iter()
                .filter_map(|item| item.metadata.name)
                .collect(),
        )
    }

    pub(crate) fn log(&self) -> String {
        let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(12).collect();
        lines
            .into_iter()
            .rev()
            .map(|line| format!("{}: {line}\n", self.name))
            .collect()
    }
}

pub(crate) async fn eventually<F: Future<Output = bool>>(
    what: &str,
    all: &[&Server],
    condition: impl Fn() -> F,
) {
    let begun = Instant::now();
    while !condition().await {
        let logs: String = all.iter().map(|server| server.log()).collect();
        assert!(
            begun.elapsed() < Duration::from_secs(120),
            "not in time: {what}\n{logs}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

pub(crate) async fn all_vote(servers: &[&Server], count: usize) {
    eventually("all servers vote", servers, || async {
        let shown = servers[0].servers().await.unwrap_or_default();
        let voting = shown
            .iter()
            .filter(|(_, role)| role == "Voter" || role == "Leader");
        shown.len() == count && voting.count() == count
    })
    .await;
}
