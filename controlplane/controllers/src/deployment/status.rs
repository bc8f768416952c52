//! The status a Deployment should show.

use controlplane_apimachinery::condition;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus, ReplicaSetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::budget::{Budget, replicas, size};
use super::plan::Sets;
use crate::meta;

const AVAILABLE: &str = "Available";
const PROGRESSING: &str = "Progressing";
const REPLICA_FAILURE: &str = "ReplicaFailure";

const NEW_SET_AVAILABLE: &str = "NewReplicaSetAvailable";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";
const PAUSED: &str = "DeploymentPaused";

/// What this reconcile did about the new set, as the status tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum News {
    /// Nothing worth a word.
    #[default]
    None,
    /// It was created.
    Created(String),
    /// It could not be created, for this reason.
    CreateFailed(String),
}

/// The status of `deployment` with these sets.
pub(super) fn status(deployment: &Deployment, sets: &Sets, news: &News, now: Timestamp) -> DeploymentStatus {
    let mut status = counts(deployment, sets);
    let mut conditions = Conditions {
        list: observed(deployment).conditions.clone().unwrap_or_default(),
        now,
    };
    availability(&mut conditions, deployment, &status);
    if deadline(deployment).is_none() {
        conditions.remove(PROGRESSING);
    } else {
        progress(&mut conditions, deployment, sets, news, &status);
    }
    failure(&mut conditions, sets);
    status.conditions = Some(conditions.list).filter(|list| !list.is_empty());
    status
}

fn counts(deployment: &Deployment, sets: &Sets) -> DeploymentStatus {
    let sum = |of: fn(&ReplicaSetStatus) -> i32| -> i32 {
        sets.all().filter_map(|set| set.status.as_ref()).map(of).sum()
    };
    let asked: i32 = sets.all().map(size).sum();
    let available = sum(|status| status.available_replicas.unwrap_or_default());
    let updated = sets.new.as_ref().and_then(|new| new.status.as_ref());
    let some = |count: i32| (count != 0).then_some(count);
    DeploymentStatus {
        observed_generation: deployment.metadata.generation,
        replicas: some(sum(|status| status.replicas)),
        updated_replicas: some(updated.map_or(0, |status| status.replicas)),
        ready_replicas: some(sum(|status| status.ready_replicas.unwrap_or_default())),
        available_replicas: some(available),
        unavailable_replicas: some((asked - available).max(0)),
        terminating_replicas: Some(sum(|status| status.terminating_replicas.unwrap_or_default())),
        collision_count: observed(deployment).collision_count,
        conditions: None,
    }
}

fn availability(conditions: &mut Conditions, deployment: &Deployment, status: &DeploymentStatus) {
    let available = status.available_replicas.unwrap_or_default();
    if available >= Budget::of(deployment).fewest() {
        conditions.set(
            AVAILABLE,
            "True",
            "MinimumReplicasAvailable",
            "Deployment has minimum availability.",
        );
    } else {
        conditions.set(
            AVAILABLE,
            "False",
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
        );
    }
}

fn progress(
    conditions: &mut Conditions,
    deployment: &Deployment,
    sets: &Sets,
    news: &News,
    status: &DeploymentStatus,
) {
    let reason = conditions.reason(PROGRESSING).unwrap_or_default().to_owned();
    match news {
        News::CreateFailed(message) => {
            conditions.set(PROGRESSING, "False", "ReplicaSetCreateError", message);
            return;
        }
        News::Created(name) => {
            let message = format!("Created new replica set \"{name}\"");
            conditions.set(PROGRESSING, "True", "NewReplicaSetCreated", &message);
            return;
        }
        News::None => {}
    }
    let is_paused = deployment.spec.as_ref().and_then(|spec| spec.paused) == Some(true);
    if is_paused {
        if reason != TIMED_OUT {
            conditions.set(PROGRESSING, "Unknown", PAUSED, "Deployment is paused");
        }
        return;
    }
    if reason == PAUSED {
        let message = "Deployment is resumed";
        conditions.set(PROGRESSING, "Unknown", "DeploymentResumed", message);
        return;
    }
    rollout(conditions, deployment, sets, status, &reason);
}

fn rollout(
    conditions: &mut Conditions,
    deployment: &Deployment,
    sets: &Sets,
    status: &DeploymentStatus,
    reason: &str,
) {
    let settled = status.replicas == status.updated_replicas && reason == NEW_SET_AVAILABLE;
    if settled {
        return;
    }
    let subject = match &sets.new {
        Some(new) => format!("ReplicaSet \"{}\"", meta::name(&new.metadata)),
        None => format!("Deployment \"{}\"", meta::name(&deployment.metadata)),
    };
    if has_all(deployment, status) {
        let message = format!("{subject} has successfully progressed.");
        conditions.set(PROGRESSING, "True", NEW_SET_AVAILABLE, &message);
    } else if moved(observed(deployment), status) {
        let message = format!("{subject} is progressing.");
        conditions.renew(PROGRESSING, "True", "ReplicaSetUpdated", &message);
    } else if reason.is_empty() {
        if let Some(new) = &sets.new {
            let message = format!("Found new replica set \"{}\"", meta::name(&new.metadata));
            conditions.set(PROGRESSING, "True", "FoundNewReplicaSet", &message);
        }
    } else if has_timed_out(deployment, conditions, reason) {
        let message = format!("{subject} has timed out progressing.");
        conditions.set(PROGRESSING, "False", TIMED_OUT, &message);
    }
}

/// Copies the failure a set reports; the new set's counts first.
fn failure(conditions: &mut Conditions, sets: &Sets) {
    let found = sets
        .new
        .iter()
        .chain(&sets.old)
        .filter_map(|set| set.status.as_ref())
        .flat_map(|status| status.conditions.iter().flatten())
        .find(|condition| condition.type_ == REPLICA_FAILURE);
    match found {
        Some(found) => conditions.set(
            REPLICA_FAILURE,
            &found.status,
            found.reason.as_deref().unwrap_or_default(),
            found.message.as_deref().unwrap_or_default(),
        ),
        None => conditions.remove(REPLICA_FAILURE),
    }
}

/// Whether the rollout is over, by the status last written.
pub(super) fn is_complete(deployment: &Deployment) -> bool {
    let status = observed(deployment);
    has_all(deployment, status) && status.observed_generation >= deployment.metadata.generation
}

fn has_all(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    let wanted = replicas(deployment);
    [
        status.replicas,
        status.updated_replicas,
        status.available_replicas,
    ]
    .iter()
    .all(|count| count.unwrap_or_default() == wanted)
}

/// Whether anything got better between two statuses.
fn moved(old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    let count = |number: Option<i32>| number.unwrap_or_default();
    let outdated = |status: &DeploymentStatus| count(status.replicas) - count(status.updated_replicas);
    count(new.updated_replicas) > count(old.updated_replicas)
        || outdated(new) < outdated(old)
        || count(new.ready_replicas) > count(old.ready_replicas)
        || count(new.available_replicas) > count(old.available_replicas)
}

fn has_timed_out(deployment: &Deployment, conditions: &Conditions, reason: &str) -> bool {
    match reason {
        TIMED_OUT => true,
        NEW_SET_AVAILABLE => false,
        _ => time_left(deployment, &conditions.list, conditions.now).is_some_and(|left| !left.is_positive()),
    }
}

/// How long the rollout may still stand still, by the status last written; `None` where nothing
/// needs to be watched.
pub(super) fn until_deadline(
    deployment: &Deployment,
    status: &DeploymentStatus,
    now: Timestamp,
) -> Option<SignedDuration> {
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let reason = conditions
        .iter()
        .find(|condition| condition.type_ == PROGRESSING)
        .and_then(|condition| condition.reason.as_deref());
    if has_all(deployment, status) || matches!(reason, Some(TIMED_OUT | NEW_SET_AVAILABLE | PAUSED)) {
        return None;
    }
    time_left(deployment, conditions, now)
}

fn time_left(
    deployment: &Deployment,
    conditions: &[DeploymentCondition],
    now: Timestamp,
) -> Option<SignedDuration> {
    let since = conditions
        .iter()
        .find(|condition| condition.type_ == PROGRESSING)?
        .last_update_time
        .as_ref()?
        .0;
    Some(deadline(deployment)? - now.duration_since(since))
}

/// `progressDeadlineSeconds`; the greatest number means none.
fn deadline(deployment: &Deployment) -> Option<SignedDuration> {
    let spec = deployment.spec.as_ref()?;
    spec.progress_deadline_seconds
        .filter(|seconds| *seconds != i32::MAX)
        .map(|seconds| SignedDuration::from_secs(seconds.into()))
}

fn observed(deployment: &Deployment) -> &DeploymentStatus {
    static NONE: DeploymentStatus = DeploymentStatus {
        available_replicas: None,
        collision_count: None,
        conditions: None,
        observed_generation: None,
        ready_replicas: None,
        replicas: None,
        terminating_replicas: None,
        unavailable_replicas: None,
        updated_replicas: None,
    };
    deployment.status.as_ref().unwrap_or(&NONE)
}

/// Conditions under change: merged by type, unknown ones kept.
struct Conditions {
    list: Vec<DeploymentCondition>,
    now: Timestamp,
}

impl Conditions {
    fn find(&self, type_: &str) -> Option<&DeploymentCondition> {
        condition::find(&self.list, type_)
    }

    fn reason(&self, type_: &str) -> Option<&str> {
        self.find(type_)?.reason.as_deref()
    }

    fn remove(&mut self, type_: &str) {
        condition::remove(&mut self.list, type_);
    }

    /// Writes a condition, unless its status and reason stand already.
    fn set(&mut self, type_: &str, status: &str, reason: &str, message: &str) {
        let stands = self.find(type_).is_some_and(|condition| {
            condition.status == status && condition.reason.as_deref() == Some(reason)
        });
        if !stands {
            self.renew(type_, status, reason, message);
        }
    }

    /// Writes a condition with a new update time; the transition time moves only with the status.
    fn renew(&mut self, type_: &str, status: &str, reason: &str, message: &str) {
        let wanted = DeploymentCondition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            last_update_time: Some(Time(self.now)),
            last_transition_time: None,
        };
        let wanted = condition::dated(wanted, &self.list, self.now);
        // The newest comes last, as upstream has it.
        self.remove(type_);
        self.list.push(wanted);
    }
}

/// Whether nothing would change; zero and absent are the same number.
pub(super) fn same(observed: Option<&DeploymentStatus>, wanted: &DeploymentStatus) -> bool {
    let bare = |status: &DeploymentStatus| {
        let some = |count: Option<i32>| count.filter(|count| *count != 0);
        DeploymentStatus {
            replicas: some(status.replicas),
            updated_replicas: some(status.updated_replicas),
            ready_replicas: some(status.ready_replicas),
            available_replicas: some(status.available_replicas),
            unavailable_replicas: some(status.unavailable_replicas),
            terminating_replicas: some(status.terminating_replicas),
            ..status.clone()
        }
    };
    observed.is_some_and(|observed| bare(observed) == bare(wanted))
}

#[cfg(test)]
mod tests;
