//! Small JSON files, read with a bound and replaced by rename.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::IoError;

/// Largest file accepted, in bytes.
const MAX_BYTES: u64 = 4 << 20;

/// Why one of the container's files could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The file system refused.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The content is not what it should be.
    #[error("parse {path}")]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl FormatError {
    /// Whether there is no space left for the file.
    pub(crate) fn is_full(&self) -> bool {
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        matches!(self, Self::Io(error) if full.contains(&error.kind()))
    }
}

/// Reads JSON; `None` where the file is absent.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, FormatError> {
    let failed = IoError::at("read", path);
    let mut text = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(MAX_BYTES).read_to_end(&mut text).map_err(failed)?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed(e).into()),
    };
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|source| FormatError::Parse {
            path: path.to_owned(),
            source,
        })
}

/// Writes JSON with mode 0600, complete or not at all.
pub(crate) fn replace<T: Serialize>(path: &Path, value: &T) -> Result<(), FormatError> {
    let text = serde_json::to_vec(value).map_err(|source| FormatError::Parse {
        path: path.to_owned(),
        source,
    })?;
    replace_bytes(path, &text).map_err(IoError::at("write", path))?;
    Ok(())
}

/// Writes `bytes` beside `path` with mode 0600 and renames them over it. No fsync: `/run` is memory.
pub(crate) fn replace_bytes(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".{}.new", std::process::id()));
    let new = PathBuf::from(new);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(bytes)
        .and_then(|()| std::fs::rename(&new, path))
        // Half a file would keep the space that others need.
        .inspect_err(|_| drop(std::fs::remove_file(&new)))
}
