//! Which ReplicaSet is of the present template, and what a new one is called.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, ReplicaSetSpec};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::ObjectMeta;
use sha2::{Digest, Sha256};

use crate::meta;

/// The label that keeps the pods of two templates apart.
pub(super) const HASH_LABEL: &str = "pod-template-hash";

/// The letters of a hash: without vowels, so that no words come out.
const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
/// The letters in a hash.
const LENGTH: usize = 10;

/// Whether `set` is of the template of `deployment`. Compared as a whole, not by hash: an upgrade
/// of Floe that hashes otherwise must not roll anything out.
pub(super) fn is_of_template(deployment: &Deployment, set: &ReplicaSet) -> bool {
    let wanted = deployment.spec.as_ref().map(|spec| &spec.template);
    let found = set.spec.as_ref().and_then(|spec| spec.template.as_ref());
    match (wanted, found) {
        (Some(wanted), Some(found)) => unhashed(wanted) == unhashed(found),
        _ => false,
    }
}

fn unhashed(template: &PodTemplateSpec) -> PodTemplateSpec {
    let mut template = template.clone();
    let metadata = template.metadata.get_or_insert_default();
    if let Some(labels) = &mut metadata.labels {
        labels.remove(HASH_LABEL);
    }
    metadata.labels = metadata.labels.take().filter(|labels| !labels.is_empty());
    metadata.annotations = metadata.annotations.take().filter(|all| !all.is_empty());
    template
}

/// The hash of the present template, salted with the count of collisions met.
pub(super) fn hash(deployment: &Deployment) -> String {
    let template = deployment.spec.as_ref().map(|spec| unhashed(&spec.template));
    let salt = deployment
        .status
        .as_ref()
        .and_then(|status| status.collision_count)
        .unwrap_or_default();
    let text = serde_json::to_vec(&template).unwrap_or_default();
    let digest = Sha256::new()
        .chain_update(text)
        .chain_update(salt.to_be_bytes())
        .finalize();
    digest
        .iter()
        .take(LENGTH)
        .filter_map(|byte| LETTERS.get(usize::from(*byte) % LETTERS.len()))
        .map(|letter| char::from(*letter))
        .collect()
}

/// A set of the present template, without pods yet.
pub(super) fn new_set(deployment: &Deployment) -> ReplicaSet {
    let hash = hash(deployment);
    let spec = deployment.spec.clone().unwrap_or_default();
    let mut template = spec.template;
    let metadata = template.metadata.get_or_insert_default();
    let labels = metadata.labels.get_or_insert_default();
    labels.insert(HASH_LABEL.to_owned(), hash.clone());
    let labels = labels.clone();
    let mut selector: LabelSelector = spec.selector;
    selector
        .match_labels
        .get_or_insert_default()
        .insert(HASH_LABEL.to_owned(), hash.clone());
    ReplicaSet {
        metadata: ObjectMeta {
            name: Some(format!("{}-{hash}", meta::name(&deployment.metadata))),
            namespace: deployment.metadata.namespace.clone(),
            labels: Some(labels),
            owner_references: Some(vec![meta::controller_reference(deployment)]),
            ..ObjectMeta::default()
        },
        spec: Some(ReplicaSetSpec {
            replicas: Some(0),
            min_ready_seconds: spec.min_ready_seconds,
            selector,
            template: Some(template),
        }),
        status: None,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::{DeploymentSpec, DeploymentStatus};
    use k8s_openapi::api::core::v1::{Container, PodSpec};

    use super::*;

    fn deployment(image: &str) -> Deployment {
        Deployment {
            metadata: ObjectMeta {
                name: Some("web".into()),
                ..ObjectMeta::default()
            },
            spec: Some(DeploymentSpec {
                template: PodTemplateSpec {
                    metadata: None,
                    spec: Some(PodSpec {
                        containers: vec![Container {
                            image: Some(image.into()),
                            ..Container::default()
                        }],
                        ..PodSpec::default()
                    }),
                },
                ..DeploymentSpec::default()
            }),
            status: None,
        }
    }

    #[test]
    fn a_new_set_is_of_the_template_it_was_made_of() {
        let deployment = deployment("a");
        assert!(is_of_template(&deployment, &new_set(&deployment)));
        assert!(!is_of_template(&deployment, &new_set(&self::deployment("b"))));
    }

    #[test]
    fn a_hash_is_stable_and_a_collision_changes_it() {
        let mut deployment = deployment("a");
        let first = hash(&deployment);
        assert_eq!(first.len(), LENGTH);
        assert_eq!(first, hash(&deployment));
        deployment.status = Some(DeploymentStatus {
            collision_count: Some(1),
            ..DeploymentStatus::default()
        });
        assert_ne!(first, hash(&deployment));
    }
}
