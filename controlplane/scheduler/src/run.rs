//! The loop: one task owns the snapshot and the queue; calls run beside it.

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use controlplane_events::{Recorder, recorder};
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use kube::{Api, Client};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::bind::{bind, condition, write_condition};
use crate::decide::{Decision, decide};
use crate::facts::{NodeFacts, PodFacts, Standing, standing, usage};
use crate::queue::{Failure, Queue};
use crate::snapshot::{Change, Snapshot};

/// Calls in flight at once; while they are all busy, pods wait in the queue.
const CALLS: usize = 32;
/// Decisions made before news are looked at again.
const BATCH: usize = 64;

type Changes<K> = BoxStream<'static, Result<Event<K>, watcher::Error>>;

/// What the scheduler watches.
struct News {
    nodes: Changes<Node>,
    pods: Changes<Pod>,
    namespaces: Changes<Namespace>,
}

/// Schedules pods of `schedulerName: default-scheduler` until `stop`.
pub async fn run(client: Client, stop: CancellationToken) {
    let (recorder, writer) = recorder(client.clone(), "default-scheduler", stop.clone());
    let mut writers = JoinSet::new();
    writers.spawn(writer);
    let seed = Timestamp::now().as_nanosecond().unsigned_abs();
    let mut scheduler = Scheduler {
        client: client.clone(),
        recorder,
        seed: u64::try_from(seed & u128::from(u64::MAX)).unwrap_or_default(),
        snapshot: Snapshot::default(),
        queue: Queue::default(),
        calls: JoinSet::new(),
        listed_nodes: BTreeSet::new(),
        listed_pods: BTreeSet::new(),
        nodes_known: false,
        pods_known: false,
        namespaces_known: false,
    };
    let news = News {
        nodes: news(&client),
        pods: news(&client),
        namespaces: news(&client),
    };
    scheduler.work(news, stop).await;
    // Bindings begun are finished: their outcome would otherwise be unknown.
    while scheduler.calls.join_next().await.is_some() {}
    while writers.join_next().await.is_some() {}
}

fn news<K>(client: &Client) -> Changes<K>
where
    K: kube::Resource<DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned
        + Send
        + 'static,
{
    watch(Api::all(client.clone()), watcher::Config::default())
        .default_backoff()
        .boxed()
}

/// The result of a call, for the loop.
enum Outcome {
    Bound(Arc<PodFacts>, String, Result<(), kube::Error>),
    Told(Arc<PodFacts>, Result<(), kube::Error>),
}

struct Scheduler {
    client: Client,
    recorder: Recorder,
    seed: u64,
    snapshot: Snapshot,
    queue: Queue,
    calls: JoinSet<Outcome>,
    /// Names of nodes, then UIDs of pods, delivered by a list under way.
    listed_nodes: BTreeSet<String>,
    listed_pods: BTreeSet<String>,
    /// Nothing is decided before all lists have been read.
    nodes_known: bool,
    pods_known: bool,
    namespaces_known: bool,
}

impl Scheduler {
    async fn work(&mut self, mut news: News, stop: CancellationToken) {
        loop {
            self.decide_ready();
            let alarm = self.queue.next_alarm().filter(|_| self.free());
            tokio::select! {
                biased;
                // Cancel-safe: a token stays cancelled.
                () = stop.cancelled() => return,
                // Cancel-safe: an outcome is taken only when returned.
                Some(outcome) = self.calls.join_next() => self.finish(outcome),
                // Cancel-safe: a stream's `next` takes an item only when it returns it.
                Some(event) = news.nodes.next() => self.node(event),
                // Cancel-safe as above.
                Some(event) = news.namespaces.next() => self.namespace(event),
                // Cancel-safe as above.
                Some(event) = news.pods.next() => self.pods(event, &mut news.pods),
                // Cancel-safe: a dropped sleep loses nothing.
                () = sleep_until(alarm) => {}
            }
        }
    }

    fn free(&self) -> bool {
        self.calls.len() < CALLS && self.nodes_known && self.pods_known && self.namespaces_known
    }

    fn decide_ready(&mut self) {
        for _ in 0..BATCH {
            if !self.free() {
                return;
            }
            let Some(pod) = self.queue.pop(Instant::now()) else {
                return;
            };
            match decide(&pod, &self.snapshot, self.seed) {
                Decision::Node(node) => self.start_binding(pod, node),
                Decision::Unschedulable(message) => {
                    self.recorder
                        .warning(&pod.reference, "FailedScheduling", message.clone());
                    self.wait(&pod, "Unschedulable", &message);
                }
                Decision::Gated => {
                    let message = "Scheduling is blocked due to non-empty scheduling gates";
                    self.wait(&pod, "SchedulingGated", message);
                }
            }
        }
    }

    fn start_binding(&mut self, pod: Arc<PodFacts>, node: String) {
        self.snapshot.assume(&pod.uid, &node, pod.usage.clone());
        self.wake_on(Change::Company);
        let client = self.client.clone();
        self.calls.spawn(async move {
            let result = bind(&client, &pod, &node).await;
            Outcome::Bound(pod, node, result)
        });
    }

    fn wait(&mut self, pod: &Arc<PodFacts>, reason: &str, message: &str) {
        self.queue
            .failed(&pod.uid, Failure::Unschedulable, Instant::now());
        debug!(
            namespace = pod.namespace,
            pod = pod.name,
            message,
            "pod fits nowhere"
        );
        if let Some(condition) = condition(pod, reason, message, Timestamp::now()) {
            let call = write_condition(self.client.clone(), pod.clone(), condition);
            let pod = pod.clone();
            self.calls
                .spawn(call.map(move |result| Outcome::Told(pod, result)));
        }
    }

    fn finish(&mut self, outcome: Result<Outcome, tokio::task::JoinError>) {
        match outcome {
            Ok(Outcome::Bound(pod, node, Ok(()))) => self.bound(&pod, &node),
            Ok(Outcome::Bound(pod, node, Err(error))) => self.not_bound(&pod, &node, &error),
            Ok(Outcome::Told(pod, Err(error))) => {
                let error: &dyn Error = &error;
                debug!(pod = pod.name, error, "condition not written");
            }
            Ok(Outcome::Told(_, Ok(()))) => {}
            Err(error) => warn!(%error, "scheduler call failed"),
        }
    }

    fn bound(&mut self, pod: &PodFacts, node: &str) {
        self.queue.remove(&pod.uid);
        let message = format!("Successfully assigned {}/{} to {node}", pod.namespace, pod.name);
        self.recorder.normal(&pod.reference, "Scheduled", message);
        info!(namespace = pod.namespace, pod = pod.name, node, "pod scheduled");
    }

    fn not_bound(&mut self, pod: &PodFacts, node: &str, error: &kube::Error) {
        self.forget(&pod.uid);
        let gone = matches!(error, kube::Error::Api(status) if status.is_not_found());
        if gone {
            self.queue.remove(&pod.uid);
            return;
        }
        self.queue.failed(&pod.uid, Failure::Call, Instant::now());
        let words = match error {
            kube::Error::Api(status) => status.message.clone(),
            other => other.to_string(),
        };
        let message = format!("binding rejected: {words}");
        self.recorder.warning(&pod.reference, "FailedScheduling", message);
        let error: &dyn Error = error;
        warn!(
            namespace = pod.namespace,
            pod = pod.name,
            node,
            error,
            "pod not bound"
        );
    }

    fn forget(&mut self, uid: &str) {
        let change = self.snapshot.forget(uid);
        self.wake_on(change);
    }

    fn wake_on(&mut self, change: Change) {
        match change {
            Change::Room => self.queue.wake(Instant::now()),
            Change::Company => self.queue.wake_minding(Instant::now()),
            Change::None => {}
        }
    }

    fn node(&mut self, event: Result<Event<Node>, watcher::Error>) {
        match event {
            Ok(Event::Init) => self.listed_nodes.clear(),
            Ok(Event::InitApply(node)) => {
                let facts = NodeFacts::read(&node);
                self.listed_nodes.insert(facts.name.clone());
                self.set_node(facts);
            }
            Ok(Event::InitDone) => {
                let listed = std::mem::take(&mut self.listed_nodes);
                self.snapshot.retain_nodes(&listed);
                self.nodes_known = true;
            }
            Ok(Event::Apply(node)) => self.set_node(NodeFacts::read(&node)),
            Ok(Event::Delete(node)) => {
                let name = node.metadata.name.unwrap_or_default();
                self.snapshot.remove_node(&name);
            }
            Err(error) => debug!(error = &error as &dyn Error, "watch of nodes interrupted"),
        }
    }

    fn namespace(&mut self, event: Result<Event<Namespace>, watcher::Error>) {
        match event {
            // One that a later list does not have is empty, and its labels decide nothing.
            Ok(Event::Init) => {}
            Ok(Event::InitApply(namespace) | Event::Apply(namespace)) => {
                let name = namespace.metadata.name.unwrap_or_default();
                let labels = namespace.metadata.labels.unwrap_or_default();
                let change = self.snapshot.set_namespace(&name, labels);
                self.wake_on(change);
            }
            Ok(Event::InitDone) => self.namespaces_known = true,
            Ok(Event::Delete(namespace)) => {
                let name = namespace.metadata.name.unwrap_or_default();
                self.snapshot.remove_namespace(&name);
            }
            Err(error) => debug!(error = &error as &dyn Error, "watch of namespaces interrupted"),
        }
    }

    fn set_node(&mut self, facts: NodeFacts) {
        let change = self.snapshot.set_node(facts);
        self.wake_on(change);
    }

    /// Takes in one event and all that have arrived with it, so that a burst is decided on as one.
    fn pods(&mut self, first: Result<Event<Pod>, watcher::Error>, more: &mut Changes<Pod>) {
        self.pod(first);
        while let Some(Some(event)) = more.next().now_or_never() {
            self.pod(event);
        }
    }

    fn pod(&mut self, event: Result<Event<Pod>, watcher::Error>) {
        match event {
            Ok(Event::Init) => self.listed_pods.clear(),
            Ok(Event::InitApply(pod)) => {
                self.listed_pods
                    .insert(pod.metadata.uid.clone().unwrap_or_default());
                self.set_pod(&pod);
            }
            Ok(Event::InitDone) => {
                let listed = std::mem::take(&mut self.listed_pods);
                self.queue.retain(&listed);
                let change = self.snapshot.retain_pods(&listed);
                self.pods_known = true;
                self.wake_on(change);
            }
            Ok(Event::Apply(pod)) => self.set_pod(&pod),
            Ok(Event::Delete(pod)) => self.drop_pod(pod.metadata.uid.as_deref()),
            Err(error) => debug!(error = &error as &dyn Error, "watch of pods interrupted"),
        }
    }

    fn set_pod(&mut self, pod: &Pod) {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        match standing(pod) {
            Standing::Placed(node) => {
                self.queue.remove(uid);
                let change = self.snapshot.place(uid, &node, usage(pod));
                self.wake_on(change);
            }
            // While it is assumed to be on a node its binding is on the way.
            Standing::Waiting if self.snapshot.is_assumed(uid) => {}
            Standing::Waiting => self.queue.offer(PodFacts::read(pod), Instant::now()),
            Standing::NotOurs => self.drop_pod(Some(uid)),
        }
    }

    fn drop_pod(&mut self, uid: Option<&str>) {
        let uid = uid.unwrap_or_default();
        self.queue.remove(uid);
        let change = self.snapshot.remove(uid);
        self.wake_on(change);
    }
}

async fn sleep_until(alarm: Option<Instant>) {
    match alarm {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
