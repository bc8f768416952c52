use controlplane_store::{Cause, ClusterId, Revision, StateError};
use rusqlite::Connection;

use crate::fault;

/// Version of the tables below, kept in SQLite's `user_version`.
pub(crate) const VERSION: u32 = 1;
/// "Floe" in ASCII, kept in SQLite's `application_id`, so that another program's file is not taken for a store.
const APPLICATION_ID: u32 = 0x466c_6f65;

/// The page layout must be chosen before the first table, the journal before the first read: exclusive locking
/// keeps a second process out and the WAL index in this process's memory. Checkpoints are driven by `reclaim`,
/// so that a commit never pays for one.
const SETTINGS: &str = "
    PRAGMA locking_mode = EXCLUSIVE;
    PRAGMA auto_vacuum = INCREMENTAL;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA wal_autocheckpoint = 0;
    PRAGMA journal_size_limit = 16777216;
    PRAGMA temp_store = MEMORY;
    PRAGMA cache_size = -4096;
    PRAGMA trusted_schema = OFF;
";

const TABLES: &str = "
    CREATE TABLE meta (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        cluster_id TEXT NOT NULL,
        revision INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE current (
        key TEXT PRIMARY KEY,
        create_revision INTEGER NOT NULL,
        mod_revision INTEGER NOT NULL,
        expires_at INTEGER,
        splice INTEGER NOT NULL,
        value BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
";

/// Makes `db` ready for use, creating the tables in an empty file.
pub(crate) fn prepare(db: &mut Connection) -> Result<(), StateError> {
    db.execute_batch(SETTINGS).map_err(fault::while_opening)?;
    let version = pragma(db, "user_version")?;
    match version {
        0 => create(db).map_err(fault::while_opening),
        VERSION if pragma(db, "application_id")? == APPLICATION_ID => Ok(()),
        VERSION => Err(StateError::Corrupt(Cause::from(
            "the file belongs to another program",
        ))),
        found => Err(StateError::NewerSchema {
            found,
            known: VERSION,
        }),
    }
}

fn pragma(db: &Connection, name: &str) -> Result<u32, StateError> {
    db.pragma_query_value(None, name, |row| row.get(0))
        .map_err(fault::while_opening)
}

/// All or nothing, so that a crash in between leaves an empty file that is created again.
fn create(db: &mut Connection) -> rusqlite::Result<()> {
    let txn = db.transaction()?;
    txn.execute_batch(TABLES)?;
    let first = i64::try_from(Revision::EMPTY.get()).unwrap_or(1);
    txn.execute(
        "INSERT INTO meta (one, cluster_id, revision) VALUES (1, ?1, ?2)",
        (ClusterId::generate().as_str(), first),
    )?;
    txn.pragma_update(None, "application_id", APPLICATION_ID)?;
    txn.pragma_update(None, "user_version", VERSION)?;
    txn.commit()
}
