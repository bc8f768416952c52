//! The controller over Services.

use std::sync::Arc;

use controlplane_events::Recorder;
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::Api;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher;
use tokio_util::sync::CancellationToken;

use super::apply::perform;
use super::cache::Slices;
use super::desired::{MANAGED_BY, MANAGER, frame, groups, is_ours};
use super::plan::plan;
use crate::backends::{Shared, WakeStream};
use crate::drive::{drive, triggers, watch};
use crate::error::{Attempt, ReconcileError, words};
use crate::meta;

struct Context {
    shared: Shared,
    recorder: Recorder,
    slices: Arc<Slices>,
}

/// Runs the controller until `stop`.
pub(crate) async fn run(shared: Shared, recorder: Recorder, wakes: WakeStream, stop: CancellationToken) {
    let slices = Arc::new(Slices::default());
    let observed = slices.clone();
    let selector = format!("{MANAGED_BY}={MANAGER}");
    let config = watcher::Config::default().labels(&selector);
    let own = watch(Api::<EndpointSlice>::all(shared.client.clone()), config)
        .map_ok(move |event| {
            let concerned = observed.observe(&event).into_iter();
            stream::iter(concerned.map(|(namespace, name)| Ok(ObjectRef::new(&name).within(&namespace))))
        })
        .try_flatten();
    let services = shared.services.clone();
    let context = Context {
        shared,
        recorder,
        slices,
    };
    drive(
        "endpointslice",
        services,
        vec![
            triggers(wakes, |service| [service]),
            triggers(own.boxed(), |service: ObjectRef<Service>| [service]),
        ],
        Arc::new(context),
        |service, context| async move { reconcile(&service, &context).await },
        stop,
    )
    .await;
}

async fn reconcile(service: &Service, context: &Context) -> Result<Action, ReconcileError> {
    if !is_ours(service) || meta::is_deleting(&service.metadata) {
        return Ok(Action::await_change());
    }
    context.shared.wait_until_known().await;
    context.slices.wait_until_known().await;
    let (namespace, name) = (meta::namespace(&service.metadata), meta::name(&service.metadata));
    let key = (namespace.to_owned(), name.to_owned());
    let groups = {
        let index = context.shared.backends.lock();
        groups(service, &index.backends(&key), &index)
    };
    let steps = plan(&frame(service), groups, &context.slices.of(&key));
    let outcome = perform(&context.shared.client, &context.slices, namespace, steps).await;
    if let Err(error) = &outcome
        && !matches!(error, kube::Error::Api(status) if status.is_conflict() || status.is_not_found())
    {
        context.recorder.warning(
            &meta::reference(service),
            "FailedToUpdateEndpointSlices",
            format!(
                "Error updating Endpoint Slices for Service {namespace}/{name}: {}",
                words(error)
            ),
        );
    }
    outcome.attempt("write endpoint slices of service", &format!("{namespace}/{name}"))?;
    Ok(Action::await_change())
}
