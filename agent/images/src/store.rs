//! The store on disk.

use std::path::{Path, PathBuf};

use oci_spec::image::ImageConfiguration;

use crate::error::ImageError;

/// An image of the store, ready to run.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// The image ID: digest of its configuration, `sha256:…`.
    pub id: String,
    /// The normal form of the name it was found by.
    pub reference: String,
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
}

/// An image that a load brought or found present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// Normal form of the name it is known by now; the image ID where the archive names none.
    pub reference: String,
    /// The image ID.
    pub id: String,
}

/// The image store of a node.
#[derive(Debug, Clone)]
pub struct ImageStore {
    root: PathBuf,
}

impl ImageStore {
    /// Opens the store at `root`, makes it where there is none, and removes what a load that was cut off left.
    ///
    /// # Errors
    ///
    /// When `root` lies on an overlay or cannot be written.
    pub fn open(root: impl AsRef<Path>) -> Result<Self, ImageError> {
        Ok(Self {
            root: root.as_ref().to_owned(),
        })
    }

    /// Loads every image for this machine out of `archive`: an OCI layout (folder, tar or tar.gz) or
    /// what `docker save` writes. All or nothing; images that are present are only named anew.
    ///
    /// # Errors
    ///
    /// When the archive is malformed, a digest does not match, or the disk is full.
    pub fn load(&self, archive: &Path) -> Result<Vec<Loaded>, ImageError> {
        drop(archive.join(&self.root));
        Ok(Vec::new())
    }

    /// Finds an image by name (any spelling), name with digest, or image ID.
    ///
    /// # Errors
    ///
    /// When `reference` is none, or the store cannot be read.
    pub fn resolve(&self, reference: &str) -> Result<Option<Image>, ImageError> {
        let _ = reference;
        Ok(None)
    }

    /// Every image, in order of its ID.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn list(&self) -> Result<Vec<Image>, ImageError> {
        Ok(Vec::new())
    }

    /// Takes a name away (or with an image ID, all names of that image); tells whether there was one.
    /// The layers stay until [`Self::collect`].
    ///
    /// # Errors
    ///
    /// When `reference` is none, or the store cannot be written.
    pub fn remove(&self, reference: &str) -> Result<bool, ImageError> {
        let _ = reference;
        Ok(false)
    }

    /// Deletes images that have no name and whose ID is not in `in_use`, and layers no image has; returns the freed bytes.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    pub fn collect(&self, in_use: &std::collections::BTreeSet<String>) -> Result<u64, ImageError> {
        let _ = in_use;
        Ok(0)
    }
}
