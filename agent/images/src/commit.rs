//! Layers into their place in the store, and out of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::digest;

/// What the store knows of a layer; the file that holds it is written last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LayerRecord {
    /// Identity: this layer on top of those beneath it.
    pub(crate) chain_id: String,
    /// Bytes of the uncompressed tar.
    pub(crate) bytes: u64,
    /// Bytes of the blob it came in.
    pub(crate) blob_bytes: u64,
}

/// The folder of all layers.
#[derive(Debug, Clone)]
pub(crate) struct Layers(PathBuf);

impl Layers {
    pub(crate) fn at(root: &Path) -> Self {
        Self(root.join("l"))
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }

    /// Path of the layer that is called `short`.
    pub(crate) fn path(&self, short: &str) -> PathBuf {
        self.0.join(short)
    }

    fn record_path(&self, short: &str) -> PathBuf {
        self.0.join(format!("{short}.json"))
    }

    /// Short name and record of the layer with that identity, when it is present.
    pub(crate) fn find(&self, chain_id: &str) -> Option<(String, LayerRecord)> {
        let hex = digest::hex(chain_id)?;
        names(hex).find_map(|short| {
            let record = self.record(&short).filter(|record| record.chain_id == chain_id)?;
            Some((short, record))
        })
    }

    pub(crate) fn record(&self, short: &str) -> Option<LayerRecord> {
        let bytes = fs::read(self.record_path(short)).ok()?;
        let record = serde_json::from_slice(&bytes).ok()?;
        self.path(short).is_dir().then_some(record)
    }

    /// Moves the folder `unpacked` into its place; it counts only once [`Self::confirm`] was called.
    pub(crate) fn place(&self, chain_id: &str, unpacked: &Path) -> io::Result<String> {
        let hex = digest::hex(chain_id).ok_or(io::ErrorKind::InvalidInput)?;
        // Longer names only where the beginning is taken by another layer: one in 2^48.
        let short = names(hex)
            .find(|short| self.record(short).is_none())
            .ok_or(io::ErrorKind::AlreadyExists)?;
        remove(&self.path(&short))?;
        fs::rename(unpacked, self.path(&short))?;
        Ok(short)
    }

    pub(crate) fn confirm(&self, short: &str, record: &LayerRecord) -> io::Result<()> {
        replace(&self.record_path(short), &serde_json::to_vec(record)?)
    }

    /// Short names of all layers.
    pub(crate) fn all(&self) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let name = entry?.file_name();
            if let Some(short) = name.to_str().and_then(|name| name.strip_suffix(".json")) {
                found.push(short.to_owned());
            }
        }
        found.sort();
        Ok(found)
    }

    /// Deletes a layer: first what makes it count, then its files.
    pub(crate) fn delete(&self, short: &str, scratch: &Path) -> io::Result<()> {
        match fs::remove_file(self.record_path(short)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let doomed = scratch.join(format!("deleted-{short}"));
        match fs::rename(self.path(short), &doomed) {
            Ok(()) => remove(&doomed),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// Deletes folders without a record: a load was cut off between the two.
    pub(crate) fn sweep(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let known = name
                .strip_suffix(".json")
                .map_or_else(|| self.record_path(&name).exists(), |s| self.path(s).is_dir());
            if !known {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }
}

/// Names to try for a layer, the shortest first.
fn names(hex: &str) -> impl Iterator<Item = String> + '_ {
    [12, 20, 64]
        .into_iter()
        .filter_map(|length| hex.get(..length).map(str::to_owned))
}

/// Writes a file so that it is there whole or not at all, also after a crash.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    fs::File::open(folder)?.sync_all()
}

/// Removes a file or a folder with all that is in it, if there is one.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(e) => Err(e),
    };
    match removed {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}
