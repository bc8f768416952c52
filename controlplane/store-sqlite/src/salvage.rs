//! What is taken over from a damaged file: who wrote an object and when, which memory does not know of older versions, and
//! older history, back to the newest version that is not right or cannot be read.

use std::collections::HashMap;
use std::sync::Arc;

use controlplane_store::{Clock, Entry, Loaded, StateError, SystemClock};
use rusqlite::Connection;

use crate::load::read_past;
use crate::meta::{Meta, Tally};
use crate::number::signed;
use crate::version::{COLUMNS, End, Version, ended_at, first_id, shared};
use crate::{fault, rows};

/// What an entry in memory does not tell of the version that it is.
#[derive(Debug, Clone)]
struct Attribution {
    previous: Option<i64>,
    place: i64,
    time: i64,
    actor: Arc<str>,
}

/// What is known of versions, by key and revision.
#[derive(Debug)]
pub(crate) struct Salvage {
    known: HashMap<(String, i64), Attribution>,
    actor: Arc<str>,
}

/// How reading a damaged table ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reached {
    /// At its end, after so many rows.
    End(i64),
    /// Before it.
    Damage,
}

impl Salvage {
    /// Reads `damaged` as far as it can be read, writes older history to `db`, and says in `meta`, which knows revision and
    /// compaction revision, how far that goes.
    ///
    /// # Errors
    ///
    /// What fails to be written.
    pub(crate) fn begin(
        damaged: &Connection,
        db: &Connection,
        meta: &mut Meta,
        memory: &Loaded,
    ) -> Result<Self, StateError> {
        let mut salvage = Self {
            known: HashMap::new(),
            actor: Arc::from(""),
        };
        let before = Meta::read(damaged).ok().flatten();
        salvage.current(damaged);
        salvage
            .history(damaged, db, meta, before.as_ref())
            .and_then(|()| salvage.memory(memory))
            .map_err(fault::before_commit)?;
        let newest = memory.history.last().map(|batch| signed(batch.at)).transpose();
        meta.time = newest
            .map_err(fault::before_commit)?
            .or_else(|| before.map(|before| before.time))
            .unwrap_or(0);
        Ok(salvage)
    }

    /// The version that `entry` is.
    pub(crate) fn version<'a>(&'a self, entry: &'a Entry) -> rusqlite::Result<Version<'a>> {
        let created = signed(entry.create_revision.get())?;
        let revision = signed(entry.mod_revision.get())?;
        let known = self.known.get(&(entry.key.as_str().to_owned(), revision));
        Ok(Version {
            key: entry.key.as_str(),
            created,
            revision,
            // That there was one before is known, which one is not.
            previous: known.map_or((created < revision).then_some(created), |known| known.previous),
            place: known.map_or(0, |known| known.place),
            time: known.map_or(0, |known| known.time),
            actor: known.map_or("", |known| &known.actor),
            expires: entry.expires_at.map(signed).transpose()?,
            splice: entry.value.splice(),
            value: entry.value.bytes(),
        })
    }

    fn know(&mut self, version: &Version<'_>) {
        let attribution = Attribution {
            previous: version.previous,
            place: version.place,
            time: version.time,
            actor: shared(&mut self.actor, version.actor),
        };
        let key = (version.key.to_owned(), version.revision);
        self.known.insert(key, attribution);
    }

    /// What the batches in memory tell, which is all of the versions that they wrote.
    fn memory(&mut self, memory: &Loaded) -> rusqlite::Result<()> {
        for batch in &memory.history {
            for (place, event) in batch.events.iter().enumerate() {
                if let Some(entry) = event.current() {
                    let previous = event.previous().map(|previous| &**previous);
                    self.know(&Version::of(batch, place, entry, previous)?);
                }
            }
        }
        Ok(())
    }

    /// The rows of the table `current` that are right.
    fn current(&mut self, damaged: &Connection) {
        let sql = format!("SELECT {COLUMNS} FROM current ORDER BY id");
        let Ok(mut select) = damaged.prepare(&sql) else {
            return;
        };
        let Ok(mut found) = select.query(()) else { return };
        while let Ok(Some(row)) = found.next() {
            if let Ok((version, checksum)) = Version::read(row)
                && version.checksum() == checksum
            {
                self.know(&version);
            }
        }
    }

    /// Takes older history over, and bounds what is said to be known by what was found.
    fn history(
        &mut self,
        damaged: &Connection,
        db: &Connection,
        meta: &mut Meta,
        before: Option<&Meta>,
    ) -> rusqlite::Result<()> {
        let mut kept = None;
        let reached = self.past(damaged, meta.compacted, &mut |version, end| {
            kept = Some((ended_at(end.id), end.time));
            rows::insert_past(db, meta, version, end)
        })?;
        (meta.forgotten, meta.forgotten_time) = match (reached, before, kept) {
            // Nothing is missing.
            (Reached::End(rows), Some(before), _) if rows == before.past.rows => {
                (before.forgotten, before.forgotten_time)
            }
            // What was written before the oldest that was read may have been.
            (Reached::Damage, _, Some(oldest)) => oldest,
            // Rows are missing, nobody knows which.
            _ => {
                db.execute("DELETE FROM past", ())?;
                meta.past = Tally::default();
                (meta.compacted, signed(SystemClock.unix_seconds())?)
            }
        };
        Ok(())
    }

    /// Gives `take` the versions that ended up to revision `compacted`, from the newest back to the first that is not right.
    fn past(
        &mut self,
        damaged: &Connection,
        compacted: i64,
        take: &mut dyn FnMut(&Version<'_>, &End<'_>) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<Reached> {
        let sql = format!("SELECT {COLUMNS}, id, ended, deleted_by FROM past ORDER BY id DESC");
        let Ok(mut select) = damaged.prepare(&sql) else {
            return Ok(Reached::Damage);
        };
        let Ok(mut found) = select.query(()) else {
            return Ok(Reached::Damage);
        };
        let mut rows = 0;
        loop {
            let row = match found.next() {
                Ok(Some(row)) => row,
                Ok(None) => return Ok(Reached::End(rows)),
                Err(_) => return Ok(Reached::Damage),
            };
            rows += 1;
            let right = read_past(row)
                .ok()
                .filter(|(version, end, checksum)| end.checksum(version.checksum()) == *checksum);
            match right {
                Some((version, end, _)) if end.id < first_id(compacted + 1) => take(&version, &end)?,
                // Memory has the version itself.
                Some((version, ..)) => self.know(&version),
                None => match row.get::<_, i64>(crate::version::AFTER) {
                    Ok(id) if id >= first_id(compacted + 1) => {}
                    _ => return Ok(Reached::Damage),
                },
            }
        }
    }
}
