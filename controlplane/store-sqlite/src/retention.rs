//! How much history stays on disk, and forgetting the rest in small steps.

use controlplane_store::StateError;
use rusqlite::Connection;

use crate::fault;
use crate::meta::{Meta, Tally};
use crate::number::signed;
use crate::version::ended_at;

/// How much history is kept on disk for people, beyond what the store keeps in memory for watches; whichever bound is
/// reached first ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Versions that were replaced or deleted.
    pub versions: u64,
    /// Seconds since they were.
    pub seconds: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            versions: 100_000,
            seconds: 24 * 3600,
            bytes: 256 << 20,
        }
    }
}

/// How much is forgotten at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    /// Versions.
    pub(crate) versions: usize,
    /// Bytes whose pages are freed, about.
    pub(crate) bytes: usize,
}

impl Step {
    /// One of upkeep's.
    pub(crate) const UPKEEP: Self = Self {
        versions: 256,
        bytes: 2 << 20,
    };
}

/// Forgets at most `step` of the oldest versions that are beyond `keep` at Unix time `now`, and tells whether it did.
/// What the store itself still keeps stays, whatever `keep` says.
pub(crate) fn forget(
    db: &Connection,
    meta: &mut Meta,
    keep: &Keep,
    now: u64,
    step: Step,
) -> Result<bool, StateError> {
    let mut select = db
        .prepare_cached(
            "SELECT id, ended, checksum, length(CAST(key AS BLOB)), length(value) FROM past ORDER BY id LIMIT ?1",
        )
        .map_err(fault::before_commit)?;
    let most = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let mut rows = select
        .query([most(step.versions)])
        .map_err(fault::before_commit)?;
    let (mut last, mut bytes) = (None, 0);
    while let Some(row) = rows.next().map_err(fault::before_commit)? {
        let read = || -> rusqlite::Result<(i64, i64, u32, i64, i64)> {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        };
        let (id, ended, checksum, key, value) = read().map_err(fault::before_commit)?;
        if bytes >= most(step.bytes) || ended_at(id) > meta.compacted || !is_beyond(meta, keep, ended, now) {
            break;
        }
        bytes += key + value;
        meta.past
            .remove(checksum, usize::try_from(key + value).unwrap_or(0));
        meta.forgotten = ended_at(id);
        meta.forgotten_time = ended;
        last = Some(id);
    }
    drop(rows);
    let Some(last) = last else { return Ok(false) };
    db.prepare_cached("DELETE FROM past WHERE id <= ?1")
        .and_then(|mut delete| delete.execute([last]))
        .map_err(fault::before_commit)?;
    Ok(true)
}

/// Forgets all of the past at once, also what the store itself still keeps: after a restart, its history begins here.
pub(crate) fn forget_all(db: &Connection, meta: &mut Meta) -> Result<(), StateError> {
    // Without a condition SQLite frees the table's pages without looking at its rows.
    db.execute("DELETE FROM past", ()).map_err(fault::before_commit)?;
    meta.past = Tally::default();
    meta.compacted = meta.revision;
    meta.forgotten = meta.revision;
    meta.forgotten_time = meta.time;
    Ok(())
}

/// Whether [`forget`] would find something; it reads at most one row.
pub(crate) fn is_due(db: &Connection, meta: &Meta, keep: &Keep, now: u64) -> Result<bool, StateError> {
    use rusqlite::OptionalExtension;
    let oldest: Option<(i64, i64)> = db
        .prepare_cached("SELECT id, ended FROM past ORDER BY id LIMIT 1")
        .and_then(|mut select| {
            select
                .query_row((), |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()
        })
        .map_err(fault::before_commit)?;
    Ok(oldest.is_some_and(|(id, ended)| ended_at(id) <= meta.compacted && is_beyond(meta, keep, ended, now)))
}

fn is_beyond(meta: &Meta, keep: &Keep, ended: i64, now: u64) -> bool {
    let over = |count: i64, most: u64| u64::try_from(count).is_ok_and(|count| count > most);
    let until = signed(keep.seconds).unwrap_or(i64::MAX).saturating_add(ended);
    over(meta.past.rows, keep.versions)
        || over(meta.past.bytes, keep.bytes)
        || signed(now).is_ok_and(|now| until <= now)
}
