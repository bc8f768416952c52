//! Whole copies: snapshots for peers, backups for people.

use std::fs::{self, File};
use std::path::Path;

use controlplane_store::{Cause, Loaded, StateError};
use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use crate::meta::Meta;
use crate::schema::{self, Found};
use crate::{fault, file, load};

/// Writes what `db` holds at this moment to the new file `into`, as a plain SQLite file of one piece, and makes it durable.
/// What other connections write meanwhile is not in it.
pub(crate) fn whole(db: &Connection, into: &Path) -> Result<(), StateError> {
    let failed = |error: std::io::Error| StateError::NotWritten(error.into());
    // An empty file is taken over with its mode; SQLite's own would be readable by all.
    drop(file::private(into).map_err(failed)?);
    let path = into
        .to_str()
        .ok_or_else(|| StateError::NotWritten(Cause::from(format!("{} is no text", into.display()))))?;
    let copied = db
        .execute("VACUUM INTO ?1", [path])
        .map_err(fault::before_commit)
        .and_then(|_| File::open(into).and_then(|file| file.sync_all()).map_err(failed))
        .and_then(|()| file::sync_folder_of(into).map_err(failed));
    if copied.is_err() {
        fs::remove_file(into).ok();
    }
    copied
}

/// Gives the whole file `part` the name `into`, durably.
pub(crate) fn publish(part: &Path, into: &Path) -> Result<(), StateError> {
    let failed = |error: std::io::Error| StateError::NotWritten(error.into());
    File::open(part)
        .and_then(|file| file.sync_all())
        .map_err(failed)?;
    fs::rename(part, into).map_err(failed)?;
    file::sync_folder_of(into).map_err(failed)
}

/// Opens the copy at `path`, which must be of this schema version.
pub(crate) fn open(path: &Path) -> Result<Connection, StateError> {
    let db = file::open_to_read(path)?;
    let refused = |found: String| Err(StateError::Corrupt(Cause::from(found)));
    match schema::identify(&db)? {
        Found::Version(schema::VERSION) => Ok(db),
        Found::Version(older) => refused(format!(
            "{} has schema version {older}; the server that wrote it brings it up to date when it is started with this release",
            path.display()
        )),
        Found::Nothing => refused(format!("{} is no backup of a store", path.display())),
    }
}

/// Reads the copy at `path`, checking all of it.
pub(crate) fn read(path: &Path) -> Result<(Connection, Loaded, Meta), StateError> {
    let db = open(path)?;
    let (loaded, meta) = load::load(&db)?;
    Ok((db, loaded, meta))
}

/// Replaces what `db` holds, `own`, by the snapshot at `from`: one transaction of SQLite, so a crash at any point leaves
/// the old state or the new one.
pub(crate) fn install(db: &mut Connection, from: &Path, own: &Meta) -> Result<(Loaded, Meta), StateError> {
    let (source, loaded, meta) = read(from)?;
    let pristine = own.current.rows == 0 && own.position.is_empty();
    if meta.cluster_id != own.cluster_id && !pristine {
        let found = format!(
            "the snapshot {} is of cluster {}, this server belongs to cluster {}",
            from.display(),
            meta.cluster_id,
            own.cluster_id
        );
        return Err(StateError::NotWritten(Cause::from(found)));
    }
    {
        let backup = Backup::new(&source, db).map_err(fault::before_commit)?;
        match backup.step(-1).map_err(fault::in_commit)? {
            StepResult::Done => {}
            other => {
                let found = format!("taking the snapshot over ended with {other:?}");
                return Err(StateError::NotWritten(Cause::from(found)));
            }
        }
    }
    Ok((loaded, meta))
}
