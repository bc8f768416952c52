//! ConfigMaps, Secrets and Services that this node's pods refer to, each watched by name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agent_cache::{Kind, NODE, PodCache};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use kube::runtime::watcher;
use kube::{Api, Client};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::wake::Wake;

/// How long a pod waits for the first answer about an object.
const PATIENCE: Duration = Duration::from_secs(5);

/// The ConfigMap with the cluster's certificate, which a controller puts into each new namespace. Nearly every pod mounts
/// it, and the first one may be sooner than it.
const PUBLISHED: &str = "kube-root-ca.crt";

/// How long a pod waits for [`PUBLISHED`] to be there; a control plane that is busy takes its time.
const PUBLISHING: Duration = PATIENCE;

/// What a pod may refer to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reference {
    ConfigMap { namespace: String, name: String },
    Secret { namespace: String, name: String },
}

/// What is known about a referenced object.
#[derive(Debug, Clone, Default)]
enum Known<T> {
    /// No answer yet.
    #[default]
    Nothing,
    Absent,
    Present(Box<T>),
}

#[derive(Debug)]
enum Cell {
    ConfigMap(watch::Receiver<Known<ConfigMap>>),
    Secret(watch::Receiver<Known<Secret>>),
}

#[derive(Debug)]
struct Entry {
    cell: Cell,
    task: tokio::task::AbortHandle,
    /// Pods that refer to it, with what wakes their workers.
    users: BTreeMap<String, Arc<Wake>>,
}

type Users = Arc<Mutex<State>>;

/// Every Service by namespace and name.
type Services = Arc<BTreeMap<(String, String), Service>>;

#[derive(Debug, Default)]
struct State {
    entries: BTreeMap<Reference, Entry>,
    tasks: JoinSet<()>,
}

/// The objects of one pod at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot {
    pub(crate) config_maps: BTreeMap<String, ConfigMap>,
    pub(crate) secrets: BTreeMap<String, Secret>,
    /// What the API has not answered about.
    pub(crate) unknown: Vec<Reference>,
}

/// The watched objects of all pods.
#[derive(Clone)]
pub(crate) struct Objects {
    client: Client,
    state: Users,
    services: watch::Receiver<Option<Services>>,
    cache: Arc<PodCache>,
    /// Whether there is no use in waiting for the API.
    away: Arc<AtomicBool>,
}

impl Objects {
    /// Watches every Service from now on, and other objects as they are asked for; what it is told it keeps
    /// in `cache`, and answers from there while the API is away.
    pub(crate) fn new(client: Client, cache: Arc<PodCache>) -> Self {
        let (sender, services) = watch::channel(None);
        let mut state = State::default();
        state.tasks.spawn(watch_services(client.clone(), sender));
        Self {
            client,
            state: Arc::new(Mutex::new(state)),
            services,
            cache,
            away: Arc::default(),
        }
    }

    /// What the node remembers of its pods.
    pub(crate) fn cache(&self) -> &PodCache {
        &self.cache
    }

    /// Says whether the API is known not to answer: then nothing waits for it.
    pub(crate) fn api_is_away(&self, away: bool) {
        self.away.store(away, Ordering::Release);
    }

    /// Whether it is.
    pub(crate) fn is_api_away(&self) -> bool {
        self.away.load(Ordering::Acquire)
    }

    fn deadline(&self) -> Instant {
        let away = self.is_api_away();
        Instant::now() + if away { Duration::ZERO } else { PATIENCE }
    }

    /// The Services that the environment of a pod in `namespace` tells of; those last known where the API
    /// has not answered in time.
    pub(crate) async fn services(&self, namespace: &str) -> Vec<Service> {
        let mut services = self.services.clone();
        let answered = services.wait_for(Option::is_some);
        let all = match tokio::time::timeout_at(self.deadline(), answered).await {
            Ok(Ok(known)) => known.clone().unwrap_or_default(),
            Ok(Err(_)) | Err(_) => {
                let kept = self.cache.get(NODE, Kind::Service, namespace);
                return kept.unwrap_or_default();
            }
        };
        let told = all.iter().filter(|((of, name), _)| {
            of == namespace || (of.as_str(), name.as_str()) == ("default", "kubernetes")
        });
        let told: Vec<Service> = told.map(|(_, service)| bare(service)).collect();
        self.cache.keep(NODE, Kind::Service, namespace, &told);
        told
    }

    /// The objects that pod `uid` refers to; a later change of one wakes `wake`.
    pub(crate) async fn get(
        &self,
        uid: &str,
        wake: &Arc<Wake>,
        references: &BTreeSet<Reference>,
    ) -> Snapshot {
        let mut snapshot = Snapshot::default();
        let deadline = self.deadline();
        for reference in references {
            let name = name(reference);
            match self.cell(uid, wake, reference) {
                Cell::ConfigMap(mut cell) => {
                    if name == PUBLISHED {
                        is_published(&mut cell, deadline.min(Instant::now() + PUBLISHING)).await;
                    }
                    let answer = first_answer(cell, deadline).await;
                    match self.kept(uid, Kind::ConfigMap, &name, answer) {
                        Known::Present(object) => drop(snapshot.config_maps.insert(name, *object)),
                        Known::Absent => {}
                        Known::Nothing => snapshot.unknown.push(reference.clone()),
                    }
                }
                Cell::Secret(cell) => {
                    let answer = first_answer(cell, deadline).await;
                    match self.kept(uid, Kind::Secret, &name, answer) {
                        Known::Present(object) => drop(snapshot.secrets.insert(name, *object)),
                        Known::Absent => {}
                        Known::Nothing => snapshot.unknown.push(reference.clone()),
                    }
                }
            }
        }
        snapshot
    }

    /// `answer`, which is remembered; what was remembered where there is none.
    fn kept<T: Serialize + DeserializeOwned>(
        &self,
        uid: &str,
        kind: Kind,
        name: &str,
        answer: Known<T>,
    ) -> Known<T> {
        match &answer {
            Known::Present(object) => self.cache.keep(uid, kind, name, &Some(object)),
            // That it is not there has to be known too: it may be optional.
            Known::Absent => self.cache.keep(uid, kind, name, &None::<T>),
            Known::Nothing => match self.cache.get::<Option<T>>(uid, kind, name) {
                Some(Some(object)) => return Known::Present(Box::new(object)),
                Some(None) => return Known::Absent,
                None => {}
            },
        }
        answer
    }

    fn cell(&self, uid: &str, wake: &Arc<Wake>, reference: &Reference) -> Cell {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { entries, tasks } = &mut *state;
        let entry = entries
            .entry(reference.clone())
            .or_insert_with(|| begin(&self.client, &self.state, tasks, reference.clone()));
        entry.users.insert(uid.to_owned(), Arc::clone(wake));
        match &entry.cell {
            Cell::ConfigMap(cell) => Cell::ConfigMap(cell.clone()),
            Cell::Secret(cell) => Cell::Secret(cell.clone()),
        }
    }

    /// Forgets pod `uid`: what no other pod refers to is no longer watched.
    pub(crate) fn release(&self, uid: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.entries.retain(|_, entry| {
            entry.users.remove(uid);
            if entry.users.is_empty() {
                entry.task.abort();
            }
            !entry.users.is_empty()
        });
        while state.tasks.try_join_next().is_some() {}
    }
}

fn name(reference: &Reference) -> String {
    match reference {
        Reference::ConfigMap { name, .. } | Reference::Secret { name, .. } => name.clone(),
    }
}

/// What environments tell of `service`.
fn bare(service: &Service) -> Service {
    let mut bare = service.clone();
    bare.status = None;
    bare.metadata.managed_fields = None;
    bare.metadata.annotations = None;
    bare
}

/// Returns when the object is there, or is not by `deadline`.
async fn is_published<T>(cell: &mut watch::Receiver<Known<T>>, deadline: Instant) {
    let there = cell.wait_for(|known| matches!(known, Known::Present(_)));
    // What was not seen in time is asked about as any other object.
    tokio::time::timeout_at(deadline, there).await.ok();
}

async fn first_answer<T: Clone + Send + Sync>(
    mut cell: watch::Receiver<Known<T>>,
    deadline: Instant,
) -> Known<T> {
    let answered = cell.wait_for(|known| !matches!(known, Known::Nothing));
    match tokio::time::timeout_at(deadline, answered).await {
        Ok(Ok(known)) => known.clone(),
        Ok(Err(_)) | Err(_) => Known::Nothing,
    }
}

fn begin(client: &Client, users: &Users, tasks: &mut JoinSet<()>, reference: Reference) -> Entry {
    let wake = Waker {
        users: Arc::clone(users),
        reference: reference.clone(),
    };
    let (cell, task) = match reference {
        Reference::ConfigMap { namespace, name } => {
            let (sender, receiver) = watch::channel(Known::Nothing);
            let api = Api::<ConfigMap>::namespaced(client.clone(), &namespace);
            (
                Cell::ConfigMap(receiver),
                tasks.spawn(watch_one(api, name, sender, wake)),
            )
        }
        Reference::Secret { namespace, name } => {
            let (sender, receiver) = watch::channel(Known::Nothing);
            let api = Api::<Secret>::namespaced(client.clone(), &namespace);
            (
                Cell::Secret(receiver),
                tasks.spawn(watch_one(api, name, sender, wake)),
            )
        }
    };
    Entry {
        cell,
        task,
        users: BTreeMap::new(),
    }
}

struct Waker {
    users: Users,
    reference: Reference,
}

impl Waker {
    fn wake(&self) {
        let state = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let users = state.entries.get(&self.reference).map(|entry| &entry.users);
        users
            .into_iter()
            .flatten()
            .for_each(|(_, wake)| wake.object_changed());
    }
}

async fn watch_one<T>(api: Api<T>, name: String, cell: watch::Sender<Known<T>>, waker: Waker)
where
    T: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + Sync + 'static,
{
    let mut changes = agent_watch::object(api, &name);
    while let Some(found) = changes.next().await {
        cell.send_replace(found.map_or(Known::Absent, |object| Known::Present(Box::new(object))));
        waker.wake();
    }
}

async fn watch_services(client: Client, sender: watch::Sender<Option<Services>>) {
    let api = Api::<Service>::all(client);
    let mut changes = agent_watch::events(api, watcher::Config::default());
    let mut map = BTreeMap::new();
    let mut complete = false;
    let key = |service: &Service| {
        let part = |text: &Option<String>| text.clone().unwrap_or_default();
        (part(&service.metadata.namespace), part(&service.metadata.name))
    };
    while let Some(change) = changes.next().await {
        match change {
            watcher::Event::Init => {
                map.clear();
                complete = false;
            }
            watcher::Event::InitApply(service) | watcher::Event::Apply(service) => {
                map.insert(key(&service), service);
            }
            watcher::Event::Delete(service) => drop(map.remove(&key(&service))),
            watcher::Event::InitDone => complete = true,
        }
        if complete {
            sender.send_replace(Some(Arc::new(map.clone())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_certificate_that_is_yet_to_be_published_is_waited_for_but_not_for_ever() {
        let (sender, mut cell) = watch::channel(Known::Absent);
        let short = Instant::now() + Duration::from_millis(20);
        is_published(&mut cell, short).await;
        assert!(Instant::now() >= short);
        let publish = async {
            sender.send_replace(Known::Present(Box::new(ConfigMap::default())));
        };
        let long = Instant::now() + Duration::from_secs(60);
        tokio::join!(is_published(&mut cell, long), publish);
        assert!(Instant::now() < long);
    }
}
