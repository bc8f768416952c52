//! Opening the file, so that nobody else does.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use controlplane_store::{Cause, StateError};
use rusqlite::{Connection, OpenFlags};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::fault;

/// How long to wait for a process that still holds the file, such as the one that this one replaces.
const WAIT_FOR_LOCK: Duration = Duration::from_secs(5);
/// Time between two looks at the lock.
const LOOK: Duration = Duration::from_millis(20);

/// SQLite's way of opening a file for one process: it holds the lock as long as any connection is open and keeps the
/// index of the write-ahead log in memory, so that readers of this process share the file and others are refused.
pub(crate) const ONE_PROCESS: &std::ffi::CStr = c"unix-excl";

/// The right to write a store, which one holder in one process has: a lock on a file of its own, since SQLite's locks are
/// lost when any descriptor of the locked file is closed.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "held, never read")] File);

impl Lock {
    /// Waits for whoever holds it, for a while.
    pub(crate) fn take(path: &Path) -> Result<Self, StateError> {
        let failed = |error: io::Error| StateError::NotWritten(error.into());
        let lock = path.with_extension("lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock)
            .map_err(failed)?;
        let begun = Instant::now();
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self(file)),
                Err(Errno::AGAIN) if begun.elapsed() < WAIT_FOR_LOCK => std::thread::sleep(LOOK),
                Err(Errno::AGAIN) => {
                    let held = format!("{} is locked", lock.display());
                    return Err(StateError::InUse(Cause::from(held)));
                }
                Err(error) => return Err(failed(error.into())),
            }
        }
    }
}

/// Opens the store at `path` for writing, and creates it, readable by its owner only, where it is missing.
pub(crate) fn open(path: &Path) -> Result<Connection, StateError> {
    create_private(path).map_err(|error| StateError::NotWritten(error.into()))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags_and_vfs(path, flags, ONE_PROCESS).map_err(fault::while_opening)?;
    db.busy_timeout(WAIT_FOR_LOCK).map_err(fault::while_opening)?;
    Ok(db)
}

/// Opens the file at `path`, which no process has open, to read it.
pub(crate) fn open_to_read(path: &Path) -> Result<Connection, StateError> {
    if !path.is_file() {
        return Err(StateError::NotWritten(Cause::from(format!(
            "{} is no file",
            path.display()
        ))));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags).map_err(fault::while_opening)
}

/// Opens a copy that is being made to change it.
pub(crate) fn open_to_write(path: &Path) -> Result<Connection, StateError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).map_err(fault::while_opening)?;
    // A copy that a crash leaves unfinished is thrown away, so nothing needs a journal on disk.
    db.execute_batch("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF; PRAGMA trusted_schema = OFF;")
        .map_err(fault::while_opening)?;
    Ok(db)
}

/// SQLite's write-ahead log of the file at `path`.
pub(crate) fn log_of(path: &Path) -> PathBuf {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    PathBuf::from(log)
}

/// Creates `path` where it is missing. SQLite gives its log the same mode.
fn create_private(path: &Path) -> io::Result<()> {
    match private(path) {
        Ok(_) => sync_folder_of(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// A new file that only its owner reads.
pub(crate) fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Makes what was created, renamed or removed beside `path` durable.
pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
