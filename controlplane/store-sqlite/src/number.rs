//! SQLite's integers are signed; no revision or time of ours reaches the last bit.

use controlplane_store::Cause;

/// For a parameter.
pub(crate) fn signed(number: u64) -> rusqlite::Result<i64> {
    i64::try_from(number).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

/// From a column.
pub(crate) fn unsigned(number: i64) -> Result<u64, Cause> {
    u64::try_from(number).map_err(Cause::from)
}
