//! The conditions of the built-in kinds, which differ in little but their names.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{
    DaemonSetCondition, DeploymentCondition, ReplicaSetCondition, StatefulSetCondition,
};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerCondition;
use k8s_openapi::api::batch::v1::JobCondition;
use k8s_openapi::api::certificates::v1::CertificateSigningRequestCondition;
use k8s_openapi::api::core::v1::{
    NamespaceCondition, NodeCondition, PersistentVolumeClaimCondition, PodCondition,
    ReplicationControllerCondition,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{self, Time};

use super::Condition;

macro_rules! conditions {
    ($($type:ty),+ $(,)?) => {$(
        impl Condition for $type {
            fn kind(&self) -> &str {
                &self.type_
            }

            fn status(&self) -> &str {
                &self.status
            }

            fn since(&self) -> Option<Timestamp> {
                self.last_transition_time.as_ref().map(|since| since.0)
            }

            fn set_since(&mut self, since: Timestamp) {
                self.last_transition_time = Some(Time(since));
            }
        }
    )+};
}

conditions!(
    CertificateSigningRequestCondition,
    DaemonSetCondition,
    DeploymentCondition,
    HorizontalPodAutoscalerCondition,
    JobCondition,
    NamespaceCondition,
    NodeCondition,
    PersistentVolumeClaimCondition,
    PodCondition,
    ReplicaSetCondition,
    ReplicationControllerCondition,
    StatefulSetCondition,
);

impl Condition for v1::Condition {
    fn kind(&self) -> &str {
        &self.type_
    }

    fn status(&self) -> &str {
        &self.status
    }

    fn since(&self) -> Option<Timestamp> {
        Some(self.last_transition_time.0)
    }

    fn set_since(&mut self, since: Timestamp) {
        self.last_transition_time = Time(since);
    }
}
