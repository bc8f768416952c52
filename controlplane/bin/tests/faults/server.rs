//! A daemon in its place.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};

use crate::field::{Field, Place};

/// How long anything may take that must happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// A daemon; killed when dropped.
pub(crate) struct Server {
    pub(crate) place: Place,
    child: Option<Child>,
    client: Client,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The servers of one cluster, by number, the first of which made it.
pub(crate) struct Cluster {
    field: Field,
    pub(crate) servers: BTreeMap<u8, Server>,
}

impl Cluster {
    /// `count` servers with a vote each.
    pub(crate) async fn of(count: u8) -> Self {
        let mut cluster = Self {
            field: Field::enter(),
            servers: BTreeMap::new(),
        };
        for number in 1..=count {
            cluster.join(number).await;
        }
        cluster
    }

    /// Starts a new server, which joins through the lowest one, and waits until it votes.
    pub(crate) async fn join(&mut self, number: u8) {
        let place = self.field.place(number);
        let through = self.servers.values().next().map(|server| &server.place);
        configure(&place, through);
        let child = start(&place);
        // The first one makes the administrator's credentials, by which all are asked.
        let issuer = through.unwrap_or(&place);
        let kubeconfig = issuer.disk().join("kubeconfig/admin.kubeconfig");
        eventually("an administrator's kubeconfig", self, || async {
            kubeconfig.exists()
        })
        .await;
        let server = Server {
            client: client(&kubeconfig, &place).await,
            child: Some(child),
            place,
        };
        self.servers.insert(number, server);
        self.all_vote().await;
    }

    pub(crate) fn server(&self, number: u8) -> &Server {
        &self.servers[&number]
    }

    pub(crate) fn server_mut(&mut self, number: u8) -> &mut Server {
        self.servers.get_mut(&number).unwrap()
    }

    /// Every number but `number`.
    pub(crate) fn others(&self, number: u8) -> Vec<u8> {
        self.servers
            .keys()
            .copied()
            .filter(|other| *other != number)
            .collect()
    }

    /// Waits until every running server shows all of them voting.
    pub(crate) async fn all_vote(&self) {
        for server in self.servers.values().filter(|server| server.child.is_some()) {
            eventually("all servers vote", self, || async {
                let roles = server.roles().await.unwrap_or_default();
                let vote = |role: &String| role == "Voter" || role == "Leader";
                roles.len() == self.servers.len() && roles.values().all(vote)
            })
            .await;
        }
    }

    /// Which server leads, as those of `among` say.
    pub(crate) async fn leader(&self, among: &[u8]) -> u8 {
        let begun = Instant::now();
        loop {
            for number in among {
                let roles = self.server(*number).roles().await.unwrap_or_default();
                let leads = roles.iter().find(|(_, role)| *role == "Leader");
                if let Some(leader) = leads.and_then(|(name, _)| name.strip_prefix("floe-")?.parse().ok())
                    && among.contains(&leader)
                {
                    return leader;
                }
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "no leader among {among:?}\n{}",
                self.logs()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Removes a server from the group, through another, and ends it.
    pub(crate) async fn remove(&mut self, number: u8) {
        let through = self.server(self.others(number)[0]);
        let name = self.server(number).place.name();
        // Who leads may change meanwhile, and an answer be lost.
        eventually("a server is removed", self, || async {
            match through.objects().delete(&name, &DeleteParams::default()).await {
                Ok(_) => true,
                Err(kube::Error::Api(status)) => status.code == 404,
                Err(_) => false,
            }
        })
        .await;
        eventually("the removed server is gone", self, || async {
            through
                .roles()
                .await
                .is_some_and(|roles| !roles.contains_key(&name))
        })
        .await;
        self.servers.remove(&number);
    }

    /// The last lines of every daemon.
    pub(crate) fn logs(&self) -> String {
        self.servers.values().map(Server::log).collect()
    }
}

impl Server {
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    pub(crate) fn start(&mut self) {
        assert!(self.child.is_none(), "it runs");
        self.child = Some(start(&self.place));
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        let id = i32::try_from(self.child.as_ref().unwrap().id()).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), signal).unwrap();
    }

    fn objects(&self) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("floe.dev", "v1", "Server");
        Api::all_with(
            self.client(),
            &ApiResource::from_gvk_with_plural(&kind, "servers"),
        )
    }

    /// The cluster's servers as this one shows them: names and roles.
    pub(crate) async fn roles(&self) -> Option<BTreeMap<String, String>> {
        let list = self.objects().list(&ListParams::default()).await.ok()?;
        let shown = list.items.into_iter().map(|object| {
            let role = object.data["status"]["role"].as_str().unwrap_or_default();
            (object.metadata.name.unwrap_or_default(), role.to_owned())
        });
        Some(shown.collect())
    }

    fn log(&self) -> String {
        let log = std::fs::read_to_string(self.place.folder.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(25).collect();
        let named = |line| format!("{}: {line}\n", self.place.name());
        lines.into_iter().rev().map(named).collect()
    }
}

fn configure(place: &Place, through: Option<&Place>) {
    let (state, address, name) = (place.disk(), place.address(), place.name());
    let mut config = format!(
        "state_dir = {state:?}\nserver_name = {name:?}\nlisten = \"{address}:6443\"\npeer_listen = \"{address}:6444\"\n\
         components = [\"apiserver\"]\n"
    );
    if let Some(other) = through {
        let token = other.disk().join("join-token");
        config += &format!(
            "join = \"{}:6444\"\njoin_token_file = {token:?}\n",
            other.address()
        );
    }
    std::fs::write(place.folder.join("config.toml"), config).unwrap();
}

fn start(place: &Place) -> Child {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(place.folder.join("log"));
    let log: File = log.unwrap();
    // Each of these becomes the next, so the process is the daemon's; it dies with the test.
    Command::new("ip")
        .args(["netns", "exec", &place.name(), "setpriv", "--pdeathsig", "KILL"])
        .arg(env!("CARGO_BIN_EXE_floe-controlplane"))
        .arg("--config")
        .arg(place.folder.join("config.toml"))
        .env_remove("JOURNAL_STREAM")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// A client of the server at `place`, with credentials that all servers accept.
async fn client(kubeconfig: &std::path::Path, place: &Place) -> Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let options = KubeConfigOptions::default();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .unwrap();
    config.cluster_url = format!("https://{}:6443", place.address()).parse().unwrap();
    config.connect_timeout = Some(Duration::from_secs(1));
    config.read_timeout = Some(Duration::from_secs(8));
    // What is counted here is each answer, not what comes of asking again.
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

/// Waits until `condition` holds.
pub(crate) async fn eventually<F: Future<Output = bool>>(
    what: &str,
    cluster: &Cluster,
    condition: impl Fn() -> F,
) {
    let begun = Instant::now();
    while !condition().await {
        assert!(
            begun.elapsed() < PATIENCE,
            "not in time: {what}\n{}",
            cluster.logs()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
