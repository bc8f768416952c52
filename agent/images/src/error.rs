//! What goes wrong with images.

use std::io;
use std::path::PathBuf;

use crate::reference::ReferenceError;

/// Why an image cannot be loaded, found or removed.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The store's folder lies on an overlay, which cannot carry the upper layers of containers.
    #[error(
        "open the image store {root}: it lies on an overlay file system, where containers cannot have \
         their writable layers; mount or bind a folder of a real file system (ext4, xfs, btrfs, tmpfs) there"
    )]
    OnOverlay {
        /// Folder of the store.
        root: PathBuf,
    },
    /// The file system is full; nothing of the load was kept.
    #[error(
        "{attempted}: no space left on the file system of {root}; free some and load again (nothing was kept)"
    )]
    DiskFull {
        /// What was being done.
        attempted: String,
        /// Folder of the store.
        root: PathBuf,
    },
    /// A system call failed.
    #[error("{attempted}")]
    Io {
        /// What was attempted, and on what.
        attempted: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The archive does not hold what its own index or the OCI image layout demands.
    #[error("read image archive {archive}: {problem}")]
    Malformed {
        /// The archive.
        archive: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Bytes are not what their digest says.
    #[error("read image archive {archive}: {what} has digest {actual}, but is listed as {expected}")]
    DigestMismatch {
        /// The archive.
        archive: PathBuf,
        /// Which part.
        what: String,
        /// Digest by which it is listed.
        expected: String,
        /// Digest of the bytes that are there.
        actual: String,
    },
    /// A layer unpacks to something else than its image lists.
    #[error("unpack layer {layer}: it has digest {actual}, but its image lists {expected}")]
    WrongLayer {
        /// Digest of the layer.
        layer: String,
        /// Digest by which it is listed, packed or unpacked.
        expected: String,
        /// Digest of the bytes that are there.
        actual: String,
    },
    /// No image in the archive is for this machine.
    #[error("read image archive {archive}: it has no image for linux/{wanted}, only for {offered}")]
    NoPlatform {
        /// The archive.
        archive: PathBuf,
        /// Architecture of this machine in OCI's words.
        wanted: &'static str,
        /// The platforms that are there.
        offered: String,
    },
    /// A layer holds an entry that a layer must not hold.
    #[error("unpack layer {layer}: entry {entry:?} {problem}")]
    BadEntry {
        /// Digest of the layer.
        layer: String,
        /// Path of the entry, as far as it is text.
        entry: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A layer unpacks to more than is allowed.
    #[error("unpack layer {layer}: more than {limit} bytes or entries come out of it")]
    TooLarge {
        /// Digest of the layer.
        layer: String,
        /// The limit that was hit.
        limit: u64,
    },
    /// The text is no image reference.
    #[error("understand image reference {reference:?}")]
    Reference {
        /// The text.
        reference: String,
        /// Which rule it breaks.
        #[source]
        source: ReferenceError,
    },
}
