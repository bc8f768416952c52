use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Disk, DiskFile};

mod content;
mod random;

use content::{Content, Renaming, SECTOR, apply};
use random::Random;

/// A disk in memory that behaves as badly as a real one may: what was not synced is lost at a [`crash`](SimDisk::crash),
/// in whole or sector by sector, names as well as bytes. Everything it does follows from its seed. Clones are
/// handles on the same disk.
#[derive(Debug, Clone)]
pub struct SimDisk {
    inner: Arc<Mutex<Inner>>,
    boot: u64,
}

/// A file of a [`SimDisk`].
#[derive(Debug)]
pub struct SimFile {
    inner: Arc<Mutex<Inner>>,
    boot: u64,
    id: u64,
}

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A write fails in the middle.
    Write,
    /// A sync fails; what it should have written may never be on the disk, and no later sync tells.
    Sync,
    /// The power is cut before the operation, or in the middle of it; nothing works until [`SimDisk::restart`].
    Crash,
}

#[derive(Debug)]
struct Inner {
    random: Random,
    boot: u64,
    files: BTreeMap<u64, Content>,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    unsynced_names: Vec<Renaming>,
    capacity: Option<usize>,
    faults: BTreeMap<u64, Fault>,
    operations: u64,
    powered: bool,
    lies: bool,
    struck: bool,
}

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let inner = Inner {
            random: Random(seed),
            boot: 0,
            files: BTreeMap::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            unsynced_names: Vec::new(),
            capacity: None,
            faults: BTreeMap::new(),
            operations: 0,
            powered: true,
            lies: false,
            struck: false,
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
            boot: 0,
        }
    }

    /// Cuts the power: what was not synced is lost, and handles from before are dead. Returns the disk as the next boot
    /// finds it.
    #[must_use]
    pub fn crash(&self) -> Self {
        self.inner().cut_power();
        self.restart()
    }

    /// The disk after a [`Fault::Crash`] has cut the power, which it does now where none did.
    #[must_use]
    pub fn restart(&self) -> Self {
        let mut inner = self.inner();
        if inner.powered && inner.boot == self.boot {
            inner.cut_power();
        }
        inner.powered = true;
        Self {
            inner: Arc::clone(&self.inner),
            boot: inner.boot,
        }
    }

    /// Makes the operation after `operations` further ones fail; only operations that change something count.
    pub fn fail_after(&self, operations: u64, fault: Fault) {
        let mut inner = self.inner();
        let at = inner.operations + operations;
        inner.faults.insert(at, fault);
    }

    /// Whether a fault has struck since this was last asked.
    #[must_use]
    pub fn take_struck(&self) -> bool {
        std::mem::take(&mut self.inner().struck)
    }

    /// Forgets faults that have not struck.
    pub fn clear_faults(&self) {
        self.inner().faults.clear();
    }

    /// Operations so far that changed something.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.inner().operations
    }

    /// Whether the machine has power; [`Fault::Crash`] takes it away.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.inner().check(self.boot).is_ok()
    }

    /// Sets how many bytes all files may have together.
    pub fn set_capacity(&self, bytes: Option<usize>) {
        self.inner().capacity = bytes;
    }

    /// While `lies`, a sync does nothing and says that it did: a planted bug, for tests of tests.
    pub fn lie(&self, lies: bool) {
        self.inner().lies = lies;
    }

    /// Bytes in all files.
    #[must_use]
    pub fn used(&self) -> usize {
        self.inner().used()
    }

    /// Flips a bit of a file, on the disk and in what is shown of it.
    ///
    /// # Errors
    ///
    /// Fails where the file has no such bit.
    pub fn flip_bit(&self, name: &str, bit: usize) -> io::Result<()> {
        let mut inner = self.inner();
        let id = inner.id_of(name)?;
        let content = inner.files.get_mut(&id).ok_or(io::ErrorKind::NotFound)?;
        let byte = content
            .shown
            .get_mut(bit / 8)
            .ok_or(io::ErrorKind::InvalidInput)?;
        *byte ^= 1 << (bit % 8);
        if let Some(byte) = content.durable.get_mut(bit / 8) {
            *byte ^= 1 << (bit % 8);
        }
        Ok(())
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, renaming: Renaming) -> io::Result<()> {
        let mut inner = self.inner();
        inner.check(self.boot)?;
        let fault = inner.next_fault();
        // A write of names either happens or not; a failing one does not, a power cut may come after it.
        if fault == Some(Fault::Write) {
            return Err(io::Error::other("simulated write error"));
        }
        apply(&mut inner.names, &renaming);
        inner.unsynced_names.push(renaming);
        inner.strike(fault)
    }
}

impl Inner {
    fn check(&self, boot: u64) -> io::Result<()> {
        if self.powered && self.boot == boot {
            return Ok(());
        }
        Err(io::Error::other("the simulated machine is off"))
    }

    fn next_fault(&mut self) -> Option<Fault> {
        let fault = self.faults.remove(&self.operations);
        self.struck |= fault.is_some();
        self.operations += 1;
        fault
    }

    fn strike(&mut self, fault: Option<Fault>) -> io::Result<()> {
        if fault == Some(Fault::Crash) {
            self.cut_power();
            self.powered = false;
            return Err(io::Error::other("the simulated machine lost power"));
        }
        Ok(())
    }

    fn id_of(&self, name: &str) -> io::Result<u64> {
        self.names
            .get(name)
            .copied()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn used(&self) -> usize {
        let named = self.names.values().filter_map(|id| self.files.get(id));
        named.map(|content| content.shown.len()).sum()
    }

    /// Leaves of each file and of the names what a power cut might.
    fn cut_power(&mut self) {
        self.boot += 1;
        // One crash loses all, another nothing, most a part.
        let kept = *[0, 100, 50, 50, 10, 90]
            .get(usize::try_from(self.random.below(6)).unwrap_or(0))
            .unwrap_or(&50);
        for renaming in std::mem::take(&mut self.unsynced_names) {
            if self.random.below(100) < kept {
                apply(&mut self.durable_names, &renaming);
            }
        }
        for content in self.files.values_mut() {
            let random = &mut self.random;
            content.persist(|| random.below(100) < kept);
            content.shown.clone_from(&content.durable);
            content.dirty.clear();
        }
        self.names.clone_from(&self.durable_names);
        let named: BTreeSet<u64> = self.names.values().copied().collect();
        self.files.retain(|id, _| named.contains(id));
    }

    fn write(&mut self, id: u64, offset: usize, bytes: &[u8]) -> io::Result<()> {
        let fault = self.next_fault();
        let size = self.files.get(&id).map_or(0, |content| content.shown.len());
        let room = self
            .capacity
            .map_or(usize::MAX, |capacity| capacity.saturating_sub(self.used()));
        let end = offset + bytes.len();
        let fits = if end.saturating_sub(size) > room {
            (size + room).saturating_sub(offset).min(bytes.len())
        } else {
            bytes.len()
        };
        let done = match fault {
            Some(Fault::Write | Fault::Crash) => {
                let cut = offset + usize::try_from(self.random.below(bytes.len() as u64 + 1)).unwrap_or(0);
                // The system copies whole pages under a lock, so that no write ends inside a sector.
                (cut / SECTOR * SECTOR).saturating_sub(offset).min(fits)
            }
            Some(Fault::Sync) | None => fits,
        };
        let content = self.files.get_mut(&id).ok_or(io::ErrorKind::NotFound)?;
        content.write(offset, bytes.get(..done).unwrap_or_default());
        self.strike(fault)?;
        match fault {
            Some(Fault::Write) => Err(io::Error::other("simulated write error")),
            _ if done < bytes.len() => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }

    fn sync_file(&mut self, id: u64) -> io::Result<()> {
        let fault = self.next_fault();
        self.strike(fault)?;
        let random = &mut self.random;
        let content = self.files.get_mut(&id).ok_or(io::ErrorKind::NotFound)?;
        if fault == Some(Fault::Sync) {
            // As Linux does: pages whose write failed count as clean from now on.
            content.persist(|| random.below(2) == 0);
            content.dirty.clear();
            return Err(io::Error::other("simulated sync error"));
        }
        if self.lies {
            return Ok(());
        }
        content.persist(|| true);
        content.dirty.clear();
        Ok(())
    }

    fn sync_names(&mut self) -> io::Result<()> {
        let fault = self.next_fault();
        self.strike(fault)?;
        if fault == Some(Fault::Sync) {
            return Err(io::Error::other("simulated sync error"));
        }
        self.durable_names.clone_from(&self.names);
        self.unsynced_names.clear();
        Ok(())
    }
}

impl Disk for SimDisk {
    type File = SimFile;

    fn list(&self) -> io::Result<Vec<String>> {
        let inner = self.inner();
        inner.check(self.boot)?;
        Ok(inner.names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<SimFile> {
        let id = {
            let mut inner = self.inner();
            inner.check(self.boot)?;
            if inner.names.contains_key(name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let id = inner.files.keys().next_back().map_or(0, |last| last + 1);
            inner.files.insert(id, Content::default());
            id
        };
        let name = name.to_owned();
        self.change(Renaming::Create { name, id })?;
        Ok(SimFile {
            inner: Arc::clone(&self.inner),
            boot: self.boot,
            id,
        })
    }

    fn open(&self, name: &str) -> io::Result<SimFile> {
        let inner = self.inner();
        inner.check(self.boot)?;
        Ok(SimFile {
            inner: Arc::clone(&self.inner),
            boot: self.boot,
            id: inner.id_of(name)?,
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let id = self.inner().id_of(from)?;
        let (from, to) = (from.to_owned(), to.to_owned());
        self.change(Renaming::Rename { from, to, id })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner().id_of(name)?;
        let name = name.to_owned();
        self.change(Renaming::Remove { name })
    }

    fn sync(&self) -> io::Result<()> {
        let mut inner = self.inner();
        inner.check(self.boot)?;
        inner.sync_names()
    }
}

impl SimFile {
    fn inner(&self) -> io::Result<MutexGuard<'_, Inner>> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.check(self.boot)?;
        Ok(inner)
    }
}

impl DiskFile for SimFile {
    fn size(&self) -> io::Result<u64> {
        let inner = self.inner()?;
        let content = inner.files.get(&self.id).ok_or(io::ErrorKind::NotFound)?;
        Ok(content.shown.len() as u64)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let inner = self.inner()?;
        let content = inner.files.get(&self.id).ok_or(io::ErrorKind::NotFound)?;
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = content.shown.get(offset..).unwrap_or_default();
        let count = rest.len().min(into.len());
        if let (Some(to), Some(from)) = (into.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
        self.inner()?.write(self.id, offset, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.inner()?.sync_file(self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::disk_contract_tests!(SimDisk::new(1));

    #[test]
    fn what_was_synced_survives_and_what_was_not_may_be_torn() {
        let mut seen = BTreeSet::new();
        for seed in 0..40 {
            let disk = SimDisk::new(seed);
            let file = disk.create("a").unwrap();
            file.write_at(0, &[1; 4 * SECTOR]).unwrap();
            file.sync().unwrap();
            disk.sync().unwrap();
            file.write_at(0, &[2; 4 * SECTOR]).unwrap();
            let disk = disk.crash();
            assert!(file.write_at(0, b"x").is_err(), "handles of before are dead");
            let mut bytes = [0; 4 * SECTOR];
            disk.open("a").unwrap().read_at(0, &mut bytes).unwrap();
            seen.insert(bytes.iter().step_by(SECTOR).copied().collect::<Vec<_>>());
        }
        assert!(
            seen.contains(&vec![1; 4]) && seen.contains(&vec![2; 4]) && seen.len() > 4,
            "{seen:?}"
        );
    }

    #[test]
    fn a_name_that_was_not_synced_may_be_lost() {
        let found = |seed| {
            let disk = SimDisk::new(seed);
            disk.create("a").unwrap();
            disk.crash().list().unwrap().len()
        };
        let found: BTreeSet<usize> = (0..40).map(found).collect();
        assert_eq!(found, BTreeSet::from([0, 1]));
    }

    #[test]
    fn after_a_failed_sync_a_successful_one_promises_nothing_for_what_came_before() {
        let lost = (0..40).any(|seed| {
            let disk = SimDisk::new(seed);
            let file = disk.create("a").unwrap();
            disk.sync().unwrap();
            file.write_at(0, b"x").unwrap();
            disk.fail_after(0, Fault::Sync);
            assert!(file.sync().is_err());
            file.sync().unwrap();
            let disk = disk.crash();
            disk.open("a").unwrap().size().unwrap() == 0
        });
        assert!(lost);
    }

    #[test]
    fn a_full_disk_takes_what_fits() {
        let disk = SimDisk::new(1);
        disk.set_capacity(Some(100));
        let file = disk.create("a").unwrap();
        let error = file.write_at(0, &[1; 200]).unwrap_err();
        assert_eq!((error.kind(), disk.used()), (io::ErrorKind::StorageFull, 100));
        file.write_at(0, &[2; 100]).unwrap();
    }
}
