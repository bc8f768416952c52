//! What is on disk after an agent restart.

use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use agent_run::{FormatError, Identity, Launch, Records, State};
use tracing::warn;

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
pub fn adopt(paths: &NodePaths) -> Result<Vec<Adopted>, AdoptError> {
    let mut found = Vec::new();
    for pod in folders(&paths.run_dir.join("pods"))? {
        for container in folders(&pod)? {
            match adopted(&container) {
                Ok(adopted) => found.extend(adopted),
                Err(error) => {
                    warn!(path = %container.display(), error = &error as &dyn Error, "skip a damaged bundle")
                }
            }
        }
    }
    Ok(found)
}

/// The bundle in `dir`; `None` where there is none.
fn adopted(dir: &Path) -> Result<Option<Adopted>, FormatError> {
    let Some(launch) = Launch::read(dir)? else {
        return Ok(None);
    };
    Ok(Some(Adopted {
        identity: launch.identity,
        records: Records::read(dir)?,
        state: State::read(dir)?,
    }))
}

/// The folders in `dir`, but for those whose names start with `_`; none where it is absent.
fn folders(dir: &Path) -> Result<Vec<PathBuf>, AdoptError> {
    let failed = |source| AdoptError::List {
        path: dir.to_owned(),
        source,
    };
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    let mut all = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let ours = !entry.file_name().as_encoded_bytes().starts_with(b"_");
        if ours && entry.file_type().map_err(failed)?.is_dir() {
            all.push(entry.path());
        }
    }
    all.sort();
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(dir: &Path) -> NodePaths {
        NodePaths {
            run_dir: dir.into(),
            state_dir: dir.into(),
            floe_run: "/f".into(),
            crun: "/c".into(),
        }
    }

    #[test]
    fn a_node_without_pods_has_nothing_to_adopt() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(adopt(&paths(dir.path())).unwrap(), []);
    }

    #[test]
    fn a_damaged_bundle_hides_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let paths = paths(dir.path());
        for name in ["bad", "none", "_volumes"] {
            fs::create_dir_all(paths.container_dir("u", name)).unwrap();
        }
        fs::write(paths.container_dir("u", "bad").join("launch.json"), "{").unwrap();
        fs::write(paths.container_dir("u", "_volumes").join("launch.json"), "{").unwrap();
        assert_eq!(adopt(&paths).unwrap(), []);
    }
}
