//! The loop: one task owns the graph; calls run beside it.

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use controlplane_events::Recorder;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::api::{Api, DynamicObject, PartialObjectMeta};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::apply::{Found, Hands, Target};
use super::graph::{Graph, Node, Place, Step, Uid};
use super::kinds::{Kind, discover};

/// Calls in flight at once.
const CALLS: usize = 16;
/// Pause before an object whose step failed is looked at again.
const RETRY: Duration = Duration::from_secs(1);

type Metadata = PartialObjectMeta<DynamicObject>;
type News = (usize, Result<Event<Metadata>, watcher::Error>);
type Calls = JoinSet<(Uid, Result<Vec<Found>, kube::Error>)>;

/// Runs the collector until `stop`; ends early where the server cannot be asked for its kinds, to
/// be started again.
pub(crate) async fn run(client: Client, recorder: Recorder, stop: CancellationToken) {
    let kinds = match discover(&client).await {
        Ok(kinds) => Arc::new(
            kinds
                .into_iter()
                .filter(Kind::owns_or_is_owned)
                .collect::<Vec<_>>(),
        ),
        Err(error) => {
            warn!(error = &error as &dyn Error, "kinds not discovered");
            return;
        }
    };
    let mut news = stream::select_all(
        kinds
            .iter()
            .enumerate()
            .map(|(number, kind)| metadata(&client, number, kind)),
    );
    let mut collector = Collector::new(Hands { client, kinds }, recorder);
    loop {
        collector.work();
        let alarm = collector.retries.first().map(|(at, _)| *at);
        tokio::select! {
            biased;
            // Cancel-safe: a token stays cancelled.
            () = stop.cancelled() => return,
            // Cancel-safe: an outcome is taken only when returned.
            Some(outcome) = collector.calls.join_next() => collector.finish(outcome),
            // Cancel-safe: `next` takes an item only when it returns it.
            Some(first) = news.next() => {
                collector.take(first);
                // All that has come with it: a cascade is one piece of work, not a hundred.
                while let Some(Some(more)) = news.next().now_or_never() {
                    collector.take(more);
                }
            }
            // Cancel-safe: a dropped sleep loses nothing.
            () = sleep_until(alarm) => collector.ring(),
        }
    }
}

fn metadata(client: &Client, number: usize, kind: &Kind) -> BoxStream<'static, News> {
    let api: Api<Metadata> = Api::all_with(client.clone(), &kind.resource);
    watch(api, watcher::Config::default())
        .default_backoff()
        .map(move |event| (number, event))
        .boxed()
}

struct Collector {
    hands: Hands,
    recorder: Recorder,
    graph: Graph,
    calls: Calls,
    /// Objects a call is about just now.
    busy: BTreeSet<Uid>,
    retries: BTreeSet<(Instant, Uid)>,
    /// Per kind: the UIDs of a list under way.
    listed: Vec<BTreeSet<Uid>>,
    /// Kinds whose first list has not ended: until then absence means nothing.
    unknown: BTreeSet<usize>,
}

impl Collector {
    fn new(hands: Hands, recorder: Recorder) -> Self {
        let count = hands.kinds.len();
        Self {
            hands,
            recorder,
            graph: Graph::default(),
            calls: JoinSet::new(),
            busy: BTreeSet::new(),
            retries: BTreeSet::new(),
            listed: vec![BTreeSet::new(); count],
            unknown: (0..count).collect(),
        }
    }

    /// Takes one event into the graph.
    fn take(&mut self, (number, event): News) {
        let Some(resource) = self.hands.kinds.get(number).map(|kind| kind.resource.clone()) else {
            return;
        };
        let Some(listed) = self.listed.get_mut(number) else {
            return;
        };
        let uid = |object: &Metadata| object.metadata.uid.clone().unwrap_or_default();
        let read = |object: &Metadata| Node::read(&resource.group, &resource.kind, &object.metadata);
        match event {
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(object)) => {
                listed.insert(uid(&object));
                self.graph.put(&uid(&object), read(&object));
            }
            Ok(Event::InitDone) => {
                let listed = std::mem::take(listed);
                self.graph.retain(&resource.group, &resource.kind, &listed);
                self.unknown.remove(&number);
            }
            Ok(Event::Apply(object)) => self.graph.put(&uid(&object), read(&object)),
            Ok(Event::Delete(object)) => self.graph.remove(&uid(&object)),
            Err(error) => debug!(
                kind = resource.kind,
                error = &error as &dyn Error,
                "watch of metadata interrupted"
            ),
        }
    }

    /// Starts calls for what is to be done, as many as may be in flight.
    fn work(&mut self) {
        while self.unknown.is_empty() && self.calls.len() < CALLS {
            let Some(uid) = self.graph.next_dirty() else {
                return;
            };
            if self.busy.contains(&uid) {
                self.retries.insert((Instant::now() + RETRY / 20, uid));
                continue;
            }
            let steps = self.graph.plan(&uid);
            if !steps.is_empty() {
                self.start(uid, steps);
            }
        }
    }

    fn start(&mut self, uid: Uid, steps: Vec<Step>) {
        let targeted: Vec<(Target, Step)> = steps
            .into_iter()
            .filter_map(|step| {
                let about = match &step {
                    Step::Unlink(other, _) => other,
                    Step::Verify(..) | Step::Unblock | Step::Delete(_) | Step::Release(_) => &uid,
                };
                let node = self.graph.get(about)?;
                let target = Target {
                    uid: about.clone(),
                    place: node.place.clone(),
                    owners: node.owners.iter().map(|owner| owner.uid.clone()).collect(),
                };
                Some((target, step))
            })
            .collect();
        let hands = self.hands.clone();
        self.busy.insert(uid.clone());
        self.calls.spawn(async move {
            let mut found = Vec::new();
            for (target, step) in targeted {
                match hands.perform(&target, step).await {
                    Ok(one) => found.push(one),
                    // In order, and no further: a finalizer goes only after what it waits for.
                    Err(error) => return (uid, Err(error)),
                }
            }
            (uid, Ok(found))
        });
    }

    fn finish(&mut self, outcome: Result<(Uid, Result<Vec<Found>, kube::Error>), tokio::task::JoinError>) {
        let (uid, outcome) = match outcome {
            Ok(outcome) => outcome,
            Err(error) => {
                warn!(%error, "collector call failed");
                return;
            }
        };
        self.busy.remove(&uid);
        match outcome {
            Ok(found) => {
                for one in found {
                    self.learn(&uid, one);
                }
            }
            Err(error) => {
                debug!(
                    uid,
                    error = &error as &dyn Error,
                    "collection failed, will be retried"
                );
                self.retries.insert((Instant::now() + RETRY, uid));
            }
        }
    }

    fn learn(&mut self, uid: &str, found: Found) {
        match found {
            Found::Done => {}
            Found::Absent(owner, place) => {
                if self.graph.get(&owner).is_some() {
                    self.tell_of_stranger(uid, &owner);
                }
                self.graph.remember_absent(&owner, place);
                self.graph.mark(uid);
            }
            Found::Unresolvable(owner) => self.tell_of_stranger(uid, &owner),
            Found::Present => {
                self.retries.insert((Instant::now() + RETRY, uid.to_owned()));
            }
        }
    }

    /// Says in an event that an object names an owner that is not in its namespace.
    fn tell_of_stranger(&self, uid: &str, owner: &str) {
        let Some(node) = self.graph.get(uid) else { return };
        let Some(stranger) = node.owners.iter().find(|one| one.uid == owner) else {
            return;
        };
        let Place {
            kind,
            namespace,
            name,
            ..
        } = &node.place;
        let api_version = self
            .hands
            .kind(&node.place)
            .map(|kind| kind.resource.api_version.clone());
        let reference = ObjectReference {
            api_version,
            kind: Some(kind.clone()),
            namespace: (!namespace.is_empty()).then(|| namespace.clone()),
            name: Some(name.clone()),
            uid: Some(uid.to_owned()),
            ..ObjectReference::default()
        };
        let message = format!(
            "ownerRef [{}/{}, namespace: {namespace}, name: {}, uid: {owner}] does not exist in \
             namespace \"{namespace}\"",
            stranger.api_version, stranger.kind, stranger.name,
        );
        self.recorder
            .warning(&reference, "OwnerRefInvalidNamespace", message);
    }

    /// Marks the objects whose pause is over.
    fn ring(&mut self) {
        let now = Instant::now();
        while let Some((at, uid)) = self.retries.pop_first() {
            if at > now {
                self.retries.insert((at, uid));
                return;
            }
            self.graph.mark(&uid);
        }
    }
}

async fn sleep_until(alarm: Option<Instant>) {
    match alarm {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
