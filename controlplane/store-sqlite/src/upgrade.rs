//! From schema version 1, which kept current values only, and one step back to it.

use controlplane_store::{Clock, StateError, SystemClock};
use rusqlite::Connection;

use crate::fault;
use crate::load::{self, read_meta};
use crate::meta::Meta;
use crate::number::signed;
use crate::rows;
use crate::schema::{self, VERSION};
use crate::version::Version;

/// The tables of version 1.
pub(crate) const TABLES_1: &str = "
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

const RENAME: &str = "ALTER TABLE meta RENAME TO old_meta; ALTER TABLE current RENAME TO old_current;";
const DROP: &str = "DROP TABLE old_meta; DROP TABLE old_current;";

/// Brings a store of version 1 up to date, in one transaction. When and by whom its versions were written is not known.
pub(crate) fn from_1(db: &mut Connection) -> Result<(), StateError> {
    let txn = db.transaction().map_err(fault::while_opening)?;
    txn.execute_batch(RENAME).map_err(fault::while_opening)?;
    schema::tables(&txn).map_err(fault::while_opening)?;
    copy_from_1(&txn).map_err(fault::in_read(&txn))?;
    txn.execute_batch(DROP).map_err(fault::while_opening)?;
    txn.pragma_update(None, "user_version", VERSION)
        .map_err(fault::while_opening)?;
    txn.commit().map_err(fault::in_commit)
}

fn copy_from_1(db: &Connection) -> rusqlite::Result<()> {
    let (cluster_id, revision): (String, i64) =
        db.query_row("SELECT cluster_id, revision FROM old_meta", (), |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let mut meta = schema::empty(&cluster_id, revision);
    // Of the time before, only what is still there is known.
    meta.forgotten_time = signed(SystemClock.unix_seconds())?;
    let mut select = db.prepare(
        "SELECT key, create_revision, mod_revision, expires_at, splice, value FROM old_current ORDER BY key",
    )?;
    let mut found = select.query(())?;
    while let Some(row) = found.next()? {
        let (created, revision): (i64, i64) = (row.get(1)?, row.get(2)?);
        let version = Version {
            key: row.get_ref(0)?.as_str()?,
            created,
            revision,
            // Which version was replaced is not known; that one was, is.
            previous: (created < revision).then_some(created),
            place: 0,
            time: 0,
            actor: "",
            expires: row.get(3)?,
            splice: row.get(4)?,
            value: row.get_ref(5)?.as_blob()?,
        };
        rows::insert(db, &mut meta, &version)?;
    }
    meta.write(db)
}

/// Turns a store of this version into one of version 1, for the release before; history is lost.
pub(crate) fn to_1(db: &mut Connection) -> Result<(), StateError> {
    let txn = db.transaction().map_err(fault::while_opening)?;
    let meta = read_meta(&txn)?;
    crate::views::drop(&txn).map_err(fault::while_opening)?;
    // Every row is checked before it loses its checksum.
    load::each_current(&txn, &meta, &mut |_, _| {})?;
    copy_to_1(&txn, &meta).map_err(fault::in_read(&txn))?;
    txn.pragma_update(None, "user_version", 1)
        .map_err(fault::while_opening)?;
    txn.commit().map_err(fault::in_commit)
}

fn copy_to_1(db: &Connection, meta: &Meta) -> rusqlite::Result<()> {
    db.execute_batch(RENAME)?;
    db.execute_batch(TABLES_1)?;
    db.execute(
        "INSERT INTO meta (one, cluster_id, revision) VALUES (1, ?1, ?2)",
        (&meta.cluster_id, meta.revision),
    )?;
    db.execute_batch(
        "INSERT INTO current (key, create_revision, mod_revision, expires_at, splice, value)
            SELECT key, created, revision, expires, splice, value FROM old_current;
         DROP TABLE past;",
    )?;
    db.execute_batch(DROP)
}
