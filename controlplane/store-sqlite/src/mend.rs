//! Writing a damaged file anew from memory, which was loaded with every check and holds what was applied since.

use std::fs;
use std::io;
use std::path::Path;

use controlplane_store::{Cause, Entry, Event, Loaded, StateError};
use rusqlite::Connection;

use crate::meta::Meta;
use crate::number::signed;
use crate::salvage::Salvage;
use crate::version::{End, id};
use crate::{copy, fault, file, load, rows, schema};

/// A file that is to replace the damaged one is written under this extension,
const WRITING: &str = "mending";
/// takes this one when it is whole and on disk,
const WHOLE: &str = "mended";
/// and the damaged one is kept under this one, for whoever wants to know what happened; an older one makes way.
const DAMAGED: &str = "damaged";

/// Writes the state that `memory` holds beside the damaged file at `path`, with what `damaged` still tells, whole and on
/// disk. [`finish`] puts it in place.
pub(crate) fn write(damaged: &Connection, path: &Path, memory: &Loaded) -> Result<(), StateError> {
    let writing = path.with_extension(WRITING);
    let written = write_to(damaged, &writing, memory)
        .and_then(|()| copy::publish(&writing, &path.with_extension(WHOLE)));
    if written.is_err() {
        fs::remove_file(&writing).ok();
    }
    written
}

/// Puts the file that [`write()`] left in place of the damaged one at `path`, which nobody has open; does nothing where there
/// is none. After a crash at any point it is called again, before the file is opened.
pub(crate) fn finish(path: &Path) -> io::Result<()> {
    let whole = path.with_extension(WHOLE);
    unless_absent(fs::remove_file(path.with_extension(WRITING)))?;
    if !whole.try_exists()? {
        return Ok(());
    }
    let aside = path.with_extension(DAMAGED);
    // The log first: SQLite would take that of the damaged file for the new one's.
    unless_absent(fs::rename(file::log_of(path), file::log_of(&aside)))?;
    file::sync_folder_of(path)?;
    unless_absent(fs::rename(path, &aside))?;
    fs::rename(&whole, path)?;
    file::sync_folder_of(path)
}

fn unless_absent(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn write_to(damaged: &Connection, into: &Path, memory: &Loaded) -> Result<(), StateError> {
    let failed = |error: io::Error| StateError::NotWritten(error.into());
    unless_absent(fs::remove_file(into)).map_err(failed)?;
    drop(file::private(into).map_err(failed)?);
    let mut db = file::open_to_write(into)?;
    schema::create(&mut db).map_err(fault::before_commit)?;
    fill(&mut db, damaged, memory)?;
    // What was written is read back before it replaces anything.
    let (read, _) = load::load(&db)?;
    let holds = |loaded: &Loaded| (loaded.revision, loaded.compacted, loaded.entries.len());
    if holds(&read) != holds(memory) {
        return Err(StateError::NotWritten(Cause::from(
            "the new file does not hold what memory does",
        )));
    }
    Ok(())
}

fn fill(db: &mut Connection, damaged: &Connection, memory: &Loaded) -> Result<(), StateError> {
    let txn = db.transaction().map_err(fault::before_commit)?;
    let number = |number: u64| signed(number).map_err(fault::before_commit);
    let mut meta = Meta {
        compacted: number(memory.compacted.get())?,
        position: memory.position.clone(),
        ..schema::empty(memory.cluster_id.as_str(), number(memory.revision.get())?)
    };
    let salvage = Salvage::begin(damaged, &txn, &mut meta, memory)?;
    let mut write = || -> rusqlite::Result<()> {
        for entry in &memory.entries {
            rows::insert(&txn, &mut meta, &salvage.version(entry)?)?;
        }
        newest_past(&txn, &mut meta, &salvage, memory)?;
        meta.write(&txn)
    };
    write().map_err(fault::before_commit)?;
    txn.commit().map_err(fault::in_commit)
}

/// Writes the versions that ended within what memory keeps of history.
fn newest_past(db: &Connection, meta: &mut Meta, salvage: &Salvage, memory: &Loaded) -> rusqlite::Result<()> {
    for batch in &memory.history {
        for (place, event) in batch.events.iter().enumerate() {
            let Some(previous) = event.previous() else {
                continue;
            };
            let previous: &Entry = previous;
            let end = End {
                id: id(signed(batch.revision.get())?, place),
                time: signed(batch.at)?,
                deleted_by: matches!(event, Event::Delete { .. }).then_some(&*batch.actor),
            };
            rows::insert_past(db, meta, &salvage.version(previous)?, &end)?;
        }
    }
    Ok(())
}
