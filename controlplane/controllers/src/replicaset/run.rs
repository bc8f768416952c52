//! The controller: caches, wake-ups, one reconcile.

use std::sync::Arc;

use controlplane_events::Recorder;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, PostParams};
use kube::runtime::controller::{Action, trigger_self};
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::runtime::{WatchStreamExt, watcher};
use tokio_util::sync::CancellationToken;

use super::apply::Hands;
use super::assumed::Assumed;
use super::plan::{Step, claim_of, plan};
use super::pods;
use super::rank::Crowding;
use super::status::{Failure, next_availability, status};
use crate::drive::{drive, triggers, watch};
use crate::error::{Attempt, ReconcileError};
use crate::meta;

struct Context {
    client: Client,
    recorder: Recorder,
    sets: Store<ReplicaSet>,
    pods: Store<Pod>,
    assumed: Arc<Assumed>,
}

/// Runs the controller until `stop`.
pub(crate) async fn run(client: Client, recorder: Recorder, stop: CancellationToken) {
    let (sets, sets_writer) = store();
    let (pods, pods_writer) = store();
    let assumed = Arc::new(Assumed::default());
    let own = watch(Api::all(client.clone()), watcher::Config::default())
        .reflect(sets_writer)
        .touched_objects();
    let observed = assumed.clone();
    let children = watch(Api::all(client.clone()), watcher::Config::default())
        .modify(trim)
        .reflect(pods_writer)
        .inspect_ok(move |event| observed.observe(event))
        .touched_objects();
    let owners = sets.clone();
    let ready = pods.clone();
    let context = Context {
        client,
        recorder,
        sets: sets.clone(),
        pods,
        assumed,
    };
    drive(
        "replicaset",
        sets,
        vec![
            trigger_self(own, ()).boxed(),
            triggers(children, move |pod: Pod| wakes(&owners, &pod)),
        ],
        Arc::new(context),
        move |set, context: Arc<Context>| {
            let ready = ready.clone();
            async move {
                // Without this a start would find no pods and create all of them again.
                if ready.wait_until_ready().await.is_err() {
                    return Ok(Action::await_change());
                }
                reconcile(&set, &context).await
            }
        },
        stop,
    )
    .await;
}

/// Drops what no decision here reads, so that the cache of all pods stays small.
fn trim(pod: &mut Pod) {
    if let Some(spec) = &mut pod.spec {
        let node_name = spec.node_name.take();
        *spec = Default::default();
        spec.node_name = node_name;
    }
    if let Some(status) = &mut pod.status {
        status.init_container_statuses = None;
        status.pod_ips = None;
        for container in status.container_statuses.iter_mut().flatten() {
            container.last_state = None;
            container.state = None;
        }
    }
}

/// The sets a changed pod concerns: its controller, or, without one, whoever selects it.
fn wakes(sets: &Store<ReplicaSet>, pod: &Pod) -> Vec<ObjectRef<ReplicaSet>> {
    let namespace = meta::namespace(&pod.metadata);
    if let Some(owner) = meta::controller_of(&pod.metadata) {
        let ours = owner.kind == "ReplicaSet";
        return ours
            .then(|| ObjectRef::new(&owner.name).within(namespace))
            .into_iter()
            .collect();
    }
    let selecting = sets.state_filter(|set| {
        meta::namespace(&set.metadata) == namespace && claim_of(set).matches(&pod.metadata)
    });
    selecting
        .iter()
        .map(|set| ObjectRef::from_obj(set.as_ref()))
        .collect()
}

async fn reconcile(set: &ReplicaSet, context: &Context) -> Result<Action, ReconcileError> {
    let claim = claim_of(set);
    let uid = meta::uid(&set.metadata);
    let pods = context.assumed.view(&context.pods, |pod| {
        pod.metadata.namespace == set.metadata.namespace
            && match meta::controller_of(&pod.metadata) {
                Some(owner) => owner.uid == uid,
                None => claim.matches(&pod.metadata),
            }
    });
    let now = Timestamp::now();
    let mut steps = plan(set, &pods, &Crowding::new(), now);
    if steps.iter().any(|step| matches!(step, Step::Delete(_))) {
        // Only a choice among pods needs to know how the workload lies on the nodes.
        steps = plan(set, &pods, &crowding(set, context), now);
    }
    let hands = Hands {
        client: &context.client,
        recorder: &context.recorder,
        assumed: &context.assumed,
        pods: &context.pods,
    };
    let outcome = hands.perform(set, steps).await;
    let failure = outcome.as_ref().err().map(|(failure, _)| failure);
    let owned: Vec<&Pod> = pods
        .iter()
        .map(Arc::as_ref)
        .filter(|pod| meta::is_controlled_by(&pod.metadata, uid))
        .collect();
    write_status(set, &owned, failure, context).await?;
    outcome
        .map_err(|(_, error)| error)
        .attempt("manage pods of replica set", &path(set))?;
    Ok(wake_for_availability(set, &owned, now))
}

fn wake_for_availability(set: &ReplicaSet, owned: &[&Pod], now: Timestamp) -> Action {
    let left = next_availability(set, owned, now).and_then(|left| left.try_into().ok());
    left.map_or_else(Action::await_change, Action::requeue)
}

/// Active pods on each node of all sets under the same controller.
fn crowding(set: &ReplicaSet, context: &Context) -> Crowding {
    let owner = meta::controller_of(&set.metadata).map(|owner| &owner.uid);
    let siblings: Vec<Option<String>> = context
        .sets
        .state_filter(|other| {
            other.metadata.uid == set.metadata.uid
                || (owner.is_some() && meta::controller_of(&other.metadata).map(|owner| &owner.uid) == owner)
        })
        .iter()
        .map(|sibling| sibling.metadata.uid.clone())
        .collect();
    let mut crowding = Crowding::new();
    let related = context.pods.state_filter(|pod| {
        pods::is_active(pod)
            && meta::controller_of(&pod.metadata)
                .is_some_and(|owner| siblings.iter().flatten().any(|uid| *uid == owner.uid))
    });
    for pod in related {
        if let Some(node) = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()) {
            *crowding.entry(node).or_default() += 1;
        }
    }
    crowding
}

async fn write_status(
    set: &ReplicaSet,
    owned: &[&Pod],
    failure: Option<&Failure>,
    context: &Context,
) -> Result<(), ReconcileError> {
    let wanted = status(set, owned, failure, Timestamp::now());
    if same(set.status.as_ref(), &wanted) {
        return Ok(());
    }
    let api: Api<ReplicaSet> = Api::namespaced(context.client.clone(), meta::namespace(&set.metadata));
    let mut body = set.clone();
    body.status = Some(wanted);
    match api
        .replace_status(meta::name(&set.metadata), &PostParams::default(), &body)
        .await
    {
        Err(error) if crate::error::is_gone(&error) => Ok(()),
        other => other
            .map(|_| ())
            .attempt("write status of replica set", &path(set)),
    }
}

/// Whether nothing would change; zero and absent are the same number.
fn same(observed: Option<&ReplicaSetStatus>, wanted: &ReplicaSetStatus) -> bool {
    let numbers = |status: &ReplicaSetStatus| {
        [
            Some(status.replicas),
            status.fully_labeled_replicas,
            status.ready_replicas,
            status.available_replicas,
            status.terminating_replicas,
        ]
        .map(Option::unwrap_or_default)
    };
    observed.is_some_and(|observed| {
        numbers(observed) == numbers(wanted)
            && observed.observed_generation == wanted.observed_generation
            && observed.conditions == wanted.conditions
    })
}

fn path(set: &ReplicaSet) -> String {
    format!("{}/{}", meta::namespace(&set.metadata), meta::name(&set.metadata))
}
