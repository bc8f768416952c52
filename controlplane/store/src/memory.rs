use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{
    Batch, Cause, ClusterId, Durability, Entry, Event, Key, Loaded, Reclaimed, Revision, StateError,
};

/// A disk in memory, for tests and throw-away clusters. Clones are handles on the same disk, so opening a clone
/// is what opening the file again is to SQLite.
#[derive(Debug, Clone, Default)]
pub struct MemoryDurability(Arc<Mutex<Disk>>);

/// How the next appends fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Full,
    LostFsync,
}

#[derive(Debug)]
struct Disk {
    cluster_id: ClusterId,
    revision: Revision,
    entries: BTreeMap<Key, Arc<Entry>>,
    fault: Option<Fault>,
}

impl Default for Disk {
    fn default() -> Self {
        let cluster_id = ClusterId::generate();
        Self {
            cluster_id,
            revision: Revision::EMPTY,
            entries: BTreeMap::new(),
            fault: None,
        }
    }
}

impl MemoryDurability {
    /// While `full`, every append fails as on a full disk.
    pub fn set_full(&self, full: bool) {
        self.disk().fault = full.then_some(Fault::Full);
    }

    /// From now on every append writes its batches and then reports that it cannot tell.
    pub fn lose_fsyncs(&self) {
        self.disk().fault = Some(Fault::LostFsync);
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Durability for MemoryDurability {
    fn load(&mut self) -> Result<Loaded, StateError> {
        let disk = self.disk();
        let entries = disk.entries.values().map(|entry| Entry::clone(entry)).collect();
        Ok(Loaded {
            cluster_id: disk.cluster_id.clone(),
            revision: disk.revision,
            compacted: disk.revision,
            entries,
            history: Vec::new(),
            position: Vec::new(),
        })
    }

    fn append(&mut self, batches: &[Batch]) -> Result<(), StateError> {
        let mut disk = self.disk();
        if disk.fault == Some(Fault::Full) {
            return Err(StateError::Full(Cause::from("no space left in memory")));
        }
        for batch in batches {
            disk.write(batch);
        }
        match disk.fault {
            Some(Fault::LostFsync) => Err(StateError::Unknown(Cause::from("fsync failed"))),
            Some(Fault::Full) | None => Ok(()),
        }
    }

    fn reclaim(&mut self) -> Result<Reclaimed, StateError> {
        Ok(Reclaimed::Done)
    }
}

impl Disk {
    fn write(&mut self, batch: &Batch) {
        for event in &batch.events {
            match event {
                Event::Put { entry, .. } => self.entries.insert(entry.key.clone(), Arc::clone(entry)),
                Event::Delete { key, .. } => self.entries.remove(key),
            };
        }
        self.revision = batch.revision;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract;

    impl contract::Disk for MemoryDurability {
        type Durability = Self;

        fn open(&self) -> Self {
            self.clone()
        }

        fn open_almost_full(&self) -> Self {
            self.set_full(true);
            self.clone()
        }

        fn make_room(&self) {
            self.set_full(false);
        }
    }

    crate::contract_tests!(MemoryDurability::default());
}
