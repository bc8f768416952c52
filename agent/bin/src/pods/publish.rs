//! The pod's status, told to the API: one write under way at a time, the newest wins.

use agent_core::{Observation, RESIZE_IN_PROGRESS, RESIZE_PENDING, status, status_patch, transitions};
use agent_systemd::UnitManager;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::Api;
use kube::api::{Patch, PatchParams};
use std::time::Duration;
use tracing::debug;

use super::operations::Done;
use super::registry::View;
use super::worker::Worker;
use crate::clock::now;
use crate::full_disk;

const DEADLINE: Duration = Duration::from_secs(10);
const RETRY: jiff::SignedDuration = jiff::SignedDuration::from_secs(2);

/// What was told and what is to be told.
#[derive(Debug, Default)]
pub(super) struct Publisher {
    /// Whether the API's own status is known, so that there is something to compare with.
    begun: bool,
    /// What the API has from us.
    written: Option<PodStatus>,
    /// What was last computed.
    wanted: Option<PodStatus>,
    in_flight: bool,
    retry_at: Option<Timestamp>,
}

/// How a write went.
#[derive(Debug)]
pub(super) enum Told {
    /// The API has it.
    Yes(Box<PodStatus>),
    /// There is no such object any more.
    Gone,
    /// It may be tried again.
    No(String),
}

impl Publisher {
    /// Starts from what the API has.
    pub(super) fn begin_from(&mut self, status: Option<PodStatus>) {
        if !self.begun {
            self.begun = true;
            self.written = status;
        }
    }

    /// Whether nothing has been computed yet.
    pub(super) const fn is_new(&self) -> bool {
        self.wanted.is_none()
    }

    /// Whether the API has what was last computed.
    pub(super) fn is_settled(&self) -> bool {
        !self.in_flight && self.written == self.wanted
    }

    pub(super) const fn retry_at(&self) -> Option<Timestamp> {
        self.retry_at
    }

    /// Notes how a write went.
    pub(super) fn told(&mut self, told: Told) {
        self.in_flight = false;
        self.retry_at = None;
        match told {
            Told::Yes(status) => self.written = Some(*status),
            Told::Gone => self.written = self.wanted.clone(),
            Told::No(error) => {
                debug!(error, "status not written");
                self.retry_at = now().checked_add(RETRY).ok();
            }
        }
    }
}

impl<U: UnitManager + 'static> Worker<U> {
    /// Computes the status, shows it to the endpoint, tells events, and begins a write where needed.
    pub(super) fn publish(&mut self, observed: &Observation) {
        if self.goal.from_api {
            self.publisher.begin_from(self.goal.pod.status.clone());
        }
        let host_ips = [self.context.config.node_ip];
        let base = self.publisher.wanted.as_ref().or(self.publisher.written.as_ref());
        let base = base.or(self.goal.pod.status.as_ref()).cloned();
        let base = base.map(|status| with_foreign_conditions(status, self.goal.pod.status.as_ref()));
        let status = status(&self.goal.pod, observed, &host_ips, base.as_ref(), now());
        let status = full_disk::in_status(status);
        let mut pod = Pod::clone(&self.goal.pod);
        pod.status = Some(status.clone());
        self.keep(&mut pod);
        self.context.registry.put(
            &self.uid,
            View {
                pod,
                netns: self.netns.clone(),
            },
        );
        if self.publisher.begun {
            for event in transitions(base.as_ref(), &status) {
                let container = event.container.clone();
                self.context
                    .events
                    .about_pod(&self.goal.pod, container.as_deref(), event);
            }
        }
        self.publisher.wanted = Some(status);
        self.write_status();
    }

    /// Keeps the pod for a reboot, without what only the API needs.
    fn keep(&self, pod: &mut Pod) {
        let managed = pod.metadata.managed_fields.take();
        let cache = self.context.objects.cache();
        cache.keep(&self.uid, agent_cache::Kind::Pod, "", pod);
        pod.metadata.managed_fields = managed;
    }

    fn write_status(&mut self) {
        let publisher = &mut self.publisher;
        let waiting = publisher.retry_at.is_some_and(|moment| moment > now());
        if publisher.in_flight || waiting || !publisher.begun {
            return;
        }
        let Some(wanted) = publisher.wanted.clone() else {
            return;
        };
        let Some(patch) = status_patch(&self.uid, publisher.written.as_ref(), &wanted) else {
            publisher.written = Some(wanted);
            return;
        };
        publisher.in_flight = true;
        let meta = &self.goal.pod.metadata;
        let namespace = meta.namespace.as_deref().unwrap_or_default();
        let api: Api<Pod> = Api::namespaced(self.context.client.clone(), namespace);
        let name = meta.name.clone().unwrap_or_default();
        self.operations.spawn(async move {
            let write = async {
                api.patch_status(&name, &PatchParams::default(), &Patch::Strategic(patch))
                    .await
            };
            Done::Told(match tokio::time::timeout(DEADLINE, write).await {
                Ok(Ok(_)) => Told::Yes(Box::new(wanted)),
                Ok(Err(kube::Error::Api(answer))) if matches!(answer.code, 404 | 409) => Told::Gone,
                Ok(Err(error)) => Told::No(error.to_string()),
                Err(_) => Told::No("no answer in time".to_owned()),
            })
        });
    }
}

/// `ours` with the conditions that others have set in the API.
fn with_foreign_conditions(mut ours: PodStatus, theirs: Option<&PodStatus>) -> PodStatus {
    const OWN: [&str; 7] = [
        RESIZE_PENDING,
        RESIZE_IN_PROGRESS,
        "PodReadyToStartContainers",
        "Initialized",
        "Ready",
        "ContainersReady",
        "PodScheduled",
    ];
    let is_own = |type_: &str| OWN.contains(&type_);
    let mut all = ours.conditions.take().unwrap_or_default();
    all.retain(|condition| is_own(&condition.type_));
    let foreign = theirs
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    all.extend(foreign.filter(|condition| !is_own(&condition.type_)).cloned());
    ours.conditions = Some(all);
    ours
}
