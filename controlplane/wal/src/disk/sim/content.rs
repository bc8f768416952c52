//! What a simulated disk holds: the bytes and names that the system shows, and those that a power cut leaves.

use std::collections::{BTreeMap, BTreeSet};

/// What a crash leaves whole.
pub(super) const SECTOR: usize = 512;

/// What the system shows, and what is on the disk.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) shown: Vec<u8>,
    pub(super) durable: Vec<u8>,
    /// Sectors of `shown` that may differ from `durable`.
    pub(super) dirty: BTreeSet<usize>,
}

impl Content {
    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let end = offset + bytes.len();
        let first = offset.min(self.shown.len()) / SECTOR;
        if self.shown.len() < end {
            self.shown.resize(end, 0);
        }
        if let Some(place) = self.shown.get_mut(offset..end) {
            place.copy_from_slice(bytes);
        }
        self.dirty.extend(first..=(end - 1) / SECTOR);
    }

    /// Brings those dirty sectors to the disk that `keep` says.
    pub(super) fn persist(&mut self, mut keep: impl FnMut() -> bool) {
        for sector in &self.dirty {
            if !keep() {
                continue;
            }
            let start = sector * SECTOR;
            let end = (start + SECTOR).min(self.shown.len());
            if self.durable.len() < end {
                self.durable.resize(end, 0);
            }
            if let (Some(from), Some(to)) = (self.shown.get(start..end), self.durable.get_mut(start..end)) {
                to.copy_from_slice(from);
            }
        }
    }
}

/// A change of names that was not synced yet.
#[derive(Debug, Clone)]
pub(super) enum Renaming {
    Create { name: String, id: u64 },
    Rename { from: String, to: String, id: u64 },
    Remove { name: String },
}

pub(super) fn apply(names: &mut BTreeMap<String, u64>, renaming: &Renaming) {
    match renaming {
        Renaming::Create { name, id } => {
            names.insert(name.clone(), *id);
        }
        Renaming::Rename { from, to, id } => {
            names.remove(from);
            names.insert(to.clone(), *id);
        }
        Renaming::Remove { name } => {
            names.remove(name);
        }
    }
}
