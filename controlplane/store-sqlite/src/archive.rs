use std::path::{Path, PathBuf};

use controlplane_store::StateError;
use rusqlite::{Connection, OpenFlags};

use crate::{copy, fault, file};

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

    pub(crate) fn connect(&self) -> Result<Connection, StateError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags_and_vfs(&self.path, flags, file::ONE_PROCESS)
            .map_err(fault::while_opening)?;
        db.execute_batch("PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF;")
            .map_err(fault::while_opening)?;
        Ok(db)
    }
}
