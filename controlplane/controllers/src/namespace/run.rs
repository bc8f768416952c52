//! The controller over namespaces.

use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, PostParams};
use kube::runtime::controller::{Action, trigger_self};
use kube::runtime::reflector::store;
use kube::runtime::{WatchStreamExt, watcher};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::plan::{FINALIZER, Rest, Step, is_ours, plan};
use crate::drive::{drive, watch};
use crate::error::{Attempt, ReconcileError, is_gone, words};
use crate::garbage::{Kind, discover};
use crate::meta;

/// Runs the controller until `stop`.
pub(crate) async fn run(client: Client, stop: CancellationToken) {
    let (namespaces, writer) = store();
    let own = watch(Api::all(client.clone()), watcher::Config::default())
        .reflect(writer)
        .applied_objects();
    drive(
        "namespace",
        namespaces,
        vec![trigger_self(own, ()).boxed()],
        Arc::new(client),
        |namespace, client| async move { reconcile(&namespace, &client).await },
        stop,
    )
    .await;
}

async fn reconcile(namespace: &Namespace, client: &Client) -> Result<Action, ReconcileError> {
    if !is_ours(namespace) {
        return Ok(Action::await_change());
    }
    let name = meta::name(&namespace.metadata);
    let rest = empty(name, client).await;
    let api: Api<Namespace> = Api::all(client.clone());
    match plan(namespace, &rest, Timestamp::now()) {
        Step::Nothing => Ok(Action::await_change()),
        Step::Finalize => {
            let outcome = api
                .replace_subresource("finalize", name, &PostParams::default(), &freed(namespace))
                .await;
            match outcome {
                Err(error) if is_gone(&error) => {}
                other => {
                    other.attempt("finalize namespace", name)?;
                    info!(namespace = name, "namespace emptied");
                }
            }
            Ok(Action::await_change())
        }
        Step::Wait(conditions, pause) => {
            let mut body = namespace.clone();
            let status = body.status.get_or_insert_default();
            if status.conditions.as_ref() != Some(&conditions) {
                status.conditions = Some(conditions);
                api.replace_status(name, &PostParams::default(), &body)
                    .await
                    .attempt("write status of namespace", name)?;
            }
            Ok(Action::requeue(pause))
        }
    }
}

fn freed(namespace: &Namespace) -> Namespace {
    let mut body = namespace.clone();
    if let Some(finalizers) = body.spec.as_mut().and_then(|spec| spec.finalizers.as_mut()) {
        finalizers.retain(|finalizer| finalizer != FINALIZER);
    }
    body
}

/// Asks everything in the namespace to go, pods first: what they use must outlive them. What fails
/// holds up nothing else.
async fn empty(namespace: &str, client: &Client) -> Rest {
    let mut rest = Rest::default();
    let mut kinds = match discover(client).await {
        Ok(kinds) => kinds,
        Err(error) => {
            rest.undiscovered = Some(words(&error));
            return rest;
        }
    };
    kinds.retain(|kind| kind.namespaced);
    kinds.sort_by_key(|kind| kind.resource.kind != "Pod");
    for kind in &kinds {
        if let Err(error) = remove_all(namespace, kind, client, &mut rest).await {
            let failure = format!("{}: {}", path(kind), words(&error));
            rest.failures.push(failure);
        }
        let pods_remain = !rest.objects.is_empty() || !rest.failures.is_empty();
        if kind.resource.kind == "Pod" && pods_remain {
            break;
        }
    }
    rest
}

/// As upstream writes it: `pods.` for the core group.
fn path(kind: &Kind) -> String {
    format!("{}.{}", kind.resource.plural, kind.resource.group)
}

async fn remove_all(
    namespace: &str,
    kind: &Kind,
    client: &Client,
    rest: &mut Rest,
) -> Result<(), kube::Error> {
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &kind.resource);
    let everything = ListParams::default();
    let some = api.list_metadata(&everything.clone().limit(1)).await?.items;
    if some.is_empty() {
        return Ok(());
    }
    if kind.in_bulk {
        api.delete_collection(&DeleteParams::background(), &everything)
            .await?;
    } else {
        remove_each(&api).await?;
    }
    let left = api.list_metadata(&everything).await?.items;
    if left.is_empty() {
        return Ok(());
    }
    rest.objects.insert(path(kind), left.len());
    for finalizer in left
        .iter()
        .flat_map(|object| object.metadata.finalizers.iter().flatten())
    {
        *rest.finalizers.entry(finalizer.clone()).or_default() += 1;
    }
    Ok(())
}

async fn remove_each(api: &Api<DynamicObject>) -> Result<(), kube::Error> {
    for object in api.list_metadata(&ListParams::default()).await?.items {
        match api
            .delete(meta::name(&object.metadata), &DeleteParams::background())
            .await
        {
            Err(error) if !is_gone(&error) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
