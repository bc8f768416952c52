//! Keeps as many pods of a template alive as a `ReplicaSet` asks for.
//!
//! Behaviour, reasons, messages and the order in which pods are given up are those of
//! kube-controller-manager's `replicaset` controller.

mod apply;
mod assumed;
mod plan;
mod rank;
mod run;
mod status;

pub(crate) use run::run;

/// How pods look to the controllers that count them.
pub(crate) mod pods {
    use k8s_openapi::api::core::v1::{Pod, PodCondition};
    use k8s_openapi::jiff::{SignedDuration, Timestamp};

    /// `phase`, empty while unknown.
    pub(crate) fn phase(pod: &Pod) -> &str {
        pod.status
            .as_ref()
            .and_then(|status| status.phase.as_deref())
            .unwrap_or_default()
    }

    /// Whether the pod has ended for good.
    pub(crate) fn is_finished(pod: &Pod) -> bool {
        matches!(phase(pod), "Succeeded" | "Failed")
    }

    /// Whether the pod counts as a replica: neither ended nor being deleted.
    pub(crate) fn is_active(pod: &Pod) -> bool {
        !is_finished(pod) && pod.metadata.deletion_timestamp.is_none()
    }

    /// The `Ready` condition where it is true.
    pub(crate) fn ready(pod: &Pod) -> Option<&PodCondition> {
        pod.status
            .as_ref()?
            .conditions
            .iter()
            .flatten()
            .find(|condition| condition.type_ == "Ready" && condition.status == "True")
    }

    /// How long a pod must still stay ready to be available; zero once it is. `None` where it
    /// is not ready.
    pub(crate) fn until_available(
        pod: &Pod,
        min_ready: SignedDuration,
        now: Timestamp,
    ) -> Option<SignedDuration> {
        let condition = ready(pod)?;
        if min_ready.is_zero() {
            return Some(SignedDuration::ZERO);
        }
        let since = condition.last_transition_time.as_ref()?.0;
        let left = min_ready - now.duration_since(since);
        Some(left.max(SignedDuration::ZERO))
    }
}
