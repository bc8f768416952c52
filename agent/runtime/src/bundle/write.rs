//! Bundles to disk.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use agent_run::{FormatError, write_bundle};

use super::Bundle;

/// Why a bundle was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A folder could not be made.
    #[error("create {path}")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] FormatError),
}

impl Bundle {
    /// Writes `bundle.json` and `launch.json`, mode 0600, each complete or not at all, in folders
    /// of mode 0700. Records of earlier runs stay.
    ///
    /// # Errors
    ///
    /// Passes on what the file system refused.
    pub fn write(&self) -> Result<(), WriteError> {
        private_dir(&self.dir)?;
        write_bundle(&self.dir, &self.config)?;
        Ok(self.launch.write(&self.dir)?)
    }
}

fn private_dir(path: &Path) -> Result<(), WriteError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| WriteError::Folder {
            path: path.to_owned(),
            source,
        })
}
