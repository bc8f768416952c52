//! What conformance asks of every kind that is stored: watched through its life, its status kept apart. Objects come from
//! the corpus.

use super::goldens::corpus;
use super::*;
use controlplane_api::{Resource, Scope, Verb};

/// Where objects of a kind in the namespace `default` are.
pub(super) fn collection(resource: &Resource) -> String {
    let api = match (&*resource.group, &*resource.version) {
        ("", version) => format!("/api/{version}"),
        (group, version) => format!("/apis/{group}/{version}"),
    };
    match resource.scope {
        Scope::Namespaced => format!("{api}/namespaces/default/{}", resource.plural),
        Scope::Cluster => format!("{api}/{}", resource.plural),
    }
}

#[tokio::test]
async fn every_kind_is_watched_from_creation_to_deletion() {
    let api = Api::start().await;
    for resource in controlplane_api::builtin().iter() {
        let Some(objects) = corpus::of(resource) else {
            continue;
        };
        if !resource.verbs.contains(&Verb::Watch) || !resource.verbs.contains(&Verb::Create) {
            continue;
        }
        let path = collection(resource);
        let name = objects.base["metadata"]["name"].as_str().unwrap();
        let version = api.get(&path).await.body["metadata"]["resourceVersion"].clone();
        let version = version.as_str().unwrap();
        let mut events = api
            .watch(&format!(
                "{path}?watch=true&resourceVersion={version}&fieldSelector=metadata.name%3D{name}"
            ))
            .await;
        let made = api.post(&path, &objects.base).await;
        assert_eq!(made.code, 201, "{}: {}", resource.kind, made.body);
        assert_eq!(events.words().await, format!("ADDED {name}"), "{}", resource.kind);
        let label = json!({"metadata": {"labels": {"seen": "yes"}}});
        let patched = api
            .patch(&format!("{path}/{name}"), "merge-patch+json", &label)
            .await;
        assert_eq!(patched.code, 200, "{}: {}", resource.kind, patched.body);
        let event = events.next().await.unwrap();
        assert_eq!(event["type"], "MODIFIED", "{}", resource.kind);
        assert_eq!(
            event["object"]["metadata"]["labels"]["seen"], "yes",
            "{}",
            resource.kind
        );
        api.delete(&format!("{path}/{name}")).await;
        let free = json!({"metadata": {"finalizers": null}, "spec": {"finalizers": null}});
        api.patch(&format!("{path}/{name}"), "merge-patch+json", &free)
            .await;
        loop {
            match events.words().await {
                word if word == format!("MODIFIED {name}") => {
                    // A namespace waits for its contents; its controller lets it go.
                    if resource.kind == "Namespace" {
                        let mut object = api.get(&format!("{path}/{name}")).await.body;
                        object["spec"]["finalizers"] = json!([]);
                        api.put(&format!("{path}/{name}/finalize"), &object).await;
                    }
                }
                word => break assert_eq!(word, format!("DELETED {name}"), "{}", resource.kind),
            }
        }
    }
}

/// A condition as conformance writes them.
fn condition() -> Value {
    json!({
        "type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from e2e test",
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    })
}

/// What is written into the status of a kind; nothing where it has no such subresource.
fn status_of(kind: &str) -> Option<Value> {
    Some(match kind {
        "Ingress" => json!({"loadBalancer": {"ingress": [{"ip": "169.1.1.1"}]}}),
        "ResourceQuota" => json!({"hard": {"cpu": "1"}, "used": {"cpu": "500m"}}),
        "CronJob" => json!({"lastScheduleTime": "2026-01-02T03:00:00Z"}),
        "Job" => json!({"startTime": "2026-01-02T03:00:00Z", "ready": 1, "active": 1}),
        "PersistentVolume" => json!({"phase": "Available", "message": "StatusPatched", "reason": "E2E"}),
        "PersistentVolumeClaim" => json!({"phase": "Pending", "conditions": [condition()]}),
        "VolumeAttachment" => json!({"attached": true}),
        "HorizontalPodAutoscaler" => json!({"currentReplicas": 1, "desiredReplicas": 1}),
        "ResourceClaim" | "Node" | "Pod" => return None,
        "ValidatingAdmissionPolicy" => json!({"observedGeneration": 1}),
        "CertificateSigningRequest" => {
            json!({"conditions": [{"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from e2e test"}]})
        }
        "PodDisruptionBudget" => json!({
            "observedGeneration": 1, "disruptionsAllowed": 1, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 2,
        }),
        _ => json!({"conditions": [condition()]}),
    })
}

/// Whether `object` has every member of `wanted`.
fn holds(object: &Value, wanted: &Value) -> bool {
    match (object, wanted) {
        (Value::Object(object), Value::Object(wanted)) => wanted
            .iter()
            .all(|(key, wanted)| object.get(key).is_some_and(|value| holds(value, wanted))),
        (Value::Array(list), Value::Array(wanted)) => wanted
            .iter()
            .all(|wanted| list.iter().any(|value| holds(value, wanted))),
        _ => object == wanted,
    }
}

#[tokio::test]
async fn a_status_is_patched_and_replaced_and_leaves_the_spec_alone() {
    let api = Api::start().await;
    for resource in controlplane_api::builtin().iter() {
        let Some(objects) = corpus::of(resource) else {
            continue;
        };
        let has_status = resource.subresources.iter().any(|part| part.name == "status");
        let Some(status) = status_of(&resource.kind).filter(|_| has_status) else {
            continue;
        };
        let path = collection(resource);
        let made = api.post(&path, &objects.base).await;
        assert_eq!(made.code, 201, "{}: {}", resource.kind, made.body);
        let made = made.body;
        let part = format!("{path}/{}/status", made["metadata"]["name"].as_str().unwrap());
        let patch = json!({"metadata": {"annotations": {"patched": "status"}}, "status": status});
        let patched = api.patch(&part, "merge-patch+json", &patch).await;
        assert_eq!(patched.code, 200, "{}: {}", resource.kind, patched.body);
        assert!(
            holds(&patched.body["status"], &status),
            "{}: {}",
            resource.kind,
            patched.body["status"]
        );
        assert_eq!(patched.body["spec"], made["spec"], "{}", resource.kind);
        assert_eq!(
            patched.body["metadata"]["generation"],
            made["metadata"]["generation"]
        );
        let mut object = patched.body;
        object["metadata"]["annotations"] = json!({"replaced": "status"});
        let replaced = api.put(&part, &object).await;
        assert_eq!(replaced.code, 200, "{}: {}", resource.kind, replaced.body);
        let read = api.get(&part).await.body;
        assert!(
            holds(&read["status"], &status),
            "{}: {}",
            resource.kind,
            read["status"]
        );
        api.delete(part.trim_end_matches("/status")).await;
    }
}

#[tokio::test]
async fn collections_of_every_kind_are_listed_and_deleted_by_a_label() {
    let api = Api::start().await;
    for resource in controlplane_api::builtin().iter() {
        let Some(objects) = corpus::of(resource) else {
            continue;
        };
        if !resource.verbs.contains(&Verb::DeleteCollection) {
            continue;
        }
        let path = collection(resource);
        let mut object = objects.base;
        object["metadata"]["labels"] = json!({"e2e": "collection"});
        let made = api.post(&path, &object).await;
        assert_eq!(made.code, 201, "{}: {}", resource.kind, made.body);
        let selected = format!("{path}?labelSelector=e2e%3Dcollection");
        let listed = api.get(&selected).await.body;
        assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{}", resource.kind);
        let deleted = api.delete(&selected).await;
        assert_eq!(deleted.code, 200, "{}: {}", resource.kind, deleted.body);
        let left = api.get(&selected).await.body["items"].as_array().unwrap().clone();
        let ending = |item: &Value| item["metadata"]["deletionTimestamp"].is_string();
        assert!(left.iter().all(ending), "{}: {left:?}", resource.kind);
    }
}
