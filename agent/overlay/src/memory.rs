//! What is remembered of the nodes, for a start while the API is away.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use tracing::warn;

use crate::facts::NodeFacts;

/// A file with the last known facts of all nodes.
#[derive(Debug, Clone)]
pub struct Memory(PathBuf);

impl Memory {
    /// In that file.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// What was remembered. Where the file is missing or was spoiled, nothing is known: that is not the
    /// same as that there are no nodes.
    #[must_use]
    pub fn read(&self) -> Option<BTreeMap<String, NodeFacts>> {
        let read = match std::fs::read(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => Err(error),
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::from),
        };
        read.inspect_err(|error| warn!(error = %error, path = %self.0.display(), "nodes not remembered"))
            .ok()
    }

    /// Remembers `nodes`, whole or not at all, even where the power goes.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn write(&self, nodes: &BTreeMap<String, NodeFacts>) -> io::Result<()> {
        let fresh = self.0.with_extension("new");
        let mut file = File::create(&fresh)?;
        file.write_all(&serde_json::to_vec(nodes)?)?;
        file.sync_data()?;
        std::fs::rename(&fresh, &self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_or_spoiled_file_is_not_taken_for_no_nodes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nodes.json");
        let memory = Memory::at(&path);
        assert_eq!(memory.read(), None);
        memory.write(&BTreeMap::new()).unwrap();
        assert_eq!(memory.read(), Some(BTreeMap::new()));
        for spoiled in ["", "{\"a\": {", "\0\0\0"] {
            std::fs::write(&path, spoiled).unwrap();
            assert_eq!(memory.read(), None, "{spoiled:?}");
        }
    }
}
