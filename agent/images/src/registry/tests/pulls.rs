//! What a pull brings, and how often it asks.

use std::collections::BTreeSet;

use super::*;
use crate::fixture::{gzip, root_only, zstd};
use crate::manifest::architecture;
use crate::registry::fake::{Fault, blob_path};

#[tokio::test]
async fn an_image_comes_with_its_layers_its_tag_and_its_digest() {
    if !root_only() {
        return;
    }
    let (fake, name) = registry().await;
    let node = Node::new("");
    let image = node.pull(&name).await.unwrap().image;
    assert_eq!(image.layers.len(), 2);
    assert_eq!(
        std::fs::read_to_string(image.layers[1].join("top")).unwrap(),
        "top"
    );
    assert_eq!(image.repo_tags, std::slice::from_ref(&name));
    assert_eq!(image.repo_digests.len(), 1);
    assert!(!image.pinned && image.size > 0);
    let by_digest = &image.repo_digests[0];
    assert_eq!(node.store.resolve(by_digest).unwrap().unwrap().id, image.id);
    let other = Node::new("");
    assert_eq!(other.pull(by_digest).await.unwrap().image.id, image.id);
    assert!(node.scratch().is_empty());
    drop(fake);
}

#[tokio::test]
async fn what_the_store_has_already_costs_one_request_without_a_body() {
    if !root_only() {
        return;
    }
    let (fake, name) = registry().await;
    let node = Node::new("");
    node.pull(&name).await.unwrap();
    fake.seen();
    node.pull(&name).await.unwrap();
    let seen = fake.seen();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(seen[0].method, "HEAD");
}

#[tokio::test]
async fn a_tag_that_moved_brings_the_new_image_and_the_old_one_keeps_its_digest() {
    if !root_only() {
        return;
    }
    let (fake, name) = registry().await;
    let node = Node::new("");
    let old = node.pull(&name).await.unwrap().image;
    fake.image("app", "v1", &[layer("base"), layer("newer")]);
    fake.seen();
    let new = node.pull(&name).await.unwrap().image;
    assert_ne!(old.id, new.id);
    assert_eq!(fake.blobs().len(), 2, "the configuration and the one new layer");
    assert_eq!(
        node.store.resolve(&old.repo_digests[0]).unwrap().unwrap().id,
        old.id
    );
}

#[tokio::test]
async fn one_image_under_two_digests_is_called_by_the_one_its_name_stands_for() {
    if !root_only() {
        return;
    }
    let (fake, name) = registry().await;
    let node = Node::new("");
    let first = node.pull(&name).await.unwrap().image;
    // The same configuration and layers, packed in another manifest.
    let again = fake.manifest("app", architecture(), &[layer("base"), layer("top")], zstd);
    fake.tag("app", "v1", &again);
    let second = node.pull(&name).await.unwrap().image;
    assert_eq!(first.id, second.id);
    assert_eq!(second.repo_digests.len(), 2);
    assert_eq!(
        second.status_id(),
        fake.name(&format!("app@{}", crate::digest::of(&again)))
    );
    let old = node.store.resolve(first.status_id()).unwrap().unwrap();
    assert_eq!(old.status_id(), first.status_id());
}

#[tokio::test]
async fn an_index_gives_the_image_of_this_machine() {
    if !root_only() {
        return;
    }
    let fake = Fake::start().await;
    let other = fake.manifest("app", "s390x", &[layer("wrong")], gzip);
    let own = fake.manifest("app", architecture(), &[layer("right")], zstd);
    let index = fake.index("app", "v1", &[("s390x", other), (architecture(), own)]);
    let node = Node::new("");
    let image = node.pull(&fake.name("app:v1")).await.unwrap().image;
    assert!(image.layers[0].join("right").exists());
    assert_eq!(image.repo_digests, [fake.name(&format!("app@{index}"))]);
}

#[tokio::test]
async fn an_index_without_this_machine_says_what_it_has() {
    let fake = Fake::start().await;
    let other = fake.manifest("app", "s390x", &[layer("wrong")], gzip);
    fake.index("app", "v1", &[("s390x", other)]);
    let said = Node::new("").refused(&fake.name("app:v1")).await;
    assert!(
        said.contains("linux/s390x") && said.contains(architecture()),
        "{said}"
    );
}

#[tokio::test]
async fn many_who_want_one_image_pull_it_once() {
    if !root_only() {
        return;
    }
    let (fake, name) = registry().await;
    let node = Node::new("");
    let all = futures::future::join_all((0..20).map(|_| node.pull(&name))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(fake.blobs().len(), 3, "the configuration and two layers");
}

#[tokio::test]
async fn images_that_share_a_layer_fetch_it_once_also_at_the_same_time() {
    if !root_only() {
        return;
    }
    let fake = Fake::start().await;
    let base = layer("base");
    let digest = crate::digest::of(&gzip(&base));
    for (repository, top) in [("a", "x"), ("b", "y"), ("c", "z")] {
        fake.image(repository, "v1", &[base.clone(), layer(top)]);
        fake.fault(
            &blob_path(repository, &digest),
            [Fault::Late(Duration::from_millis(100))],
        );
    }
    let node = Node::new("");
    let names = ["a:v1", "b:v1", "c:v1"].map(|rest| fake.name(rest));
    let all = futures::future::join_all(names.iter().map(|name| node.pull(name))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    let fetched = fake.blobs();
    let bases = fetched.iter().filter(|seen| seen.uri.contains(&digest)).count();
    assert_eq!(bases, 1, "{fetched:?}");
}

#[tokio::test]
async fn layers_come_side_by_side_but_only_three_at_a_time() {
    if !root_only() {
        return;
    }
    let fake = Fake::start().await;
    let layers: Vec<Vec<u8>> = (0..8).map(|n| layer(&format!("file{n}"))).collect();
    fake.image("app", "v1", &layers);
    for layer in &layers {
        let path = blob_path("app", &crate::digest::of(&gzip(layer)));
        fake.fault(&path, [Fault::Late(Duration::from_millis(500))]);
    }
    let node = Node::new("");
    let image = node.pull(&fake.name("app:v1")).await.unwrap().image;
    assert_eq!(image.layers.len(), 8);
    assert_eq!(fake.most_at_a_time(), 3);
}

#[tokio::test]
async fn images_with_the_same_layers_in_another_order_do_not_wait_for_each_other() {
    if !root_only() {
        return;
    }
    let fake = Fake::start().await;
    let (one, two) = (layer("one"), layer("two"));
    fake.image("a", "v1", &[one.clone(), two.clone()]);
    fake.image("b", "v1", &[two, one]);
    let node = Node::new("");
    let (a, b) = (fake.name("a:v1"), fake.name("b:v1"));
    let both = async { tokio::join!(node.pull(&a), node.pull(&b)) };
    let (a, b) = tokio::time::timeout(Duration::from_secs(20), both).await.unwrap();
    assert!(a.is_ok() && b.is_ok());
}

#[tokio::test]
async fn a_pull_that_is_dropped_leaves_only_what_the_next_start_cleans() {
    if !root_only() {
        return;
    }
    let fake = Fake::start().await;
    let (small, big) = (layer("small"), big_layer());
    fake.image("app", "v1", &[small, big.clone()]);
    let path = blob_path("app", &crate::digest::of(&gzip(&big)));
    fake.fault(&path, [Fault::Stall(1000)]);
    let node = Node::new("");
    let name = fake.name("app:v1");
    let begun = async {
        while !fake.blobs().iter().any(|seen| seen.uri == path) || node.scratch().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        pulled = node.pull(&name) => panic!("{pulled:?}"),
        () = begun => {}
    }
    assert_eq!(node.store.list().unwrap(), []);
    let again = ImageStore::open(node.dir.path().join("store")).unwrap();
    assert_eq!(node.scratch(), Vec::<PathBuf>::new());
    assert_eq!((node.layers(), again.list().unwrap().len()), (0, 0));
    node.pull(&name).await.unwrap();
}

#[tokio::test]
async fn a_complete_layer_of_a_failed_pull_is_not_fetched_again() {
    if !root_only() {
        return;
    }
    let (fake, name) = registry().await;
    let top = blob_path("app", &crate::digest::of(&gzip(&layer("top"))));
    fake.fault(&top, std::iter::repeat_n(Fault::Status(500, None), 4));
    let node = Node::new("");
    node.refused(&name).await;
    fake.seen();
    node.pull(&name).await.unwrap();
    let fetched: Vec<String> = fake.blobs().into_iter().map(|seen| seen.uri).collect();
    assert_eq!(fetched.len(), 2, "the configuration and one layer: {fetched:?}");
    assert!(fetched.contains(&top));
}

#[tokio::test]
async fn nothing_that_a_pull_relies_on_is_collected_under_it() {
    if !root_only() {
        return;
    }
    let (fake, name) = registry().await;
    let node = Node::new("");
    let old = node.pull(&name).await.unwrap().image;
    fake.image("app", "v2", &[layer("base"), layer("slow")]);
    let slow = blob_path("app", &crate::digest::of(&gzip(&layer("slow"))));
    fake.fault(&slow, [Fault::Late(Duration::from_millis(300))]);
    let newer = fake.name("app:v2");
    let evict = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        node.store.evict(&old.id).unwrap();
        node.store.collect(&BTreeSet::new()).unwrap();
    };
    let (pulled, ()) = tokio::join!(node.pull(&newer), evict);
    let image = pulled.unwrap().image;
    assert!(image.layers[0].join("base").exists());
    assert_eq!(node.store.resolve(&name).unwrap(), None);
    node.store.evict(&image.id).unwrap();
    assert_eq!(node.layers(), 0);
}
