//! What a failure of SQLite means for the data.

use controlplane_store::StateError;
use rusqlite::{Error, ErrorCode};

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
