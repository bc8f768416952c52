use std::path::Path;
use std::sync::Arc;

use controlplane_store::{
    Applied, Batch, Clock, Durability, Loaded, Reclaimed, State, StateError, SystemClock,
};

use crate::{Archive, SqliteState};

/// A store file that is its own log: what [`append`](Durability::append) acknowledges has passed an fsync.
#[derive(Debug)]
pub struct SqliteDurability(SqliteState);

impl SqliteDurability {
    /// Opens the file at `path`, and creates it, readable by its owner only, where it is missing.
    ///
    /// # Errors
    ///
    /// Fails where the file cannot be opened or created, is held by another process, is no store, or was
    /// written by a newer program.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let mut state = SqliteState::open(path)?;
        state.always_sync()?;
        Ok(Self(state))
    }

    /// What reads this file on other threads.
    #[must_use]
    pub fn archive(&self) -> Archive {
        self.0.archive()
    }

    /// Lets the file grow to at most `pages` pages of 4 KiB; beyond, writes fail as on a full disk.
    ///
    /// # Errors
    ///
    /// Fails where SQLite refuses the limit.
    pub fn limit_pages(&mut self, pages: u32) -> Result<(), StateError> {
        self.0.limit_pages(pages)
    }
}

impl Durability for SqliteDurability {
    fn load(&mut self) -> Result<Loaded, StateError> {
        self.0.load()
    }

    fn append(&mut self, batches: &[Batch]) -> Result<(), StateError> {
        let batches: Vec<Arc<Batch>> = batches.iter().cloned().map(Arc::new).collect();
        self.0.apply(&Applied {
            // The store keeps its history in memory only, so it begins at the revision that was reached.
            compacted: batches.last().map(|last| last.revision),
            batches: &batches,
            position: &[],
        })
    }

    fn reclaim(&mut self) -> Result<Reclaimed, StateError> {
        self.0.reclaim(SystemClock.unix_seconds())
    }
}
