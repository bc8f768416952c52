//! The watches that feed the index, and the wake-ups that come out of it.

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use k8s_openapi::api::core::v1::{Endpoints, Node, Pod, Service};
use kube::api::Api;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::{self, Event};
use kube::{Client, ResourceExt};
use tokio::sync::{mpsc, watch};
use tracing::debug;

use super::index::{Index, Key, key};
use super::pod::Backend;
use crate::drive;
use crate::meta;

/// Wake-ups under way to one controller; beyond it the watches wait.
const WAKES: usize = 1024;
/// Label by which a node tells its zone.
const ZONE: &str = "topology.kubernetes.io/zone";

/// The index, shared by its feed and by the controllers.
#[derive(Debug)]
pub(crate) struct Backends {
    index: Mutex<Index>,
    known: watch::Sender<bool>,
}

impl Default for Backends {
    fn default() -> Self {
        Self {
            index: Mutex::default(),
            known: watch::Sender::new(false),
        }
    }
}

impl Backends {
    /// The index as it is now.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until Services, Endpoints, pods and nodes have been listed.
    pub(crate) async fn wait_until_known(&self) {
        // The sender is `self`, so the channel cannot close under a waiter.
        let mut known = self.known.subscribe();
        let _known = known.wait_for(|known| *known).await;
    }
}

/// Services that one controller is to look at again.
pub(crate) type WakeStream = BoxStream<'static, Result<ObjectRef<Service>, watcher::Error>>;

/// The sending side of the wake-ups of one controller.
#[derive(Debug)]
pub(crate) struct Wakes {
    sender: mpsc::Sender<ObjectRef<Service>>,
}

impl Wakes {
    /// A sender for [`feed`] and the stream for the controller.
    pub(crate) fn channel() -> (Self, WakeStream) {
        let (sender, mut receiver) = mpsc::channel(WAKES);
        let stream = stream::poll_fn(move |context| receiver.poll_recv(context));
        (Self { sender }, stream.map(Ok).boxed())
    }
}

enum News {
    Service(Box<Event<Service>>),
    Endpoints(Box<Event<Endpoints>>),
    Pod(Box<Event<Pod>>),
    Node(Box<Event<Node>>),
}

/// Lists under way, and which have ended.
#[derive(Default)]
struct Lists {
    services: BTreeSet<Key>,
    endpoints: BTreeSet<Key>,
    pods: BTreeSet<Key>,
    nodes: BTreeSet<String>,
    ended: BTreeSet<&'static str>,
}

/// What the feed keeps.
pub(super) struct Caches {
    pub(super) backends: Arc<Backends>,
    pub(super) services: Writer<Service>,
    pub(super) endpoints: Writer<Endpoints>,
}

/// Keeps `caches` and wakes the controllers, for ever.
pub(super) async fn feed(client: Client, mut caches: Caches, wakes: Vec<Wakes>) {
    let mut lists = Lists::default();
    let mut news = news(&client);
    while let Some(event) = news.next().await {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                let error: &dyn Error = &error;
                debug!(error, "watch of backends interrupted");
                continue;
            }
        };
        let concerned = match event {
            News::Service(event) => {
                caches.services.apply_watcher_event(&event);
                service_news(&mut caches.backends.lock(), &mut lists, &event)
            }
            News::Endpoints(event) => {
                caches.endpoints.apply_watcher_event(&event);
                endpoints_news(&mut lists, &event)
            }
            News::Pod(event) => pod_news(&mut caches.backends.lock(), &mut lists, &event),
            News::Node(event) => node_news(&mut caches.backends.lock(), &mut lists, &event),
        };
        if lists.ended.len() == 4 {
            caches.backends.known.send_replace(true);
        }
        for (namespace, name) in concerned {
            let object = ObjectRef::new(&name).within(&namespace);
            for wake in &wakes {
                // A controller that has ended takes no wake-ups; its end ends this one too.
                if wake.sender.send(object.clone()).await.is_err() {
                    return;
                }
            }
        }
    }
}

fn news(client: &Client) -> BoxStream<'static, Result<News, watcher::Error>> {
    let config = watcher::Config::default;
    let services = drive::watch(Api::all(client.clone()), config());
    let endpoints = drive::watch(Api::all(client.clone()), config());
    let pods = drive::watch(Api::all(client.clone()), config());
    let nodes = drive::watch(Api::all(client.clone()), config());
    stream::select_all([
        services
            .map(|event| event.map(|event| News::Service(Box::new(event))))
            .boxed(),
        endpoints
            .map(|event| event.map(|event| News::Endpoints(Box::new(event))))
            .boxed(),
        pods.map(|event| event.map(|event| News::Pod(Box::new(event))))
            .boxed(),
        nodes
            .map(|event| event.map(|event| News::Node(Box::new(event))))
            .boxed(),
    ])
    .boxed()
}

fn service_news(index: &mut Index, lists: &mut Lists, event: &Event<Service>) -> BTreeSet<Key> {
    match event {
        Event::Init => lists.services.clear(),
        Event::InitApply(service) => {
            lists.services.insert(key(&service.metadata));
            index.set_service(service);
        }
        Event::InitDone => {
            lists.ended.insert("services");
            let listed = std::mem::take(&mut lists.services);
            index.retain_services(&listed);
            // Only now does the cache show them.
            return listed;
        }
        Event::Apply(service) => {
            index.set_service(service);
            return [key(&service.metadata)].into();
        }
        Event::Delete(service) => {
            index.drop_service(&key(&service.metadata));
            return [key(&service.metadata)].into();
        }
    }
    BTreeSet::new()
}

/// The Services of the same names: their Endpoints may have to be put right.
fn endpoints_news(lists: &mut Lists, event: &Event<Endpoints>) -> BTreeSet<Key> {
    match event {
        Event::Init => lists.endpoints.clear(),
        Event::InitApply(endpoints) => {
            lists.endpoints.insert(key(&endpoints.metadata));
        }
        Event::InitDone => {
            lists.ended.insert("endpoints");
            return std::mem::take(&mut lists.endpoints);
        }
        Event::Apply(endpoints) | Event::Delete(endpoints) => {
            return [key(&endpoints.metadata)].into();
        }
    }
    BTreeSet::new()
}

fn pod_news(index: &mut Index, lists: &mut Lists, event: &Event<Pod>) -> BTreeSet<Key> {
    match event {
        Event::Init => {
            lists.pods.clear();
            BTreeSet::new()
        }
        Event::InitApply(pod) => {
            lists.pods.insert(key(&pod.metadata));
            index.set_pod(Backend::read(pod))
        }
        Event::InitDone => {
            lists.ended.insert("pods");
            index.retain_pods(&std::mem::take(&mut lists.pods))
        }
        Event::Apply(pod) => index.set_pod(Backend::read(pod)),
        Event::Delete(pod) => index.drop_pod(&key(&pod.metadata)),
    }
}

fn node_news(index: &mut Index, lists: &mut Lists, event: &Event<Node>) -> BTreeSet<Key> {
    let zone = |node: &Node| node.labels().get(ZONE).filter(|zone| !zone.is_empty()).cloned();
    match event {
        Event::Init => {
            lists.nodes.clear();
            BTreeSet::new()
        }
        Event::InitApply(node) => {
            lists.nodes.insert(node.name_any());
            index.set_node(meta::name(&node.metadata), zone(node))
        }
        Event::InitDone => {
            lists.ended.insert("nodes");
            index.retain_nodes(&std::mem::take(&mut lists.nodes))
        }
        Event::Apply(node) => index.set_node(meta::name(&node.metadata), zone(node)),
        Event::Delete(node) => index.drop_node(meta::name(&node.metadata)),
    }
}
