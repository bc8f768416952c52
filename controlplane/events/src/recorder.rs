//! Publishing: a bounded queue and one task that writes.

use std::future::Future;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::correlate::{Correlator, Decision, Identity};

/// Events waiting to be written; more are dropped, since an event is a courtesy.
const QUEUE: usize = 1024;

/// How serious an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Nothing is wrong.
    Normal,
    /// Worth a look.
    Warning,
}

impl Severity {
    fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// One event about `regarding`.
#[derive(Debug, Clone)]
pub struct Note {
    /// The object it is about.
    pub regarding: ObjectReference,
    /// How serious it is.
    pub severity: Severity,
    /// One word in PascalCase.
    pub reason: String,
    /// One sentence.
    pub message: String,
}

/// Takes events without ever waiting; cheap to clone.
#[derive(Debug, Clone)]
pub struct Recorder {
    queue: mpsc::Sender<Note>,
}

impl Recorder {
    /// Records an event of ordinary progress.
    pub fn normal(&self, regarding: &ObjectReference, reason: &str, message: String) {
        self.record(regarding, Severity::Normal, reason, message);
    }

    /// Records an event that somebody should look at.
    pub fn warning(&self, regarding: &ObjectReference, reason: &str, message: String) {
        self.record(regarding, Severity::Warning, reason, message);
    }

    fn record(&self, regarding: &ObjectReference, severity: Severity, reason: &str, message: String) {
        let note = Note {
            regarding: regarding.clone(),
            severity,
            reason: reason.to_owned(),
            message,
        };
        if self.queue.try_send(note).is_err() {
            debug!(reason, "event dropped, the queue is full");
        }
    }
}

/// A recorder that signs as `component`, and the future that writes its events until `stop`
/// or until the last recorder is dropped.
pub fn recorder(
    client: Client,
    component: &'static str,
    stop: CancellationToken,
) -> (Recorder, impl Future<Output = ()> + Send) {
    let (queue, notes) = mpsc::channel(QUEUE);
    (
        Recorder { queue },
        Writer::new(client, component).run(notes, stop),
    )
}

struct Writer {
    client: Client,
    component: Arc<str>,
    correlator: Correlator,
}

impl Writer {
    fn new(client: Client, component: &str) -> Self {
        Self {
            client,
            component: component.into(),
            correlator: Correlator::default(),
        }
    }

    async fn run(mut self, mut notes: mpsc::Receiver<Note>, stop: CancellationToken) {
        loop {
            let note = tokio::select! {
                biased;
                // Cancel-safe: a token stays cancelled.
                () = stop.cancelled() => return,
                // Cancel-safe: `recv` loses no message when dropped.
                note = notes.recv() => note,
            };
            let Some(note) = note else { return };
            if let Err(error) = self.write(note).await {
                warn!(error = &error as &dyn std::error::Error, "event not written");
            }
        }
    }

    async fn write(&mut self, note: Note) -> Result<(), kube::Error> {
        let now = Timestamp::now();
        let identity = identity(&note);
        match self.correlator.decide(&identity, now) {
            Decision::Drop => Ok(()),
            Decision::Create => self.create(note, identity, now).await,
            Decision::Repeat { name, count } => match self.repeat(&note, &name, count, now).await {
                Err(kube::Error::Api(status)) if status.is_not_found() => {
                    self.correlator.lost(&identity);
                    self.create(note, identity, now).await
                }
                other => other,
            },
        }
    }

    fn api(&self, note: &Note) -> Api<Event> {
        let namespace = note.regarding.namespace.as_deref().unwrap_or("default");
        Api::namespaced(self.client.clone(), namespace)
    }

    async fn create(&mut self, note: Note, identity: Identity, now: Timestamp) -> Result<(), kube::Error> {
        let api = self.api(&note);
        let event = event(note, &self.component, now);
        let name = event.metadata.name.clone().unwrap_or_default();
        api.create(&PostParams::default(), &event).await?;
        self.correlator.created(identity, name, now);
        Ok(())
    }

    async fn repeat(&self, note: &Note, name: &str, count: i32, now: Timestamp) -> Result<(), kube::Error> {
        let patch = serde_json::json!({ "count": count, "lastTimestamp": Time(now) });
        self.api(note)
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        Ok(())
    }
}

fn identity(note: &Note) -> Identity {
    let object = &note.regarding;
    Identity {
        object: object.uid.clone().unwrap_or_else(|| {
            format!(
                "{}/{}",
                object.namespace.as_deref().unwrap_or_default(),
                object.name.as_deref().unwrap_or_default()
            )
        }),
        severity: note.severity.as_str(),
        reason: note.reason.clone(),
        message: note.message.clone(),
    }
}

fn event(note: Note, component: &str, now: Timestamp) -> Event {
    let object = note.regarding.name.clone().unwrap_or_default();
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{object}.{:x}", now.as_nanosecond())),
            namespace: Some(
                note.regarding
                    .namespace
                    .clone()
                    .unwrap_or_else(|| "default".to_owned()),
            ),
            ..ObjectMeta::default()
        },
        involved_object: note.regarding,
        reason: Some(note.reason),
        message: Some(note.message),
        type_: Some(note.severity.as_str().to_owned()),
        count: Some(1),
        first_timestamp: Some(Time(now)),
        last_timestamp: Some(Time(now)),
        source: Some(EventSource {
            component: Some(component.to_owned()),
            host: None,
        }),
        reporting_component: Some(component.to_owned()),
        reporting_instance: Some(String::new()),
        ..Event::default()
    }
}
