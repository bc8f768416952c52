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
            let spec = view.pod.spec.iter().flat_map(agent_core::every_container);
            names.extend(spec.filter_map(|(_, container)| container.into_owned().image));
            let all = view.pod.status.iter().flat_map(agent_core::container_statuses);
            let ids = all.map(|status| status.image_id.clone());
            names.extend(ids.filter(|id| !id.is_empty()));
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
mod tests;
