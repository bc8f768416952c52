//! `hostPath` (Kubernetes, "Volumes", "hostPath volume types").

use std::fs::{DirBuilder, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::HostPathVolumeSource;

use crate::VolumeError;

/// Checks the path of `source`, making it where its type says so, and returns it.
pub(crate) fn prepare(volume: &str, source: &HostPathVolumeSource) -> Result<PathBuf, VolumeError> {
    let path = PathBuf::from(&source.path);
    if path
        .components()
        .any(|part| part == std::path::Component::ParentDir)
    {
        return Err(VolumeError::Path {
            volume: volume.to_owned(),
            path: source.path.clone(),
        });
    }
    let kind = source.type_.as_deref().unwrap_or_default();
    create(kind, &path).map_err(|source| VolumeError::Folder {
        path: path.clone(),
        source,
    })?;
    let Some((expected, fits)) = rule(kind) else {
        return Ok(path);
    };
    match std::fs::metadata(&path) {
        Ok(found) if fits(&found) => Ok(path),
        _ => Err(VolumeError::HostPathType { path, expected }),
    }
}

fn create(kind: &str, path: &Path) -> io::Result<()> {
    match kind {
        "DirectoryOrCreate" if !path.exists() => DirBuilder::new().recursive(true).mode(0o755).create(path),
        "FileOrCreate" if !path.exists() => OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o644)
            .open(path)
            .map(drop),
        _ => Ok(()),
    }
}

type Rule = (&'static str, fn(&Metadata) -> bool);

/// What a path of this type must be; nothing where the type asks for nothing.
fn rule(kind: &str) -> Option<Rule> {
    match kind {
        "Directory" | "DirectoryOrCreate" => Some(("directory", Metadata::is_dir)),
        "File" | "FileOrCreate" => Some(("file", Metadata::is_file)),
        "Socket" => Some(("socket file", |found| found.file_type().is_socket())),
        "CharDevice" => Some(("character device", |found| found.file_type().is_char_device())),
        "BlockDevice" => Some(("block device", |found| found.file_type().is_block_device())),
        _ => None,
    }
}
