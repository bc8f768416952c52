use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use controlplane_store::{Cause, Listing, Revision, StateError};
use rusqlite::{Connection, OpenFlags};

use crate::inspect::is_taken;
use crate::past::PastError;
use crate::query::{Answer, Query, QueryError};
use crate::{copy, fault, file, past, query};

/// Tells copies of one process apart.
static UNNAMED: AtomicU64 = AtomicU64::new(0);

/// How the extension of a copy without a lasting name begins.
const TEMPORARY: &str = "backup-";

/// Reads a store file of this process beside the state that writes it. Each call opens a connection of its own, which sees
/// the file as it was at one moment; all block.
#[derive(Clone)]
pub struct Archive {
    path: PathBuf,
    /// Told of damage.
    report: Option<Report>,
    /// Returns when the file has what memory has.
    settle: Option<Arc<dyn Fn() + Send + Sync>>,
}

type Report = Arc<dyn Fn(&StateError) + Send + Sync>;

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archive")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Archive {
    pub(crate) fn of(path: PathBuf) -> Self {
        Self {
            path,
            report: None,
            settle: None,
        }
    }

    /// The same, telling `report` whenever what is read is damaged.
    #[must_use]
    pub fn reporting(mut self, report: impl Fn(&StateError) + Send + Sync + 'static) -> Self {
        self.report = Some(Arc::new(report));
        self
    }

    /// The same, calling `settle` before anything is read: it returns when the file, which follows memory, has what was
    /// acknowledged before the call.
    #[must_use]
    pub fn settling(mut self, settle: impl Fn() + Send + Sync + 'static) -> Self {
        self.settle = Some(Arc::new(settle));
        self
    }

    /// A connection that sees all that was acknowledged.
    fn settled(&self) -> Result<Connection, StateError> {
        if let Some(settle) = &self.settle {
            settle();
        }
        self.connect()
    }

    fn tell(&self, error: &StateError) {
        if let (StateError::Corrupt(_), Some(report)) = (error, &self.report) {
            report(error);
        }
    }

    /// Writes a copy of everything to the new file `into`, durable and checked row by row. It takes that name when it is
    /// whole.
    ///
    /// # Errors
    ///
    /// Where there is no space for it, where `into` exists, or where the file is damaged.
    pub fn backup(&self, into: &Path) -> Result<(), StateError> {
        if is_taken(into) {
            let found = format!("{} exists", into.display());
            return Err(StateError::NotWritten(Cause::from(found)));
        }
        let part = part_of(into);
        // Left by a crash, where it is there.
        std::fs::remove_file(&part).ok();
        let made = copy::whole(&self.settled()?, &part)
            .and_then(|()| copy::read(&part).map(drop))
            .and_then(|()| copy::publish(&part, into));
        made.inspect_err(|error| {
            std::fs::remove_file(&part).ok();
            self.tell(error);
        })
    }

    /// A copy of everything, durable and checked, as an open file without a name: it is gone when it is closed, and nothing
    /// is left behind but by a crash in between, which the next start cleans up.
    ///
    /// # Errors
    ///
    /// As [`backup`](Self::backup).
    pub fn unnamed_backup(&self) -> Result<File, StateError> {
        let number = UNNAMED.fetch_add(1, Ordering::Relaxed);
        let path = self.path.with_extension(format!("{TEMPORARY}{number}"));
        self.backup(&path)?;
        let opened = File::open(&path);
        std::fs::remove_file(&path)
            .and(opened)
            .map_err(|error| StateError::NotWritten(error.into()))
    }

    /// Answers a question in SQL about the documented views.
    ///
    /// # Errors
    ///
    /// Where it is not understood, wants more than reading, or takes too long; what is wrong is told in SQLite's words.
    pub fn query(&self, query: &Query) -> Result<Answer, QueryError> {
        let answered = self.settled().map_err(QueryError::from);
        answered
            .and_then(|db| query::answer(db, query))
            .inspect_err(|error| match error {
                QueryError::Failed(cause) => self.tell(cause),
                QueryError::Refused(_) | QueryError::TooLarge(_) | QueryError::TooSlow(_) => {}
            })
    }

    /// The objects whose keys begin with `prefix` as they were at `revision`, which may be older than what the store
    /// keeps in memory.
    ///
    /// # Errors
    ///
    /// Where that revision is no longer known or not yet reached, or what was read is damaged.
    pub fn list(&self, prefix: &str, revision: Revision) -> Result<Listing, PastError> {
        self.past(|db| past::list(db, prefix, revision))
    }

    /// The revision that was the newest at Unix time `time` in seconds.
    ///
    /// # Errors
    ///
    /// Where history does not go back to then.
    pub fn revision_at(&self, time: u64) -> Result<Revision, PastError> {
        self.past(|db| past::revision_at(db, time))
    }

    fn past<T>(&self, read: impl FnOnce(&Connection) -> Result<T, PastError>) -> Result<T, PastError> {
        let db = self.settled().map_err(PastError::from);
        db.and_then(|db| read(&db)).inspect_err(|error| match error {
            PastError::Failed(cause) => self.tell(cause),
            PastError::Forgotten { .. } | PastError::Future { .. } => {}
        })
    }

    pub(crate) fn connect(&self) -> Result<Connection, StateError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags_and_vfs(&self.path, flags, file::ONE_PROCESS)
            .map_err(fault::while_opening)?;
        db.execute_batch("PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF;")
            .map_err(fault::while_opening)?;
        Ok(db)
    }
}

/// Where a copy is written before it takes the name `into`.
fn part_of(into: &Path) -> PathBuf {
    let mut part = into.as_os_str().to_owned();
    part.push(".part");
    PathBuf::from(part)
}

/// Removes what a crash left of copies beside the store at `path`.
pub(crate) fn clean_up(path: &Path) -> std::io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let begin = format!("{stem}.{TEMPORARY}");
    for found in std::fs::read_dir(folder)? {
        let found = found?;
        if found.file_name().to_string_lossy().starts_with(&begin) {
            std::fs::remove_file(found.path())?;
        }
    }
    Ok(())
}
