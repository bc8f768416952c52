//! Frees the disk of images that no pod uses, as the kubelet does.
//!
//! Every five minutes: from the high threshold of the disk's use on, images go, the longest unused first, until
//! the low one is reached. Never one that a pod uses, that was in use within two minutes, or that was loaded by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use agent_core::EventDraft;
use agent_images::{Image, ImageError, ImageStore};
use agent_run::{LAUNCH_FILE, Rootfs};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::Config;
use crate::events::Events;
use crate::pods::Registry;

/// How often the disk is looked at.
const PERIOD: Duration = Duration::from_mins(5);
/// How long an image is left alone after its last use.
const LEAST_AGE: Duration = Duration::from_mins(2);

/// The share of the disk from which on, and down to which, images are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Thresholds {
    pub(crate) high: u8,
    pub(crate) low: u8,
}

/// The disk of the image store.
#[derive(Debug, Clone, Copy)]
struct Disk {
    bytes: u64,
    available: u64,
}

/// What is known of an image's use.
#[derive(Debug, Clone, Copy)]
struct Use {
    first_seen: Instant,
    last: Option<Instant>,
}

/// An image that may go.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    id: String,
    last: Option<Instant>,
    first_seen: Instant,
}

/// Watches over the disk.
pub(crate) struct Collector {
    images: ImageStore,
    registry: Arc<Registry>,
    /// Where the bundles of containers lie.
    pods_dir: PathBuf,
    events: Events,
    thresholds: Thresholds,
    node: Node,
    uses: BTreeMap<String, Use>,
    failed_before: bool,
}

impl Thresholds {
    /// Bytes to free; `None` below the high threshold.
    fn excess(self, disk: Disk) -> Option<u64> {
        let percent = |part: u64| u128::from(part) * 100 / u128::from(disk.bytes.max(1));
        let used = disk.bytes.saturating_sub(disk.available);
        if percent(used) < u128::from(self.high) {
            return None;
        }
        let wanted = u128::from(disk.bytes) * u128::from(100_u8.saturating_sub(self.low)) / 100;
        let wanted = u64::try_from(wanted).unwrap_or(u64::MAX);
        Some(wanted.saturating_sub(disk.available))
    }
}

/// The images that may go, in the order in which they go.
fn candidates(
    images: &[Image],
    in_use: &BTreeSet<String>,
    uses: &BTreeMap<String, Use>,
    now: Instant,
) -> Vec<Candidate> {
    let may_go = |image: &&Image| !image.pinned && !in_use.contains(&image.id);
    let candidate = |image: &Image| {
        let known = uses.get(&image.id)?;
        let newest = known.last.unwrap_or(known.first_seen);
        (now.duration_since(newest) >= LEAST_AGE).then(|| Candidate {
            id: image.id.clone(),
            last: known.last,
            first_seen: known.first_seen,
        })
    };
    let mut found: Vec<Candidate> = images.iter().filter(may_go).filter_map(candidate).collect();
    found.sort_by_key(|c| (c.last, c.first_seen));
    found
}

impl Collector {
    pub(crate) fn new(config: &Config, images: ImageStore, registry: Arc<Registry>, events: Events) -> Self {
        let node = Node {
            metadata: ObjectMeta {
                name: Some(config.node_name.clone()),
                ..ObjectMeta::default()
            },
            ..Node::default()
        };
        Self {
            images,
            registry,
            pods_dir: config.run_dir.join("pods"),
            events,
            thresholds: config.image_gc,
            node,
            uses: BTreeMap::new(),
            failed_before: false,
        }
    }

    /// Works until `stop`.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(PERIOD);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let (moved, outcome) = match tokio::task::spawn_blocking(move || {
                let outcome = self.round();
                (self, outcome)
            })
            .await
            {
                Ok(done) => done,
                Err(error) => {
                    warn!(error = %error, "image garbage collection ended");
                    return;
                }
            };
            self = moved;
            self.tell(outcome);
        }
    }

    fn tell(&mut self, outcome: Result<(), String>) {
        let Err(message) = outcome else {
            self.failed_before = false;
            return;
        };
        warn!(problem = message, "image garbage collection failed");
        // As upstream: the second failure in a row is worth the node's attention.
        if std::mem::replace(&mut self.failed_before, true) {
            self.events
                .about_node(&self.node, EventDraft::warning("ImageGCFailed", message));
        }
    }

    /// One look, and what follows from it.
    fn round(&mut self) -> Result<(), String> {
        let text = |error: ImageError| format!("{:#}", anyhow::Error::from(error));
        let images = self.images.list().map_err(text)?;
        let in_use = self.in_use(&images).map_err(text)?;
        let now = Instant::now();
        self.note(&images, &in_use, now);
        let disk = self.disk()?;
        let Some(excess) = self.thresholds.excess(disk) else {
            return Ok(());
        };
        info!(excess, "disk is full: unused images are removed");
        let mut freed = 0_u64;
        for candidate in candidates(&images, &in_use, &self.uses, now) {
            if freed >= excess {
                break;
            }
            // A pod may have come since.
            if self.in_use(&images).map_err(text)?.contains(&candidate.id) {
                continue;
            }
            freed = freed.saturating_add(self.images.evict(&candidate.id).map_err(text)?);
            self.uses.remove(&candidate.id);
            info!(image = candidate.id, "unused image removed");
        }
        if freed >= excess {
            return Ok(());
        }
        let message = format!(
            "Failed to garbage collect required amount of images. Attempted to free {excess} bytes, but only \
             found {freed} bytes eligible to free."
        );
        let event = EventDraft::warning("FreeDiskSpaceFailed", message.clone());
        self.events.about_node(&self.node, event);
        Err(message)
    }

    /// Remembers which images are there and which are in use.
    fn note(&mut self, images: &[Image], in_use: &BTreeSet<String>, now: Instant) {
        self.uses
            .retain(|id, _| images.iter().any(|image| image.id == *id));
        for image in images {
            let known = self.uses.entry(image.id.clone()).or_insert(Use {
                first_seen: now,
                last: None,
            });
            if in_use.contains(&image.id) {
                known.last = Some(now);
            }
        }
    }

    /// The IDs of the images that pods name, and of those that containers are made of, whatever became of
    /// their names: the bundles tell, also of pods that the agent has yet to adopt.
    fn in_use(&self, images: &[Image]) -> Result<BTreeSet<String>, ImageError> {
        let mut names = BTreeSet::new();
        for view in self.registry.all() {
            let spec = view.pod.spec.iter().flat_map(agent_core::containers);
            names.extend(spec.filter_map(|(_, container)| container.image.clone()));
            let status = view.pod.status.as_ref();
            let init = status.and_then(|s| s.init_container_statuses.clone());
            let main = status.and_then(|s| s.container_statuses.clone());
            let all = init.into_iter().chain(main).flatten();
            names.extend(all.map(|status| status.image_id).filter(|id| !id.is_empty()));
        }
        let held = held_layers(&self.pods_dir);
        let runs = |image: &&Image| image.layers.last().is_some_and(|top| held.contains(top));
        let mut ids: BTreeSet<String> = images.iter().filter(runs).map(|image| image.id.clone()).collect();
        for name in names {
            match self.images.resolve(&name) {
                Ok(image) => ids.extend(image.map(|image| image.id)),
                Err(ImageError::Reference { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(ids)
    }

    fn disk(&self) -> Result<Disk, String> {
        let root = self.images.root();
        let measured = rustix::fs::statvfs(root);
        let measured = measured.map_err(|e| format!("measure the file system of {}: {e}", root.display()))?;
        Ok(Disk {
            bytes: measured.f_blocks.saturating_mul(measured.f_frsize),
            available: measured.f_bavail.saturating_mul(measured.f_frsize),
        })
    }
}

/// The layers that the bundles under `pods_dir` mount.
fn held_layers(pods_dir: &Path) -> BTreeSet<PathBuf> {
    let folders = |dir: &Path| {
        std::fs::read_dir(dir)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
    };
    let containers = folders(pods_dir).flat_map(|pod| folders(&pod).collect::<Vec<_>>());
    let read = |dir: PathBuf| serde_json::from_slice(&std::fs::read(dir.join(LAUNCH_FILE)).ok()?).ok();
    let launches = containers.filter_map(read);
    launches.flat_map(|launch: Mounts| launch.rootfs.layers).collect()
}

/// What a bundle of any version says of its layers.
#[derive(serde::Deserialize)]
struct Mounts {
    rootfs: Rootfs,
}

#[cfg(test)]
mod tests {
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
        assert_eq!(images.list().unwrap().len(), 1, "what nobody names is gone");
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
}
