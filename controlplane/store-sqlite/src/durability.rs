use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use controlplane_store::{Batch, Durability, Event, Loaded, Reclaimed, StateError};
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::{fault, rows, schema};

/// How long to wait for a process that still holds the file, such as the one that this one replaces.
const WAIT_FOR_LOCK: Duration = Duration::from_secs(5);
/// Bytes appended before they are moved from the write-ahead log to their place.
const CHECKPOINT_EVERY: usize = 4 << 20;
/// Free pages that are left in the file for the next writes.
const SPARE_PAGES: u32 = 1024;
/// Pages given back in one step.
const VACUUM_STEP: u32 = 256;

/// A store file.
///
/// One process at a time holds it; what [`append`](Durability::append) acknowledges has passed an fsync of the
/// write-ahead log (`synchronous=FULL`).
#[derive(Debug)]
pub struct SqliteDurability {
    db: Connection,
    /// Bytes appended since the last checkpoint.
    appended: usize,
}

impl SqliteDurability {
    /// Opens the file at `path`, and creates it, readable by its owner only, where it is missing.
    ///
    /// # Errors
    ///
    /// Fails where the file cannot be opened or created, is held by another process, is no store, or was
    /// written by a newer program.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        create_private(path).map_err(|error| StateError::NotWritten(error.into()))?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut db = Connection::open_with_flags(path, flags).map_err(fault::while_opening)?;
        db.busy_timeout(WAIT_FOR_LOCK).map_err(fault::while_opening)?;
        schema::prepare(&mut db)?;
        Ok(Self { db, appended: 0 })
    }

    /// Lets the file grow to at most `pages` pages of 4 KiB; beyond, writes fail as on a full disk.
    ///
    /// # Errors
    ///
    /// Fails where SQLite refuses the limit.
    pub fn limit_pages(&mut self, pages: u32) -> Result<(), StateError> {
        self.db
            .pragma_update(None, "max_page_count", pages)
            .map_err(fault::while_opening)
    }

    fn write(&mut self, batches: &[Batch]) -> Result<(), StateError> {
        let txn = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(fault::before_commit)?;
        // On an error the transaction is dropped, which rolls it back.
        rows::write(&txn, batches).map_err(fault::before_commit)?;
        let committed = txn.commit().map_err(fault::in_commit);
        if committed.is_err() && !self.db.is_autocommit() {
            self.db.execute_batch("ROLLBACK").map_err(fault::in_commit)?;
        }
        self.appended += batches
            .iter()
            .flat_map(|batch| &batch.events)
            .map(size)
            .sum::<usize>();
        committed
    }

    fn checkpoint(&mut self) -> Result<(), StateError> {
        // Nobody else reads, so a passive checkpoint moves everything, and the next write begins the log anew.
        self.db
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |_| Ok(()))
            .map_err(fault::before_commit)?;
        self.appended = 0;
        Ok(())
    }

    fn vacuum(&mut self) -> Result<Reclaimed, StateError> {
        let free: u32 = self
            .db
            .pragma_query_value(None, "freelist_count", |row| row.get(0))
            .map_err(fault::before_commit)?;
        if free <= SPARE_PAGES {
            return Ok(Reclaimed::Done);
        }
        let step = VACUUM_STEP.min(free - SPARE_PAGES);
        self.db
            .execute_batch(&format!("PRAGMA incremental_vacuum({step})"))
            .map_err(fault::before_commit)?;
        self.appended += usize::try_from(step).unwrap_or(0) * 4096;
        Ok(Reclaimed::More)
    }
}

impl Durability for SqliteDurability {
    fn load(&mut self) -> Result<Loaded, StateError> {
        rows::load(&self.db)
    }

    fn append(&mut self, batches: &[Batch]) -> Result<(), StateError> {
        match self.write(batches) {
            // Moving the log's pages to their place lets the log begin anew in the space that it has, which is
            // what makes deleting possible on a full disk.
            Err(StateError::Full(cause)) => match self.checkpoint() {
                Ok(()) => self.write(batches),
                Err(_) => Err(StateError::Full(cause)),
            },
            written => written,
        }
    }

    fn reclaim(&mut self) -> Result<Reclaimed, StateError> {
        if self.appended >= CHECKPOINT_EVERY {
            self.checkpoint()?;
        }
        self.vacuum()
    }
}

/// What an event adds to the log: at least one page, and its value.
fn size(event: &Event) -> usize {
    4096 + event.current().map_or(0, |entry| entry.value.bytes().len())
}

/// Creates `path` where it is missing. SQLite gives its log the same mode.
fn create_private(path: &Path) -> io::Result<()> {
    match OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
    {
        Ok(_) => sync_folder_of(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn sync_folder_of(path: &Path) -> io::Result<()> {
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
