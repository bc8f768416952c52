//! What is remembered of the nodes, for a start while the API is away.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

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

    /// What was remembered; nothing where the file is missing or was spoiled.
    #[must_use]
    pub fn read(&self) -> BTreeMap<String, NodeFacts> {
        let bytes = std::fs::read(&self.0).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// Remembers `nodes`, whole or not at all.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn write(&self, nodes: &BTreeMap<String, NodeFacts>) -> io::Result<()> {
        let fresh = self.0.with_extension("new");
        std::fs::write(&fresh, serde_json::to_vec(nodes)?)?;
        std::fs::rename(&fresh, &self.0)
    }
}
