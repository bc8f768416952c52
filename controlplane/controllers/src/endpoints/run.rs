//! The controller over Services, and the one that removes what a gone Service left.

use std::sync::Arc;

use controlplane_events::Recorder;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{Endpoints, Service};
use kube::api::{Api, DeleteParams, PostParams, Preconditions};
use kube::runtime::controller::Action;
use kube::runtime::reflector::{ObjectRef, Store};
use tokio_util::sync::CancellationToken;

use super::plan::{Step, is_managed, is_ours, plan};
use crate::backends::{Shared, WakeStream};
use crate::drive::{drive, triggers};
use crate::error::{Attempt, ReconcileError, is_gone, is_namespace_ending, words};
use crate::meta;

struct Context {
    recorder: Recorder,
    shared: Shared,
}

/// Runs the controller until `stop`.
pub(crate) async fn run(shared: Shared, recorder: Recorder, wakes: WakeStream, stop: CancellationToken) {
    let services = shared.services.clone();
    drive(
        "endpoints",
        services,
        vec![triggers(wakes, |service| [service])],
        Arc::new(Context { recorder, shared }),
        |service, context| async move { reconcile(&service, &context).await },
        stop,
    )
    .await;
}

async fn reconcile(service: &Service, context: &Context) -> Result<Action, ReconcileError> {
    if !is_ours(service) || meta::is_deleting(&service.metadata) {
        return Ok(Action::await_change());
    }
    let shared = &context.shared;
    shared.wait_until_known().await;
    let (namespace, name) = (meta::namespace(&service.metadata), meta::name(&service.metadata));
    let pods = {
        let key = (namespace.to_owned(), name.to_owned());
        shared.backends.lock().backends(&key)
    };
    let existing = shared.endpoints.get(&ObjectRef::new(name).within(namespace));
    let api: Api<Endpoints> = Api::namespaced(shared.client.clone(), namespace);
    let (reason, outcome) = match plan(service, &pods, existing.as_deref()) {
        Step::Nothing => return Ok(Action::await_change()),
        Step::Create(wanted) => (
            "FailedToCreateEndpoint",
            api.create(&PostParams::default(), &wanted).await,
        ),
        Step::Update(wanted) => (
            "FailedToUpdateEndpoint",
            api.replace(name, &PostParams::default(), &wanted).await,
        ),
    };
    let path = format!("{namespace}/{name}");
    match outcome {
        Err(error) if is_namespace_ending(&error) => {}
        Err(error) => {
            tell(context, service, reason, &path, &error);
            Err(error).attempt("write endpoints of service", &path)?;
        }
        Ok(_) => {}
    }
    Ok(Action::await_change())
}

/// Says in an event what went wrong, unless the cache was merely behind.
fn tell(context: &Context, service: &Service, reason: &str, path: &str, error: &kube::Error) {
    if matches!(error, kube::Error::Api(status) if status.code == 409 || status.code == 404) {
        return;
    }
    let verb = if reason.contains("Create") {
        "create"
    } else {
        "update"
    };
    let message = format!("Failed to {verb} endpoint {path}: {}", words(error));
    context
        .recorder
        .warning(&meta::reference(service), reason, message);
}

/// Removes Endpoints that the controller wrote for Services that have gone, until `stop`.
pub(crate) async fn tidy(shared: Shared, wakes: WakeStream, stop: CancellationToken) {
    let endpoints = shared.endpoints.clone();
    let same_name = wakes.map_ok(|service: ObjectRef<Service>| {
        let namespace = service.namespace.unwrap_or_default();
        ObjectRef::<Endpoints>::new(&service.name).within(&namespace)
    });
    drive(
        "endpoints",
        endpoints,
        vec![triggers(same_name.boxed(), |endpoints| [endpoints])],
        Arc::new(shared),
        |endpoints, shared| async move { remove_leftover(&endpoints, &shared).await },
        stop,
    )
    .await;
}

async fn remove_leftover(endpoints: &Endpoints, shared: &Shared) -> Result<Action, ReconcileError> {
    if !is_managed(endpoints) || meta::is_deleting(&endpoints.metadata) {
        return Ok(Action::await_change());
    }
    shared.wait_until_known().await;
    let (namespace, name) = (
        meta::namespace(&endpoints.metadata),
        meta::name(&endpoints.metadata),
    );
    if exists(&shared.services, namespace, name) {
        return Ok(Action::await_change());
    }
    let params = DeleteParams::default().preconditions(Preconditions {
        uid: endpoints.metadata.uid.clone(),
        resource_version: None,
    });
    let api: Api<Endpoints> = Api::namespaced(shared.client.clone(), namespace);
    match api.delete(name, &params).await {
        Err(error) if !is_gone(&error) => {
            Err(error).attempt("remove endpoints of gone service", &format!("{namespace}/{name}"))
        }
        _ => Ok(Action::await_change()),
    }
}

fn exists(services: &Store<Service>, namespace: &str, name: &str) -> bool {
    services.get(&ObjectRef::new(name).within(namespace)).is_some()
}
