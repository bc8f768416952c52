//! One load: unpack what is missing beside the store, then move it in.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::access::Access;
use crate::archive::Archive;
use crate::commit::LayerRecord;
use crate::digest;
use crate::error::ImageError;
use crate::layer::{Unpacked, unpack};
use crate::manifest::{self, Found, Layer};
use crate::store::{ImageRecord, ImageStore, Loaded, Locked, Named, parse};

/// A load under way; dropping it removes what it unpacked and did not move in.
pub(crate) struct Load<'a> {
    store: &'a ImageStore,
    path: &'a Path,
    archive: Archive,
    scratch: TempDir,
    fresh: Vec<Fresh>,
    _locked: Locked,
}

/// A layer that this load unpacked.
struct Fresh {
    record: LayerRecord,
    folder: PathBuf,
}

impl<'a> Load<'a> {
    pub(crate) fn begin(store: &'a ImageStore, path: &'a Path) -> Result<Self, ImageError> {
        let locked = store.lock()?;
        let failed = |e| store.io_error(format!("open image archive {}", path.display()), e);
        let scratch = TempDir::with_prefix_in("load-", store.scratch()).map_err(failed)?;
        let archive = Archive::open(path, scratch.path()).map_err(failed)?;
        Ok(Self {
            store,
            path,
            archive,
            scratch,
            fresh: Vec::new(),
            _locked: locked,
        })
    }

    pub(crate) fn run(mut self) -> Result<Vec<Loaded>, ImageError> {
        let images = manifest::images(&self.archive, self.path, manifest::architecture())?;
        for image in &images {
            // Before any work: a name that cannot be kept must not leave layers behind.
            image.names.iter().try_for_each(|name| parse(name).map(drop))?;
            self.unpack_missing(image)?;
        }
        self.commit(&images)
    }

    fn unpack_missing(&mut self, image: &Found) -> Result<(), ImageError> {
        let (mut parents, mut chain) = (Vec::new(), None);
        for layer in &image.layers {
            let id = digest::chain(chain.as_deref(), &layer.diff_id);
            let folder = match (self.store.layers.find(&id), self.fresh(&id)) {
                (Some((short, _)), _) => self.store.layers.path(&short),
                (None, Some(fresh)) => fresh.folder.clone(),
                (None, None) => self.unpack(layer, &id, &parents)?,
            };
            parents.push(folder);
            chain = Some(id);
        }
        Ok(())
    }

    fn fresh(&self, chain_id: &str) -> Option<&Fresh> {
        self.fresh.iter().find(|fresh| fresh.record.chain_id == chain_id)
    }

    fn unpack(&mut self, layer: &Layer, chain_id: &str, parents: &[PathBuf]) -> Result<PathBuf, ImageError> {
        let name = layer.digest.as_deref().unwrap_or(&layer.diff_id).to_owned();
        let failed = |e| self.store.io_error(format!("unpack layer {name}"), e);
        let folder = self.scratch.path().join(self.fresh.len().to_string());
        fs::create_dir(&folder).map_err(failed)?;
        let part = self.archive.part(&layer.part).map_err(failed)?;
        let part = part.ok_or_else(|| self.malformed(format!("{} is missing", layer.part)))?;
        let unpacked = unpack(part, &folder, parents, self.store.limits)
            .map_err(|e| self.store.layer_error(&name, e))?;
        self.verify(layer, &unpacked)?;
        let record = LayerRecord {
            chain_id: chain_id.to_owned(),
            bytes: unpacked.bytes,
            blob_bytes: unpacked.blob_bytes,
        };
        self.fresh.push(Fresh {
            record,
            folder: folder.clone(),
        });
        Ok(folder)
    }

    fn verify(&self, layer: &Layer, unpacked: &Unpacked) -> Result<(), ImageError> {
        let mismatch = |what: String, expected: &str, actual: &str| ImageError::DigestMismatch {
            archive: self.path.to_owned(),
            what,
            expected: expected.to_owned(),
            actual: actual.to_owned(),
        };
        if let Some(expected) = layer.digest.as_ref().filter(|d| **d != unpacked.digest) {
            return Err(mismatch(layer.part.clone(), expected, &unpacked.digest));
        }
        if layer.diff_id != unpacked.diff_id {
            return Err(mismatch(
                format!("{} uncompressed", layer.part),
                &layer.diff_id,
                &unpacked.diff_id,
            ));
        }
        Ok(())
    }

    /// Everything is unpacked and verified: make it durable, then make it count, names last.
    fn commit(mut self, images: &[Found]) -> Result<Vec<Loaded>, ImageError> {
        let failed = |e| {
            self.store
                .io_error(format!("keep the images of {}", self.path.display()), e)
        };
        let mut placed = Vec::new();
        for fresh in self.fresh.drain(..) {
            let short = self
                .store
                .layers
                .place(&fresh.record.chain_id, &fresh.folder)
                .map_err(failed)?;
            placed.push((short, fresh.record));
        }
        if !placed.is_empty() {
            let root = fs::File::open(&self.store.root).map_err(failed)?;
            rustix::fs::syncfs(root).map_err(|e| failed(e.into()))?;
        }
        for (short, record) in &placed {
            self.store.layers.confirm(short, record).map_err(failed)?;
        }
        for image in images {
            self.write_record(image).map_err(failed)?;
        }
        self.name(images)
    }

    fn write_record(&self, image: &Found) -> io::Result<()> {
        let (mut layers, mut size, mut chain) = (Vec::new(), image.config_bytes, None);
        for layer in &image.layers {
            let id = digest::chain(chain.as_deref(), &layer.diff_id);
            let (short, record) = self.store.layers.find(&id).ok_or(io::ErrorKind::NotFound)?;
            size = size.saturating_add(record.blob_bytes);
            layers.push(short);
            chain = Some(id);
        }
        let record = ImageRecord {
            layers,
            size,
            config: image.config.clone(),
        };
        crate::commit::replace(&self.store.record_path(&image.id), &serde_json::to_vec(&record)?)
    }

    fn name(&self, images: &[Found]) -> Result<Vec<Loaded>, ImageError> {
        let mut names = self.store.names()?;
        let mut loaded = Vec::new();
        for image in images {
            for name in &image.names {
                let reference = parse(name)?.to_string();
                let named = Named {
                    image: image.id.clone(),
                    manifest: image.manifest.clone(),
                    pulled: false,
                    access: Access::Anyone,
                };
                names.insert(reference.clone(), named);
                loaded.push(Loaded {
                    reference,
                    id: image.id.clone(),
                });
            }
            if image.names.is_empty() {
                loaded.push(Loaded {
                    reference: image.id.clone(),
                    id: image.id.clone(),
                });
            }
        }
        self.store.write_names(&names)?;
        Ok(loaded)
    }

    fn malformed(&self, problem: String) -> ImageError {
        ImageError::Malformed {
            archive: self.path.to_owned(),
            problem,
        }
    }
}
