//! A cluster that goes on from another's state: from a backup, with keys of its own or those of the old one, and from the
//! file of the release before.

use std::path::Path;

use controlplane_store_sqlite::{Point, SqliteState, restore};

use crate::server::{Server, all_vote, eventually};

/// A server with one config map of the name `name`.
async fn with_a_map(name: &str) -> Server {
    let mut server = Server::new("one", None);
    server.start();
    eventually("it has what a namespace begins with", &[&server], || async {
        server.map("kube-root-ca.crt").await.is_some()
    })
    .await;
    assert!(server.create(name).await, "{}", server.log());
    server
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let into = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_folder(&entry.path(), &into),
            false => drop(std::fs::copy(entry.path(), into).unwrap()),
        }
    }
}

fn authority(server: &Server) -> String {
    std::fs::read_to_string(server.state().join("pki/ca/ca.crt")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_cluster_has_keys_of_its_own_tells_pods_so_and_lets_the_old_ones_in_no_more() {
    let mut old = with_a_map("kept").await;
    let backup = old.backup().await;
    old.kill();
    let mut new = Server::new("other", None);
    std::fs::create_dir(new.state()).unwrap();
    restore(&backup, &new.state().join("store.db"), Point::Newest).unwrap();
    new.start();
    eventually("pods are told of the new authority", &[&new], || async {
        let map = new.map("kube-root-ca.crt").await;
        let told = map.and_then(|map| map.data?.remove("ca.crt"));
        told.is_some_and(|told| told == authority(&new))
    })
    .await;
    assert_ne!(authority(&new), authority(&old));
    assert!(new.map("kept").await.is_some() && new.create("more").await);
    eventually("the old server is shown no more", &[&new], || async {
        let shown = new.servers().await.unwrap_or_default();
        shown == [("other".to_owned(), "Leader".to_owned())]
    })
    .await;
    // With the new authority, so that what is refused is the old administrator's certificate.
    let (mut mixed, own) = (old.kubeconfig().unwrap(), new.kubeconfig().unwrap());
    mixed.clusters = own.clusters;
    let client = new.client_as(mixed).await.unwrap();
    let refused = client.list_core_api_versions().await.unwrap_err().to_string();
    assert!(!refused.is_empty());
    // And it grows as any other.
    let mut joined = Server::new("two", Some(&new));
    joined.start();
    all_vote(&[&new, &joined], 2).await;
    assert!(joined.map("kept").await.is_some(), "{}", joined.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_cluster_with_the_old_keys_beside_it_is_known_to_all_who_knew_the_old_one() {
    let mut old = with_a_map("kept").await;
    let backup = old.backup().await;
    old.kill();
    let mut new = Server::new("other", None);
    copy_folder(&old.state().join("pki"), &new.state().join("pki"));
    restore(&backup, &new.state().join("store.db"), Point::Newest).unwrap();
    new.start();
    eventually("it serves", &[&new], || async { new.map("kept").await.is_some() }).await;
    assert_eq!(authority(&new), authority(&old));
    let client = new.client_as(old.kubeconfig().unwrap()).await.unwrap();
    let answer = client.list_core_api_versions().await;
    assert!(answer.is_ok(), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_the_release_before_is_brought_up_to_date_and_taken_over_and_reaches_a_server_that_joins() {
    let mut before = with_a_map("kept").await;
    let version = before.map("kept").await.unwrap().metadata.resource_version;
    before.stop();
    let file = before.state().join("store.db");
    SqliteState::downgrade(&file).unwrap();
    // All that the release before had: the file and the keys, neither a log nor a number.
    let mut now = Server::new("one", None);
    copy_folder(&before.state().join("pki"), &now.state().join("pki"));
    std::fs::copy(&file, now.state().join("store.db")).unwrap();
    now.start();
    eventually("it serves", &[&now], || async { now.map("kept").await.is_some() }).await;
    assert_eq!(now.map("kept").await.unwrap().metadata.resource_version, version);
    assert!(now.create("written-since").await, "{}", now.log());
    let mut joined = Server::new("two", Some(&now));
    joined.start();
    all_vote(&[&now, &joined], 2).await;
    let kept = joined.map("kept").await.unwrap();
    assert_eq!(kept.metadata.resource_version, version);
    assert!(joined.map("written-since").await.is_some());
}
