//! The store on disk: names, images, and what may be asked of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use oci_spec::image::ImageConfiguration;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::access::Access;
use crate::add::Leases;
use crate::commit::{self, Layers};
use crate::digest;
use crate::error::ImageError;
use crate::layer::Limits;
use crate::load::Load;
use crate::reference::Reference;
use crate::registry::Keyring;

/// `f_type` of overlayfs in statfs(2).
const OVERLAYFS: i64 = 0x794c_7630;

/// An image of the store, ready to run.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// The image ID: digest of its configuration, `sha256:…`.
    pub id: String,
    /// The normal form of the name it was found by.
    pub reference: String,
    /// The name by digest that it was found by stands for, such as `docker.io/library/nginx@sha256:…`.
    pub digest: Option<String>,
    /// Its names by manifest digest, such as `docker.io/library/nginx@sha256:…`.
    pub repo_digests: Vec<String>,
    /// Every name with a tag that it has.
    pub repo_tags: Vec<String>,
    /// Unpacked layers, lowest first.
    pub layers: Vec<PathBuf>,
    /// The image's configuration (entry point, environment, user, …).
    pub config: ImageConfiguration,
    /// Bytes of the image as it was transported (configuration and compressed layers).
    pub size: u64,
    /// Whether it was loaded by hand and thus may be nowhere else: a full disk does not remove it.
    pub pinned: bool,
}

impl Image {
    /// What a container's status calls it: a name by digest, or the image ID where there is none.
    #[must_use]
    pub fn status_id(&self) -> &str {
        // An image may have several digests in one repository; the name decides.
        let best = self.digest.as_ref().or(self.repo_digests.first());
        best.unwrap_or(&self.id)
    }
}

/// An image that a load brought or found present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// Normal form of the name it is known by now; the image ID where the archive names none.
    pub reference: String,
    /// The image ID.
    pub id: String,
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Named {
    /// The image ID.
    pub(crate) image: String,
    /// Digest of the manifest or index it was loaded by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) manifest: Option<String>,
    /// Whether a registry gave it, so that it may be had again.
    #[serde(default)]
    pub(crate) pulled: bool,
    /// Which pods may use it.
    #[serde(default)]
    pub(crate) access: Access,
}

/// All names, in their normal form.
pub(crate) type Names = BTreeMap<String, Named>;

/// An image as it lies in `images/`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ImageRecord {
    /// Short names of its layers, lowest first.
    pub(crate) layers: Vec<String>,
    pub(crate) size: u64,
    pub(crate) config: ImageConfiguration,
}

/// The image store of a node. Clones and other processes may use the same folder at the same time.
#[derive(Debug, Clone)]
pub struct ImageStore {
    pub(crate) root: PathBuf,
    pub(crate) layers: Layers,
    pub(crate) limits: Limits,
    pub(crate) leases: Leases,
}

/// Held while the store is changed.
pub(crate) struct Locked(#[expect(dead_code, reason = "closing it gives the lock up")] File);

impl ImageStore {
    /// The store's folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Opens the store at `root`, makes it where there is none, and removes what a load that was cut off left.
    ///
    /// # Errors
    ///
    /// When `root` lies on an overlay or cannot be written.
    pub fn open(root: impl AsRef<Path>) -> Result<Self, ImageError> {
        let root = root.as_ref().to_owned();
        let store = Self {
            layers: Layers::at(&root),
            root,
            limits: Limits::DEFAULT,
            leases: Leases::default(),
        };
        let attempted = || format!("open the image store {}", store.root.display());
        for folder in [
            &store.root,
            store.layers.folder(),
            &store.images(),
            &store.scratch(),
        ] {
            make_folder(folder).map_err(|e| store.io_error(attempted(), e))?;
        }
        let kind = rustix::fs::statfs(&store.root)
            .map_err(|e| store.io_error(attempted(), e.into()))?
            .f_type;
        if kind == OVERLAYFS {
            return Err(ImageError::OnOverlay { root: store.root });
        }
        store.sweep()?;
        Ok(store)
    }

    /// Loads every image for this machine out of `archive`: an OCI layout (folder, tar, tar.gz or tar.zst) or
    /// what `docker save` writes. All or nothing; what is present already is only named anew.
    ///
    /// # Errors
    ///
    /// When the archive is malformed, a digest does not match, or the disk is full.
    pub fn load(&self, archive: &Path) -> Result<Vec<Loaded>, ImageError> {
        Load::begin(self, archive)?.run()
    }

    /// Finds an image by name (any spelling), name with digest, or image ID.
    ///
    /// # Errors
    ///
    /// When `reference` is none, or the store cannot be read.
    pub fn resolve(&self, reference: &str) -> Result<Option<Image>, ImageError> {
        let names = self.names()?;
        if digest::hex(reference).is_some() {
            return self.image(reference, reference, &names);
        }
        let wanted = parse(reference)?;
        match find(&names, &wanted) {
            Some(named) => self.image(&named.image, &wanted.to_string(), &names),
            None => Ok(None),
        }
    }

    /// Whether a pod with `keyring` may use the image that `reference` names, which is here: always but for a
    /// private one that was pulled with credentials the pod has not. By its ID, an image is open to whom one of
    /// its names is, and to everybody where it has none: then it was loaded by hand.
    ///
    /// # Errors
    ///
    /// When `reference` is none, or the store cannot be read.
    pub fn is_open_to(&self, reference: &str, keyring: &Keyring) -> Result<bool, ImageError> {
        let names = self.names()?;
        if digest::hex(reference).is_some() {
            let mut own = names
                .iter()
                .filter(|(_, named)| named.image == reference)
                .peekable();
            let open = |name: &str, named: &Named| {
                Reference::parse(name).is_ok_and(|name| named.is_open_to(&name.name(), keyring))
            };
            return Ok(own.peek().is_none() || own.any(|(name, named)| open(name, named)));
        }
        let wanted = parse(reference)?;
        let named = find(&names, &wanted);
        Ok(named.is_none_or(|named| named.is_open_to(&wanted.name(), keyring)))
    }

    /// Every image, in order of its ID.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn list(&self) -> Result<Vec<Image>, ImageError> {
        let names = self.names()?;
        let mut images = Vec::new();
        for id in self.image_ids()? {
            let name = names
                .iter()
                .find(|(_, named)| named.image == id)
                .map_or(&id, |(name, _)| name);
            images.extend(self.image(&id, name, &names)?);
        }
        Ok(images)
    }

    /// Takes a name away (or with an image ID, all names of that image); tells whether there was one.
    /// The layers stay until [`Self::collect`].
    ///
    /// # Errors
    ///
    /// When `reference` is none, or the store cannot be written.
    pub fn remove(&self, reference: &str) -> Result<bool, ImageError> {
        let by_id = digest::hex(reference).is_some();
        let name = if by_id {
            reference.to_owned()
        } else {
            parse(reference)?.to_string()
        };
        let _locked = self.lock()?;
        let mut names = self.names()?;
        let before = names.len();
        names.retain(|known, named| {
            if by_id {
                named.image != name
            } else {
                *known != name
            }
        });
        if names.len() == before {
            return Ok(false);
        }
        self.write_names(&names)?;
        Ok(true)
    }

    /// Deletes images that have no name and whose ID is not in `in_use`, and layers no image has; returns the freed bytes.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    pub fn collect(&self, in_use: &BTreeSet<String>) -> Result<u64, ImageError> {
        let locked = self.lock()?;
        let names = self.names()?;
        let failed = |e| self.io_error(format!("delete unused images of {}", self.root.display()), e);
        for id in self.image_ids()? {
            let named = names.values().any(|named| named.image == id);
            if !named && !in_use.contains(&id) {
                commit::remove(&self.record_path(&id)).map_err(failed)?;
            }
        }
        self.delete_layers(&locked)
    }

    /// Deletes the image `id` with its names, and the layers that no other has; returns the freed bytes.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    pub fn evict(&self, id: &str) -> Result<u64, ImageError> {
        let locked = self.lock()?;
        let mut names = self.names()?;
        names.retain(|_, named| named.image != id);
        self.write_names(&names)?;
        let failed = |e| self.io_error(format!("delete image {id}"), e);
        commit::remove(&self.record_path(id)).map_err(failed)?;
        self.delete_layers(&locked)
    }

    /// Deletes the layers that no image has and no pull relies on.
    fn delete_layers(&self, _: &Locked) -> Result<u64, ImageError> {
        let failed = |e| self.io_error(format!("delete unused layers of {}", self.root.display()), e);
        let mut wanted = BTreeSet::new();
        for id in self.image_ids()? {
            wanted.extend(self.record(&id)?.map(|record| record.layers).unwrap_or_default());
        }
        let mut freed = 0_u64;
        for short in self.layers.all().map_err(failed)? {
            let record = self.layers.record(&short);
            let leased = record.as_ref().is_some_and(|r| self.is_leased(&r.chain_id));
            if !leased && !wanted.contains(&short) {
                freed = freed.saturating_add(record.map_or(0, |r| r.bytes));
                self.layers.delete(&short, &self.scratch()).map_err(failed)?;
            }
        }
        Ok(freed)
    }
}

impl ImageStore {
    /// Digest of the manifest or index by which the store has `name`, where it does.
    pub(crate) fn manifest_of(&self, name: &Reference) -> Result<Option<String>, ImageError> {
        let names = self.names()?;
        let Some(named) = find(&names, name) else {
            return Ok(None);
        };
        Ok(self.record(&named.image)?.and(named.manifest.clone()))
    }

    pub(crate) fn scratch(&self) -> PathBuf {
        self.root.join("tmp")
    }

    fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    pub(crate) fn record_path(&self, id: &str) -> PathBuf {
        self.images()
            .join(format!("{}.json", digest::hex(id).unwrap_or("none")))
    }

    /// Waits until nobody else changes the store.
    pub(crate) fn lock(&self) -> Result<Locked, ImageError> {
        let failed = |e| self.io_error(format!("lock the image store {}", self.root.display()), e);
        let file = self.lock_file().map_err(failed)?;
        flock(&file, FlockOperation::LockExclusive).map_err(|e| failed(e.into()))?;
        Ok(Locked(file))
    }

    fn lock_file(&self) -> io::Result<File> {
        self.open_lock("lock")
    }

    /// Locked, and shared, by every pull under way.
    pub(crate) fn busy_file(&self) -> io::Result<File> {
        self.open_lock("pulls.lock")
    }

    fn open_lock(&self, name: &str) -> io::Result<File> {
        File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.root.join(name))
    }

    /// Removes leftovers, unless a load or pull is under way (whose leftovers they then are not).
    fn sweep(&self) -> Result<(), ImageError> {
        let failed = |e| self.io_error(format!("clean the image store {}", self.root.display()), e);
        let pulls = self.busy_file().map_err(failed)?;
        let file = self.lock_file().map_err(failed)?;
        let free = |file: &File| flock(file, FlockOperation::NonBlockingLockExclusive).is_ok();
        if !free(&pulls) || !free(&file) {
            return Ok(());
        }
        for entry in fs::read_dir(self.scratch()).map_err(failed)? {
            commit::remove(&entry.map_err(failed)?.path()).map_err(failed)?;
        }
        self.layers.sweep().map_err(failed)?;
        // What a pull had brought when it was cut off.
        if let Err(error) = self.delete_layers(&Locked(file)) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "unused layers not deleted"
            );
        }
        Ok(())
    }

    pub(crate) fn names(&self) -> Result<Names, ImageError> {
        let path = self.root.join("names.json");
        let failed = |e| self.io_error(format!("read {}", path.display()), e);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| failed(e.into())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Names::new()),
            Err(e) => Err(failed(e)),
        }
    }

    pub(crate) fn write_names(&self, names: &Names) -> Result<(), ImageError> {
        let path = self.root.join("names.json");
        let written = serde_json::to_vec_pretty(names)
            .map_err(io::Error::from)
            .and_then(|b| commit::replace(&path, &b));
        written.map_err(|e| self.io_error(format!("write {}", path.display()), e))
    }

    fn record(&self, id: &str) -> Result<Option<ImageRecord>, ImageError> {
        let path = self.record_path(id);
        let failed = |e| self.io_error(format!("read {}", path.display()), e);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|e| failed(e.into())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(failed(e)),
        }
    }

    fn image_ids(&self) -> Result<BTreeSet<String>, ImageError> {
        let failed = |e| self.io_error(format!("read {}", self.images().display()), e);
        let mut ids = BTreeSet::new();
        for entry in fs::read_dir(self.images()).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let id = name
                .to_str()
                .and_then(|n| n.strip_suffix(".json"))
                .map(|hex| format!("sha256:{hex}"));
            ids.extend(id.filter(|id| digest::hex(id).is_some()));
        }
        Ok(ids)
    }

    fn image(&self, id: &str, reference: &str, names: &Names) -> Result<Option<Image>, ImageError> {
        let Some(record) = self.record(id)? else {
            return Ok(None);
        };
        let own = || names.iter().filter(|(_, named)| named.image == id);
        let digests: BTreeSet<String> = own()
            .filter_map(|(name, named)| {
                Some(format!(
                    "{}@{}",
                    Reference::parse(name).ok()?.name(),
                    named.manifest.as_ref()?
                ))
            })
            .collect();
        let found_by = Reference::parse(reference).ok();
        let manifest = found_by
            .as_ref()
            .and_then(|name| find(names, name)?.manifest.clone());
        Ok(Some(Image {
            digest: found_by
                .zip(manifest)
                .map(|(name, digest)| format!("{}@{digest}", name.name())),
            id: id.to_owned(),
            reference: reference.to_owned(),
            repo_digests: digests.into_iter().collect(),
            repo_tags: own()
                .map(|(name, _)| name.clone())
                .filter(|name| !name.contains('@'))
                .collect(),
            layers: record
                .layers
                .iter()
                .map(|short| self.layers.path(short))
                .collect(),
            config: record.config,
            size: record.size,
            // A registry's image always has a name: its digest.
            pinned: own().next().is_none() || own().any(|(_, named)| !named.pulled),
        }))
    }

    /// Tells a full disk from other failures.
    pub(crate) fn io_error(&self, attempted: String, source: io::Error) -> ImageError {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ImageError::DiskFull {
                attempted,
                root: self.root.clone(),
            },
            _ => ImageError::Io { attempted, source },
        }
    }
}

/// A name with a digest means that digest, whatever its tag (as container runtimes read it).
pub(crate) fn find<'a>(names: &'a Names, wanted: &Reference) -> Option<&'a Named> {
    let Some(digest) = wanted.digest() else {
        return names.get(&wanted.to_string());
    };
    let repository = wanted.name();
    let same = |name: &str| Reference::parse(name).is_ok_and(|known| known.name() == repository);
    names
        .iter()
        .find(|(name, named)| named.manifest.as_deref() == Some(digest) && same(name))
        .map(|(_, named)| named)
}

pub(crate) fn parse(reference: &str) -> Result<Reference, ImageError> {
    Reference::parse(reference).map_err(|source| ImageError::Reference {
        reference: reference.to_owned(),
        source,
    })
}

fn make_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

#[cfg(test)]
mod tests;
