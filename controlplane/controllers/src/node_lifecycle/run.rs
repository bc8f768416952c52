//! The controller over nodes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use controlplane_events::Recorder;
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::api::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::controller::Action;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::{self, Event};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::apply::{mark_not_ready, write_conditions, write_taints};
use super::health::{patience, unknown};
use super::hearing::Hearing;
use super::plan::{Eviction, plan};
use super::zones::{Shift, Zones};
use crate::drive::{drive, triggers, watch};
use crate::error::{Attempt, ReconcileError};
use crate::meta;
use crate::nodes::{Shared, WakeStream};
use crate::replicaset::pods;

/// Namespace of the nodes' Leases.
const LEASES: &str = "kube-node-lease";

/// What is known of all nodes together.
#[derive(Default)]
struct Overview {
    hearing: Hearing,
    zones: Zones,
    /// All nodes of the first list are in.
    complete: bool,
}

struct Context {
    shared: Shared,
    recorder: Recorder,
    grace: Duration,
    overview: Arc<Mutex<Overview>>,
}

/// Runs the controller until `stop`; a node silent for `grace` counts as lost.
pub(crate) async fn run(
    shared: Shared,
    recorder: Recorder,
    grace: Duration,
    changed: WakeStream<Node>,
    stop: CancellationToken,
) {
    let overview = Arc::new(Mutex::new(Overview::default()));
    let (heard, seen, nodes) = (overview.clone(), overview.clone(), shared.nodes.clone());
    // Leases wake nobody: a node that was heard of is looked at when its time would be up.
    let leases = watch(
        Api::<Lease>::namespaced(shared.client.clone(), LEASES),
        watcher::Config::default(),
    )
    .inspect_ok(move |event| hear(&heard, event))
    .touched_objects();
    let all = shared.nodes.clone();
    let wakes = changed
        .map_ok(move |node| {
            let found = nodes.get(&node);
            let shift = see(&seen, &node.name, found.as_deref());
            let mut wakes = vec![node];
            if shift != Shift::None {
                wakes.extend(all.state().iter().map(|node| ObjectRef::from_obj(node.as_ref())));
            }
            stream::iter(wakes.into_iter().map(Ok))
        })
        .try_flatten();
    let nodes = shared.nodes.clone();
    let context = Context {
        shared,
        recorder,
        grace,
        overview,
    };
    drive(
        "node-lifecycle",
        nodes,
        vec![
            triggers(wakes.boxed(), |node: ObjectRef<Node>| [node]),
            triggers(leases, |_| Vec::<ObjectRef<Node>>::new()),
        ],
        Arc::new(context),
        |node, context| async move { reconcile(&node, &context).await },
        stop,
    )
    .await;
}

fn lock(overview: &Mutex<Overview>) -> MutexGuard<'_, Overview> {
    overview.lock().unwrap_or_else(PoisonError::into_inner)
}

fn hear(overview: &Mutex<Overview>, event: &Event<Lease>) {
    let (Event::Apply(lease) | Event::InitApply(lease)) = event else {
        return;
    };
    let renewed = lease.spec.as_ref().and_then(|spec| spec.renew_time.as_ref());
    let mut overview = lock(overview);
    overview
        .hearing
        .lease(&lease.name_any(), renewed.map(|time| time.0), Instant::now());
}

/// Takes a node into the overview, or out of it.
fn see(overview: &Mutex<Overview>, name: &str, node: Option<&Node>) -> Shift {
    let mut overview = lock(overview);
    let now = Instant::now();
    let Some(node) = node else {
        overview.hearing.forget(name);
        return overview.zones.forget(name);
    };
    overview.hearing.status(name, heartbeat(node), now);
    let shift = overview.zones.see(name, zone(node), meta::node_is_ready(node));
    if shift == Shift::Recovered {
        // While all were lost nothing could be heard: nobody is blamed for that time.
        overview.hearing.begin_anew(now);
    }
    shift
}

/// Takes all nodes in before the first one is judged: a lost node that is seen first must not pass
/// for the loss of all.
fn complete(overview: &Mutex<Overview>, nodes: &Store<Node>) {
    if std::mem::replace(&mut lock(overview).complete, true) {
        return;
    }
    for node in nodes.state() {
        see(overview, meta::name(&node.metadata), Some(&node));
    }
}

fn heartbeat(node: &Node) -> Option<Timestamp> {
    let conditions = node.status.as_ref()?.conditions.as_ref()?;
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready")?;
    ready.last_heartbeat_time.as_ref().map(|time| time.0)
}

fn zone(node: &Node) -> String {
    let label = |key: &str| node.labels().get(key).cloned().unwrap_or_default();
    format!(
        "{}:{}",
        label("topology.kubernetes.io/region"),
        label("topology.kubernetes.io/zone")
    )
}

async fn reconcile(node: &Node, context: &Context) -> Result<Action, ReconcileError> {
    context.shared.wait_until_known().await;
    complete(&context.overview, &context.shared.nodes);
    let name = meta::name(&node.metadata);
    let silence = lock(&context.overview).hearing.silence(name, Instant::now());
    let left = patience(node, silence, context.grace);
    if left.is_none() {
        let conditions = unknown(node, Timestamp::now());
        if !conditions.is_empty() {
            write_conditions(&context.shared.client, node, &conditions)
                .await
                .attempt("say that a node is silent", name)?;
            report(node, context);
            // The change comes back by the watch, and the rest follows from it.
            return Ok(Action::await_change());
        }
    }
    let wait = renew_taints(node, context).await?;
    if meta::node_ready(node) == Some("Unknown") {
        mark_pods(name, context).await?;
    }
    let next = left.into_iter().chain(wait).min();
    Ok(next.map_or_else(Action::await_change, Action::requeue))
}

fn report(node: &Node, context: &Context) {
    let name = meta::name(&node.metadata);
    warn!(node = name, "node has fallen silent");
    if meta::node_is_ready(node) {
        let message = format!("Node {name} status is now: NodeNotReady");
        context
            .recorder
            .normal(&meta::reference(node), "NodeNotReady", message);
    }
}

/// Brings a node's taints up to date; returns how long to wait before its pods may be driven away.
async fn renew_taints(node: &Node, context: &Context) -> Result<Option<Duration>, ReconcileError> {
    let now = Timestamp::now();
    let zone = zone(node);
    let (taints, taken, wait) = {
        let mut overview = lock(&context.overview);
        if overview.zones.is_disrupted() {
            (plan(node, Eviction::Never, now), false, None)
        } else {
            let later = plan(node, Eviction::Later, now);
            let allowed = plan(node, Eviction::Allowed, now);
            if allowed == later {
                (later, false, None)
            } else {
                match overview.zones.take(&zone, Instant::now()) {
                    Ok(()) => (allowed, true, None),
                    Err(wait) => (later, false, Some(wait)),
                }
            }
        }
    };
    if let Some(taints) = taints {
        let outcome = write_taints(&context.shared.client, node, &taints).await;
        if outcome.is_err() && taken {
            lock(&context.overview).zones.give_back(&zone);
        }
        outcome.attempt("write taints of node", meta::name(&node.metadata))?;
    }
    Ok(wait)
}

/// Says of all pods on a silent node that they are not ready.
async fn mark_pods(node: &str, context: &Context) -> Result<(), ReconcileError> {
    let shared = &context.shared;
    let keys: Vec<_> = shared.index().on(node).cloned().collect();
    for (namespace, name) in keys {
        let found = shared.pods.get(&ObjectRef::<Pod>::new(&name).within(&namespace));
        if let Some(pod) = found.filter(|pod| pods::ready(pod).is_some()) {
            mark_not_ready(&shared.client, &context.recorder, &pod)
                .await
                .attempt("mark pod not ready", &format!("{namespace}/{name}"))?;
        }
    }
    Ok(())
}
