//! Performs the steps of a plan.

use std::collections::BTreeMap;

use controlplane_events::Recorder;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use serde_json::{Map, Value, json};
use tracing::debug;

use super::budget::size;
use super::plan::{Step, Update};
use super::revision::REVISION;
use super::status::News;
use super::template::is_of_template;
use crate::error::{is_gone, is_namespace_ending, words};
use crate::meta;

/// What performing steps needs, and what it leaves behind.
pub(super) struct Hands<'a> {
    client: &'a Client,
    recorder: &'a Recorder,
    /// As the server last answered, so that the status written after is based on it.
    pub(super) deployment: Deployment,
    /// Resource versions of the sets as the steps found or left them: a change based on anything
    /// else is refused by the server.
    versions: BTreeMap<String, String>,
    /// What the status should tell.
    pub(super) news: News,
}

impl<'a> Hands<'a> {
    /// Hands that work on `deployment` and on `sets` as they were observed.
    pub(super) fn new<'s>(
        client: &'a Client,
        recorder: &'a Recorder,
        deployment: Deployment,
        sets: impl Iterator<Item = &'s ReplicaSet>,
    ) -> Self {
        let versions = sets.filter_map(|set| {
            let name = set.metadata.name.clone()?;
            Some((name, set.metadata.resource_version.clone()?))
        });
        Self {
            client,
            recorder,
            versions: versions.collect(),
            deployment,
            news: News::None,
        }
    }

    /// Performs one step.
    pub(super) async fn perform(&mut self, step: &Step) -> Result<(), kube::Error> {
        match step {
            Step::Create(set) => self.create(set).await,
            Step::Update(update) => self.update(update).await,
            Step::Delete(set) => self.delete(set).await,
            Step::Annotate(revision) => self.annotate(revision).await,
        }
    }

    fn sets(&self) -> Api<ReplicaSet> {
        let namespace = meta::namespace(&self.deployment.metadata);
        Api::namespaced(self.client.clone(), namespace)
    }

    fn deployments(&self) -> Api<Deployment> {
        let namespace = meta::namespace(&self.deployment.metadata);
        Api::namespaced(self.client.clone(), namespace)
    }

    async fn create(&mut self, set: &ReplicaSet) -> Result<(), kube::Error> {
        match self.sets().create(&PostParams::default(), set).await {
            Ok(created) => {
                let name = meta::name(&created.metadata).to_owned();
                self.remember(&created);
                self.report_scaling(&name, 0, size(set));
                self.news = News::Created(name);
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                self.collided(set, kube::Error::Api(status)).await
            }
            Err(error) if is_namespace_ending(&error) => {
                debug!("namespace is ending, no replica set created");
                Ok(())
            }
            Err(error) => {
                let name = meta::name(&set.metadata);
                let message = format!("Failed to create new replica set \"{name}\": {}", words(&error));
                let object = meta::reference(&self.deployment);
                self.recorder
                    .warning(&object, "ReplicaSetCreateError", message.clone());
                self.news = News::CreateFailed(message);
                Err(error)
            }
        }
    }

    /// The name is taken. Either the cache has not shown our own set yet, or another template has
    /// the same hash: then the count of collisions, which salts the hash, is raised.
    async fn collided(&mut self, set: &ReplicaSet, error: kube::Error) -> Result<(), kube::Error> {
        let Some(taken) = self.sets().get_opt(meta::name(&set.metadata)).await? else {
            return Err(error);
        };
        let ours = meta::is_controlled_by(&taken.metadata, meta::uid(&self.deployment.metadata));
        if ours && is_of_template(&self.deployment, &taken) {
            self.remember(&taken);
            return Ok(());
        }
        let mut body = self.deployment.clone();
        let status = body.status.get_or_insert_default();
        status.collision_count = Some(status.collision_count.unwrap_or_default() + 1);
        let name = meta::name(&body.metadata).to_owned();
        self.deployment = self
            .deployments()
            .replace_status(&name, &PostParams::default(), &body)
            .await?;
        Err(error)
    }

    async fn update(&mut self, update: &Update) -> Result<(), kube::Error> {
        let mut metadata = Map::new();
        if let Some(version) = self.versions.get(&update.name) {
            metadata.insert("resourceVersion".to_owned(), version.clone().into());
        }
        if !update.annotations.is_empty() {
            metadata.insert("annotations".to_owned(), json!(update.annotations));
        }
        let mut spec = Map::new();
        if let Some((_, to)) = update.replicas {
            spec.insert("replicas".to_owned(), to.into());
        }
        if let Some(seconds) = update.min_ready_seconds {
            spec.insert("minReadySeconds".to_owned(), seconds.into());
        }
        let patch = json!({ "metadata": Value::Object(metadata), "spec": Value::Object(spec) });
        let updated = self
            .sets()
            .patch(&update.name, &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        self.remember(&updated);
        if let Some((from, to)) = update.replicas {
            self.report_scaling(&update.name, from, to);
        }
        Ok(())
    }

    async fn delete(&mut self, set: &ReplicaSet) -> Result<(), kube::Error> {
        let params = DeleteParams::background().preconditions(Preconditions {
            uid: set.metadata.uid.clone(),
            resource_version: None,
        });
        match self.sets().delete(meta::name(&set.metadata), &params).await {
            Err(error) if !is_gone(&error) => Err(error),
            _ => Ok(()),
        }
    }

    async fn annotate(&mut self, revision: &str) -> Result<(), kube::Error> {
        let patch = json!({ "metadata": {
            "uid": meta::uid(&self.deployment.metadata),
            "annotations": { REVISION: revision },
        }});
        let name = meta::name(&self.deployment.metadata).to_owned();
        let generation = self.deployment.metadata.generation;
        self.deployment = self
            .deployments()
            .patch(&name, &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        // What was planned belongs to the generation it was planned for.
        self.deployment.metadata.generation = generation;
        Ok(())
    }

    fn remember(&mut self, set: &ReplicaSet) {
        let version = set.metadata.resource_version.clone();
        if let (Some(name), Some(version)) = (set.metadata.name.clone(), version) {
            self.versions.insert(name, version);
        }
    }

    fn report_scaling(&self, set: &str, from: i32, to: i32) {
        if from == to {
            return;
        }
        let direction = if to > from { "up" } else { "down" };
        let message = format!("Scaled {direction} replica set {set} from {from} to {to}");
        let object = meta::reference(&self.deployment);
        self.recorder.normal(&object, "ScalingReplicaSet", message);
    }
}
