//! Looking for damage while the state is in use, a little at a time.

use std::time::{Duration, Instant};

use controlplane_store::StateError;
use rusqlite::Connection;

use crate::fault;
use crate::load::checked;
use crate::meta::Meta;
use crate::version::{AFTER, COLUMNS, End, Version};

/// Seconds between two steps.
const PAUSE: u64 = 10;
/// Longest that a step takes, but for one row.
const STEP: Duration = Duration::from_millis(4);

/// Where the next step goes on. Tables are read in the order of their ids, round and round.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Scrub {
    in_past: bool,
    after: i64,
    last: u64,
}

impl Scrub {
    /// Checks some rows against their checksums, where the last step was long enough ago.
    pub(crate) fn step(&mut self, db: &Connection, meta: &Meta, now: u64) -> Result<(), StateError> {
        if now < self.last.saturating_add(PAUSE) && now >= self.last {
            return Ok(());
        }
        self.last = now;
        match self.rows(db, meta)? {
            Some(reached) => self.after = reached,
            None => {
                self.after = i64::MIN;
                self.in_past = !self.in_past;
            }
        }
        Ok(())
    }

    /// Checks rows until the time is up; returns the last one, or none where the table has no more.
    fn rows(&self, db: &Connection, meta: &Meta) -> Result<Option<i64>, StateError> {
        let (table, end) = match self.in_past {
            true => ("past", "ended, deleted_by"),
            false => ("current", "NULL, NULL"),
        };
        let sql = format!("SELECT {COLUMNS}, id, {end} FROM {table} WHERE id > ?1 ORDER BY id");
        let failed = fault::in_read(db);
        let mut select = db.prepare_cached(&sql).map_err(&failed)?;
        let mut rows = select.query([self.after]).map_err(&failed)?;
        let begun = Instant::now();
        while let Some(row) = rows.next().map_err(&failed)? {
            let (version, checksum) = Version::read(row).map_err(&failed)?;
            let id = row.get(AFTER).map_err(&failed)?;
            let own = version.checksum();
            let expected = match self.in_past {
                true => {
                    let time = row.get(AFTER + 1).map_err(&failed)?;
                    let deleted_by: Option<String> = row.get(AFTER + 2).map_err(&failed)?;
                    let deleted_by = deleted_by.as_deref();
                    End { id, time, deleted_by }.checksum(own)
                }
                false => own,
            };
            checked(db, table, meta, &version, expected == checksum)?;
            if begun.elapsed() >= STEP {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }
}
