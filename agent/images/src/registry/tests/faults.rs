//! Registries that fail, cheat or dawdle.

use super::*;
use crate::fixture::{gzip, root_only};
use crate::registry::fake::{Fault, blob_path, manifest_path};

fn blob_of(layer: &[u8]) -> String {
    blob_path("app", &crate::digest::of(&gzip(layer)))
}

#[tokio::test]
async fn a_busy_registry_is_asked_again() {
    if !root_only() {
        return;
    }
    let (fake, name) = registry().await;
    let busy = || [Fault::Status(429, Some("0")), Fault::Status(503, None)];
    fake.fault(&manifest_path("app", "v1"), busy());
    fake.fault(&blob_of(&layer("top")), busy());
    Node::new("").pull(&name).await.unwrap();
}

#[tokio::test]
async fn a_registry_that_stays_busy_is_given_up_with_its_words() {
    let (fake, name) = registry().await;
    fake.fault(
        &manifest_path("app", "v1"),
        std::iter::repeat_n(Fault::Status(503, None), 9),
    );
    let said = Node::new("").refused(&name).await;
    assert!(said.contains("503: busy"), "{said}");
    assert_eq!(fake.seen().len(), 4);
}

#[tokio::test]
async fn a_layer_that_breaks_off_goes_on_where_it_broke() {
    if !root_only() {
        return;
    }
    let fake = Fake::start().await;
    let big = big_layer();
    fake.image("app", "v1", std::slice::from_ref(&big));
    fake.fault(&blob_of(&big), [Fault::Cut(200_000), Fault::Stall(100_000)]);
    // More than a busy machine takes for the rest.
    let node = Node::impatient(Duration::from_secs(4));
    node.pull(&fake.name("app:v1")).await.unwrap();
    let asked: Vec<_> = fake
        .blobs()
        .into_iter()
        .filter(|s| s.uri.contains(&blob_of(&big)))
        .collect();
    let ranges: Vec<_> = asked.iter().map(|s| s.range.as_deref()).collect();
    assert_eq!(ranges, [None, Some("bytes=200000-"), Some("bytes=300000-")]);
}

#[tokio::test]
async fn a_layer_that_always_breaks_off_is_an_error_and_leaves_nothing() {
    if !root_only() {
        return;
    }
    let (fake, name) = registry().await;
    fake.fault(&blob_of(&layer("top")), std::iter::repeat_n(Fault::Cut(0), 9));
    let node = Node::new("");
    let said = node.refused(&name).await;
    assert!(said.contains("layer sha256:"), "{said}");
    assert_eq!(node.scratch(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_stalled_layer_and_a_stalled_manifest_are_given_up() {
    let (fake, name) = registry().await;
    fake.fault(&blob_of(&layer("base")), std::iter::repeat_n(Fault::Stall(10), 9));
    let node = Node::impatient(Duration::from_millis(300));
    let said = node.refused(&name).await;
    assert!(said.contains("stalled") || said.contains("timed out"), "{said}");
    fake.fault(
        &manifest_path("app", "v1"),
        std::iter::repeat_n(Fault::Stall(10), 9),
    );
    let said = node.refused(&name).await;
    assert!(said.contains("stalled") || said.contains("timed out"), "{said}");
}

#[tokio::test]
async fn bytes_that_are_not_those_of_their_digest_never_reach_the_store() {
    let (fake, name) = registry().await;
    let same_length = |bytes: &[u8]| {
        let mut other = bytes.to_vec();
        *other.last_mut().unwrap() ^= 1;
        Fault::Other(other)
    };
    let packed = gzip(&layer("base"));
    let manifest = fake.manifest("app", crate::manifest::architecture(), &[layer("base")], gzip);
    let paths = [
        (blob_of(&layer("base")), same_length(&packed)),
        (manifest_path("app", "v1"), same_length(&manifest)),
    ];
    for (path, fault) in paths {
        fake.fault(&path, [fault]);
        let node = Node::new("");
        let said = node.refused(&name).await;
        assert!(said.contains("but was asked for as"), "{said}");
        assert_eq!(node.scratch(), Vec::<PathBuf>::new());
        assert_eq!((node.layers(), node.store.list().unwrap().len()), (0, 0));
    }
}

#[tokio::test]
async fn a_layer_that_unpacks_to_something_else_than_its_image_lists_is_refused() {
    if !root_only() {
        return;
    }
    let fake = Fake::start().await;
    let pack: fn(&[u8]) -> Vec<u8> = |_| gzip(&layer("another"));
    let manifest = fake.manifest("app", crate::manifest::architecture(), &[layer("base")], pack);
    fake.tag("app", "v1", &manifest);
    let node = Node::new("");
    let said = node.refused(&fake.name("app:v1")).await;
    assert!(said.contains("its image lists"), "{said}");
    assert_eq!(node.layers(), 0);
}

#[tokio::test]
async fn an_endless_answer_is_cut_at_its_limit() {
    let (fake, name) = registry().await;
    fake.fault(&manifest_path("app", "v1"), [Fault::Endless]);
    let said = Node::new("").refused(&name).await;
    assert!(said.contains("longer than 4194304 bytes"), "{said}");
    fake.fault(&blob_of(&layer("base")), [Fault::Endless]);
    let said = Node::new("").refused(&name).await;
    assert!(said.contains("is longer than"), "{said}");
}

#[tokio::test]
async fn a_layer_that_unpacks_to_too_much_is_refused() {
    if !root_only() {
        return;
    }
    let fake = Fake::start().await;
    let bomb = LayerTar::new().file("zeros", &"0".repeat(1 << 20)).done();
    fake.image("app", "v1", &[bomb]);
    let mut node = Node::new("");
    node.store.limits.bytes = 1 << 16;
    let file = node.dir.path().join("none.toml");
    node.puller = Puller::with_patience(node.store.clone(), file, patience());
    let said = node.refused(&fake.name("app:v1")).await;
    assert!(said.contains("more than 65536"), "{said}");
    assert_eq!((node.layers(), node.scratch().len()), (0, 0));
}

#[tokio::test]
async fn what_is_no_container_image_is_named() {
    let fake = Fake::start().await;
    let chart = br#"{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.cncf.helm.config.v1+json", "size": 2,
        "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}, "layers": []}"#;
    fake.put(
        blob_path("app", &crate::digest::of(b"{}")),
        b"{}",
        "application/json",
    );
    fake.tag("app", "v1", chart);
    let said = Node::new("").refused(&fake.name("app:v1")).await;
    assert!(said.contains("is no container image"), "{said}");
}

#[tokio::test]
async fn a_full_disk_is_told_as_one_and_no_mirror_is_blamed() {
    let (fake, name) = registry().await;
    let node = Node::new("");
    std::fs::remove_dir_all(node.dir.path().join("store/tmp")).unwrap();
    let error = node.pull(&name).await.unwrap_err();
    assert!(matches!(&*error, PullError::Store(_)), "{error:?}");
    drop(fake);
}
