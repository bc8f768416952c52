//! Which images go, and what is told.

use super::*;

const DEFAULT: Thresholds = Thresholds { high: 85, low: 80 };

fn disk(used: u64) -> Disk {
    Disk {
        bytes: 1000,
        available: 1000 - used,
    }
}

fn image(id: &str, pinned: bool) -> Image {
    Image {
        id: id.to_owned(),
        reference: id.to_owned(),
        digest: None,
        repo_digests: Vec::new(),
        repo_tags: Vec::new(),
        layers: Vec::new(),
        config: agent_images::ImageConfiguration::default(),
        size: 1,
        pinned,
    }
}

fn used(now: Instant, first_seen: u64, last: Option<u64>) -> Use {
    let ago = |seconds| now.checked_sub(Duration::from_secs(seconds)).unwrap();
    Use {
        first_seen: ago(first_seen),
        last: last.map(ago),
    }
}

fn now() -> Instant {
    // Far enough from the clock's beginning.
    Instant::now() + Duration::from_hours(48)
}

#[test]
fn nothing_goes_below_the_high_threshold_and_then_down_to_the_low_one() {
    assert_eq!(DEFAULT.excess(disk(849)), None);
    assert_eq!(DEFAULT.excess(disk(850)), Some(50));
    assert_eq!(DEFAULT.excess(disk(1000)), Some(200));
    assert_eq!(Thresholds { high: 100, low: 80 }.excess(disk(999)), None);
}

#[test]
fn the_longest_unused_goes_first_and_one_that_was_never_used_before_all() {
    let now = now();
    let images = [image("a", false), image("b", false), image("c", false)];
    let uses = BTreeMap::from([
        ("a".to_owned(), used(now, 9000, Some(200))),
        ("b".to_owned(), used(now, 9000, Some(4000))),
        ("c".to_owned(), used(now, 300, None)),
    ]);
    let order: Vec<_> = candidates(&images, &BTreeSet::new(), &uses, now)
        .into_iter()
        .map(|c| c.id)
        .collect();
    assert_eq!(order, ["c", "b", "a"]);
}

#[test]
fn what_is_in_use_pinned_or_younger_than_two_minutes_never_goes() {
    let now = now();
    let images = [
        image("used", false),
        image("pinned", true),
        image("new", false),
        image("just-left", false),
    ];
    let uses = BTreeMap::from([
        ("used".to_owned(), used(now, 9000, Some(9000))),
        ("pinned".to_owned(), used(now, 9000, None)),
        ("new".to_owned(), used(now, 119, None)),
        ("just-left".to_owned(), used(now, 9000, Some(119))),
    ]);
    let in_use = BTreeSet::from(["used".to_owned()]);
    assert_eq!(candidates(&images, &in_use, &uses, now), []);
}

/// A folder in OCI layout with one image: `name`, or one that has none.
fn layout(dir: &Path, name: Option<&str>) -> PathBuf {
    use serde_json::json;
    use sha2::Digest as _;
    let layout = dir.join(name.unwrap_or("nameless"));
    let blobs = layout.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let blob = |bytes: &[u8], media: &str| {
        let hex: String = sha2::Sha256::digest(bytes)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        std::fs::write(blobs.join(&hex), bytes).unwrap();
        json!({"digest": format!("sha256:{hex}"), "size": bytes.len(), "mediaType": media})
    };
    let layer = blob(&[0; 1024], "application/vnd.oci.image.layer.v1.tar");
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let config = json!({
        "architecture": architecture, "os": "linux", "config": {"Cmd": [name.unwrap_or_default()]},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    });
    let config = blob(
        config.to_string().as_bytes(),
        "application/vnd.oci.image.config.v1+json",
    );
    let media = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({"schemaVersion": 2, "mediaType": media, "config": config, "layers": [layer]});
    let mut entry = blob(manifest.to_string().as_bytes(), media);
    if let Some(name) = name {
        entry["annotations"] = json!({"org.opencontainers.image.ref.name": name});
    }
    let index = json!({"schemaVersion": 2, "manifests": [entry]});
    std::fs::write(layout.join("index.json"), index.to_string()).unwrap();
    std::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    layout
}

#[test]
fn a_disk_that_stays_full_is_told_and_nothing_loaded_or_running_is_removed() {
    // On a disk: unpacking needs what a file system of containers may lack.
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let images = ImageStore::open(dir.path().join("store")).unwrap();
    images.load(&layout(dir.path(), Some("loaded"))).unwrap();
    images.load(&layout(dir.path(), None)).unwrap();
    let (events, mut told) = Events::channel();
    let mut collector = Collector {
        images: images.clone(),
        registry: Arc::new(Registry::default()),
        pods_dir: dir.path().join("pods"),
        events,
        thresholds: Thresholds { high: 0, low: 0 },
        node: Node::default(),
        uses: BTreeMap::new(),
        failed_before: false,
    };
    let outcome = collector.round();
    assert!(
        outcome
            .as_ref()
            .is_err_and(|said| said.contains("only found 0 bytes")),
        "{outcome:?}"
    );
    assert_eq!(images.list().unwrap().len(), 2, "both are too young");
    for known in collector.uses.values_mut() {
        known.first_seen = Instant::now().checked_sub(LEAST_AGE).unwrap();
    }
    let outcome = collector.round();
    assert_eq!(
        images.list().unwrap().len(),
        2,
        "what was loaded by hand stays, named or not"
    );
    collector.tell(outcome.clone());
    collector.tell(outcome);
    let reasons: Vec<String> = std::iter::from_fn(|| told.try_recv().ok())
        .map(|report| report.draft().reason.clone())
        .collect();
    assert_eq!(
        reasons,
        ["FreeDiskSpaceFailed", "FreeDiskSpaceFailed", "ImageGCFailed"]
    );
}

#[test]
fn an_image_that_a_container_is_made_of_is_in_use_without_any_name() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let container = dir.path().join("pods/uid/c");
    std::fs::create_dir_all(&container).unwrap();
    let rootfs = agent_run::Rootfs {
        layers: vec!["/store/l/base".into(), "/store/l/top".into()],
        writable: "/w".into(),
    };
    let launch = serde_json::json!({"version": 7, "rootfs": rootfs});
    std::fs::write(container.join(LAUNCH_FILE), launch.to_string()).unwrap();
    let held = held_layers(&dir.path().join("pods"));
    assert_eq!(held.len(), 2);
    assert!(held.contains(Path::new("/store/l/top")));
}
