//! What a failure of SQLite means for the data, and how damage is told.

use std::path::PathBuf;

use controlplane_store::{Cause, StateError};
use rusqlite::{Connection, Error, ErrorCode};

/// What to do about damage; nobody can repair a row that is wrong.
const REBUILD: &str = "do not use this file: where the cluster has other servers, remove this one from the cluster and \
    let it join again with an empty state directory; otherwise restore a backup with `floe restore`";

/// What is wrong with a state's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Damage {
    /// A row of `table` does not match its checksum.
    Checksum { table: &'static str, key: String },
    /// A row of `table` matches its checksum but holds what the store cannot have written.
    Content {
        table: &'static str,
        key: String,
        why: String,
    },
    /// The row of an object that must be there is not.
    Missing(String),
    /// The rows of `table` are others than were written.
    Tally {
        table: &'static str,
        found: i64,
        expected: i64,
    },
    /// The row of `meta` does not match its checksum.
    Meta,
    /// SQLite itself cannot read the file.
    File(String),
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Checksum { table, key } => {
                write!(f, "the row of {key} in table {table} does not match its checksum")
            }
            Self::Content { table, key, why } => {
                write!(f, "the row of {key} in table {table} cannot be right: {why}")
            }
            Self::Missing(key) => write!(
                f,
                "the row of {key} in table current is missing or of another revision"
            ),
            Self::Tally {
                table,
                found,
                expected,
            } if found == expected => {
                write!(
                    f,
                    "the {found} rows of table {table} are not those that were written"
                )
            }
            Self::Tally {
                table,
                found,
                expected,
            } => {
                write!(f, "table {table} has {found} rows where {expected} were written")
            }
            Self::Meta => f.write_str("the row of table meta does not match its checksum"),
            Self::File(why) => f.write_str(why),
        }
    }
}

/// `damage` as one sentence that names the file and says what to do.
pub(crate) fn damaged(db: &Connection, damage: &Damage) -> StateError {
    let path = db.path().map(PathBuf::from).unwrap_or_default();
    StateError::Corrupt(Cause::from(format!("{}: {damage}; {REBUILD}", path.display())))
}

/// A read that must succeed: what fails it is damage, or a failing disk.
pub(crate) fn in_read(db: &Connection) -> impl Fn(Error) -> StateError + '_ {
    |error| match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::TypeMismatch) => {
            damaged(db, &Damage::File(error.to_string()))
        }
        None => damaged(db, &Damage::File(error.to_string())),
        Some(_) => before_commit(error),
    }
}

/// Before any data moved: nothing was written.
pub(crate) fn while_opening(error: Error) -> StateError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StateError::Corrupt(error.into()),
        _ => before_commit(error),
    }
}

/// Before `COMMIT`: SQLite rolls the transaction back, whatever the error.
pub(crate) fn before_commit(error: Error) -> StateError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StateError::Full(error.into()),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StateError::InUse(error.into()),
        Some(ErrorCode::DatabaseCorrupt) => StateError::Corrupt(error.into()),
        _ => StateError::NotWritten(error.into()),
    }
}

/// In `COMMIT`: a full disk stops before the frame that commits; after any other failure, of fsync above all, that
/// frame may be on disk and the next open may find it.
pub(crate) fn in_commit(error: Error) -> StateError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StateError::Full(error.into()),
        _ => StateError::Unknown(error.into()),
    }
}
