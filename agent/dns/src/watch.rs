//! The API's objects, as they change, into the zone.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::watcher;
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::names::Names;
use crate::zone::{ServiceFacts, SliceFacts, Zone};

/// Namespace and name.
type Key = (String, String);

/// A kind of object that names come from.
trait Source: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static {
    /// Takes the object in.
    fn put(&self, zone: &mut Zone);
    /// Forgets the object called `key`.
    fn remove(key: &Key, zone: &mut Zone);
    /// The keys of all objects of this kind in the zone.
    fn known(zone: &Zone) -> BTreeSet<Key>;

    fn key(&self) -> Key {
        (self.namespace().unwrap_or_default(), self.name_any())
    }
}

impl Source for Service {
    fn put(&self, zone: &mut Zone) {
        match ServiceFacts::of(self) {
            Some(facts) => zone.put_service(facts),
            None => Self::remove(&self.key(), zone),
        }
    }

    fn remove((namespace, name): &Key, zone: &mut Zone) {
        zone.remove_service(namespace, name);
    }

    fn known(zone: &Zone) -> BTreeSet<Key> {
        let services = zone.contents().services;
        services
            .into_iter()
            .map(|one| (one.namespace, one.name))
            .collect()
    }
}

impl Source for EndpointSlice {
    fn put(&self, zone: &mut Zone) {
        match SliceFacts::of(self) {
            Some(facts) => zone.put_slice(facts),
            None => Self::remove(&self.key(), zone),
        }
    }

    fn remove((namespace, name): &Key, zone: &mut Zone) {
        zone.remove_slice(namespace, name);
    }

    fn known(zone: &Zone) -> BTreeSet<Key> {
        let slices = zone.contents().slices;
        slices.into_iter().map(|one| (one.namespace, one.name)).collect()
    }
}

impl Source for Namespace {
    fn put(&self, zone: &mut Zone) {
        zone.put_namespace(&self.name_any());
    }

    fn remove((_, name): &Key, zone: &mut Zone) {
        zone.remove_namespace(name);
    }

    fn known(zone: &Zone) -> BTreeSet<Key> {
        let names = zone.contents().namespaces;
        names.into_iter().map(|name| (String::new(), name)).collect()
    }
}

/// Kinds that must have been listed before an unknown name is known not to exist.
const KINDS: usize = 3;

/// Keeps the zone of `names` as the API has it, until `stop`. While the API is away the zone stays.
pub(crate) async fn run(client: Client, names: Arc<Names>, stop: CancellationToken) {
    let listed = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    tasks.spawn(follow::<Namespace>(
        client.clone(),
        Arc::clone(&names),
        Arc::clone(&listed),
    ));
    tasks.spawn(follow::<Service>(
        client.clone(),
        Arc::clone(&names),
        Arc::clone(&listed),
    ));
    tasks.spawn(follow::<EndpointSlice>(client, names, listed));
    // Dropping the tasks ends them; nothing is lost that the next watch does not tell again.
    stop.run_until_cancelled(async { while tasks.join_next().await.is_some() {} })
        .await;
}

async fn follow<T: Source>(client: Client, names: Arc<Names>, listed: Arc<AtomicUsize>) {
    let api = Api::<T>::all(client);
    let mut changes = agent_watch::events(api, watcher::Config::default());
    let mut follower = Follower::new(names, listed);
    while let Some(change) = changes.next().await {
        follower.take::<T>(change);
    }
}

/// Takes one kind's changes into the zone.
struct Follower {
    names: Arc<Names>,
    /// How many kinds have been listed whole.
    listed: Arc<AtomicUsize>,
    is_listed: bool,
    /// What the list under way has told.
    seen: BTreeSet<Key>,
}

impl Follower {
    fn new(names: Arc<Names>, listed: Arc<AtomicUsize>) -> Self {
        Self {
            names,
            listed,
            is_listed: false,
            seen: BTreeSet::new(),
        }
    }

    fn take<T: Source>(&mut self, change: watcher::Event<T>) {
        match change {
            watcher::Event::Init => self.seen.clear(),
            watcher::Event::InitApply(object) => {
                self.seen.insert(object.key());
                self.names.change(|zone| object.put(zone));
            }
            watcher::Event::InitDone => {
                // What was there is answered from until the list is whole.
                let seen = std::mem::take(&mut self.seen);
                self.names.change(|zone| forget_others::<T>(zone, &seen));
                self.note_listed();
            }
            watcher::Event::Apply(object) => self.names.change(|zone| object.put(zone)),
            watcher::Event::Delete(object) => self.names.change(|zone| T::remove(&object.key(), zone)),
        }
    }

    fn note_listed(&mut self) {
        if self.is_listed {
            return;
        }
        self.is_listed = true;
        if self.listed.fetch_add(1, Ordering::AcqRel) + 1 == KINDS {
            self.names.set_ready();
            info!("cluster names are known");
        }
    }
}

fn forget_others<T: Source>(zone: &mut Zone, seen: &BTreeSet<Key>) {
    for key in T::known(zone).difference(seen) {
        T::remove(key, zone);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::zone::tests::{example, zone};

    fn service(name: &str) -> Service {
        let meta = json!({"namespace": "default", "name": name});
        serde_json::from_value(json!({"metadata": meta, "spec": {"clusterIP": "10.43.9.9"}})).unwrap()
    }

    fn services(names: &Names) -> Vec<String> {
        let contents = names.read(Zone::contents);
        contents.services.into_iter().map(|one| one.name).collect()
    }

    #[test]
    fn a_new_list_takes_away_what_it_does_not_tell_and_not_before_its_end() {
        let names = Arc::new(Names::new(example()));
        let mut follower = Follower::new(Arc::clone(&names), Arc::default());
        let before = services(&names).len();
        follower.take::<Service>(watcher::Event::Init);
        follower.take(watcher::Event::InitApply(service("kubernetes")));
        assert_eq!(services(&names).len(), before);
        follower.take::<Service>(watcher::Event::InitDone);
        assert_eq!(services(&names), ["kubernetes"]);
        assert!(
            !names.read(Zone::contents).slices.is_empty(),
            "another kind's are left alone"
        );
        follower.take(watcher::Event::Apply(service("more")));
        follower.take(watcher::Event::Delete(service("kubernetes")));
        assert_eq!(services(&names), ["more"]);
    }

    #[test]
    fn names_are_known_when_every_kind_has_been_listed_once() {
        let names = Arc::new(Names::new(zone()));
        let listed = Arc::new(AtomicUsize::new(0));
        let follower = || Follower::new(Arc::clone(&names), Arc::clone(&listed));
        let (mut first, mut second, mut third) = (follower(), follower(), follower());
        first.take::<Namespace>(watcher::Event::InitDone);
        first.take::<Namespace>(watcher::Event::InitDone);
        second.take::<Service>(watcher::Event::InitDone);
        assert!(!names.is_ready());
        third.take::<EndpointSlice>(watcher::Event::InitDone);
        assert!(names.is_ready());
    }

    #[test]
    fn a_slice_that_loses_its_service_is_forgotten() {
        let names = Names::new(example());
        let slice = EndpointSlice {
            metadata: kube::api::ObjectMeta {
                namespace: Some("default".to_owned()),
                name: Some("headless-x7k2p".to_owned()),
                ..kube::api::ObjectMeta::default()
            },
            ..EndpointSlice::default()
        };
        names.change(|zone| slice.put(zone));
        assert!(names.read(Zone::contents).slices.is_empty());
    }
}
