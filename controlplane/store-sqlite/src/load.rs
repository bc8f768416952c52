//! Reading the whole state back, and checking every row on the way.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::sync::Arc;

use controlplane_store::{Batch, ClusterId, Entry, Event, Key, Loaded, Revision, StateError};
use rusqlite::{Connection, Row};

use crate::fault::{self, Damage};
use crate::meta::{Meta, Tally};
use crate::number::unsigned;
use crate::version::{AFTER, COLUMNS, End, Version, ended_at, shared};

/// Every id.
const ALL: RangeInclusive<i64> = i64::MIN..=i64::MAX;
/// Rows for which a thread more is worth its while.
const ROWS_A_THREAD: i64 = 5000;
/// Threads that read at once at most: beyond, they wait for the kernel's memory.
const MOST_THREADS: usize = 8;

/// Reads everything; every row is checked against its checksum, and all of them against what was written.
pub(crate) fn load(db: &Connection) -> Result<(Loaded, Meta), StateError> {
    let meta = read_meta(db)?;
    let (mut reading, mut tally) = read_current(db, &meta, ALL)?;
    add_up(db, "current", tally, meta.current)?;
    let past;
    (past, tally) = read_past_rows(db, &meta, ALL)?;
    add_up(db, "past", tally, meta.past)?;
    reading.join(past);
    finish(db, meta, reading)
}

/// As [`load`], by several threads, each with a connection by `connect` to the same file, which nobody writes meanwhile.
pub(crate) fn load_at_once(
    db: &Connection,
    connect: &(dyn Fn() -> Result<Connection, StateError> + Sync),
) -> Result<(Loaded, Meta), StateError> {
    let meta = read_meta(db)?;
    let mut reading = Reading::new(meta.compacted);
    type Read = fn(&Connection, &Meta, RangeInclusive<i64>) -> Result<(Reading, Tally), StateError>;
    let tables: [(&'static str, Read, Tally); 2] = [
        ("current", read_current, meta.current),
        ("past", read_past_rows, meta.past),
    ];
    for (table, read, expected) in tables {
        let ranges = parts(db, table, expected.rows).map_err(fault::in_read(db))?;
        let mut found = Tally::default();
        for part in at_once(&ranges, &|range| read(&connect()?, &meta, range)) {
            let (part, tally) = part?;
            reading.join(part);
            found.join(tally);
        }
        add_up(db, table, found, expected)?;
    }
    finish(db, meta, reading)
}

/// Ranges of the ids of `table` of about the same length, one for each processor that has enough to do.
fn parts(db: &Connection, table: &str, rows: i64) -> rusqlite::Result<Vec<RangeInclusive<i64>>> {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let wanted = i64::try_from(processors.min(MOST_THREADS)).unwrap_or(1);
    let count = wanted.min(rows / ROWS_A_THREAD).max(1);
    let bound = |which: &str| {
        db.query_row(&format!("SELECT {which}(id) FROM {table}"), (), |row| {
            row.get::<_, Option<i64>>(0)
        })
    };
    let (Some(first), Some(last)) = (bound("min")?, bound("max")?) else {
        return Ok(vec![ALL]);
    };
    let step = (last - first) / count + 1;
    // What has an id that is out of bounds, as after damage, is in the outermost parts and found there.
    let begin = |part: i64| if part == 0 { i64::MIN } else { first + part * step };
    let end = |part: i64| {
        if part + 1 == count {
            i64::MAX
        } else {
            first + (part + 1) * step - 1
        }
    };
    Ok((0..count).map(|part| begin(part)..=end(part)).collect())
}

/// What `read` says of each of `ranges`, in their order, each on a thread of its own.
fn at_once<T: Send>(
    ranges: &[RangeInclusive<i64>],
    read: &(dyn Fn(RangeInclusive<i64>) -> Result<T, StateError> + Sync),
) -> Vec<Result<T, StateError>> {
    let [only] = ranges else {
        return std::thread::scope(|scope| {
            let threads: Vec<_> = ranges
                .iter()
                .map(|range| scope.spawn(|| read(range.clone())))
                .collect();
            let panicked = || {
                Err(StateError::NotWritten(
                    "a thread that read the state panicked".into(),
                ))
            };
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|_| panicked()))
                .collect()
        });
    };
    vec![read(only.clone())]
}

fn read_current(
    db: &Connection,
    meta: &Meta,
    ids: RangeInclusive<i64>,
) -> Result<(Reading, Tally), StateError> {
    let mut reading = Reading::new(meta.compacted);
    let tally = current_in(db, meta, ids, &mut |version, entry| {
        reading.current(version, entry)
    })?;
    Ok((reading, tally))
}

fn read_past_rows(
    db: &Connection,
    meta: &Meta,
    ids: RangeInclusive<i64>,
) -> Result<(Reading, Tally), StateError> {
    let mut reading = Reading::new(meta.compacted);
    let tally = past_in(db, meta, ids, &mut |version, end, entry| {
        reading.past(version, end, entry)
    })?;
    Ok((reading, tally))
}

fn finish(db: &Connection, meta: Meta, reading: Reading) -> Result<(Loaded, Meta), StateError> {
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
    let tally = current_in(db, meta, ALL, take)?;
    add_up(db, "current", tally, meta.current)
}

fn current_in(
    db: &Connection,
    meta: &Meta,
    ids: RangeInclusive<i64>,
    take: &mut dyn FnMut(&Version<'_>, Entry),
) -> Result<Tally, StateError> {
    let mut tally = Tally::default();
    let sql = format!("SELECT {COLUMNS} FROM current WHERE id BETWEEN ?1 AND ?2 ORDER BY id");
    each(db, &sql, ids, &mut |row| {
        let (version, checksum) = Version::read(row).map_err(fault::in_read(db))?;
        let entry = checked(db, "current", meta, &version, version.checksum() == checksum)?;
        tally.add(checksum, crate::rows::size(&entry));
        take(&version, entry);
        Ok(())
    })?;
    Ok(tally)
}

/// Calls `take` with each version of the past, in the order in which they ended.
pub(crate) fn each_past(
    db: &Connection,
    meta: &Meta,
    take: &mut dyn FnMut(&Version<'_>, &End<'_>, Entry),
) -> Result<(), StateError> {
    let tally = past_in(db, meta, ALL, take)?;
    add_up(db, "past", tally, meta.past)
}

fn past_in(
    db: &Connection,
    meta: &Meta,
    ids: RangeInclusive<i64>,
    take: &mut dyn FnMut(&Version<'_>, &End<'_>, Entry),
) -> Result<Tally, StateError> {
    let mut tally = Tally::default();
    let sql =
        format!("SELECT {COLUMNS}, id, ended, deleted_by FROM past WHERE id BETWEEN ?1 AND ?2 ORDER BY id");
    each(db, &sql, ids, &mut |row| {
        let (version, end, checksum) = read_past(row).map_err(fault::in_read(db))?;
        let matches = end.checksum(version.checksum()) == checksum;
        let entry = checked(db, "past", meta, &version, matches)?;
        tally.add(checksum, crate::rows::size(&entry));
        take(&version, &end, entry);
        Ok(())
    })?;
    Ok(tally)
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
    ids: RangeInclusive<i64>,
    take: &mut dyn FnMut(&Row<'_>) -> Result<(), StateError>,
) -> Result<(), StateError> {
    let mut select = db.prepare(sql).map_err(fault::in_read(db))?;
    let mut rows = select.query(ids.into_inner()).map_err(fault::in_read(db))?;
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
    entries: Vec<Arc<Entry>>,
    /// Versions written after the compaction revision.
    written: Vec<Written>,
    /// Versions that ended after it, by key and the revision that did it.
    ended: HashMap<(Key, i64), Arc<Entry>>,
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

    /// Takes in what was read of later rows.
    fn join(&mut self, mut later: Self) {
        self.entries.append(&mut later.entries);
        self.written.append(&mut later.written);
        self.ended.extend(later.ended);
        for (revision, change) in later.changes {
            self.change(revision, change.at, change.actor)
                .events
                .extend(change.events);
        }
    }

    fn current(&mut self, version: &Version<'_>, entry: Entry) {
        let entry = Arc::new(entry);
        if version.revision > self.compacted {
            self.write(version, Arc::clone(&entry));
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
        self.ended.insert((entry.key.clone(), revision), entry);
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
    fn finish(mut self, revision: Revision) -> (Vec<Arc<Entry>>, Revision, Vec<Batch>) {
        for Written {
            revision,
            place,
            at,
            actor,
            entry,
        } in std::mem::take(&mut self.written)
        {
            let previous = self.ended.get(&(entry.key.clone(), revision)).cloned();
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
