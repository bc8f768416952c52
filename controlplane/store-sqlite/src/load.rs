//! Reading the whole state back, and checking every row on the way.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use controlplane_store::{Batch, ClusterId, Entry, Event, Loaded, Revision, StateError};
use rusqlite::{Connection, Row};

use crate::fault::{self, Damage};
use crate::meta::{Meta, Tally};
use crate::number::unsigned;
use crate::version::{AFTER, COLUMNS, End, Version, ended_at, shared};

/// Reads everything; every row is checked against its checksum, and all of them against what was written.
pub(crate) fn load(db: &Connection) -> Result<(Loaded, Meta), StateError> {
    let meta = read_meta(db)?;
    let mut reading = Reading::new(meta.compacted);
    each_current(db, &meta, &mut |version, entry| reading.current(version, entry))?;
    each_past(db, &meta, &mut |version, end, entry| {
        reading.past(version, end, entry)
    })?;
    let damaged = |why: controlplane_store::Cause| {
        fault::damaged(
            db,
            &Damage::Content {
                table: "meta",
                key: "the cluster".to_owned(),
                why: why.to_string(),
            },
        )
    };
    let revision = Revision::from(unsigned(meta.revision).map_err(damaged)?);
    let (entries, compacted, history) = reading.finish(revision);
    let loaded = Loaded {
        cluster_id: ClusterId::from_stored(meta.cluster_id.clone()),
        revision,
        compacted,
        entries,
        history,
        position: meta.position.clone(),
    };
    Ok((loaded, meta))
}

/// The row of `meta`.
pub(crate) fn read_meta(db: &Connection) -> Result<Meta, StateError> {
    Meta::read(db)
        .map_err(fault::in_read(db))?
        .ok_or_else(|| fault::damaged(db, &Damage::Meta))
}

/// Calls `take` with each version in force.
pub(crate) fn each_current(
    db: &Connection,
    meta: &Meta,
    take: &mut dyn FnMut(&Version<'_>, Entry),
) -> Result<(), StateError> {
    let mut tally = Tally::default();
    each(
        db,
        &format!("SELECT {COLUMNS} FROM current ORDER BY id"),
        &mut |row| {
            let (version, checksum) = Version::read(row).map_err(fault::in_read(db))?;
            let entry = checked(db, "current", meta, &version, version.checksum() == checksum)?;
            tally.add(checksum, crate::rows::size(&entry));
            take(&version, entry);
            Ok(())
        },
    )?;
    add_up(db, "current", tally, meta.current)
}

/// Calls `take` with each version of the past, in the order in which they ended.
pub(crate) fn each_past(
    db: &Connection,
    meta: &Meta,
    take: &mut dyn FnMut(&Version<'_>, &End<'_>, Entry),
) -> Result<(), StateError> {
    let mut tally = Tally::default();
    let sql = format!("SELECT {COLUMNS}, id, ended, deleted_by FROM past ORDER BY id");
    each(db, &sql, &mut |row| {
        let (version, end, checksum) = read_past(row).map_err(fault::in_read(db))?;
        let entry = checked(
            db,
            "past",
            meta,
            &version,
            end.checksum(version.checksum()) == checksum,
        )?;
        tally.add(checksum, crate::rows::size(&entry));
        take(&version, &end, entry);
        Ok(())
    })?;
    add_up(db, "past", tally, meta.past)
}

/// The version in `row`, how it ended, and the checksum of both.
pub(crate) fn read_past<'a>(row: &'a Row<'_>) -> rusqlite::Result<(Version<'a>, End<'a>, u32)> {
    let (version, checksum) = Version::read(row)?;
    let end = End {
        id: row.get(AFTER)?,
        time: row.get(AFTER + 1)?,
        deleted_by: row.get_ref(AFTER + 2)?.as_str_or_null()?,
    };
    Ok((version, end, checksum))
}

fn each(
    db: &Connection,
    sql: &str,
    take: &mut dyn FnMut(&Row<'_>) -> Result<(), StateError>,
) -> Result<(), StateError> {
    let mut select = db.prepare(sql).map_err(fault::in_read(db))?;
    let mut rows = select.query(()).map_err(fault::in_read(db))?;
    while let Some(row) = rows.next().map_err(fault::in_read(db))? {
        take(row)?;
    }
    Ok(())
}

/// The entry of a row whose checksum `matches`, if it is one that the store can have written.
pub(crate) fn checked(
    db: &Connection,
    table: &'static str,
    meta: &Meta,
    version: &Version<'_>,
    matches: bool,
) -> Result<Entry, StateError> {
    let key = || version.key.to_owned();
    if !matches {
        return Err(fault::damaged(db, &Damage::Checksum { table, key: key() }));
    }
    let wrong = |why: String| {
        fault::damaged(
            db,
            &Damage::Content {
                table,
                key: key(),
                why,
            },
        )
    };
    if version.revision > meta.revision {
        let why = format!(
            "it has revision {}, the store {}",
            version.revision, meta.revision
        );
        return Err(wrong(why));
    }
    version.entry().map_err(|why| wrong(why.to_string()))
}

fn add_up(db: &Connection, table: &'static str, found: Tally, expected: Tally) -> Result<(), StateError> {
    if (found.rows, found.sum) == (expected.rows, expected.sum) {
        return Ok(());
    }
    let (found, expected) = (found.rows, expected.rows);
    Err(fault::damaged(
        db,
        &Damage::Tally {
            table,
            found,
            expected,
        },
    ))
}

/// One change, before the version that it replaced is known.
struct Change {
    actor: Arc<str>,
    at: u64,
    events: BTreeMap<i64, Event>,
}

/// A version, before the one that it replaced is known.
struct Written {
    revision: i64,
    place: i64,
    at: u64,
    actor: Arc<str>,
    entry: Arc<Entry>,
}

/// Rows on their way to becoming values and batches.
struct Reading {
    compacted: i64,
    actor: Arc<str>,
    entries: Vec<Entry>,
    /// Versions written after the compaction revision.
    written: Vec<Written>,
    /// Versions that ended after it, by key and the revision that did it.
    ended: HashMap<(String, i64), Arc<Entry>>,
    changes: BTreeMap<i64, Change>,
}

impl Reading {
    fn new(compacted: i64) -> Self {
        Self {
            compacted,
            actor: Arc::from(""),
            entries: Vec::new(),
            written: Vec::new(),
            ended: HashMap::new(),
            changes: BTreeMap::new(),
        }
    }

    fn current(&mut self, version: &Version<'_>, entry: Entry) {
        if version.revision > self.compacted {
            self.write(version, Arc::new(entry.clone()));
        }
        self.entries.push(entry);
    }

    fn past(&mut self, version: &Version<'_>, end: &End<'_>, entry: Entry) {
        let revision = ended_at(end.id);
        if revision <= self.compacted {
            return;
        }
        let entry = Arc::new(entry);
        if version.revision > self.compacted {
            self.write(version, Arc::clone(&entry));
        }
        if let Some(actor) = end.deleted_by {
            let event = Event::Delete {
                key: entry.key.clone(),
                revision: Revision::from(revision.unsigned_abs()),
                previous: Arc::clone(&entry),
            };
            let actor = shared(&mut self.actor, actor);
            self.change(revision, end.time.unsigned_abs(), actor)
                .events
                .insert(end.id - crate::version::first_id(revision), event);
        }
        self.ended.insert((version.key.to_owned(), revision), entry);
    }

    fn write(&mut self, version: &Version<'_>, entry: Arc<Entry>) {
        let actor = shared(&mut self.actor, version.actor);
        self.written.push(Written {
            revision: version.revision,
            place: version.place,
            at: version.time.unsigned_abs(),
            actor,
            entry,
        });
    }

    fn change(&mut self, revision: i64, at: u64, actor: Arc<str>) -> &mut Change {
        self.changes.entry(revision).or_insert_with(|| Change {
            actor,
            at,
            events: BTreeMap::new(),
        })
    }

    /// The values, the compaction revision, and the batches after it. History begins after the last gap, if there is
    /// one: whoever reads on from before it must list again.
    fn finish(mut self, revision: Revision) -> (Vec<Entry>, Revision, Vec<Batch>) {
        for Written {
            revision,
            place,
            at,
            actor,
            entry,
        } in std::mem::take(&mut self.written)
        {
            let previous = self
                .ended
                .get(&(entry.key.as_str().to_owned(), revision))
                .cloned();
            let event = Event::Put { entry, previous };
            self.change(revision, at, actor).events.insert(place, event);
        }
        let mut batches: Vec<Batch> = Vec::new();
        let mut expected = revision;
        for (found, change) in self.changes.into_iter().rev() {
            let found = Revision::from(found.unsigned_abs());
            if found != expected {
                break;
            }
            batches.push(Batch {
                revision: found,
                at: change.at,
                actor: change.actor,
                events: change.events.into_values().collect(),
            });
            expected = found.previous();
        }
        batches.reverse();
        (self.entries, expected, batches)
    }
}
