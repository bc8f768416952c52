//! `servers.floe.dev`: the members of the group as objects, kept by the server that leads.
//!
//! An object is made for each member, and says what it is and how it does. Deleting one removes the server: a finalizer
//! keeps the object until the group has agreed. `spec.lead` asks a server to lead. The Service `kubernetes` leads to the
//! servers that answer.

mod plan;
mod token;
mod version;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use controlplane_apiserver::ApiServer;
use controlplane_raft::{Change, Members};
use futures::StreamExt as _;
use kube::Client;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams,
    PostParams,
};
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use plan::{Member, Shown, Step, plan, role};
pub(crate) use token::Tokens;
pub(crate) use version::tell as tell_version;

/// Keeps an object until its server is removed.
const FINALIZER: &str = "floe.dev/member";
/// Set to `true`, a removal is not refused for what it means to the others.
const FORCE: &str = "floe.dev/force-removal";
/// How often it is looked who of several answers, which no event tells.
const EVERY: Duration = Duration::from_secs(1);

/// The kind of the objects.
fn kind() -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("floe.dev", "v1", "Server"), "servers")
}

/// Every object as it changes, for ever.
fn changes(api: &Api<DynamicObject>) -> impl futures::Stream<Item = Option<DynamicObject>> + Send + use<> {
    let events = watcher::watcher(api.clone(), watcher::Config::default());
    events.default_backoff().filter_map(async |event| match event {
        Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => Some(Some(object)),
        Ok(watcher::Event::Delete(_) | watcher::Event::InitDone) => Some(None),
        Ok(watcher::Event::Init) | Err(_) => None,
    })
}

/// Keeps members and objects alike while this server leads.
pub(crate) struct Keeper {
    server: ApiServer,
    members: Members,
    api: Api<DynamicObject>,
    begun: Instant,
    /// What was published last; nothing at the beginning.
    published: Option<BTreeSet<SocketAddr>>,
}

impl Keeper {
    /// One for a server that leads from now on; it works as `client`, and publishes through `server`.
    pub(crate) fn new(client: Client, server: ApiServer, members: Members) -> Self {
        Self {
            api: Api::all_with(client, &kind()),
            server,
            members,
            begun: Instant::now(),
            published: None,
        }
    }

    /// Compares members and objects whenever either changes, until `stop`.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut objects = std::pin::pin!(changes(&self.api));
        let mut members = self.members.changes();
        loop {
            members.mark_unchanged();
            let compared = self.compare().await;
            if let Err(error) = &compared {
                warn!(
                    error = &**error,
                    "the servers could not be shown as objects, trying again"
                );
            }
            let again = compared.is_err() || self.members.list().len() > 1;
            tokio::select! {
                // Cancel-safe: a token stays cancelled.
                () = stop.cancelled() => return,
                // Cancel-safe: a value counts as seen only once `changed` returns.
                Ok(()) = members.changed() => {}
                // Cancel-safe: the stream keeps what it has begun.
                Some(_) = objects.next() => {}
                // Cancel-safe: a dropped sleep loses nothing.
                () = tokio::time::sleep(EVERY), if again => {}
            }
        }
    }

    async fn compare(&mut self) -> anyhow::Result<()> {
        let objects = self.api.list(&ListParams::default()).await?;
        let shown = objects
            .items
            .iter()
            .filter_map(|object| Some((object.metadata.name.clone()?, shown(object))));
        let shown: BTreeMap<String, Shown> = shown.collect();
        let members = plan::members(self.members.list(), &shown, self.begun.elapsed());
        let endpoints = plan::endpoints(&members);
        if self.published.as_ref() != Some(&endpoints) {
            self.server.publish(&endpoints).await?;
            self.published = Some(endpoints);
        }
        for step in plan(&members, &shown) {
            self.apply(step).await?;
        }
        Ok(())
    }

    async fn apply(&self, step: Step) -> anyhow::Result<()> {
        let api = &self.api;
        match step {
            Step::Create(name, member) => {
                let mut object = DynamicObject::new(&name, &kind()).data(json!({"spec": spec(&member)}));
                object.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
                api.create(&PostParams::default(), &object).await?;
                self.show(&name, &status(&member)).await?;
            }
            Step::Update(name, member) => {
                self.show(&name, &status(&member)).await?;
                // Last: whoever asked it to lead sees that it does before the wish goes.
                let mut spec = spec(&member);
                spec.insert("lead".to_owned(), Value::Null);
                self.patch(&name, &json!({"spec": spec})).await?;
            }
            Step::Say(name, why) => self.say(&name, &why).await?,
            Step::Remove(name, id) => match self.members.change(Change::Remove(id)).await {
                Ok(()) => info!(server = id, name, "server removed from the cluster"),
                Err(error) => self.say(&name, &error.to_string()).await?,
            },
            Step::HandOver(name, id) => self.hand_over(&name, id).await?,
            Step::Release(name) => {
                self.patch(&name, &json!({"metadata": {"finalizers": null}}))
                    .await?
            }
            Step::Delete(name) => drop(api.delete(&name, &DeleteParams::default()).await?),
        }
        Ok(())
    }

    /// The new leader takes the wish away; where there is none, this one, and says why.
    async fn hand_over(&self, name: &str, id: controlplane_raft::ServerId) -> anyhow::Result<()> {
        let Err(error) = self.members.change(Change::HandOver(id)).await else {
            return Ok(());
        };
        self.say(name, &error.to_string()).await?;
        self.patch(name, &json!({"spec": {"lead": null}})).await
    }

    async fn say(&self, name: &str, why: &str) -> anyhow::Result<()> {
        warn!(name, why, "server stays as it is");
        self.show(name, &json!({"message": why})).await
    }

    async fn patch(&self, name: &str, change: &Value) -> anyhow::Result<()> {
        let patch = Patch::Merge(change);
        self.api.patch(name, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// A status is written apart, as for every kind.
    async fn show(&self, name: &str, status: &Value) -> anyhow::Result<()> {
        let patch = Patch::Merge(json!({"status": status}));
        self.api
            .patch_status(name, &PatchParams::default(), &patch)
            .await?;
        Ok(())
    }
}

fn shown(object: &DynamicObject) -> Shown {
    let at = |path: &str| object.data.pointer(path);
    let text = |path: &str| at(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    let annotations = object.metadata.annotations.as_ref();
    Shown {
        id: text("/spec/id").parse().ok(),
        address: text("/spec/peerAddress"),
        api: text("/spec/apiAddress"),
        role: text("/status/role"),
        state: text("/status/state"),
        behind: at("/status/entriesBehind").and_then(Value::as_u64).unwrap_or(0),
        message: text("/status/message"),
        lead: at("/spec/lead").and_then(Value::as_bool).unwrap_or(false),
        leaving: object.metadata.deletion_timestamp.is_some(),
        forced: annotations.is_some_and(|all| all.get(FORCE).is_some_and(|value| value == "true")),
    }
}

fn spec(member: &Member) -> Map<String, Value> {
    let peer = &member.info.peer;
    let fields = [
        // A text: not every client keeps a number of 63 bits.
        ("id", member.info.id.to_string()),
        ("peerAddress", peer.address.clone()),
        ("apiAddress", peer.api.clone()),
    ];
    fields
        .into_iter()
        .map(|(key, text)| (key.to_owned(), Value::String(text)))
        .collect()
}

fn status(member: &Member) -> Value {
    json!({
        "role": role(member.info.role),
        "state": member.state.word(),
        "entriesBehind": member.behind,
        "message": null,
    })
}
