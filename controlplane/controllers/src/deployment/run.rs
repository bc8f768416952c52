//! The controller: caches, wake-ups, one reconcile.

use std::sync::Arc;

use controlplane_events::Recorder;
use futures::StreamExt;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::Client;
use kube::api::{Api, PostParams};
use kube::runtime::controller::{Action, trigger_self};
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::runtime::{WatchStreamExt, watcher};
use tokio_util::sync::CancellationToken;

use super::apply::Hands;
use super::plan::{Sets, plan};
use super::status::{News, same, status, until_deadline};
use crate::drive::{drive, triggers, watch};
use crate::error::{Attempt, ReconcileError};
use crate::meta::{self, Claim, Verdict};

struct Context {
    client: Client,
    recorder: Recorder,
    sets: Store<ReplicaSet>,
}

/// Runs the controller until `stop`.
pub(crate) async fn run(client: Client, recorder: Recorder, stop: CancellationToken) {
    let (deployments, deployments_writer) = store();
    let (sets, sets_writer) = store();
    let own = watch(Api::all(client.clone()), watcher::Config::default())
        .reflect(deployments_writer)
        .touched_objects();
    let children = watch(Api::all(client.clone()), watcher::Config::default())
        .reflect(sets_writer)
        .touched_objects();
    let owners = deployments.clone();
    let context = Context {
        client,
        recorder,
        sets,
    };
    drive(
        "deployment",
        deployments,
        vec![
            trigger_self(own, ()).boxed(),
            triggers(children, move |set: ReplicaSet| wakes(&owners, &set)),
        ],
        Arc::new(context),
        |deployment, context| async move {
            // Without this a start would find no sets and create the present one again.
            if context.sets.wait_until_ready().await.is_err() {
                return Ok(Action::await_change());
            }
            reconcile(&deployment, &context).await
        },
        stop,
    )
    .await;
}

/// The Deployments a changed set concerns: its controller, or, without one, whoever selects it.
fn wakes(deployments: &Store<Deployment>, set: &ReplicaSet) -> Vec<ObjectRef<Deployment>> {
    let namespace = meta::namespace(&set.metadata);
    if let Some(owner) = meta::controller_of(&set.metadata) {
        let ours = owner.kind == "Deployment";
        return ours
            .then(|| ObjectRef::new(&owner.name).within(namespace))
            .into_iter()
            .collect();
    }
    deployments
        .state_filter(|deployment| {
            meta::namespace(&deployment.metadata) == namespace && claim_of(deployment).matches(&set.metadata)
        })
        .iter()
        .map(|deployment| ObjectRef::from_obj(deployment.as_ref()))
        .collect()
}

fn claim_of(deployment: &Deployment) -> Claim {
    let spec = deployment.spec.as_ref();
    spec.map_or_else(
        || Claim::new(&Default::default()),
        |spec| Claim::new(&spec.selector),
    )
}

async fn reconcile(deployment: &Deployment, context: &Context) -> Result<Action, ReconcileError> {
    let path = path(deployment);
    let owned = claim(deployment, context)
        .await
        .attempt("claim replica sets of deployment", &path)?;
    let sets = Sets::sort(deployment, owned);
    let steps = plan(deployment, sets.clone());
    let (client, recorder) = (&context.client, &context.recorder);
    let mut hands = Hands::new(client, recorder, deployment.clone(), sets.all());
    let mut outcome = Ok(());
    for step in &steps {
        outcome = hands.perform(step).await;
        if outcome.is_err() {
            break;
        }
    }
    if outcome.is_err() && !matches!(hands.news, News::CreateFailed(_)) {
        // Based on something stale; the status would be too.
        outcome.attempt("roll out deployment", &path)?;
        return Ok(Action::await_change());
    }
    let now = Timestamp::now();
    // The cache shows the pods of the sets as well as anything: a set created just now has none.
    let wanted = status(deployment, &sets, &hands.news, now);
    if !same(deployment.status.as_ref(), &wanted) {
        let api: Api<Deployment> = Api::namespaced(client.clone(), meta::namespace(&deployment.metadata));
        let mut body = hands.deployment;
        body.status = Some(wanted.clone());
        api.replace_status(meta::name(&body.metadata), &PostParams::default(), &body)
            .await
            .attempt("write status of deployment", &path)?;
    }
    outcome.attempt("roll out deployment", &path)?;
    Ok(wake_at_deadline(until_deadline(deployment, &wanted, now)))
}

fn wake_at_deadline(left: Option<SignedDuration>) -> Action {
    let Some(left) = left else {
        return Action::await_change();
    };
    let left = left.max(SignedDuration::ZERO) + SignedDuration::from_secs(1);
    left.try_into()
        .map_or_else(|_| Action::await_change(), Action::requeue)
}

/// The sets that are the Deployment's, once orphans are adopted and strangers let go.
async fn claim(deployment: &Deployment, context: &Context) -> Result<Vec<ReplicaSet>, kube::Error> {
    let claim = claim_of(deployment);
    let mut owned = Vec::new();
    let here = context
        .sets
        .state_filter(|set| set.metadata.namespace == deployment.metadata.namespace);
    for set in here {
        match claim.verdict(&set.metadata, &deployment.metadata) {
            Verdict::Owned => owned.push(set.as_ref().clone()),
            // Counted once the watch shows the adoption.
            Verdict::Adopt => {
                crate::claim::adopt(&context.client, deployment, set.as_ref()).await?;
            }
            Verdict::Release => {
                crate::claim::release(&context.client, deployment, set.as_ref()).await?;
            }
            Verdict::Foreign => {}
        }
    }
    Ok(owned)
}

fn path(deployment: &Deployment) -> String {
    format!(
        "{}/{}",
        meta::namespace(&deployment.metadata),
        meta::name(&deployment.metadata)
    )
}
