//! The state as it was at a revision.

use std::collections::BTreeMap;
use std::sync::Arc;

use controlplane_store::{Entry, Key, Listing, Revision, StateError};
use rusqlite::Connection;

use crate::fault;
use crate::load::{checked, read_meta, read_past};
use crate::meta::Meta;
use crate::number::unsigned;
use crate::version::{COLUMNS, Version, ended_at, first_id};

/// Why the past cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PastError {
    /// *Gone*: history up to `oldest` is no longer kept.
    #[error("history before revision {oldest} is no longer kept, so revision {requested} cannot be shown")]
    Forgotten {
        /// What was asked for.
        requested: u64,
        /// The oldest revision that can be read.
        oldest: u64,
    },
    /// *Invalid*: there is no such revision yet.
    #[error("revision {requested} is not yet reached, the newest is {newest}")]
    Future {
        /// What was asked for.
        requested: u64,
        /// The newest revision on disk.
        newest: u64,
    },
    /// The store could not be read.
    #[error("read the store")]
    Failed(#[from] StateError),
}

/// The objects whose keys begin with `prefix`, as they were at `revision`, in the order of their keys.
pub(crate) fn list(db: &Connection, prefix: &str, revision: Revision) -> Result<Listing, PastError> {
    // Both tables are read at one moment.
    let reading = db.unchecked_transaction().map_err(fault::before_commit)?;
    let meta = read_meta(&reading)?;
    let at = check(&meta, revision)?;
    let mut found: BTreeMap<Key, Arc<Entry>> = BTreeMap::new();
    let mut take = |entry: Entry| drop(found.insert(entry.key.clone(), Arc::new(entry)));
    current(&reading, &meta, prefix, at, &mut take)?;
    ended_later(&reading, &meta, prefix, at, &mut take)?;
    Ok(Listing {
        entries: found.into_values().collect(),
        revision,
        remaining: 0,
    })
}

/// Passes `revision` on if the state at it is known.
pub(crate) fn check(meta: &Meta, revision: Revision) -> Result<i64, PastError> {
    let (oldest, newest) = (meta.forgotten.unsigned_abs(), meta.revision.unsigned_abs());
    let requested = revision.get();
    match i64::try_from(requested) {
        _ if requested < oldest => Err(PastError::Forgotten { requested, oldest }),
        Ok(at) if requested <= newest => Ok(at),
        _ => Err(PastError::Future { requested, newest }),
    }
}

/// Objects that have not changed since.
fn current(
    db: &Connection,
    meta: &Meta,
    prefix: &str,
    at: i64,
    take: &mut dyn FnMut(Entry),
) -> Result<(), StateError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM current WHERE key >= ?1 AND substr(key, 1, ?2) = ?1 AND revision <= ?3"
    );
    let failed = fault::in_read(db);
    let mut select = db.prepare_cached(&sql).map_err(&failed)?;
    let mut rows = select.query((prefix, length(prefix), at)).map_err(&failed)?;
    while let Some(row) = rows.next().map_err(&failed)? {
        let (version, checksum) = Version::read(row).map_err(&failed)?;
        take(checked(
            db,
            "current",
            meta,
            &version,
            version.checksum() == checksum,
        )?);
    }
    Ok(())
}

/// Objects of which a later revision ended the version that was in force.
fn ended_later(
    db: &Connection,
    meta: &Meta,
    prefix: &str,
    at: i64,
    take: &mut dyn FnMut(Entry),
) -> Result<(), StateError> {
    let sql = format!(
        "SELECT {COLUMNS}, id, ended, deleted_by FROM past WHERE id >= ?3 AND revision <= ?4 AND substr(key, 1, ?2) = ?1"
    );
    let failed = fault::in_read(db);
    let mut select = db.prepare_cached(&sql).map_err(&failed)?;
    let mut rows = select
        .query((prefix, length(prefix), first_id(at + 1), at))
        .map_err(&failed)?;
    while let Some(row) = rows.next().map_err(&failed)? {
        let (version, end, checksum) = read_past(row).map_err(&failed)?;
        debug_assert!(ended_at(end.id) > at, "the query asks for nothing else");
        let matches = end.checksum(version.checksum()) == checksum;
        take(checked(db, "past", meta, &version, matches)?);
    }
    Ok(())
}

/// SQLite counts a text in characters.
fn length(prefix: &str) -> i64 {
    i64::try_from(prefix.chars().count()).unwrap_or(i64::MAX)
}

/// The last revision at Unix time `time`.
pub(crate) fn revision_at(db: &Connection, time: u64) -> Result<Revision, PastError> {
    let meta = read_meta(db)?;
    let seconds = i64::try_from(time).unwrap_or(i64::MAX);
    let latest: Option<i64> = db
        .query_row(
            "SELECT max(found) FROM (
                SELECT max(revision) AS found FROM current WHERE time <= ?1
                UNION ALL SELECT max(revision) FROM past WHERE time <= ?1
                UNION ALL SELECT max(id >> 20) FROM past WHERE ended <= ?1)",
            [seconds],
            |row| row.get(0),
        )
        .map_err(fault::in_read(db))?;
    let oldest = meta.forgotten.unsigned_abs();
    if seconds < meta.forgotten_time {
        let requested = latest.unwrap_or(0).unsigned_abs().min(oldest.saturating_sub(1));
        return Err(PastError::Forgotten { requested, oldest });
    }
    let latest = latest.unwrap_or(0).max(meta.forgotten);
    let latest = unsigned(latest).map_err(StateError::Corrupt)?;
    Ok(Revision::from(latest))
}
