//! The controller over nodes.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use controlplane_events::Recorder;
use futures::TryStreamExt;
use k8s_openapi::api::core::v1::Node;
use kube::Client;
use kube::api::Api;
use kube::runtime::controller::Action;
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, watcher};
use tokio_util::sync::CancellationToken;

use super::apply::perform;
use super::plan::Allocations;
use super::range::PodRange;
use crate::drive::{drive, triggers, watch};
use crate::error::ReconcileError;
use crate::meta;

/// The allocations, kept by the watch and by each reconcile.
struct Shared {
    allocations: Mutex<Allocations>,
    /// Names delivered by a list under way.
    listed: Mutex<BTreeSet<String>>,
}

struct Context {
    client: Client,
    recorder: Recorder,
    nodes: Store<Node>,
    shared: Arc<Shared>,
}

/// Runs the controller until `stop`.
pub(crate) async fn run(client: Client, recorder: Recorder, range: PodRange, stop: CancellationToken) {
    let (nodes, writer) = store();
    let shared = Arc::new(Shared {
        allocations: Mutex::new(Allocations::new(range)),
        listed: Mutex::default(),
    });
    let (observed, waiting) = (shared.clone(), shared.clone());
    // Observed before it is cached: once the cache is ready, all allocations are known.
    let own = watch(Api::all(client.clone()), watcher::Config::default())
        .inspect_ok(move |event| observed.observe(event))
        .reflect(writer)
        .touched_objects();
    let context = Context {
        client,
        recorder,
        nodes: nodes.clone(),
        shared,
    };
    drive(
        "node-ipam",
        nodes,
        vec![triggers(own, move |node: Node| waiting.wakes(&node))],
        Arc::new(context),
        |node, context| async move { reconcile(&node, &context).await },
        stop,
    )
    .await;
}

async fn reconcile(node: &Node, context: &Context) -> Result<Action, ReconcileError> {
    // Nothing is given away before what is held is known.
    if context.nodes.wait_until_ready().await.is_err() {
        return Ok(Action::await_change());
    }
    let step = {
        let name = meta::name(&node.metadata);
        let mut allocations = context.shared.lock();
        let step = allocations.plan(name);
        allocations.assume(name, step);
        step
    };
    perform(&context.client, &context.recorder, node, step).await?;
    Ok(Action::await_change())
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Allocations> {
        self.allocations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn observe(&self, event: &Event<Node>) {
        let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Init => listed.clear(),
            Event::InitApply(node) => {
                listed.insert(meta::name(&node.metadata).to_owned());
                self.lock().see(node);
            }
            Event::InitDone => self.lock().retain(&std::mem::take(&mut listed)),
            Event::Apply(node) => self.lock().see(node),
            Event::Delete(node) => self.lock().forget(meta::name(&node.metadata)),
        }
    }

    /// A changed node, and those for which nothing was left: it may have gone.
    fn wakes(&self, node: &Node) -> Vec<ObjectRef<Node>> {
        let allocations = self.lock();
        let waiting = allocations.disappointed().map(ObjectRef::new);
        waiting.chain([ObjectRef::from_obj(node)]).collect()
    }
}
