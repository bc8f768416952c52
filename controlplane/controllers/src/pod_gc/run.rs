//! The controller over pods.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Client;
use kube::api::{Api, DeleteParams};
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::plan::{Home, Reason, Step, plan};
use crate::drive::{drive, triggers};
use crate::error::{Attempt, ReconcileError, is_gone};
use crate::meta;
use crate::nodes::{Shared, WakeStream, key};
use crate::pod_removal;
use crate::replicaset::pods;

struct Context {
    shared: Shared,
    threshold: usize,
    /// Since when each node that pods name has been missing.
    missing: Mutex<BTreeMap<String, Instant>>,
}

/// Runs the controller until `stop`; keeps `threshold` ended pods, or all where it is 0.
pub(crate) async fn run(shared: Shared, threshold: usize, doomed: WakeStream<Pod>, stop: CancellationToken) {
    let pods = shared.pods.clone();
    let context = Context {
        shared,
        threshold,
        missing: Mutex::default(),
    };
    drive(
        "pod-gc",
        pods,
        vec![triggers(doomed, |pod: ObjectRef<Pod>| [pod])],
        Arc::new(context),
        |pod, context| async move { reconcile(&pod, &context).await },
        stop,
    )
    .await;
}

async fn reconcile(pod: &Pod, context: &Context) -> Result<Action, ReconcileError> {
    context.shared.wait_until_known().await;
    let name = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.node_name.as_deref())
        .filter(|name| !name.is_empty());
    let node = name.and_then(|name| context.shared.nodes.get(&ObjectRef::<Node>::new(name)));
    let home = match (name, &node) {
        (None, _) => Home::None,
        (Some(name), None) => Home::Gone(context.missing_for(name)),
        (Some(name), Some(node)) => {
            context.found(name);
            Home::Node(node)
        }
    };
    let excess = pods::is_finished(pod) && {
        let key = key(pod);
        let index = context.shared.index();
        index.excess(context.threshold).any(|one| *one == key)
    };
    match plan(pod, home, excess) {
        Step::Nothing => Ok(Action::await_change()),
        Step::Wait(left) => Ok(Action::requeue(left)),
        Step::Remove(reason) => {
            let client = &context.shared.client;
            remove(client, pod, name.unwrap_or_default(), reason).await?;
            Ok(Action::await_change())
        }
    }
}

impl Context {
    fn missing_for(&self, node: &str) -> Duration {
        let index = self.shared.index();
        let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        missing.retain(|name, _| index.on(name).next().is_some());
        missing
            .entry(node.to_owned())
            .or_insert_with(Instant::now)
            .elapsed()
    }

    fn found(&self, node: &str) {
        let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        missing.remove(node);
    }
}

async fn remove(client: &Client, pod: &Pod, node: &str, reason: Reason) -> Result<(), ReconcileError> {
    let (namespace, name) = (meta::namespace(&pod.metadata), meta::name(&pod.metadata));
    let path = format!("{namespace}/{name}");
    // The cache may be behind: a node that is there after all keeps its pods.
    if reason == Reason::Orphaned && node_exists(client, node).await.attempt("look for node", node)? {
        return Ok(());
    }
    match call(client, pod, reason).await {
        Err(error) if is_gone(&error) => Ok(()),
        outcome => {
            outcome.attempt("clear pod away", &path)?;
            info!(namespace, pod = name, ?reason, "pod cleared away");
            Ok(())
        }
    }
}

async fn node_exists(client: &Client, name: &str) -> Result<bool, kube::Error> {
    let nodes: Api<Node> = Api::all(client.clone());
    Ok(nodes.get_metadata_opt(name).await?.is_some())
}

async fn call(client: &Client, pod: &Pod, reason: Reason) -> Result<(), kube::Error> {
    // Whoever counts pods, such as a Job, must see that this one did not succeed.
    let status = (!pods::is_finished(pod)).then(|| failed(pod, reason));
    pod_removal::remove(client, pod, status, DeleteParams::default().grace_period(0)).await
}

fn failed(pod: &Pod, reason: Reason) -> Value {
    let mut status = json!({ "phase": "Failed" });
    if let (Some((reason, message)), Some(map)) = (reason.condition(), status.as_object_mut()) {
        map.insert(
            "conditions".to_owned(),
            pod_removal::disrupted(pod, reason, message),
        );
    }
    status
}
