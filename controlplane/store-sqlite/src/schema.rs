//! Making tables, and moving between schema versions.

use controlplane_store::{Cause, ClusterId, Revision, StateError};
use rusqlite::Connection;

use crate::meta::{Meta, Tally};
use crate::{fault, upgrade, views};

/// Version of the tables, kept in SQLite's `user_version`.
pub(crate) const VERSION: u32 = 2;
/// "Floe" in ASCII, kept in SQLite's `application_id`, so that another program's file is not taken for a store.
const APPLICATION_ID: u32 = 0x466c_6f65;

/// The page layout must be chosen before the first table, the journal before the first read. Checkpoints are driven
/// by `reclaim`, so that a commit never pays for one.
const SETTINGS: &str = "
    PRAGMA auto_vacuum = INCREMENTAL;
    PRAGMA journal_mode = WAL;
    PRAGMA wal_autocheckpoint = 0;
    PRAGMA journal_size_limit = 16777216;
    PRAGMA temp_store = MEMORY;
    PRAGMA cache_size = -8192;
    PRAGMA trusted_schema = OFF;
";

const TABLES: &str = include_str!("tables.sql");

/// Makes `db` ready for use: creates the tables in an empty file, brings those of an older version up to date.
pub(crate) fn prepare(db: &mut Connection) -> Result<(), StateError> {
    db.execute_batch(SETTINGS).map_err(fault::while_opening)?;
    match identify(db)? {
        Found::Nothing => create(db).map_err(fault::while_opening),
        Found::Version(1) => upgrade::from_1(db),
        Found::Version(_) => Ok(()),
    }
}

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// No tables yet.
    Nothing,
    /// A store of this schema version, which is one that this program knows.
    Version(u32),
}

/// Tells what `db` holds.
pub(crate) fn identify(db: &Connection) -> Result<Found, StateError> {
    match pragma(db, "user_version")? {
        0 => Ok(Found::Nothing),
        found if pragma(db, "application_id")? != APPLICATION_ID => Err(StateError::Corrupt(Cause::from(
            format!("the file belongs to another program, whose version of it is {found}"),
        ))),
        found if found > VERSION => Err(StateError::NewerSchema {
            found,
            known: VERSION,
        }),
        found => Ok(Found::Version(found)),
    }
}

fn pragma(db: &Connection, name: &str) -> Result<u32, StateError> {
    db.pragma_query_value(None, name, |row| row.get(0))
        .map_err(fault::while_opening)
}

/// All or nothing, so that a crash in between leaves an empty file that is created again.
pub(crate) fn create(db: &mut Connection) -> rusqlite::Result<()> {
    db.execute_batch("PRAGMA auto_vacuum = INCREMENTAL;")?;
    let txn = db.transaction()?;
    let first = i64::try_from(Revision::EMPTY.get()).unwrap_or(1);
    tables(&txn)?;
    empty(ClusterId::generate().as_str(), first).write(&txn)?;
    txn.pragma_update(None, "application_id", APPLICATION_ID)?;
    txn.pragma_update(None, "user_version", VERSION)?;
    txn.commit()
}

/// Makes tables and views.
pub(crate) fn tables(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch(TABLES)?;
    views::create(db)
}

/// What is said of tables without rows, at `revision`, with no history before it.
pub(crate) fn empty(cluster_id: &str, revision: i64) -> Meta {
    Meta {
        cluster_id: cluster_id.to_owned(),
        revision,
        time: 0,
        compacted: revision,
        forgotten: revision,
        forgotten_time: 0,
        position: Vec::new(),
        current: Tally::default(),
        past: Tally::default(),
    }
}
