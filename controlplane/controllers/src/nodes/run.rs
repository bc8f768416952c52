//! Running the controllers of nodes and of the pods on them, together with their feed.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use controlplane_events::recorder;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Client;
use kube::runtime::reflector::{Store, store};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::feed::{Feed, Wakes, channel};
use super::index::Index;
use crate::{node_lifecycle, pod_gc, taint_eviction};

/// What the controllers share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) client: Client,
    pub(crate) nodes: Store<Node>,
    pub(crate) pods: Store<Pod>,
    index: Arc<Mutex<Index>>,
    known: watch::Sender<bool>,
}

impl Shared {
    /// The index of pods as it is now.
    pub(crate) fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nodes and pods have been listed.
    pub(crate) async fn wait_until_known(&self) {
        let mut known = self.known.subscribe();
        // The sender is `self`, so the channel cannot close under a waiter.
        let _known = known.wait_for(|known| *known).await;
    }
}

/// Runs `node-lifecycle`, `taint-eviction` and `pod-gc` until `stop`; ends when one of them does,
/// for they share their caches.
pub(crate) async fn run(client: Client, grace: Duration, threshold: usize, stop: CancellationToken) {
    let (nodes, nodes_writer) = store();
    let (pods, pods_writer) = store();
    let shared = Shared {
        client: client.clone(),
        nodes,
        pods,
        index: Arc::default(),
        known: watch::Sender::new(false),
    };
    let (for_lifecycle, changed) = channel();
    let (for_eviction, tainted) = channel();
    let (for_gc, doomed) = channel();
    let feed = Feed {
        index: shared.index.clone(),
        nodes: shared.nodes.clone(),
        nodes_writer,
        pods_writer,
        known: shared.known.clone(),
        wakes: Wakes {
            nodes: for_lifecycle,
            tainted: for_eviction,
            doomed: for_gc,
        },
        threshold,
        listed_nodes: BTreeSet::new(),
        listed_pods: BTreeSet::new(),
        ended_lists: BTreeSet::new(),
    };
    let (node_events, node_writer) = recorder(client.clone(), "node-controller", stop.clone());
    let (taint_events, taint_writer) = recorder(client.clone(), "taint-eviction-controller", stop.clone());
    let mut team = JoinSet::new();
    let halt = stop.clone();
    team.spawn(async move {
        tokio::select! {
            // Cancel-safe: a token stays cancelled.
            () = halt.cancelled() => {}
            // Dropped only at the end, when nobody reads its caches any more.
            () = feed.run(client) => {}
        }
    });
    team.spawn(node_writer);
    team.spawn(taint_writer);
    team.spawn(node_lifecycle::run(
        shared.clone(),
        node_events,
        grace,
        changed,
        stop.clone(),
    ));
    team.spawn(taint_eviction::run(
        shared.clone(),
        taint_events,
        tainted,
        stop.clone(),
    ));
    team.spawn(pod_gc::run(shared, threshold, doomed, stop.clone()));
    team.join_next().await;
    if stop.is_cancelled() {
        while team.join_next().await.is_some() {}
    }
}
