//! Writing what was applied.

use controlplane_store::{Batch, Entry, Event, StateError};
use rusqlite::{Connection, OptionalExtension};

use crate::fault::{self, Damage};
use crate::meta::Meta;
use crate::number::signed;
use crate::version::{End, Version, id};

const FIND: &str = "SELECT id, revision, checksum FROM current WHERE key = ?1";
const INSERT: &str = "INSERT INTO current (key, created, revision, previous, place, time, actor, expires, splice, \
    checksum, value) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
const UPDATE: &str = "UPDATE current SET created = ?2, revision = ?3, previous = ?4, place = ?5, time = ?6, \
    actor = ?7, expires = ?8, splice = ?9, checksum = ?10, value = ?11 WHERE id = ?1";
const DELETE: &str = "DELETE FROM current WHERE id = ?1";
const MOVE: &str = "INSERT INTO past (id, key, created, revision, previous, place, time, actor, expires, splice, \
    ended, deleted_by, checksum, value) \
    SELECT ?2, key, created, revision, previous, place, time, actor, expires, splice, ?3, ?4, ?5, value \
    FROM current WHERE id = ?1";

const INSERT_PAST: &str = "INSERT INTO past (id, key, created, revision, previous, place, time, actor, expires, splice, \
    ended, deleted_by, checksum, value) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";

/// What becomes of versions that end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum History {
    /// They move to the past.
    Kept,
    /// They are gone, for want of space.
    GivenUp,
}

/// Writes `batch`; `meta` tells what the tables hold and is brought up to date.
pub(crate) fn write(
    db: &Connection,
    meta: &mut Meta,
    batch: &Batch,
    history: History,
) -> Result<(), StateError> {
    let revision = signed(batch.revision.get()).map_err(fault::before_commit)?;
    if revision != meta.revision + 1 {
        let found = format!(
            "asked to write revision {revision} after revision {}",
            meta.revision
        );
        return Err(StateError::NotWritten(found.into()));
    }
    let mut writer = Writer {
        db,
        meta,
        batch,
        history,
    };
    for (place, event) in batch.events.iter().enumerate() {
        match event {
            Event::Put { entry, previous } => writer.put(place, entry, previous.as_deref())?,
            Event::Delete { previous, .. } => {
                let found = writer.end(place, previous, Some(&*batch.actor))?;
                run(db, DELETE, [found])?;
            }
        }
    }
    meta.revision = revision;
    meta.time = signed(batch.at).map_err(fault::before_commit)?;
    Ok(())
}

/// One batch on its way to the tables.
struct Writer<'a> {
    db: &'a Connection,
    meta: &'a mut Meta,
    batch: &'a Batch,
    history: History,
}

impl Writer<'_> {
    fn put(&mut self, place: usize, entry: &Entry, previous: Option<&Entry>) -> Result<(), StateError> {
        let version = Version::of(self.batch, place, entry, previous).map_err(fault::before_commit)?;
        let Some(old) = previous else {
            return insert(self.db, self.meta, &version).map_err(fault::before_commit);
        };
        let row = self.end(place, old, None)?;
        let checksum = version.checksum();
        run(
            self.db,
            UPDATE,
            rusqlite::params![
                row,
                version.created,
                version.revision,
                version.previous,
                version.place,
                version.time,
                version.actor,
                version.expires,
                version.splice,
                checksum,
                version.value
            ],
        )?;
        self.meta.current.add(checksum, size(entry));
        Ok(())
    }

    /// Moves the version of `old` into the past and returns its row in `current`, which the caller writes or deletes.
    fn end(&mut self, place: usize, old: &Entry, deleted_by: Option<&str>) -> Result<i64, StateError> {
        let number = |number: u64| signed(number).map_err(fault::before_commit);
        let (row, checksum) = find(self.db, old.key.as_str(), number(old.mod_revision.get())?)?;
        self.meta.current.remove(checksum, size(old));
        if self.history == History::GivenUp {
            return Ok(row);
        }
        let end = End {
            id: id(number(self.batch.revision.get())?, place),
            time: number(self.batch.at)?,
            deleted_by,
        };
        let ended = end.checksum(checksum);
        run(self.db, MOVE, (row, end.id, end.time, end.deleted_by, ended))?;
        self.meta.past.add(ended, size(old));
        Ok(row)
    }
}

/// Row and checksum of the version of `key` that was written at `revision`.
fn find(db: &Connection, key: &str, revision: i64) -> Result<(i64, u32), StateError> {
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let mut find = db.prepare_cached(FIND).map_err(fault::before_commit)?;
    let found: Option<(i64, i64, u32)> = find
        .query_row([key], read)
        .optional()
        .map_err(fault::before_commit)?;
    match found {
        Some((row, found, checksum)) if found == revision => Ok((row, checksum)),
        _ => Err(fault::damaged(db, &Damage::Missing(key.to_owned()))),
    }
}

/// Adds the first version of an object.
pub(crate) fn insert(db: &Connection, meta: &mut Meta, version: &Version<'_>) -> rusqlite::Result<()> {
    let checksum = version.checksum();
    db.prepare_cached(INSERT)?.execute(rusqlite::params![
        version.key,
        version.created,
        version.revision,
        version.previous,
        version.place,
        version.time,
        version.actor,
        version.expires,
        version.splice,
        checksum,
        version.value
    ])?;
    meta.current
        .add(checksum, version.key.len() + version.value.len());
    Ok(())
}

/// Adds a version that ended.
pub(crate) fn insert_past(
    db: &Connection,
    meta: &mut Meta,
    version: &Version<'_>,
    end: &End<'_>,
) -> rusqlite::Result<()> {
    let checksum = end.checksum(version.checksum());
    db.prepare_cached(INSERT_PAST)?.execute(rusqlite::params![
        end.id,
        version.key,
        version.created,
        version.revision,
        version.previous,
        version.place,
        version.time,
        version.actor,
        version.expires,
        version.splice,
        end.time,
        end.deleted_by,
        checksum,
        version.value
    ])?;
    meta.past.add(checksum, version.key.len() + version.value.len());
    Ok(())
}

fn run(db: &Connection, sql: &str, parameters: impl rusqlite::Params) -> Result<(), StateError> {
    let mut statement = db.prepare_cached(sql).map_err(fault::before_commit)?;
    statement.execute(parameters).map_err(fault::before_commit)?;
    Ok(())
}

/// Bytes of key and value.
pub(crate) fn size(entry: &Entry) -> usize {
    entry.key.as_str().len() + entry.value.bytes().len()
}
