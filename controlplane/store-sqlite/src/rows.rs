//! Between rows and the store's types.

use bytes::Bytes;
use controlplane_store::{Batch, Cause, ClusterId, Entry, Event, Key, Loaded, Revision, StateError, Value};
use rusqlite::{Connection, Row, Transaction};

use crate::fault;

const PUT: &str =
    "INSERT OR REPLACE INTO current (key, create_revision, mod_revision, expires_at, splice, value)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const DELETE: &str = "DELETE FROM current WHERE key = ?1";
const ADVANCE: &str = "UPDATE meta SET revision = ?1";
const ALL: &str =
    "SELECT key, create_revision, mod_revision, expires_at, splice, value FROM current ORDER BY key";

/// Writes the batches and the revision they reach.
pub(crate) fn write(txn: &Transaction<'_>, batches: &[Batch]) -> rusqlite::Result<()> {
    let Some(last) = batches.last() else { return Ok(()) };
    let mut put = txn.prepare_cached(PUT)?;
    let mut delete = txn.prepare_cached(DELETE)?;
    for event in batches.iter().flat_map(|batch| &batch.events) {
        match event {
            Event::Put { entry, .. } => put.execute((
                entry.key.as_str(),
                signed(entry.create_revision.get())?,
                signed(entry.mod_revision.get())?,
                entry.expires_at.map(signed).transpose()?,
                entry.value.splice(),
                entry.value.bytes().as_ref(),
            ))?,
            Event::Delete { key, .. } => delete.execute([key.as_str()])?,
        };
    }
    txn.prepare_cached(ADVANCE)?
        .execute([signed(last.revision.get())?])?;
    Ok(())
}

/// Reads the whole state.
pub(crate) fn load(db: &Connection) -> Result<Loaded, StateError> {
    let (cluster_id, revision): (String, i64) = db
        .query_row("SELECT cluster_id, revision FROM meta", (), |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .map_err(fault::while_opening)?;
    let revision = Revision::from(unsigned(revision)?);
    let mut select = db.prepare(ALL).map_err(fault::while_opening)?;
    let mut rows = select.query(()).map_err(fault::while_opening)?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next().map_err(fault::while_opening)? {
        let entry = entry(row)?;
        if entry.mod_revision > revision {
            let found = format!(
                "{} has revision {}, the store {revision}",
                entry.key, entry.mod_revision
            );
            return Err(StateError::Corrupt(Cause::from(found)));
        }
        entries.push(entry);
    }
    Ok(Loaded {
        cluster_id: ClusterId::from_stored(cluster_id),
        revision,
        compacted: revision,
        entries,
        history: Vec::new(),
        position: Vec::new(),
    })
}

fn entry(row: &Row<'_>) -> Result<Entry, StateError> {
    let key: String = get(row, 0)?;
    let expires_at: Option<i64> = get(row, 3)?;
    let bytes: Vec<u8> = get(row, 5)?;
    Ok(Entry {
        key: Key::parse(&key).map_err(|error| StateError::Corrupt(error.into()))?,
        create_revision: Revision::from(unsigned(get(row, 1)?)?),
        mod_revision: Revision::from(unsigned(get(row, 2)?)?),
        expires_at: expires_at.map(unsigned).transpose()?,
        value: Value::new(Bytes::from(bytes), get(row, 4)?)
            .map_err(|error| StateError::Corrupt(error.into()))?,
    })
}

fn get<T: rusqlite::types::FromSql>(row: &Row<'_>, column: usize) -> Result<T, StateError> {
    row.get(column).map_err(|error| StateError::Corrupt(error.into()))
}

/// SQLite's integers are signed; no revision or time of ours reaches the last bit.
fn signed(number: u64) -> rusqlite::Result<i64> {
    i64::try_from(number).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

fn unsigned(number: i64) -> Result<u64, StateError> {
    u64::try_from(number).map_err(|error| StateError::Corrupt(error.into()))
}
