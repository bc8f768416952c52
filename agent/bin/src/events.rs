//! Events told to the API: one task, bounded, never in the way of a pod.

use std::collections::BTreeMap;

use agent_core::{EventDraft, Role, every_container};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, Node, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::full_disk;

/// Name under which the agent reports.
const COMPONENT: &str = "floe-agent";

/// Events waiting to be sent; more are dropped and logged, for an event is not worth a delay.
const QUEUE: usize = 256;

/// Series remembered, to count a repetition instead of writing another object.
const SERIES: usize = 512;

/// Takes events from anywhere in the agent.
#[derive(Debug, Clone)]
pub(crate) struct Events(mpsc::Sender<Report>);

#[derive(Debug)]
pub(crate) struct Report {
    about: ObjectReference,
    draft: EventDraft,
    at: Timestamp,
}

#[cfg(test)]
impl Report {
    /// What is told.
    pub(crate) const fn draft(&self) -> &EventDraft {
        &self.draft
    }
}

impl Events {
    /// A queue and its end, to be given to [`send_all`].
    pub(crate) fn channel() -> (Self, mpsc::Receiver<Report>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self(sender), receiver)
    }

    /// Tells `draft` about `pod`, or about its container named in `container`.
    pub(crate) fn about_pod(&self, pod: &Pod, container: Option<&str>, draft: EventDraft) {
        let meta = &pod.metadata;
        self.tell(
            ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                namespace: meta.namespace.clone(),
                name: meta.name.clone(),
                uid: meta.uid.clone(),
                field_path: container.map(|name| field_path(pod, name)),
                ..ObjectReference::default()
            },
            draft,
        );
    }

    /// Tells `draft` about the node.
    pub(crate) fn about_node(&self, node: &Node, draft: EventDraft) {
        let about = ObjectReference {
            kind: Some("Node".to_owned()),
            name: node.metadata.name.clone(),
            uid: node.metadata.name.clone(),
            ..ObjectReference::default()
        };
        self.tell(about, draft);
    }

    fn tell(&self, about: ObjectReference, draft: EventDraft) {
        let message = full_disk::explain(&draft.message);
        let report = Report {
            about,
            draft: EventDraft { message, ..draft },
            at: crate::clock::now(),
        };
        if let Err(error) = self.0.try_send(report) {
            warn!(error = %error, "event dropped");
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Series {
    uid: Option<String>,
    field_path: Option<String>,
    reason: String,
    message: String,
}

/// Sends what is queued until `stop`.
pub(crate) async fn send_all(
    mut queue: mpsc::Receiver<Report>,
    client: Client,
    node: String,
    stop: CancellationToken,
) {
    let mut known: BTreeMap<Series, (String, i32)> = BTreeMap::new();
    loop {
        let report = tokio::select! {
            // Cancel-safe: a token stays cancelled.
            () = stop.cancelled() => return,
            // Cancel-safe: a received value is returned, never lost.
            report = queue.recv() => match report { Some(report) => report, None => return },
        };
        if known.len() >= SERIES {
            known.clear();
        }
        if let Err(error) = send(&client, &node, &mut known, report).await {
            debug!(error = %error, "event not sent");
        }
    }
}

async fn send(
    client: &Client,
    node: &str,
    known: &mut BTreeMap<Series, (String, i32)>,
    report: Report,
) -> kube::Result<()> {
    let series = Series {
        uid: report.about.uid.clone(),
        field_path: report.about.field_path.clone(),
        reason: report.draft.reason.clone(),
        message: report.draft.message.clone(),
    };
    let namespace = report
        .about
        .namespace
        .clone()
        .unwrap_or_else(|| "default".to_owned());
    let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
    if let Some((name, count)) = known.get_mut(&series) {
        let patch = json!({"count": *count + 1, "lastTimestamp": Time(report.at)});
        if api
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .is_ok()
        {
            *count += 1;
            return Ok(());
        }
    }
    let event = event(&namespace, node, report);
    let name = event.metadata.name.clone().unwrap_or_default();
    api.create(&PostParams::default(), &event).await?;
    known.insert(series, (name, 1));
    Ok(())
}

/// The place of container `name` in `pod`, as events name it.
fn field_path(pod: &Pod, name: &str) -> String {
    let mut all = pod.spec.iter().flat_map(every_container);
    let role = all
        .find(|(_, container)| container.name == name)
        .map(|(role, _)| role);
    let list = match role {
        Some(Role::Init | Role::Sidecar) => "initContainers",
        Some(Role::Ephemeral) => "ephemeralContainers",
        Some(Role::Main) | None => "containers",
    };
    format!("spec.{list}{{{name}}}")
}

fn event(namespace: &str, node: &str, report: Report) -> Event {
    let stamp = report.at.as_nanosecond();
    let name = report.about.name.clone().unwrap_or_default();
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{name}.{stamp:x}{:04x}", rand::random::<u16>())),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        involved_object: report.about,
        type_: Some(report.draft.type_.as_str().to_owned()),
        reason: Some(report.draft.reason),
        message: Some(report.draft.message),
        count: Some(1),
        first_timestamp: Some(Time(report.at)),
        last_timestamp: Some(Time(report.at)),
        source: Some(EventSource {
            component: Some(COMPONENT.to_owned()),
            host: Some(node.to_owned()),
        }),
        reporting_component: Some(COMPONENT.to_owned()),
        reporting_instance: Some(node.to_owned()),
        ..Event::default()
    }
}
