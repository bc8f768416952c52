//! Performs the steps of a plan.

use std::sync::Arc;

use futures::future::join_all;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use kube::Client;
use kube::api::{Api, DeleteParams, ObjectMeta, PostParams, Preconditions};
use kube::runtime::reflector::Store;
use tracing::debug;

use super::assumed::Assumed;
use super::plan::Step;
use super::status::Failure;
use crate::error::{is_gone, is_namespace_ending, words};
use crate::{claim, meta};
use controlplane_events::Recorder;

/// What performing steps needs.
pub(super) struct Hands<'a> {
    pub(super) client: &'a Client,
    pub(super) recorder: &'a Recorder,
    pub(super) assumed: &'a Assumed,
    pub(super) pods: &'a Store<Pod>,
}

impl Hands<'_> {
    /// Performs all `steps` as far as they go; the first failure is returned in words fit for
    /// the status, together with its cause.
    pub(super) async fn perform(
        &self,
        set: &ReplicaSet,
        steps: Vec<Step>,
    ) -> Result<(), (Failure, kube::Error)> {
        let mut deletions = Vec::new();
        for step in steps {
            match step {
                Step::Adopt(pod) => claim::adopt(self.client, set, pod.as_ref())
                    .await
                    .map_err(failed("FailedAdopt"))?,
                Step::Release(pod) => claim::release(self.client, set, pod.as_ref())
                    .await
                    .map_err(failed("FailedRelease"))?,
                Step::Create(count) => self.create(set, count).await.map_err(failed("FailedCreate"))?,
                Step::Delete(pod) => deletions.push(pod),
            }
        }
        self.delete(set, deletions).await.map_err(failed("FailedDelete"))
    }

    /// Creates `count` pods in batches of 1, 2, 4, …: what is wrong with one pod is mostly wrong
    /// with all, and then it is refused once, not hundreds of times.
    async fn create(&self, set: &ReplicaSet, count: usize) -> Result<(), kube::Error> {
        let mut left = count;
        let mut batch = 1;
        while left > 0 {
            let size = batch.min(left);
            let results = join_all((0..size).map(|_| self.create_one(set))).await;
            results.into_iter().collect::<Result<(), _>>()?;
            left -= size;
            batch *= 2;
        }
        Ok(())
    }

    async fn create_one(&self, set: &ReplicaSet) -> Result<(), kube::Error> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), meta::namespace(&set.metadata));
        match api.create(&PostParams::default(), &pod(set)).await {
            Ok(pod) => {
                let name = meta::name(&pod.metadata).to_owned();
                self.assumed.created(pod);
                self.recorder.normal(
                    &meta::reference(set),
                    "SuccessfulCreate",
                    format!("Created pod: {name}"),
                );
                Ok(())
            }
            Err(error) if is_namespace_ending(&error) => {
                debug!(namespace = meta::namespace(&set.metadata), "namespace is ending");
                Ok(())
            }
            Err(error) => {
                self.recorder.warning(
                    &meta::reference(set),
                    "FailedCreate",
                    format!("Error creating: {}", words(&error)),
                );
                Err(error)
            }
        }
    }

    async fn delete(&self, set: &ReplicaSet, pods: Vec<Arc<Pod>>) -> Result<(), kube::Error> {
        let results = join_all(pods.iter().map(|pod| self.delete_one(set, pod))).await;
        results.into_iter().collect()
    }

    async fn delete_one(&self, set: &ReplicaSet, pod: &Pod) -> Result<(), kube::Error> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), meta::namespace(&pod.metadata));
        let name = meta::name(&pod.metadata);
        let params = DeleteParams::default().preconditions(Preconditions {
            uid: pod.metadata.uid.clone(),
            resource_version: None,
        });
        match api.delete(name, &params).await {
            Ok(_) => {
                self.assumed.deleted(pod, self.pods);
                self.recorder.normal(
                    &meta::reference(set),
                    "SuccessfulDelete",
                    format!("Deleted pod: {name}"),
                );
                Ok(())
            }
            Err(error) if is_gone(&error) => {
                self.assumed.deleted(pod, self.pods);
                Ok(())
            }
            Err(error) => {
                self.recorder.warning(
                    &meta::reference(set),
                    "FailedDelete",
                    format!("Error deleting: {}", words(&error)),
                );
                Err(error)
            }
        }
    }
}

fn failed(reason: &'static str) -> impl Fn(kube::Error) -> (Failure, kube::Error) {
    move |error| {
        let message = words(&error);
        (Failure { reason, message }, error)
    }
}

/// A pod of the set's template; the server completes its name.
fn pod(set: &ReplicaSet) -> Pod {
    let template = set.spec.as_ref().and_then(|spec| spec.template.clone());
    let PodTemplateSpec { metadata, spec } = template.unwrap_or_default();
    let template = metadata.unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", meta::name(&set.metadata))),
            namespace: set.metadata.namespace.clone(),
            labels: template.labels,
            annotations: template.annotations,
            finalizers: template.finalizers,
            owner_references: Some(vec![meta::controller_reference(set)]),
            ..ObjectMeta::default()
        },
        spec,
        status: None,
    }
}
