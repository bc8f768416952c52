use std::path::{Path, PathBuf};

use controlplane_store::{Listing, Revision, StateError};
use rusqlite::{Connection, OpenFlags};

use crate::past::PastError;
use crate::query::{Answer, Query, QueryError};
use crate::{copy, fault, file, past, query};

/// Reads a store file of this process beside the state that writes it. Each call opens a connection of its own, which sees
/// the file as it was at one moment; all block.
#[derive(Debug, Clone)]
pub struct Archive {
    path: PathBuf,
}

impl Archive {
    pub(crate) fn of(path: PathBuf) -> Self {
        Self { path }
    }

    /// Writes a copy of everything to the new file `into`, durable and checked row by row.
    ///
    /// # Errors
    ///
    /// Where there is no space for it, where `into` exists, or where the file is damaged.
    pub fn backup(&self, into: &Path) -> Result<(), StateError> {
        copy::whole(&self.connect()?, into)?;
        copy::read(into).map(drop).inspect_err(|_| {
            std::fs::remove_file(into).ok();
        })
    }

    /// Answers a question in SQL about the documented views.
    ///
    /// # Errors
    ///
    /// Where it is not understood, wants more than reading, or takes too long; what is wrong is told in SQLite's words.
    pub fn query(&self, query: &Query) -> Result<Answer, QueryError> {
        query::answer(self.connect()?, query)
    }

    /// The objects whose keys begin with `prefix` as they were at `revision`, which may be older than what the store
    /// keeps in memory.
    ///
    /// # Errors
    ///
    /// Where that revision is no longer known or not yet reached, or what was read is damaged.
    pub fn list(&self, prefix: &str, revision: Revision) -> Result<Listing, PastError> {
        past::list(&self.connect()?, prefix, revision)
    }

    /// The revision that was the newest at Unix time `time` in seconds.
    ///
    /// # Errors
    ///
    /// Where history does not go back to then.
    pub fn revision_at(&self, time: u64) -> Result<Revision, PastError> {
        past::revision_at(&self.connect()?, time)
    }

    pub(crate) fn connect(&self) -> Result<Connection, StateError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags_and_vfs(&self.path, flags, file::ONE_PROCESS)
            .map_err(fault::while_opening)?;
        db.execute_batch("PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF;")
            .map_err(fault::while_opening)?;
        Ok(db)
    }
}
