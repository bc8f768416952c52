//! Resizing the pod's containers: the node's promise, the units, and the events of both.

use std::collections::BTreeMap;
use std::sync::Arc;

use agent_core::resize::{
    Allocation, Pending, Resizing, allocation, asks_for_more_or_less, resizable, shrinks_memory,
};
use agent_core::{EventDraft, Failure, Observation, RESIZE_PENDING, Role, containers};
use agent_runtime::{memory_in_use, resized_units, unit_name};
use agent_systemd::UnitManager;
use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};
use serde::Serialize;
use tracing::warn;

use super::apply::{Flow, RETRY, soon};
use super::checkpoint::Checkpoint;
use super::operations::Done;
use super::worker::Worker;
use crate::clock::now;

/// What the worker knows of its pod's resize beside what the plan is told.
#[derive(Debug, Default)]
pub(super) struct Sizing {
    pub(super) now: Resizing,
    /// Whether units are being given their sizes.
    under_way: bool,
    /// Whether it was told that a resize has begun and not yet that it has ended.
    told_started: bool,
}

impl Sizing {
    /// What an earlier agent had promised and given the pod; else what its status says, else what it asks for.
    pub(super) fn of(pod: &Pod, checkpoint: Option<&Checkpoint>) -> Self {
        let mut allocated = pod.spec.as_ref().map(allocation).unwrap_or_default();
        match checkpoint {
            Some(kept) if !kept.allocated.is_empty() => allocated.clone_from(&kept.allocated),
            Some(_) => {}
            None => allocated.extend(had(pod)),
        }
        let applied = checkpoint.map(|kept| kept.applied.clone()).unwrap_or_default();
        let applied = if applied.is_empty() {
            allocated.clone()
        } else {
            applied
        };
        Self {
            now: Resizing {
                allocated,
                applied,
                ..Resizing::default()
            },
            ..Self::default()
        }
    }
}

/// What the containers of `pod` had when its status was last told, as after a reboot.
fn had(pod: &Pod) -> Allocation {
    let known = pod.spec.as_ref().map(allocation).unwrap_or_default();
    let statuses = pod.status.iter().flat_map(agent_core::container_statuses);
    let each = statuses.filter_map(|status| {
        let resources = status.resources.clone()?;
        known
            .contains_key(&status.name)
            .then(|| (status.name.clone(), resources))
    });
    each.collect()
}

impl<U: UnitManager + 'static> Worker<U> {
    /// How far the pod's resize is, with the memory in use where a limit is to go down.
    pub(super) fn observe_sizes(&mut self) -> Resizing {
        let pod = Arc::clone(&self.goal.pod);
        let Some(spec) = pod.spec.as_ref() else {
            return Resizing::default();
        };
        if self.sizing.now.pending.is_some() && !asks_for_more_or_less(spec, &self.sizing.now.allocated) {
            // What could not be had is not wanted any more.
            self.sizing.now.pending = None;
            self.context.allocations.content(&self.uid);
        }
        let in_use = |container: &Container| {
            let unit = unit_name(&pod, &container.name).ok()?;
            let used = memory_in_use(&self.context.paths, &self.uid, &container.name, &unit)?;
            Some((container.name.clone(), used))
        };
        let shrinking = resizable(spec).filter(|container| shrinks_memory(&self.sizing.now, container));
        let memory_in_use: BTreeMap<String, u64> = shrinking.filter_map(in_use).collect();
        Resizing {
            memory_in_use,
            ..self.sizing.now.clone()
        }
    }

    /// The pod with what it is promised in the place of what it asks for.
    pub(super) fn promised_pod(&self) -> Pod {
        agent_core::resize::with_allocation(&self.goal.pod, &self.sizing.now.allocated)
    }

    pub(super) fn allocate(&mut self) -> Flow {
        if !self.goal.from_api {
            // What else is here is known once the API has listed it.
            return Flow::Begun;
        }
        let context = Arc::clone(&self.context);
        match context
            .allocations
            .resize(&self.uid, &self.goal.pod, &self.wake, now())
        {
            Ok(promised) => {
                self.sizing.now.allocated = promised;
                self.sizing.now.pending = None;
                self.sizing.now.failure = None;
                self.sizing.told_started = true;
                self.spec_changed = true;
                self.tell_resize(EventDraft::normal, "ResizeStarted", "started", None);
                Flow::Changed
            }
            Err(pending) if self.sizing.now.pending.as_ref() == Some(&pending) => Flow::Begun,
            Err(pending) => {
                if !was_told(&self.goal.pod, &pending) {
                    self.tell_pending(&pending);
                }
                self.sizing.now.pending = Some(pending);
                Flow::Changed
            }
        }
    }

    /// Notes that the unit of `container` is made with what is promised to it.
    pub(super) fn note_made(&mut self, container: &str) {
        let sizing = &mut self.sizing.now;
        if let Some(promised) = sizing.allocated.get(container)
            && sizing.applied.get(container) != Some(promised)
        {
            sizing.applied.insert(container.to_owned(), promised.clone());
            self.spec_changed = true;
        }
    }

    pub(super) fn resize(&mut self, containers: Vec<String>) -> Flow {
        let sizing = &self.sizing.now;
        if self.sizing.under_way {
            return Flow::Begun;
        }
        let units = match resized_units(&self.goal.pod, &sizing.applied, &sizing.allocated, &containers) {
            Ok(units) => units,
            Err(error) => {
                self.resize_failed(format!("{:#}", anyhow::Error::from(error)));
                return Flow::Changed;
            }
        };
        let promised = |name: String| Some((name.clone(), sizing.allocated.get(&name)?.clone()));
        let given: Allocation = containers.into_iter().filter_map(promised).collect();
        self.sizing.under_way = true;
        let context = Arc::clone(&self.context);
        self.operations.spawn(async move {
            for (unit, limits) in units {
                if let Err(error) = context.units.set_limits(&unit, &limits).await {
                    return Done::Resized(Err(format!("{:#}", anyhow::Error::from(error))));
                }
            }
            Done::Resized(Ok(given))
        });
        Flow::Begun
    }

    pub(super) fn resized(&mut self, result: Result<Allocation, String>) {
        self.sizing.under_way = false;
        match result {
            Ok(given) => {
                self.sizing.now.applied.extend(given);
                self.sizing.now.failure = None;
                self.spec_changed = true;
            }
            Err(error) => self.resize_failed(error),
        }
    }

    fn resize_failed(&mut self, message: String) {
        warn!(error = message, "containers not resized");
        let before = self.sizing.now.failure.as_ref().map(|failure| &failure.message);
        if before != Some(&message) {
            self.tell_resize(EventDraft::warning, "ResizeError", "error", Some(&message));
        }
        self.sizing.now.failure = Some(Failure {
            reason: "Error".to_owned(),
            message,
            failed_at: now(),
            retry_at: soon(RETRY),
        });
    }

    /// Tells that a resize that has begun is through, once every container has what is promised to it and runs.
    pub(super) fn tell_resize_ended(&mut self, observed: &Observation) {
        let Some(spec) = self.goal.pod.spec.as_ref() else {
            return;
        };
        let through = |container: &Container| {
            !observed.resizing.is_behind(container) && !observed.container(&container.name).comes_back
        };
        if self.sizing.told_started && resizable(spec).all(through) {
            self.sizing.told_started = false;
            self.tell_resize(EventDraft::normal, "ResizeCompleted", "completed", None);
        }
    }

    fn tell_pending(&self, pending: &Pending) {
        let reason = pending.unfit.reason.as_str();
        let message = Some(pending.unfit.message.as_str());
        let text = words(&self.goal.pod, reason, message);
        let event = EventDraft::warning(&format!("Resize{reason}"), text);
        self.context.events.about_pod(&self.goal.pod, None, event);
    }

    fn tell_resize(
        &self,
        draft: fn(&str, String) -> EventDraft,
        reason: &str,
        what: &str,
        error: Option<&str>,
    ) {
        let text = words(&self.promised_pod(), what, error);
        self.context
            .events
            .about_pod(&self.goal.pod, None, draft(reason, text));
    }
}

/// Whether the status says already that the resize is `pending`, so that an agent that starts does not tell it again.
fn was_told(pod: &Pod, pending: &Pending) -> bool {
    let mut conditions = pod
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    conditions.any(|condition| {
        condition.type_ == RESIZE_PENDING
            && condition.observed_generation == pending.generation
            && condition.reason.as_deref() == Some(pending.unfit.reason.as_str())
            && condition.message.as_ref() == Some(&pending.unfit.message)
    })
}

/// What events of a resize tell.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    init_containers: Vec<ToldContainer<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    containers: Vec<ToldContainer<'a>>,
    generation: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

#[derive(Serialize)]
struct ToldContainer<'a> {
    name: &'a str,
    resources: ResourceRequirements,
}

/// The kubelet's message of an event: `Pod resize started: {"containers":[..],"generation":2}`.
fn words(pod: &Pod, what: &str, error: Option<&str>) -> String {
    let of = |wanted: Role| {
        let all = pod
            .spec
            .iter()
            .flat_map(containers)
            .filter(move |(role, _)| *role == wanted);
        all.map(|(_, container)| ToldContainer {
            name: &container.name,
            resources: sizes(container.resources.as_ref()),
        })
    };
    let told = Told {
        init_containers: of(Role::Sidecar).collect(),
        containers: of(Role::Main).collect(),
        generation: pod.metadata.generation.unwrap_or_default(),
        error,
    };
    let told = serde_json::to_string(&told).unwrap_or_default();
    format!("Pod resize {what}: {told}")
}

/// cpu and memory of `resources` alone.
fn sizes(resources: Option<&ResourceRequirements>) -> ResourceRequirements {
    let resized = |list: &Option<BTreeMap<_, _>>| {
        let mut list: BTreeMap<String, _> = list.clone()?;
        list.retain(|name, _| matches!(name.as_str(), "cpu" | "memory"));
        Some(list)
    };
    ResourceRequirements {
        limits: resources.and_then(|all| resized(&all.limits)),
        requests: resources.and_then(|all| resized(&all.requests)),
        claims: None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(memory: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"generation": 2},
            "spec": {"containers": [{"name": "a", "resources": {
                "limits": {"memory": memory, "example.com/gpu": "1"}, "requests": {"memory": memory}}}]},
        }))
        .unwrap()
    }

    #[test]
    fn events_say_the_sizes_in_the_kubelets_words() {
        let sizes = r#"{"containers":[{"name":"a","resources":{"limits":{"memory":"1Gi"},"requests":{"memory":"1Gi"}}}]"#;
        assert_eq!(
            words(&pod("1Gi"), "started", None),
            format!("Pod resize started: {sizes},\"generation\":2}}")
        );
        assert_eq!(
            words(&pod("1Gi"), "Infeasible", Some("no")),
            format!("Pod resize Infeasible: {sizes},\"generation\":2,\"error\":\"no\"}}")
        );
    }

    #[test]
    fn after_a_reboot_a_pod_holds_what_it_had_and_not_what_it_asks_for() {
        let mut wanted = pod("2Gi");
        let had = pod("1Gi").spec.unwrap().containers.remove(0).resources;
        wanted.status = Some(serde_json::from_value(json!({
            "containerStatuses": [{"name": "a", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                "resources": had}],
        })).unwrap());
        let sizing = Sizing::of(&wanted, None);
        assert_eq!(sizing.now.allocated.get("a"), had.as_ref());
        assert!(asks_for_more_or_less(
            wanted.spec.as_ref().unwrap(),
            &sizing.now.allocated
        ));
    }
}
