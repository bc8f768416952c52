//! The one row that says what the tables hold.

use crc32fast::Hasher;
use rusqlite::{Connection, Row};

/// How many rows a table has, the sum of their checksums, and the bytes of their keys and values. A row that is lost or
/// comes twice, which no checksum of a row can tell, does not add up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) rows: i64,
    pub(crate) sum: i64,
    pub(crate) bytes: i64,
}

impl Tally {
    pub(crate) fn add(&mut self, checksum: u32, bytes: usize) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(i64::from(checksum));
        self.bytes = self.bytes.saturating_add(signed(bytes));
    }

    /// Takes in what was counted of other rows.
    pub(crate) fn join(&mut self, other: Self) {
        self.rows += other.rows;
        self.sum = self.sum.wrapping_add(other.sum);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }

    pub(crate) fn remove(&mut self, checksum: u32, bytes: usize) {
        self.rows -= 1;
        self.sum = self.sum.wrapping_sub(i64::from(checksum));
        self.bytes = self.bytes.saturating_sub(signed(bytes));
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// The row of the table `meta`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) cluster_id: String,
    /// Revision of the last batch.
    pub(crate) revision: i64,
    /// Unix time in seconds of the last batch; 0 where that is not known.
    pub(crate) time: i64,
    /// History up to this revision was forgotten by the store: neither read nor watched there.
    pub(crate) compacted: i64,
    /// History up to this revision was forgotten here, too. Never above `compacted`.
    pub(crate) forgotten: i64,
    /// Unix time in seconds of that revision, or later.
    pub(crate) forgotten_time: i64,
    /// How far in the log this is; opaque here.
    pub(crate) position: Vec<u8>,
    pub(crate) current: Tally,
    pub(crate) past: Tally,
}

const COLUMNS: &str = "cluster_id, revision, time, compacted, forgotten, forgotten_time, position, current_rows, current_sum, \
    current_bytes, past_rows, past_sum, past_bytes, checksum";

impl Meta {
    /// What is stored, or none where it does not match its checksum.
    pub(crate) fn read(db: &Connection) -> rusqlite::Result<Option<Self>> {
        let read = |row: &Row<'_>| {
            let meta = Self {
                cluster_id: row.get(0)?,
                revision: row.get(1)?,
                time: row.get(2)?,
                compacted: row.get(3)?,
                forgotten: row.get(4)?,
                forgotten_time: row.get(5)?,
                position: row.get(6)?,
                current: Tally {
                    rows: row.get(7)?,
                    sum: row.get(8)?,
                    bytes: row.get(9)?,
                },
                past: Tally {
                    rows: row.get(10)?,
                    sum: row.get(11)?,
                    bytes: row.get(12)?,
                },
            };
            Ok((meta, row.get::<_, u32>(13)?))
        };
        let (meta, checksum) = db
            .prepare_cached(&format!("SELECT {COLUMNS} FROM meta"))?
            .query_row((), read)?;
        Ok((meta.checksum() == checksum).then_some(meta))
    }

    /// Stores it in place of what was there.
    pub(crate) fn write(&self, db: &Connection) -> rusqlite::Result<()> {
        let (current, past) = (&self.current, &self.past);
        db.prepare_cached(&format!(
            "INSERT OR REPLACE INTO meta (one, {COLUMNS}) VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)"
        ))?
        .execute(rusqlite::params![
            self.cluster_id,
            self.revision,
            self.time,
            self.compacted,
            self.forgotten,
            self.forgotten_time,
            self.position,
            current.rows,
            current.sum,
            current.bytes,
            past.rows,
            past.sum,
            past.bytes,
            self.checksum(),
        ])?;
        Ok(())
    }

    fn checksum(&self) -> u32 {
        let mut hasher = Hasher::new();
        hasher.update(self.cluster_id.as_bytes());
        let (current, past) = (&self.current, &self.past);
        let numbers = [
            self.revision,
            self.time,
            self.compacted,
            self.forgotten,
            self.forgotten_time,
        ];
        let tallies = [
            current.rows,
            current.sum,
            current.bytes,
            past.rows,
            past.sum,
            past.bytes,
        ];
        for number in numbers.into_iter().chain(tallies) {
            hasher.update(&number.to_le_bytes());
        }
        hasher.update(&self.position);
        hasher.finalize()
    }
}
