//! Images that come layer by layer: each counts once it is whole, the image once all of them are there.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

use crate::access::Access;
use crate::commit::LayerRecord;
use crate::error::ImageError;
use crate::layer::{LayerError, unpack};
use crate::reference::Reference;
use crate::registry::Remote;
use crate::store::{ImageRecord, ImageStore, Named, find};

/// A layer as its image lists it.
#[derive(Debug, Clone)]
pub(crate) struct NewLayer {
    /// Digest of the blob.
    pub(crate) digest: String,
    /// Digest of the uncompressed layer.
    pub(crate) diff_id: String,
    /// Identity on top of those beneath it.
    pub(crate) chain_id: String,
}

/// Layers that a pull relies on, by chain ID, with the number of pulls.
pub(crate) type Leases = Arc<Mutex<BTreeMap<String, usize>>>;

/// Held by a pull: no layer that it names is deleted, and no scratch of it is taken for a leftover.
#[derive(Debug)]
pub(crate) struct Lease {
    leases: Leases,
    chain_ids: Vec<String>,
    _busy: File,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        for chain_id in &self.chain_ids {
            if let Some(pulls) = leases.get_mut(chain_id) {
                *pulls = pulls.saturating_sub(1);
            }
        }
        leases.retain(|_, pulls| *pulls > 0);
    }
}

impl ImageStore {
    /// Promises that the named layers stay, those that are there and those to come.
    pub(crate) fn lease(&self, chain_ids: Vec<String>) -> Result<Lease, ImageError> {
        let failed = |e| self.io_error(format!("lock the image store {}", self.root.display()), e);
        let busy = self.busy_file().map_err(failed)?;
        flock(&busy, FlockOperation::LockShared).map_err(|e| failed(e.into()))?;
        // So that no deletion that was decided before is still to come.
        let _locked = self.lock()?;
        let mut leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        for chain_id in &chain_ids {
            *leases.entry(chain_id.clone()).or_default() += 1;
        }
        drop(leases);
        Ok(Lease {
            leases: Arc::clone(&self.leases),
            chain_ids,
            _busy: busy,
        })
    }

    /// Whether a pull relies on the layer.
    pub(crate) fn is_leased(&self, chain_id: &str) -> bool {
        let leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        leases.contains_key(chain_id)
    }

    /// Unpacks `blob` beside the store and moves it in once both its digests are right.
    pub(crate) fn add_layer(
        &self,
        layer: &NewLayer,
        blob: &File,
        parents: &[PathBuf],
    ) -> Result<(), ImageError> {
        let failed = |e| self.io_error(format!("keep layer {}", layer.digest), e);
        let scratch = TempDir::with_prefix_in("layer-", self.scratch()).map_err(failed)?;
        let folder = scratch.path().join("layer");
        fs::create_dir(&folder).map_err(failed)?;
        let unpacked = unpack(blob, &folder, parents, self.limits)
            .map_err(|error| self.layer_error(&layer.digest, error))?;
        let pairs = [
            (&layer.digest, &unpacked.digest),
            (&layer.diff_id, &unpacked.diff_id),
        ];
        if let Some((expected, actual)) = pairs.into_iter().find(|(expected, actual)| expected != actual) {
            return Err(ImageError::WrongLayer {
                layer: layer.digest.clone(),
                expected: expected.clone(),
                actual: actual.clone(),
            });
        }
        let record = LayerRecord {
            chain_id: layer.chain_id.clone(),
            bytes: unpacked.bytes,
            blob_bytes: unpacked.blob_bytes,
        };
        self.place(&record, &folder).map_err(failed)
    }

    fn place(&self, record: &LayerRecord, folder: &Path) -> std::io::Result<()> {
        let _locked = self.lock().map_err(std::io::Error::other)?;
        if self.layers.find(&record.chain_id).is_some() {
            // Loaded from an archive meanwhile.
            return Ok(());
        }
        let short = self.layers.place(&record.chain_id, folder)?;
        rustix::fs::syncfs(File::open(&self.root)?)?;
        self.layers.confirm(&short, record)
    }

    /// Makes an image count whose layers are all there, under `name` and under its digest.
    pub(crate) fn keep(&self, image: &Remote, name: &Reference, access: &Access) -> Result<(), ImageError> {
        let failed = |e| self.io_error(format!("keep image {name}"), e);
        let _locked = self.lock()?;
        let (mut layers, mut size) = (Vec::new(), image.config_bytes);
        for layer in &image.layers {
            let found = self.layers.find(&layer.chain_id);
            let (short, record) = found.ok_or_else(|| failed(std::io::ErrorKind::NotFound.into()))?;
            size = size.saturating_add(record.blob_bytes);
            layers.push(short);
        }
        let record = ImageRecord {
            layers,
            size,
            config: image.config.clone(),
        };
        let bytes = serde_json::to_vec(&record).map_err(|e| failed(e.into()))?;
        crate::commit::replace(&self.record_path(&image.id), &bytes).map_err(failed)?;
        let named = Named {
            image: image.id.clone(),
            manifest: Some(image.manifest.clone()),
            pulled: true,
            access: access.clone(),
        };
        // The digest's name stays when the tag moves on: containers that run report it.
        let by_digest = format!("{}@{}", name.name(), image.manifest);
        let by_tag = name.digest().is_none().then(|| name.to_string());
        let mut names = self.names()?;
        for name in by_tag.into_iter().chain([by_digest]) {
            let mut named = named.clone();
            if let Some(known) = names.get(&name).filter(|known| same(known, &named)) {
                named.pulled = known.pulled;
                named.access = known.access.clone().or(named.access);
            }
            names.insert(name, named);
        }
        self.write_names(&names)
    }

    /// Notes that the registry lets `access` have what the store has under `name` already. The same image in
    /// another repository is none of its business: there, others decide.
    pub(crate) fn open_to(&self, name: &Reference, access: Access) -> Result<(), ImageError> {
        let _locked = self.lock()?;
        let mut names = self.names()?;
        let Some(known) = find(&names, name).cloned() else {
            return Ok(());
        };
        let repository = name.name();
        let here = |name: &str| Reference::parse(name).is_ok_and(|name| name.name() == repository);
        let mut changed = false;
        for (name, named) in &mut names {
            if same(named, &known) && here(name) {
                let opened = named.access.clone().or(access.clone());
                changed |= opened != named.access;
                named.access = opened;
            }
        }
        if changed { self.write_names(&names) } else { Ok(()) }
    }

    /// Why a layer was not unpacked, in the store's words.
    pub(crate) fn layer_error(&self, layer: &str, error: LayerError) -> ImageError {
        let layer = layer.to_owned();
        match error {
            LayerError::Bad { entry, problem } => ImageError::BadEntry {
                layer,
                entry,
                problem: problem.to_owned(),
            },
            LayerError::TooLarge { limit } => ImageError::TooLarge { layer, limit },
            LayerError::Io { entry, source } => {
                let within = if entry.is_empty() {
                    String::new()
                } else {
                    format!(", entry {entry:?}")
                };
                self.io_error(format!("unpack layer {layer}{within}"), source)
            }
        }
    }
}

fn same(a: &Named, b: &Named) -> bool {
    (&a.image, &a.manifest) == (&b.image, &b.manifest)
}
