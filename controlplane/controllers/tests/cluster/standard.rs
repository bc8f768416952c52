//! What every namespace has.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::harness::{Cluster, read};

#[tokio::test(flavor = "multi_thread")]
async fn the_default_account_comes_back() {
    let cluster = Cluster::start().await;
    let accounts = cluster.api::<ServiceAccount>();
    let exists = || async { accounts.get_opt("default").await.unwrap().is_some() };
    cluster.until("the account exists", exists).await;
    accounts
        .delete("default", &DeleteParams::default())
        .await
        .unwrap();
    cluster.until("the account is back", exists).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clusters_certificate_is_put_right() {
    let cluster = Cluster::start().await;
    let maps = cluster.api::<ConfigMap>();
    let right = || async {
        let found = maps.get_opt("kube-root-ca.crt").await.unwrap();
        let data = found.and_then(|map| map.data).unwrap_or_default();
        data.get("ca.crt")
            .is_some_and(|pem| pem.starts_with("-----BEGIN CERTIFICATE"))
    };
    cluster.until("the certificate is there", right).await;
    let wrong = json!({ "data": { "ca.crt": "forged" } });
    maps.patch("kube-root-ca.crt", &PatchParams::default(), &Patch::Merge(wrong))
        .await
        .unwrap();
    cluster.until("the certificate is right again", right).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_new_namespace_gets_the_clusters_certificate_and_gets_it_back() {
    let cluster = Cluster::start().await;
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    let shop = read(json!({ "metadata": { "name": "shop" } }));
    namespaces.create(&PostParams::default(), &shop).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), "shop");
    let found = || async { maps.get_opt("kube-root-ca.crt").await.unwrap() };
    cluster
        .until("the certificate is there", || async { found().await.is_some() })
        .await;
    let first = found().await.unwrap();
    maps.delete("kube-root-ca.crt", &DeleteParams::default())
        .await
        .unwrap();
    cluster
        .until("it is back as another object", || async {
            let now = found().await;
            now.is_some_and(|now| now.metadata.uid != first.metadata.uid && now.data == first.data)
        })
        .await;
}
