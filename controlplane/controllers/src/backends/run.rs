//! Running the controllers that live on the index, together with their feed.

use std::sync::Arc;

use controlplane_events::recorder;
use k8s_openapi::api::core::v1::{Endpoints, Service};
use kube::Client;
use kube::runtime::reflector::{Store, store};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::feed::{Backends, Caches, Wakes, feed};
use crate::{endpoints, endpointslice, endpointslice_mirroring};

/// What the controllers share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) client: Client,
    pub(crate) backends: Arc<Backends>,
    pub(crate) services: Store<Service>,
    pub(crate) endpoints: Store<Endpoints>,
}

impl Shared {
    /// Waits until Services, Endpoints, pods and nodes have been listed.
    pub(crate) async fn wait_until_known(&self) {
        self.backends.wait_until_known().await;
    }
}

/// Runs the controllers of `EndpointSlices`, Endpoints and mirrored slices until `stop`; ends when
/// one of them does, for they share their caches.
pub(crate) async fn run(client: Client, stop: CancellationToken) {
    let (services, services_writer) = store();
    let (stored_endpoints, endpoints_writer) = store();
    let shared = Shared {
        client: client.clone(),
        backends: Arc::default(),
        services,
        endpoints: stored_endpoints,
    };
    let caches = Caches {
        backends: shared.backends.clone(),
        services: services_writer,
        endpoints: endpoints_writer,
    };
    let (slice_events, slice_writer) = recorder(client.clone(), "endpoint-slice-controller", stop.clone());
    let (endpoint_events, endpoint_writer) = recorder(client.clone(), "endpoint-controller", stop.clone());
    let (slices, for_slices) = Wakes::channel();
    let (plain, for_plain) = Wakes::channel();
    let (leftovers, for_leftovers) = Wakes::channel();
    let (mirror, for_mirror) = Wakes::channel();
    let wakes = vec![slices, plain, leftovers, mirror];
    let mut team = JoinSet::new();
    let halt = stop.clone();
    team.spawn(async move {
        tokio::select! {
            // Cancel-safe: a token stays cancelled.
            () = halt.cancelled() => {}
            // Dropped only at the end, when nobody reads its caches any more.
            () = feed(client, caches, wakes) => {}
        }
    });
    team.spawn(slice_writer);
    team.spawn(endpoint_writer);
    team.spawn(endpointslice::run(
        shared.clone(),
        slice_events,
        for_slices,
        stop.clone(),
    ));
    team.spawn(endpoints::run(
        shared.clone(),
        endpoint_events,
        for_plain,
        stop.clone(),
    ));
    team.spawn(endpoints::tidy(shared.clone(), for_leftovers, stop.clone()));
    team.spawn(endpointslice_mirroring::run(shared, for_mirror, stop.clone()));
    team.join_next().await;
    if stop.is_cancelled() {
        while team.join_next().await.is_some() {}
    }
}
