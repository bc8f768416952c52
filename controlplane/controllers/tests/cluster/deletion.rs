//! Garbage and namespaces.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{ConfigMap, Event, Namespace, Pod};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::harness::{Cluster, deployment, pod, read};

async fn with_pods() -> Cluster {
    let mut cluster = Cluster::start().await;
    cluster.start_agents();
    cluster.add_node("n1", 8).await;
    cluster.create::<Deployment>(deployment(2, "nginx")).await;
    cluster
        .until("two pods run", || async {
            let web: Deployment = cluster.api().get("web").await.unwrap();
            web.status.unwrap_or_default().available_replicas == Some(2)
        })
        .await;
    cluster
}

async fn is_empty(cluster: &Cluster) -> bool {
    cluster.list::<Pod>().await.is_empty() && cluster.list::<ReplicaSet>().await.is_empty()
}

async fn delete(cluster: &Cluster, params: DeleteParams) {
    let api = cluster.api::<Deployment>();
    api.delete("web", &params).await.unwrap();
}

/// All namespaces, with one of the name `shop`.
async fn shop(cluster: &Cluster) -> Api<Namespace> {
    let namespaces = Api::all(cluster.client.clone());
    let shop: Namespace = read(json!({ "metadata": { "name": "shop" } }));
    namespaces.create(&PostParams::default(), &shop).await.unwrap();
    namespaces
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_deployment_takes_its_sets_and_pods_along() {
    let cluster = with_pods().await;
    delete(&cluster, DeleteParams::background()).await;
    cluster.until("nothing is left", || is_empty(&cluster)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_in_the_foreground_it_goes_last() {
    let cluster = with_pods().await;
    delete(&cluster, DeleteParams::foreground()).await;
    let api = cluster.api::<Deployment>();
    cluster
        .until("the deployment goes", || async {
            let gone = api.get_opt("web").await.unwrap().is_none();
            assert!(!gone || is_empty(&cluster).await);
            gone
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orphans_stay_and_are_adopted_again() {
    let cluster = with_pods().await;
    let uids =
        |pods: Vec<Pod>| -> Vec<Option<String>> { pods.into_iter().map(|pod| pod.metadata.uid).collect() };
    let before = uids(cluster.list().await);
    delete(&cluster, DeleteParams::orphan()).await;
    let api = cluster.api::<Deployment>();
    cluster
        .until("the deployment goes", || async {
            api.get_opt("web").await.unwrap().is_none()
        })
        .await;
    let web = cluster.create::<Deployment>(deployment(2, "nginx")).await;
    cluster
        .until("the set is adopted", || async {
            let sets: Vec<ReplicaSet> = cluster.list().await;
            let owners = sets
                .iter()
                .flat_map(|set| set.metadata.owner_references.iter().flatten());
            let ours = owners.filter(|owner| Some(&owner.uid) == web.metadata.uid.as_ref());
            ours.count() == 1
        })
        .await;
    assert_eq!(uids(cluster.list().await), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_whose_owner_never_was_is_removed() {
    let cluster = Cluster::start().await;
    cluster
        .create::<ConfigMap>(json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": "stray", "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "Deployment", "name": "never", "uid": "no-such-uid",
            }] },
        }))
        .await;
    let api = cluster.api::<ConfigMap>();
    cluster
        .until("the stray goes", || async {
            api.get_opt("stray").await.unwrap().is_none()
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_is_empty_before_it_goes() {
    let mut cluster = Cluster::start().await;
    cluster.start_agents();
    cluster.add_node("n1", 8).await;
    let namespaces = shop(&cluster).await;
    let deployments: Api<Deployment> = Api::namespaced(cluster.client.clone(), "shop");
    let web = read(deployment(2, "nginx"));
    deployments.create(&PostParams::default(), &web).await.unwrap();
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), "shop");
    cluster
        .until("pods come", || async {
            pods.list(&ListParams::default()).await.unwrap().items.len() == 2
        })
        .await;
    namespaces.delete("shop", &DeleteParams::default()).await.unwrap();
    cluster
        .until("the namespace goes", || async {
            namespaces.get_opt("shop").await.unwrap().is_none()
        })
        .await;
    assert!(pods.list(&ListParams::default()).await.unwrap().items.is_empty());
}

fn config_map(name: &str, metadata: serde_json::Value) -> serde_json::Value {
    let mut object = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name } });
    for (key, value) in metadata.as_object().unwrap() {
        object["metadata"][key] = value.clone();
    }
    object
}

fn owner(map: &ConfigMap) -> serde_json::Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "blockOwnerDeletion": true,
        "name": map.metadata.name, "uid": map.metadata.uid,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_in_another_namespace_is_told_of_and_does_not_count() {
    let cluster = Cluster::start().await;
    let elsewhere: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), "kube-public");
    let boss: ConfigMap = read(config_map("boss", json!({})));
    let boss = elsewhere.create(&PostParams::default(), &boss).await.unwrap();
    cluster
        .create::<ConfigMap>(config_map("stray", json!({ "ownerReferences": [owner(&boss)] })))
        .await;
    let api = cluster.api::<ConfigMap>();
    cluster
        .until("the stray goes", || async {
            api.get_opt("stray").await.unwrap().is_none()
        })
        .await;
    assert!(elsewhere.get_opt("boss").await.unwrap().is_some());
    cluster
        .until("an event says why", || async {
            let events = cluster.api::<Event>().list(&ListParams::default()).await.unwrap();
            events.items.iter().any(|event| {
                event.reason.as_deref() == Some("OwnerRefInvalidNamespace")
                    && event.involved_object.name.as_deref() == Some("stray")
            })
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_that_own_each_other_go_in_the_foreground() {
    let cluster = Cluster::start().await;
    let api = cluster.api::<ConfigMap>();
    let one: ConfigMap = cluster.create(config_map("one", json!({}))).await;
    let other: ConfigMap = cluster
        .create(config_map("other", json!({ "ownerReferences": [owner(&one)] })))
        .await;
    let circle = json!({ "metadata": { "ownerReferences": [owner(&other)] } });
    api.patch("one", &PatchParams::default(), &Patch::Merge(circle))
        .await
        .unwrap();
    api.delete("one", &DeleteParams::foreground()).await.unwrap();
    cluster
        .until("both are gone", || async {
            let one = api.get_opt("one").await.unwrap();
            one.is_none() && api.get_opt("other").await.unwrap().is_none()
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_says_what_holds_it_and_leaves_no_events_behind() {
    let cluster = Cluster::start().await;
    let namespaces = shop(&cluster).await;
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), "shop");
    let held: ConfigMap = read(config_map("held", json!({ "finalizers": ["example.com/wait"] })));
    maps.create(&PostParams::default(), &held).await.unwrap();
    let events: Api<Event> = Api::namespaced(cluster.client.clone(), "shop");
    let event: Event = read(json!({
        "metadata": { "name": "e" }, "reason": "Test", "message": "told", "type": "Normal",
        "involvedObject": { "kind": "ConfigMap", "name": "held", "namespace": "shop" },
    }));
    events.create(&PostParams::default(), &event).await.unwrap();
    namespaces.delete("shop", &DeleteParams::default()).await.unwrap();
    let told = || async {
        let status = namespaces.get("shop").await.unwrap().status.unwrap_or_default();
        let mut conditions = status.conditions.unwrap_or_default().into_iter();
        conditions
            .find(|condition| condition.type_ == "NamespaceFinalizersRemaining" && condition.status == "True")
            .and_then(|condition| condition.message)
    };
    cluster
        .until("it says what holds it", || async { told().await.is_some() })
        .await;
    assert_eq!(
        told().await.unwrap(),
        "Some content in the namespace has finalizers remaining: example.com/wait in 1 resource instances"
    );
    let free = json!({ "metadata": { "finalizers": null } });
    maps.patch("held", &PatchParams::default(), &Patch::Merge(free))
        .await
        .unwrap();
    cluster
        .until("the namespace goes", || async {
            namespaces.get_opt("shop").await.unwrap().is_none()
        })
        .await;
    assert!(
        events
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_pods_use_stays_until_the_last_of_them_has_gone() {
    let cluster = Cluster::start().await;
    let namespaces = shop(&cluster).await;
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), "shop");
    let mut held = pod("held", 10);
    held["metadata"]["finalizers"] = json!(["example.com/wait"]);
    pods.create(&PostParams::default(), &read(held)).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), "shop");
    let used: ConfigMap = read(config_map("used", json!({})));
    maps.create(&PostParams::default(), &used).await.unwrap();
    namespaces.delete("shop", &DeleteParams::default()).await.unwrap();
    cluster
        .until("the namespace says that a pod is left", || async {
            let status = namespaces.get("shop").await.unwrap().status.unwrap_or_default();
            let conditions = status.conditions.unwrap_or_default();
            conditions.iter().any(|condition| {
                condition.type_ == "NamespaceContentRemaining"
                    && condition.message.as_deref()
                        == Some("Some resources are remaining: pods. has 1 resource instances")
            })
        })
        .await;
    assert!(
        pods.get("held")
            .await
            .unwrap()
            .metadata
            .deletion_timestamp
            .is_some()
    );
    let used = maps.get("used").await.unwrap();
    assert!(used.metadata.deletion_timestamp.is_none());
    let free = json!({ "metadata": { "finalizers": null } });
    pods.patch("held", &PatchParams::default(), &Patch::Merge(free))
        .await
        .unwrap();
    cluster
        .until("the namespace goes", || async {
            namespaces.get_opt("shop").await.unwrap().is_none()
        })
        .await;
    assert!(maps.get_opt("used").await.unwrap().is_none());
}
