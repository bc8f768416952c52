//! Which pods there are: from the API's watch, and from what an earlier agent left.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use agent_cache::Kind;
use agent_core::resize::with_allocation;
use agent_core::{EventDraft, ObjectState, Rejection};
use agent_images::ImageStore;
use agent_runtime::{NodePaths, pod_processes, unit_name};
use agent_systemd::{Change, Changes, UnitManager};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::runtime::watcher;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Registry;
use super::admission::{self, Gate};
use super::allocations::Allocations;
use super::checkpoint::Checkpoint;
use super::resize::Sizing;
use super::sweep::{Known, sweep};
use super::worker::{Goal, Worker};
use crate::config::Config;
use crate::events::Events;
use crate::objects::Objects;
use crate::pulls::Pulls;
use crate::wake::Wake;

/// What all workers share.
pub(crate) struct Context<U> {
    pub(crate) config: Config,
    pub(crate) client: Client,
    pub(crate) units: U,
    pub(crate) paths: NodePaths,
    pub(crate) images: ImageStore,
    pub(crate) pulls: Pulls,
    pub(crate) objects: Objects,
    pub(crate) events: Events,
    pub(crate) registry: Arc<Registry>,
    pub(crate) allocatable: BTreeMap<String, u64>,
    pub(crate) allocations: Allocations,
    /// Memory of the machine, bytes.
    pub(crate) node_memory: u64,
}

/// A worker, as the manager holds it.
struct Handle {
    goal: watch::Sender<Goal>,
    wake: Arc<Wake>,
}

/// How a pod comes to this node.
enum Arrival {
    /// It was here before this agent.
    Adopted(Box<Checkpoint>),
    /// The API bound it here.
    Bound,
    /// The API bound it here and it does not fit.
    Refused(Rejection),
}

struct Manager<U> {
    context: Arc<Context<U>>,
    stop: CancellationToken,
    pods: BTreeMap<String, Handle>,
    /// Whose unit it is.
    units: BTreeMap<String, String>,
    workers: JoinSet<String>,
    /// The pods of the list under way.
    listed: Option<Vec<Pod>>,
    gate: Gate,
    swept: bool,
    /// Whether the API has yet to say which pods there are, and nothing was begun without it.
    waits: bool,
}

/// How long after its start the agent waits for the API before it runs the pods it remembers.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs the node's pods until `stop`. Ending never touches a pod.
pub(crate) async fn run<U: UnitManager + 'static>(context: Arc<Context<U>>, stop: CancellationToken) {
    let only = watcher::Config::default().fields(&format!("spec.nodeName={}", context.config.node_name));
    let api = Api::<Pod>::all(context.client.clone());
    let mut pods = agent_watch::events(api, only);
    let nodes = Api::<Node>::all(context.client.clone());
    let mut node = agent_watch::object(nodes, &context.config.node_name);
    let mut changes = context.units.changes();
    let mut manager = Manager {
        gate: Gate::new(&context),
        context,
        stop: stop.clone(),
        pods: BTreeMap::new(),
        units: BTreeMap::new(),
        workers: JoinSet::new(),
        listed: None,
        swept: false,
        waits: true,
    };
    manager.adopt();
    let mut patience = std::pin::pin!(tokio::time::sleep(PATIENCE));
    loop {
        tokio::select! {
            // Cancel-safe: a token stays cancelled.
            () = stop.cancelled() => break,
            // Cancel-safe: the stream keeps its state between polls.
            Some(seen) = node.next() => manager.gate.saw(seen),
            // Cancel-safe: as above. What is heard of pods waits until the node is known.
            Some(event) = pods.next(), if manager.gate.is_open() => {
                let complete = matches!(event, watcher::Event::InitDone);
                manager.heard(event).await;
                if complete {
                    manager.sweep_once().await;
                }
            }
            // Cancel-safe: pinned outside the loop.
            () = &mut patience, if manager.waits => manager.remember(),
            // Cancel-safe, by its own word.
            change = next_change(&mut changes) => manager.unit_changed(&change),
            // Cancel-safe: a finished task stays in the set.
            Some(ended) = manager.workers.join_next() => manager.worker_ended(ended),
        }
    }
    while manager.workers.join_next().await.is_some() {}
}

async fn next_change(changes: &mut Changes) -> Change {
    match changes.next().await {
        Some(change) => change,
        None => std::future::pending().await,
    }
}

impl<U: UnitManager + 'static> Manager<U> {
    fn adopt(&mut self) {
        for checkpoint in Checkpoint::all(&self.context.paths) {
            let pod = checkpoint.pod.clone();
            info!(
                pod = pod.metadata.name,
                namespace = pod.metadata.namespace,
                "pod adopted"
            );
            self.begin(Goal::remembered(pod), Arrival::Adopted(Box::new(checkpoint)));
        }
    }

    /// Begins the pods of the time before a reboot: the API does not say which are wanted now. When it
    /// does, that counts.
    fn remember(&mut self) {
        self.waits = false;
        self.context.objects.api_is_away(true);
        let kept: Vec<Pod> = self.context.objects.cache().all(Kind::Pod);
        let known = |pod: &Pod| {
            pod.metadata
                .uid
                .as_ref()
                .is_none_or(|uid| self.pods.contains_key(uid))
        };
        let kept: Vec<Pod> = kept.into_iter().filter(|pod| !known(pod)).collect();
        for pod in kept {
            info!(
                pod = pod.metadata.name,
                namespace = pod.metadata.namespace,
                "pod remembered; the API server does not answer"
            );
            if let Some(uid) = pod.metadata.uid.clone() {
                self.hold(&uid, &pod, None);
            }
            self.begin(Goal::remembered(pod), Arrival::Bound);
        }
    }

    async fn heard(&mut self, event: watcher::Event<Pod>) {
        match event {
            watcher::Event::Init => self.listed = Some(Vec::new()),
            watcher::Event::InitApply(pod) => self.listed.get_or_insert_default().push(pod),
            watcher::Event::InitDone => self.take_list().await,
            watcher::Event::Apply(pod) => self.apply(pod).await,
            watcher::Event::Delete(pod) => self.gone(&pod),
        }
    }

    /// Takes in a whole list. Pods that the API does not have any more leave first; where the node is too
    /// small for the others, the oldest have it.
    async fn take_list(&mut self) {
        let mut listed = self.listed.take().unwrap_or_default();
        let names: BTreeSet<&String> = listed
            .iter()
            .filter_map(|pod| pod.metadata.uid.as_ref())
            .collect();
        for (_, handle) in self.pods.iter().filter(|(uid, _)| !names.contains(uid)) {
            handle.goal.send_modify(|goal| goal.object = ObjectState::Gone);
        }
        listed.sort_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0));
        // All that was here holds its part before any of it grows.
        for pod in listed.iter().filter(|pod| !admission::is_new(pod)) {
            if let Some(uid) = pod
                .metadata
                .uid
                .as_ref()
                .filter(|uid| !self.pods.contains_key(*uid))
            {
                self.hold(uid, pod, None);
            }
        }
        for pod in listed {
            self.apply(pod).await;
        }
        self.waits = false;
        let objects = &self.context.objects;
        objects.api_is_away(false);
        objects.cache().retain(&self.pods.keys().cloned().collect());
        self.forget_namespaces();
    }

    /// Has the cache forget the Services of namespaces in which no pod is left.
    fn forget_namespaces(&self) {
        // Before, pods that are remembered only may need them; after, workers end though their pods do not.
        if self.waits || self.stop.is_cancelled() {
            return;
        }
        let of = |handle: &Handle| handle.goal.borrow().pod.metadata.namespace.clone();
        let left: BTreeSet<String> = self.pods.values().filter_map(of).collect();
        self.context.objects.cache().retain_services(&left);
    }

    /// Takes away what pods left that neither the API nor a checkpoint knows, as after a reboot. No pod
    /// begins meanwhile, since only this task begins them: so nothing of a new one is taken for a left-over.
    async fn sweep_once(&mut self) {
        if self.swept {
            return;
        }
        let known = Known {
            uids: self.pods.keys().cloned().collect(),
            units: self.units.keys().cloned().collect(),
        };
        self.swept = Box::pin(sweep(&self.context, &known)).await;
    }

    async fn apply(&mut self, pod: Pod) {
        let Some(uid) = pod.metadata.uid.clone() else {
            return;
        };
        if let Some(handle) = self.pods.get(&uid) {
            drop(handle.goal.send_replace(Goal::from_api(pod.clone())));
            // A container for debugging comes while the pod runs.
            self.note_units(&uid, &pod);
            if admission::is_finished(&pod) {
                self.context.allocations.release(&uid);
            }
            return;
        }
        // Before it is looked at, so that no resize takes the place that it is found to have.
        self.hold(&uid, &pod, None);
        let arrival = match self.refusal(&pod).await {
            Some(refused) => {
                self.context.allocations.release(&uid);
                Arrival::Refused(refused)
            }
            None => Arrival::Bound,
        };
        self.begin(Goal::from_api(pod), arrival);
    }

    /// Why the node does not take `pod`, where it does not; the event says so too.
    async fn refusal(&mut self, pod: &Pod) -> Option<Rejection> {
        if !admission::is_new(pod) {
            return None;
        }
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let here = self.context.allocations.others(uid);
        let others: Vec<&Pod> = here.iter().map(|pod| &**pod).collect();
        let refused = self.gate.refusal(pod, &others).await?;
        let event = EventDraft::warning(&refused.reason, refused.message.clone());
        self.context.events.about_pod(pod, None, event);
        Some(refused)
    }

    fn gone(&mut self, pod: &Pod) {
        if let Some(handle) = pod.metadata.uid.as_ref().and_then(|uid| self.pods.get(uid)) {
            handle.goal.send_modify(Goal::lose);
        }
    }

    fn begin(&mut self, goal: Goal, arrival: Arrival) {
        let Some(uid) = goal.pod.metadata.uid.clone() else {
            return;
        };
        self.note_units(&uid, &goal.pod);
        let wake = Arc::new(Wake::default());
        let (sender, receiver) = watch::channel(goal);
        if let Arrival::Adopted(checkpoint) = &arrival {
            self.hold(&uid, &sender.borrow().pod, Some(&**checkpoint));
        }
        let (checkpoint, rejection) = match arrival {
            Arrival::Adopted(checkpoint) => (Some(*checkpoint), None),
            Arrival::Bound => (None, None),
            Arrival::Refused(rejection) => (None, Some(rejection)),
        };
        let mut worker = Worker::new(&self.context, &uid, receiver, Arc::clone(&wake), checkpoint);
        worker.rejection = rejection;
        self.workers.spawn(worker.run(self.stop.clone()));
        let handle = Handle { goal: sender, wake };
        self.pods.insert(uid, handle);
    }

    /// Notes what the pod holds of the node.
    fn hold(&self, uid: &str, pod: &Pod, checkpoint: Option<&Checkpoint>) {
        if !admission::is_finished(pod) {
            let held = Sizing::of(pod, checkpoint).now.allocated;
            self.context.allocations.take(uid, with_allocation(pod, &held));
        }
    }

    /// Notes which units are the pod's.
    fn note_units(&mut self, uid: &str, pod: &Pod) {
        for (_, container) in pod.spec.iter().flat_map(agent_core::every_container) {
            if let Ok(unit) = unit_name(pod, &container.name) {
                self.units.insert(unit.as_str().to_owned(), uid.to_owned());
            }
        }
        if let Ok(Some(processes)) = pod_processes(pod, &self.context.paths) {
            self.units.insert(processes.name.to_string(), uid.to_owned());
        }
    }

    fn unit_changed(&self, change: &Change) {
        match change {
            Change::Unit(unit) => {
                let owner = self.units.get(unit.as_str()).and_then(|uid| self.pods.get(uid));
                owner.into_iter().for_each(|handle| handle.wake.stir());
            }
            Change::All => self.pods.values().for_each(|handle| handle.wake.stir()),
        }
    }

    fn worker_ended(&mut self, ended: Result<String, tokio::task::JoinError>) {
        match ended {
            Ok(uid) => {
                self.pods.remove(&uid);
                self.context.allocations.release(&uid);
                self.units.retain(|_, owner| *owner != uid);
                self.forget_namespaces();
            }
            Err(error) => warn!(error = %error, "pod worker failed"),
        }
    }
}
