//! The one place that reads the clock.

use jiff::Timestamp;

/// Now.
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// Microseconds since the epoch as a time; the epoch where out of range.
pub(crate) fn from_micros(micros: u64) -> Timestamp {
    i64::try_from(micros)
        .ok()
        .and_then(|m| Timestamp::from_microsecond(m).ok())
        .unwrap_or_default()
}
