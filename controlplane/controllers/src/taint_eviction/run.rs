//! The controller over pods.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use controlplane_events::Recorder;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::DeleteParams;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::plan::{Fate, fate};
use crate::drive::{drive, triggers};
use crate::error::{Attempt, ReconcileError, is_gone};
use crate::meta;
use crate::nodes::{Shared, WakeStream, has_no_execute, no_execute};
use crate::pod_removal;

/// Pods remembered as foreseen to leave; with so many, those that are gone are forgotten first.
const MARKED: usize = 16_384;

struct Context {
    shared: Shared,
    recorder: Recorder,
    /// Pods whose leaving is foreseen, by UID, and since when: a taint set by hand does not say when it was added.
    marked: Mutex<BTreeMap<String, Timestamp>>,
}

/// Runs the controller until `stop`.
pub(crate) async fn run(
    shared: Shared,
    recorder: Recorder,
    tainted: WakeStream<Pod>,
    stop: CancellationToken,
) {
    let pods = shared.pods.clone();
    let context = Context {
        shared,
        recorder,
        marked: Mutex::default(),
    };
    drive(
        "taint-eviction",
        pods,
        vec![triggers(tainted, |pod: ObjectRef<Pod>| [pod])],
        Arc::new(context),
        |pod, context| async move { reconcile(&pod, &context).await },
        stop,
    )
    .await;
}

async fn reconcile(pod: &Pod, context: &Context) -> Result<Action, ReconcileError> {
    context.shared.wait_until_known().await;
    let name = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    let node = name.and_then(|name| context.shared.nodes.get(&ObjectRef::<Node>::new(name)));
    let Some(node) = node.filter(|node| has_no_execute(node)) else {
        context.call_off(pod);
        return Ok(Action::await_change());
    };
    let now = Timestamp::now();
    let first_seen = context.marked_at(pod).unwrap_or(now);
    match fate(pod, no_execute(&node), first_seen) {
        Fate::Stays => {
            context.call_off(pod);
            Ok(Action::await_change())
        }
        Fate::LeavesAt(time) if time <= now => {
            evict(pod, context).await?;
            Ok(Action::await_change())
        }
        Fate::LeavesAt(time) => {
            context.mark(pod, first_seen);
            let left = Duration::try_from(time.duration_since(now)).unwrap_or_default();
            Ok(Action::requeue(left))
        }
    }
}

impl Context {
    fn mark(&self, pod: &Pod, first_seen: Timestamp) {
        let mut marked = self.marked.lock().unwrap_or_else(PoisonError::into_inner);
        if marked.len() >= MARKED {
            let known = self.shared.pods.state();
            let known: BTreeSet<&str> = known.iter().map(|pod| meta::uid(&pod.metadata)).collect();
            marked.retain(|uid, _| known.contains(uid.as_str()));
        }
        marked.insert(meta::uid(&pod.metadata).to_owned(), first_seen);
    }

    fn marked_at(&self, pod: &Pod) -> Option<Timestamp> {
        let marked = self.marked.lock().unwrap_or_else(PoisonError::into_inner);
        marked.get(meta::uid(&pod.metadata)).copied()
    }

    fn unmark(&self, pod: &Pod) -> bool {
        let mut marked = self.marked.lock().unwrap_or_else(PoisonError::into_inner);
        marked.remove(meta::uid(&pod.metadata)).is_some()
    }

    fn call_off(&self, pod: &Pod) {
        if self.unmark(pod) && !meta::is_deleting(&pod.metadata) {
            self.tell(pod, "Cancelling deletion of Pod");
        }
    }

    fn tell(&self, pod: &Pod, what: &str) {
        let (namespace, name) = (meta::namespace(&pod.metadata), meta::name(&pod.metadata));
        self.recorder.normal(
            &meta::reference(pod),
            "TaintManagerEviction",
            format!("{what} {namespace}/{name}"),
        );
    }
}

async fn evict(pod: &Pod, context: &Context) -> Result<(), ReconcileError> {
    let (namespace, name) = (meta::namespace(&pod.metadata), meta::name(&pod.metadata));
    context.unmark(pod);
    context.tell(pod, "Marking for deletion Pod");
    match call(pod, context).await {
        Err(error) if is_gone(&error) => Ok(()),
        outcome => {
            outcome.attempt("evict pod from tainted node", &format!("{namespace}/{name}"))?;
            info!(namespace, pod = name, "pod evicted from tainted node");
            Ok(())
        }
    }
}

async fn call(pod: &Pod, context: &Context) -> Result<(), kube::Error> {
    let why = (
        "DeletionByTaintManager",
        "Taint manager: deleting due to NoExecute taint",
    );
    let status = json!({ "conditions": pod_removal::disrupted(pod, why.0, why.1) });
    pod_removal::remove(&context.shared.client, pod, Some(status), DeleteParams::default()).await
}
