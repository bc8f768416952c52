use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use controlplane_store::{Applied, ClusterId, Event, Loaded, Reclaimed, Revision, State, StateError};
use rusqlite::hooks::Wal;
use rusqlite::{Connection, TransactionBehavior};

use crate::file::{self, Lock};
use crate::meta::Meta;
use crate::number::signed;
use crate::retention::{self, Keep, Step};
use crate::rows::{self, History};
use crate::scrub::Scrub;
use crate::{Archive, archive, copy, fault, load, mend, schema, upgrade};

/// Pages in the write-ahead log before they are moved to their place: 4 MiB.
const CHECKPOINT_EVERY: usize = 1024;
/// Pages in it after which a write does it itself, however seldom upkeep gets its turn: 16 MiB.
const CHECKPOINT_AT_MOST: usize = 4096;
/// Free pages that are left in the file for the next writes.
const SPARE_PAGES: u32 = 1024;
/// Pages given back in one step.
const VACUUM_STEP: u32 = 256;

/// A store file: the state on SQLite.
///
/// One holder in one process has it; [`Archive`]s of the same process read beside it.
#[derive(Debug)]
pub struct SqliteState {
    db: Connection,
    path: PathBuf,
    keep: Keep,
    /// What the tables hold; known once it was loaded.
    meta: Option<Meta>,
    /// Pages that were added to the write-ahead log since the last checkpoint.
    written: Arc<AtomicUsize>,
    scrub: Scrub,
    /// Given up last, when the file is closed.
    _lock: Lock,
}

impl SqliteState {
    /// Opens the file at `path`, and creates it, readable by its owner only, where it is missing.
    ///
    /// # Errors
    ///
    /// Fails where the file cannot be opened or created, is held by another process, is no store, or was
    /// written by a newer program.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        Self::keeping(path, Keep::default())
    }

    /// As [`open`](Self::open), with another bound of history.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn keeping(path: &Path, keep: Keep) -> Result<Self, StateError> {
        let lock = Lock::take(path)?;
        archive::clean_up(path).map_err(|error| StateError::NotWritten(error.into()))?;
        let (db, written) = open_db(path)?;
        Ok(Self {
            db,
            path: path.to_owned(),
            keep,
            meta: None,
            written,
            scrub: Scrub::default(),
            _lock: lock,
        })
    }

    /// What reads this file on other threads.
    #[must_use]
    pub fn archive(&self) -> Archive {
        Archive::of(self.path.clone())
    }

    /// Makes an empty state that of the cluster `cluster_id`, as on a server that joins it.
    ///
    /// # Errors
    ///
    /// Refuses a state that holds anything, unless it is of that cluster already.
    pub fn adopt(&mut self, cluster_id: &ClusterId) -> Result<(), StateError> {
        let meta = self.meta()?;
        if meta.cluster_id == cluster_id.as_str() {
            return Ok(());
        }
        if meta.revision.unsigned_abs() != Revision::EMPTY.get() || !meta.position.is_empty() {
            let found = format!("it holds the state of cluster {}", meta.cluster_id);
            return Err(StateError::NotWritten(found.into()));
        }
        self.write(|_, meta, _| {
            cluster_id.as_str().clone_into(&mut meta.cluster_id);
            Ok(())
        })?;
        self.sync()
    }

    /// Turns the store file at `path`, which no process has open, into one that the release before this one reads
    /// (schema version 1). Its history is lost, and so is its place in the log: only a server that has stopped in order has
    /// everything in it.
    ///
    /// # Errors
    ///
    /// Where the file is in use, is damaged, or is no store; it is then as it was.
    pub fn downgrade(path: &Path) -> Result<(), StateError> {
        let mut state = Self::open(path)?;
        upgrade::to_1(&mut state.db)
    }

    /// Lets the file grow to at most `pages` pages of 4 KiB; beyond, writes fail as on a full disk.
    ///
    /// # Errors
    ///
    /// Fails where SQLite refuses the limit.
    pub fn limit_pages(&mut self, pages: u32) -> Result<(), StateError> {
        self.db
            .pragma_update(None, "max_page_count", pages)
            .map_err(fault::while_opening)
    }

    fn meta(&self) -> Result<Meta, StateError> {
        match &self.meta {
            Some(meta) => Ok(meta.clone()),
            None => load::read_meta(&self.db),
        }
    }

    /// Changes the file in one transaction; `change` is given what the tables hold and brings it up to date.
    fn write<T>(
        &mut self,
        change: impl FnOnce(&Connection, &mut Meta, &Keep) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        let mut meta = self.meta()?;
        let txn = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(fault::before_commit)?;
        // On an error the transaction is dropped, which rolls it back.
        let done = change(&txn, &mut meta, &self.keep)?;
        meta.write(&txn).map_err(fault::before_commit)?;
        let committed = txn.commit().map_err(fault::in_commit);
        if committed.is_err() && !self.db.is_autocommit() {
            self.db.execute_batch("ROLLBACK").map_err(fault::in_commit)?;
        }
        committed?;
        self.meta = Some(meta);
        Ok(done)
    }

    fn take_over(&mut self, applied: &Applied<'_>, history: History) -> Result<(), StateError> {
        self.write(|db, meta, keep| {
            let mut ended = Step {
                versions: 0,
                bytes: 0,
            };
            for batch in applied.batches {
                rows::write(db, meta, batch, history)?;
                ended.versions += batch.events.len();
                ended.bytes += batch.events.iter().map(bytes).sum::<usize>();
            }
            if let Some(compacted) = applied.compacted {
                let compacted = signed(compacted.get()).map_err(fault::before_commit)?;
                meta.compacted = compacted.clamp(meta.compacted, meta.revision);
            }
            if history == History::GivenUp {
                return retention::forget_all(db, meta)
                    .map(|()| applied.position.clone_into(&mut meta.position));
            }
            if !applied.batches.is_empty() {
                // Twice what was added, so that history returns to its bounds under any load.
                let now = meta.time.unsigned_abs();
                let step = Step {
                    versions: 2 * ended.versions,
                    bytes: Step::UPKEEP.bytes.max(2 * ended.bytes),
                };
                retention::forget(db, meta, keep, now, step)?;
            }
            applied.position.clone_into(&mut meta.position);
            Ok(())
        })?;
        if self.written.load(Ordering::Relaxed) >= CHECKPOINT_AT_MOST {
            // What was to be written is; a checkpoint that fails is done again by the next write.
            self.checkpoint().ok();
        }
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<(), StateError> {
        // A reader may still need the log; what it holds back is moved by a later one.
        self.db
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |_| Ok(()))
            .map_err(fault::before_commit)?;
        self.written.store(0, Ordering::Relaxed);
        Ok(())
    }

    fn vacuum(&mut self) -> Result<Reclaimed, StateError> {
        let free: u32 = self
            .db
            .pragma_query_value(None, "freelist_count", |row| row.get(0))
            .map_err(fault::before_commit)?;
        if free <= SPARE_PAGES {
            return Ok(Reclaimed::Done);
        }
        let step = VACUUM_STEP.min(free - SPARE_PAGES);
        self.db
            .execute_batch(&format!("PRAGMA incremental_vacuum({step})"))
            .map_err(fault::before_commit)?;
        Ok(Reclaimed::More)
    }

    /// Tells whether it forgot something.
    fn forget(&mut self, now: u64) -> Result<bool, StateError> {
        self.write(|db, meta, keep| retention::forget(db, meta, keep, now, Step::UPKEEP))
    }

    fn has_due(&self, now: u64) -> Result<bool, StateError> {
        retention::is_due(&self.db, &self.meta()?, &self.keep, now)
    }
}

impl State for SqliteState {
    fn load(&mut self) -> Result<Loaded, StateError> {
        let archive = self.archive();
        let (loaded, meta) = load::load_at_once(&self.db, &|| archive.connect())?;
        self.meta = Some(meta);
        Ok(loaded)
    }

    fn apply(&mut self, applied: &Applied<'_>) -> Result<(), StateError> {
        let full = match self.take_over(applied, History::Kept) {
            Err(StateError::Full(cause)) => StateError::Full(cause),
            taken => return taken,
        };
        // Moving the log's pages to their place lets the log begin anew in the space that it has. Where that is not
        // enough, history makes room: what is lost is old versions, what is won is that deleting frees space.
        for history in [History::Kept, History::GivenUp] {
            if self.checkpoint().is_err() {
                break;
            }
            match self.take_over(applied, history) {
                Err(StateError::Full(_)) => {}
                taken => return taken,
            }
        }
        Err(full)
    }

    fn sync(&mut self) -> Result<(), StateError> {
        // One more commit that passes an fsync makes those before it durable, too.
        let set = |db: &Connection, to| {
            db.pragma_update(None, "synchronous", to)
                .map_err(fault::before_commit)
        };
        set(&self.db, "FULL")?;
        let written = self.write(|_, _, _| Ok(()));
        set(&self.db, "NORMAL")?;
        written
    }

    fn reclaim(&mut self, now: u64) -> Result<Reclaimed, StateError> {
        if self.written.load(Ordering::Relaxed) >= CHECKPOINT_EVERY {
            self.checkpoint()?;
            return Ok(Reclaimed::More);
        }
        if self.has_due(now)? && self.forget(now)? {
            return Ok(Reclaimed::More);
        }
        if self.vacuum()? == Reclaimed::More {
            return Ok(Reclaimed::More);
        }
        let meta = self.meta()?;
        self.scrub.step(&self.db, &meta, now)?;
        Ok(Reclaimed::Done)
    }

    fn snapshot(&mut self, into: &Path) -> Result<(), StateError> {
        copy::whole(&self.db, into)
    }

    fn install(&mut self, from: &Path) -> Result<Loaded, StateError> {
        let own = self.meta()?;
        let (loaded, meta) = copy::install(&mut self.db, from, &own)?;
        self.meta = Some(meta);
        self.sync()?;
        Ok(loaded)
    }

    fn verify(&mut self) -> Result<(), StateError> {
        load::load(&self.archive().connect()?).map(drop)
    }

    fn mend(&mut self, memory: &Loaded) -> Result<(), StateError> {
        mend::write(&self.db, &self.path, memory)?;
        // Closed before its files are moved; where that fails, the next call begins with nothing to take over.
        let closed = Connection::open_in_memory().map_err(fault::while_opening)?;
        drop(std::mem::replace(&mut self.db, closed));
        (self.db, self.written) = open_db(&self.path)?;
        self.meta = Some(load::read_meta(&self.db)?);
        self.scrub = Scrub::default();
        self.sync()
    }
}

/// Opens the file for its one writer, after what was left of mending it was put in place; with what counts the pages
/// added to its log.
fn open_db(path: &Path) -> Result<(Connection, Arc<AtomicUsize>), StateError> {
    mend::finish(path).map_err(|error| StateError::NotWritten(error.into()))?;
    let mut db = file::open(path)?;
    schema::prepare(&mut db)?;
    // The log before this one is the durable part; a checkpoint and `sync` pass an fsync.
    db.pragma_update(None, "synchronous", "NORMAL")
        .map_err(fault::while_opening)?;
    let added = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&added);
    let mut last = 0;
    let count = move |_: &mut Wal, pages: i32| {
        // After a checkpoint of all of it the log begins anew.
        let pages = usize::try_from(pages).unwrap_or(0);
        counter.fetch_add(pages.checked_sub(last).unwrap_or(pages), Ordering::Relaxed);
        last = pages;
        Ok(())
    };
    db.wal_hook(Some(count)).map_err(fault::while_opening)?;
    Ok((db, added))
}

/// What an event adds to history.
fn bytes(event: &Event) -> usize {
    event.previous().map_or(0, |entry| entry.value.bytes().len())
}
