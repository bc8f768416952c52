//! The API's objects, as they change, into the zone.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

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
    let mut changes = std::pin::pin!(watcher(api, watcher::Config::default()).default_backoff());
    let mut seen = BTreeSet::new();
    let mut first = true;
    while let Some(change) = changes.next().await {
        match change {
            Ok(watcher::Event::Init) => seen.clear(),
            Ok(watcher::Event::InitApply(object)) => {
                seen.insert(object.key());
                names.change(|zone| object.put(zone));
            }
            Ok(watcher::Event::InitDone) => {
                // What was there is answered from until the list is whole.
                names.change(|zone| forget_others::<T>(zone, &seen));
                seen.clear();
                if std::mem::take(&mut first) && listed.fetch_add(1, Ordering::AcqRel) + 1 == KINDS {
                    names.set_ready();
                    info!("cluster names are known");
                }
            }
            Ok(watcher::Event::Apply(object)) => names.change(|zone| object.put(zone)),
            Ok(watcher::Event::Delete(object)) => names.change(|zone| T::remove(&object.key(), zone)),
            Err(error) => debug!(error = &error as &dyn std::error::Error, "watch for names failed"),
        }
    }
}

fn forget_others<T: Source>(zone: &mut Zone, seen: &BTreeSet<Key>) {
    for key in T::known(zone).difference(seen) {
        T::remove(key, zone);
    }
}
