//! The watches, and whom each change concerns.

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use k8s_openapi::api::core::v1::{Node, Pod, PodSpec};
use kube::Client;
use kube::api::Api;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::reflector::Store;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::{self, Event};
use tokio::sync::{mpsc, watch};
use tracing::debug;

use super::index::{Index, Key, key};
use super::taints::{OUT_OF_SERVICE, no_execute, taints};
use crate::drive;
use crate::meta;
use crate::replicaset::pods;

/// Wake-ups under way to one controller; beyond it the watches wait.
const WAKES: usize = 1024;

/// Objects that a controller is to look at again.
pub(crate) type WakeStream<K> = BoxStream<'static, Result<ObjectRef<K>, watcher::Error>>;

/// The sending sides of the wake-ups.
pub(super) struct Wakes {
    /// Changed nodes, for `node-lifecycle`.
    pub(super) nodes: mpsc::Sender<ObjectRef<Node>>,
    /// Pods that a node's taints may drive away, for `taint-eviction`.
    pub(super) tainted: mpsc::Sender<ObjectRef<Pod>>,
    /// Pods that may have to be cleared away, for `pod-gc`.
    pub(super) doomed: mpsc::Sender<ObjectRef<Pod>>,
}

/// A bounded channel whose receiving side is a stream of wake-ups.
pub(super) fn channel<K: kube::Resource<DynamicType = ()> + 'static>()
-> (mpsc::Sender<ObjectRef<K>>, WakeStream<K>) {
    let (sender, mut receiver) = mpsc::channel(WAKES);
    let stream = stream::poll_fn(move |context| receiver.poll_recv(context));
    (sender, stream.map(Ok).boxed())
}

/// What the feed keeps.
pub(super) struct Feed {
    pub(super) index: Arc<Mutex<Index>>,
    pub(super) nodes: Store<Node>,
    pub(super) nodes_writer: Writer<Node>,
    pub(super) pods_writer: Writer<Pod>,
    pub(super) known: watch::Sender<bool>,
    pub(super) wakes: Wakes,
    /// Ended pods kept at most.
    pub(super) threshold: usize,
    pub(super) listed_nodes: BTreeSet<String>,
    pub(super) listed_pods: BTreeSet<Key>,
    pub(super) ended_lists: BTreeSet<&'static str>,
}

enum News {
    Node(Box<Event<Node>>),
    Pod(Box<Event<Pod>>),
}

/// What a change means to whom.
#[derive(Debug, Default)]
struct Concerned {
    nodes: BTreeSet<String>,
    tainted: BTreeSet<Key>,
    doomed: BTreeSet<Key>,
}

/// A controller that took wake-ups has ended.
struct Ended;

impl Feed {
    /// Keeps the caches and wakes the controllers, until one of them ends.
    pub(super) async fn run(mut self, client: Client) {
        let mut news = news(&client);
        while let Some(event) = news.next().await {
            let concerned = match event {
                Ok(News::Node(event)) => self.node(*event),
                Ok(News::Pod(event)) => self.pod(*event),
                Err(error) => {
                    let error: &dyn Error = &error;
                    debug!(error, "watch of nodes or pods interrupted");
                    continue;
                }
            };
            if self.ended_lists.len() == 2 {
                self.known.send_replace(true);
            }
            if self.wake(concerned).await.is_err() {
                return;
            }
        }
    }

    async fn wake(&self, concerned: Concerned) -> Result<(), Ended> {
        for name in concerned.nodes {
            let sent = self.wakes.nodes.send(ObjectRef::new(&name)).await;
            sent.map_err(|_| Ended)?;
        }
        for (pods, sender) in [
            (concerned.tainted, &self.wakes.tainted),
            (concerned.doomed, &self.wakes.doomed),
        ] {
            for (namespace, name) in pods {
                let pod = ObjectRef::new(&name).within(&namespace);
                sender.send(pod).await.map_err(|_| Ended)?;
            }
        }
        Ok(())
    }

    fn node(&mut self, event: Event<Node>) -> Concerned {
        let mut concerned = Concerned::default();
        match &event {
            Event::Init => self.listed_nodes.clear(),
            Event::InitApply(node) => {
                self.listed_nodes.insert(meta::name(&node.metadata).to_owned());
            }
            // Those the list does not have any more are looked at too.
            Event::InitDone => {
                let before = self.nodes.state();
                let names = before.iter().map(|node| meta::name(&node.metadata).to_owned());
                self.listed_nodes.extend(names);
            }
            Event::Apply(node) => {
                let before = self.nodes.get(&ObjectRef::from_obj(node));
                concerned = self.of_node(before.as_deref(), Some(node));
            }
            Event::Delete(node) => concerned = self.of_node(Some(node), None),
        }
        self.nodes_writer.apply_watcher_event(&event);
        if matches!(event, Event::InitDone) {
            // Which nodes have gone is not told apart: all are looked at again, and all their pods.
            self.ended_lists.insert("nodes");
            concerned.nodes = std::mem::take(&mut self.listed_nodes);
            let index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
            concerned.doomed = index.pods().cloned().collect();
            concerned.tainted = concerned.doomed.clone();
        }
        concerned
    }

    fn of_node(&self, before: Option<&Node>, after: Option<&Node>) -> Concerned {
        let name = after.or(before).map_or("", |node| meta::name(&node.metadata));
        let mut concerned = Concerned {
            nodes: [name.to_owned()].into(),
            ..Concerned::default()
        };
        let index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        if driving(before) != driving(after) {
            concerned.tainted = index.on(name).cloned().collect();
        }
        if fate(before) != fate(after) {
            concerned.doomed = index.on(name).cloned().collect();
        }
        concerned
    }

    fn pod(&mut self, event: Event<Pod>) -> Concerned {
        self.pods_writer.apply_watcher_event(&event);
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        let mut concerned = Concerned::default();
        match &event {
            Event::Init => self.listed_pods.clear(),
            Event::InitApply(pod) => {
                self.listed_pods.insert(key(pod));
                index.set(pod);
            }
            Event::InitDone => {
                self.ended_lists.insert("pods");
                let listed = std::mem::take(&mut self.listed_pods);
                index.retain(&listed);
                concerned.tainted.clone_from(&listed);
                concerned.doomed = listed;
            }
            Event::Apply(pod) => {
                index.set(pod);
                concerned.tainted.insert(key(pod));
                concerned.doomed.insert(key(pod));
                if pods::is_finished(pod) {
                    concerned.doomed.extend(index.excess(self.threshold).cloned());
                }
            }
            Event::Delete(pod) => index.forget(&key(pod)),
        }
        concerned
    }
}

/// What drives pods away from a node.
fn driving(node: Option<&Node>) -> Vec<(String, Option<String>)> {
    let taints = node.into_iter().flat_map(no_execute);
    taints
        .map(|taint| (taint.key.clone(), taint.value.clone()))
        .collect()
}

/// Whether a node is there, is ready, and is out of service.
fn fate(node: Option<&Node>) -> Option<(bool, bool)> {
    let node = node?;
    let off = taints(node).iter().any(|taint| taint.key == OUT_OF_SERVICE);
    Some((meta::node_is_ready(node), off))
}

fn news(client: &Client) -> BoxStream<'static, Result<News, watcher::Error>> {
    let config = watcher::Config::default;
    let nodes = drive::watch(Api::all(client.clone()), config());
    let pods = drive::watch(Api::all(client.clone()), config()).map(|event| event.map(trimmed));
    stream::select_all([
        nodes
            .map(|event| event.map(|event| News::Node(Box::new(event))))
            .boxed(),
        pods.map(|event| event.map(|event| News::Pod(Box::new(event))))
            .boxed(),
    ])
    .boxed()
}

/// Drops what no decision here reads, so that the cache of all pods stays small.
fn trimmed(mut event: Event<Pod>) -> Event<Pod> {
    let (Event::Apply(pod) | Event::InitApply(pod) | Event::Delete(pod)) = &mut event else {
        return event;
    };
    if let Some(spec) = pod.spec.take() {
        pod.spec = Some(PodSpec {
            node_name: spec.node_name,
            tolerations: spec.tolerations,
            ..PodSpec::default()
        });
    }
    if let Some(status) = &mut pod.status {
        status.init_container_statuses = None;
        status.container_statuses = None;
        status.pod_ips = None;
    }
    event
}
