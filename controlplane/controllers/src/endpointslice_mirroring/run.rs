//! The controller over Endpoints.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::{Endpoints, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::Api;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher;
use tokio_util::sync::CancellationToken;

use super::plan::{MANAGER, frame, groups, is_wanted};
use crate::backends::{Shared, WakeStream};
use crate::drive::{drive, triggers, watch};
use crate::endpointslice::{MANAGED_BY, Slices, perform, plan};
use crate::error::{Attempt, ReconcileError};
use crate::meta;

struct Context {
    shared: Shared,
    slices: Arc<Slices>,
}

/// Runs the controller until `stop`.
pub(crate) async fn run(shared: Shared, wakes: WakeStream, stop: CancellationToken) {
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
    let same_name = wakes.map_ok(|service: ObjectRef<Service>| {
        let namespace = service.namespace.unwrap_or_default();
        ObjectRef::<Endpoints>::new(&service.name).within(&namespace)
    });
    drive(
        "endpointslice-mirroring",
        shared.endpoints.clone(),
        vec![
            triggers(own.boxed(), |endpoints: ObjectRef<Endpoints>| [endpoints]),
            triggers(same_name.boxed(), |endpoints| [endpoints]),
        ],
        Arc::new(Context { shared, slices }),
        |endpoints, context| async move { reconcile(&endpoints, &context).await },
        stop,
    )
    .await;
}

async fn reconcile(endpoints: &Endpoints, context: &Context) -> Result<Action, ReconcileError> {
    if meta::is_deleting(&endpoints.metadata) {
        return Ok(Action::await_change());
    }
    context.shared.wait_until_known().await;
    context.slices.wait_until_known().await;
    let (namespace, name) = (
        meta::namespace(&endpoints.metadata),
        meta::name(&endpoints.metadata),
    );
    let service = context
        .shared
        .services
        .get(&ObjectRef::new(name).within(namespace));
    let existing = context.slices.of(&(namespace.to_owned(), name.to_owned()));
    let groups = if is_wanted(endpoints, service.as_deref()) {
        groups(endpoints)
    } else {
        Vec::new()
    };
    let steps = plan(&frame(endpoints), groups, &existing);
    perform(&context.shared.client, &context.slices, namespace, steps)
        .await
        .attempt("mirror endpoints", &format!("{namespace}/{name}"))?;
    Ok(Action::await_change())
}
