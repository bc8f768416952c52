//! Servers in one process that reach each other through memory.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot be set up must stop"
)]
#![expect(dead_code, unreachable_pub, reason = "each test program uses some of it")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use controlplane_raft::{
    Change, Drive, MemoryLog, Origin, Peer, Role, Server, ServerId, Service, Setup, StartError, Transport,
    TransportError, Tuning,
};
use controlplane_store::{
    Cause, ClusterId, Key, MemoryState, Op, Options, Outcome, Pending, State, StateError, Store, StoreError,
    Txn, Value,
};
use tempfile::TempDir;

/// The wires between servers; pulled ones carry nothing.
#[derive(Debug, Clone, Default)]
pub struct Wires(Arc<Mutex<Plugs>>);

#[derive(Debug, Default)]
struct Plugs {
    services: BTreeMap<ServerId, Service>,
    cut: Vec<ServerId>,
}

impl Wires {
    pub fn plug(&self, id: ServerId, service: Service) {
        self.0.lock().expect("no panics").services.insert(id, service);
    }

    pub fn unplug(&self, id: ServerId) {
        self.0.lock().expect("no panics").services.remove(&id);
    }

    /// Servers whose messages get lost, both ways.
    pub fn cut(&self, ids: &[ServerId]) {
        self.0.lock().expect("no panics").cut = ids.to_vec();
    }

    fn end(&self, from: ServerId, to: ServerId) -> Option<Service> {
        let plugs = self.0.lock().expect("no panics");
        let dead = plugs.cut.contains(&from) || plugs.cut.contains(&to);
        plugs.services.get(&to).filter(|_| !dead).cloned()
    }
}

/// One server's end of the wires.
#[derive(Debug)]
struct End {
    from: ServerId,
    wires: Wires,
}

impl Transport for End {
    fn call(
        &self,
        to: ServerId,
        _peer: &Peer,
        request: Bytes,
        _deadline: Duration,
    ) -> Pending<'_, Result<Bytes, TransportError>> {
        let end = self.wires.end(self.from, to);
        Box::pin(async move {
            let Some(service) = end else {
                let cause = Cause::from("the wire is cut");
                return Err(TransportError::NotSent { to, cause });
            };
            let reply = service.handle(self.from, &request).await;
            match self.wires.end(self.from, to) {
                Some(_) => Ok(reply),
                None => Err(TransportError::Broken {
                    to,
                    cause: Cause::from("the wire was cut"),
                }),
            }
        })
    }
}

/// What survives a server that ends.
#[derive(Debug, Clone)]
pub struct Disk {
    pub id: ServerId,
    pub log: MemoryLog,
    pub state: MemoryState,
    pub full: Arc<AtomicBool>,
    folder: Arc<TempDir>,
}

pub fn peer(id: ServerId) -> Peer {
    Peer {
        name: format!("server-{id}"),
        address: format!("server-{id}:6444"),
        api: format!("server-{id}:6443"),
    }
}

impl Disk {
    pub fn new(id: ServerId, cluster: &ClusterId) -> Self {
        Self {
            id,
            log: MemoryLog::default(),
            state: MemoryState::of(cluster.clone()),
            full: Arc::default(),
            folder: Arc::new(tempfile::tempdir().expect("a temporary folder")),
        }
    }

    pub async fn start(&self, wires: &Wires, origin: Origin, options: Options) -> Server {
        let server = self
            .try_start(wires, origin, options)
            .await
            .expect("the server starts");
        wires.plug(self.id, server.service().clone());
        server
    }

    pub async fn try_start(
        &self,
        wires: &Wires,
        origin: Origin,
        options: Options,
    ) -> Result<Server, StartError> {
        let full = Arc::clone(&self.full);
        let mut state = self.state.clone();
        let loaded = state.load().expect("memory can be read");
        Server::start(Setup {
            id: self.id,
            peer: peer(self.id),
            log: self.log.clone(),
            state,
            loaded,
            transport: Arc::new(End {
                from: self.id,
                wires: wires.clone(),
            }),
            folder: self.folder.path().join("snapshots"),
            options,
            tuning: Tuning::default(),
            room: Some(Arc::new(move |_| match full.load(Ordering::SeqCst) {
                true => Err(StateError::Full(Cause::from("no space left"))),
                false => Ok(()),
            })),
            drive: Drive::Inline,
            origin,
        })
        .await
    }
}

/// Some servers with their disks.
pub struct Cluster {
    pub wires: Wires,
    pub disks: Vec<Disk>,
    pub servers: BTreeMap<ServerId, Server>,
    options: Options,
}

impl Cluster {
    /// `count` servers of a new cluster, all voting.
    pub async fn of(count: u64, options: Options) -> Self {
        let id = ClusterId::generate();
        let disks = (1..=count).map(|number| Disk::new(number, &id)).collect();
        Self::on(disks, options).await
    }

    /// Servers on `disks`, which may hold a cluster already.
    pub async fn on(disks: Vec<Disk>, options: Options) -> Self {
        let mut cluster = Self {
            wires: Wires::default(),
            disks: Vec::new(),
            servers: BTreeMap::new(),
            options,
        };
        for disk in disks {
            cluster.add(disk).await;
        }
        cluster.settle().await;
        cluster
    }

    /// Starts a server and gives it a vote, where it has none.
    pub async fn add(&mut self, disk: Disk) {
        let id = disk.id;
        let origin = match self.disks.is_empty() {
            true => Origin::Found,
            false => Origin::Join,
        };
        let server = disk.start(&self.wires, origin, self.options.clone()).await;
        let joins = server.members().list().is_empty();
        self.disks.push(disk);
        self.servers.insert(id, server);
        if joins {
            let leader = self.leader().await;
            let members = self.servers[&leader].members();
            members
                .change(Change::Add(id, peer(id)))
                .await
                .expect("the leader takes it");
            eventually("the new server votes", || {
                let members = members.clone();
                async move {
                    members.change(Change::Promote(id)).await.is_ok()
                        && members
                            .list()
                            .iter()
                            .any(|info| info.id == id && info.role != Role::Learner)
                }
            })
            .await;
        }
    }

    pub fn disk(&self, id: ServerId) -> Disk {
        self.disks
            .iter()
            .find(|disk| disk.id == id)
            .expect("a disk of that server")
            .clone()
    }

    /// Starts a stopped or killed server again.
    pub async fn restart(&mut self, id: ServerId) {
        let server = self
            .disk(id)
            .start(&self.wires, Origin::Join, self.options.clone())
            .await;
        self.servers.insert(id, server);
    }

    pub async fn stop(&mut self, id: ServerId) {
        let server = self.servers.remove(&id).expect("it runs");
        server.stop().await;
        self.wires.unplug(id);
    }

    pub async fn stop_all(self) {
        for (id, server) in self.servers {
            // The others are about to stop, too: nobody needs to take over.
            self.wires.unplug(id);
            server.stop().await;
        }
    }

    /// The server that leads, once there is one.
    pub async fn leader(&self) -> ServerId {
        let mut found = None;
        eventually("a server leads", || {
            found = self
                .servers
                .iter()
                .find(|(_, server)| server.members().leads())
                .map(|(id, _)| *id);
            let leads = found.is_some();
            async move { leads }
        })
        .await;
        found.expect("a server leads")
    }

    pub async fn leader_store(&self) -> Store {
        self.servers[&self.leader().await].store().clone()
    }

    async fn settle(&self) {
        self.leader().await;
    }

    pub fn store(&self, id: ServerId) -> Store {
        self.servers[&id].store().clone()
    }
}

/// Waits until `condition` holds.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    for _ in 0..3000 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not within 30 s: {what}");
}

pub fn key(name: &str) -> Key {
    Key::parse(&format!("/registry/configmaps/test/{name}")).expect("a key")
}

pub fn put(name: &str, text: &str) -> Txn {
    let value = Value::encode(&serde_json::json!({"text": text})).expect("a value");
    Txn {
        actor: "test".into(),
        compares: vec![],
        ops: vec![Op::Put {
            key: key(name),
            value,
            expires_at: None,
        }],
    }
}

pub async fn write(store: &Store, name: &str, text: &str) -> Result<u64, StoreError> {
    match store.commit(put(name, text)).await? {
        Outcome::Committed { revision } => Ok(revision.get()),
        Outcome::Refused { .. } => unreachable!("nothing was compared"),
    }
}

pub fn text(store: &Store, name: &str) -> Option<String> {
    let entry = store.get(&key(name))?;
    let object = entry.value.to_json(entry.mod_revision).expect("JSON");
    Some(object["text"].as_str().expect("a text").to_owned())
}
