use std::fs;
use std::path::Path;

use controlplane_store::{Cause, ClusterId, Revision, StateError};
use rusqlite::Connection;

use crate::inspect::is_taken;
use crate::load::{checked, each_current, each_past, read_meta};
use crate::meta::{Meta, Tally};
use crate::past::{self, PastError};
use crate::version::{COLUMNS, Version, first_id};
use crate::{copy, fault, file, rows};

/// Which of the states in a backup is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// The newest.
    Newest,
    /// The one at a revision.
    Revision(Revision),
    /// The one at a Unix time in seconds.
    Time(u64),
}

/// How far revisions jump over those of the backup. A cluster went on after its backup was made, and whoever saw those
/// revisions must not take what comes now for older than what they saw: a revision names one state for ever.
const JUMP: i64 = 1_000_000_000;

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The new cluster: another than that of the backup, so that servers of both never join.
    pub cluster_id: String,
    /// The revision whose state it is.
    pub from: Revision,
    /// The revision at which the new cluster begins.
    pub revision: Revision,
    /// Its objects.
    pub objects: u64,
}

/// Makes the state of a new cluster at `into`, a file that does not exist, from the backup at `from`.
///
/// It is written beside `into` and takes its name when it is whole and on disk, so a crash leaves no half of it there.
///
/// # Errors
///
/// Where `from` is no backup or is damaged, does not know that point, or `into` cannot be written or is taken.
pub fn restore(from: &Path, into: &Path, point: Point) -> Result<Restored, PastError> {
    if is_taken(into) {
        let found = format!(
            "{} exists; a new cluster begins in an empty state directory",
            into.display()
        );
        return Err(StateError::NotWritten(Cause::from(found)).into());
    }
    let source = copy::open(from)?;
    let revision = find(&source, point)?;
    let part = into.with_extension("restoring");
    let failed = |error: std::io::Error| StateError::NotWritten(error.into());
    match fs::remove_file(&part) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error).into()),
        _ => {}
    }
    let restored = copy::whole(&source, &part)
        .map_err(PastError::from)
        .and_then(|()| rewrite(&part, revision))
        .and_then(|restored| {
            copy::publish(&part, into)?;
            Ok(restored)
        });
    if restored.is_err() {
        fs::remove_file(&part).ok();
    }
    restored
}

fn find(source: &Connection, point: Point) -> Result<Revision, PastError> {
    let meta = read_meta(source)?;
    let revision = match point {
        Point::Newest => Revision::from(meta.revision.unsigned_abs()),
        Point::Revision(revision) => revision,
        Point::Time(time) => past::revision_at(source, time)?,
    };
    past::check(&meta, revision)?;
    // Every row is checked before a new cluster is built on it.
    each_current(source, &meta, &mut |_, _| {})?;
    each_past(source, &meta, &mut |_, _, _| {})?;
    Ok(revision)
}

/// Turns the copy at `part` into the first state of a new cluster.
fn rewrite(part: &Path, revision: Revision) -> Result<Restored, PastError> {
    let mut db = file::open_to_write(part)?;
    let txn = db.transaction().map_err(fault::before_commit)?;
    let before = read_meta(&txn)?;
    let at = past::check(&before, revision)?;
    let mut meta = Meta {
        cluster_id: ClusterId::generate().as_str().to_owned(),
        ..before
    };
    if at < meta.revision {
        go_back(&txn, &mut meta, at)?;
    }
    meta.revision = meta.revision.saturating_add(JUMP);
    meta.compacted = meta.revision;
    meta.position = Vec::new();
    meta.write(&txn).map_err(fault::before_commit)?;
    let objects = meta.current.rows.unsigned_abs();
    let begun = Revision::from(meta.revision.unsigned_abs());
    let cluster_id = meta.cluster_id;
    txn.commit().map_err(fault::in_commit)?;
    Ok(Restored {
        cluster_id,
        from: revision,
        revision: begun,
        objects,
    })
}

/// Undoes everything after `at`: versions in force then come back, those written since go.
fn go_back(db: &Connection, meta: &mut Meta, at: i64) -> Result<(), StateError> {
    let run = |sql: &str, number: i64| db.execute(sql, [number]).map_err(fault::before_commit);
    run("DELETE FROM current WHERE revision > ?1", at)?;
    meta.current = Tally::default();
    each_row(
        db,
        meta,
        "SELECT % FROM current",
        &mut |meta, version, checksum| {
            meta.current
                .add(checksum, version.key.len() + version.value.len());
            Ok(())
        },
    )?;
    let back = format!(
        "SELECT % FROM past WHERE revision <= {at} AND id >= {}",
        first_id(at + 1)
    );
    each_row(db, meta, &back, &mut |meta, version, _| {
        rows::insert(db, meta, version).map_err(fault::before_commit)
    })?;
    run("DELETE FROM past WHERE id >= ?1", first_id(at + 1))?;
    meta.past = tally_of_past(db)?;
    meta.time = latest_time(db)?;
    Ok(())
}

/// Calls `take` with each version that `sql` finds; `%` stands for the columns of a version.
fn each_row(
    db: &Connection,
    meta: &mut Meta,
    sql: &str,
    take: &mut dyn FnMut(&mut Meta, &Version<'_>, u32) -> Result<(), StateError>,
) -> Result<(), StateError> {
    let failed = fault::in_read(db);
    let mut select = db.prepare(&sql.replace('%', COLUMNS)).map_err(&failed)?;
    let mut found = select.query(()).map_err(&failed)?;
    while let Some(row) = found.next().map_err(&failed)? {
        let (version, checksum) = Version::read(row).map_err(&failed)?;
        checked(db, "current", meta, &version, true)?;
        take(meta, &version, checksum)?;
    }
    Ok(())
}

fn tally_of_past(db: &Connection) -> Result<Tally, StateError> {
    db.query_row(
        "SELECT count(*), coalesce(sum(checksum), 0), coalesce(sum(length(CAST(key AS BLOB)) + length(value)), 0) FROM past",
        (),
        |row| {
            Ok(Tally {
                rows: row.get(0)?,
                sum: row.get(1)?,
                bytes: row.get(2)?,
            })
        },
    )
    .map_err(fault::in_read(db))
}

fn latest_time(db: &Connection) -> Result<i64, StateError> {
    db.query_row(
        "SELECT max(coalesce((SELECT max(time) FROM current), 0), coalesce((SELECT max(ended) FROM past), 0))",
        (),
        |row| row.get(0),
    )
    .map_err(fault::in_read(db))
}
