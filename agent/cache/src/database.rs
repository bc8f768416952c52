//! The file.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, params};

use crate::{CacheError, Key, Kind, Rows};

/// Of the table below; a file of another is not read.
const VERSION: i32 = 1;
/// How long another process, as an agent that is ending, may hold the file.
const BUSY: Duration = Duration::from_secs(2);

/// One row of what changed: its value, or that it is gone.
pub(crate) type Change = (Key, Option<Arc<[u8]>>);

/// The open file.
#[derive(Debug)]
pub(crate) struct Database {
    connection: Connection,
}

impl Database {
    pub(crate) fn open(path: &Path) -> Result<Self, CacheError> {
        private(path).map_err(|source| file("make", path, source))?;
        let failed = |source| CacheError::Open {
            path: path.to_owned(),
            source,
        };
        let connection = Connection::open(path).map_err(failed)?;
        connection.busy_timeout(BUSY).map_err(failed)?;
        Ok(Self { connection })
    }

    /// Moves the file out of the way, with its log, so that what can be read of both is not lost.
    pub(crate) fn set_aside(path: &Path) -> Result<(), CacheError> {
        let aside = beside(path, ".damaged");
        let old_log = beside(&aside, "-wal");
        // The log goes first: beside a new file it would be taken for that one's.
        absent(std::fs::remove_file(&old_log))
            .map_err(|source| file("remove the old log of", path, source))?;
        absent(std::fs::rename(beside(path, "-wal"), &old_log))
            .map_err(|source| file("set aside the log of", path, source))?;
        absent(std::fs::remove_file(beside(path, "-shm")))
            .map_err(|source| file("remove the log's index of", path, source))?;
        std::fs::rename(path, aside).map_err(|source| file("set aside", path, source))
    }

    /// Everything in it. The table is made where there is none.
    pub(crate) fn rows(&self) -> rusqlite::Result<Rows> {
        self.prepare()?;
        let mut query = self
            .connection
            .prepare("SELECT uid, kind, name, object FROM rows")?;
        let rows = query.query_map([], |row| {
            let (uid, kind, name) = (row.get(0)?, row.get::<_, String>(1)?, row.get(2)?);
            let object: Vec<u8> = row.get(3)?;
            Ok(read_kind(&kind).map(|kind| (Key { uid, kind, name }, Arc::from(object))))
        })?;
        rows.filter_map(Result::transpose).collect()
    }

    fn prepare(&self) -> rusqlite::Result<()> {
        let database = &self.connection;
        // No fsync for each status: a power cut may take the last ones, never the file.
        database.pragma_update(None, "journal_mode", "wal")?;
        database.pragma_update(None, "synchronous", "normal")?;
        // Secrets that were forgotten are overwritten.
        database.pragma_update(None, "secure_delete", true)?;
        let version: i32 = database.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version != VERSION {
            database.execute_batch(
                "DROP TABLE IF EXISTS rows;
                 CREATE TABLE rows (uid TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,
                     object BLOB NOT NULL, PRIMARY KEY (uid, kind, name)) WITHOUT ROWID;",
            )?;
            database.pragma_update(None, "user_version", VERSION)?;
        }
        Ok(())
    }

    /// Applies `changes`, all or none.
    pub(crate) fn apply(&mut self, changes: &[Change]) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        for (key, value) in changes {
            let (uid, kind, name) = (&key.uid, kind_word(key.kind), &key.name);
            match value {
                Some(object) => transaction.execute(
                    "INSERT OR REPLACE INTO rows (uid, kind, name, object) VALUES (?1, ?2, ?3, ?4)",
                    params![uid, kind, name, &object[..]],
                )?,
                None => transaction.execute(
                    "DELETE FROM rows WHERE uid = ?1 AND kind = ?2 AND name = ?3",
                    params![uid, kind, name],
                )?,
            };
        }
        transaction.commit()
    }
}

/// Makes the file where there is none, and sees to it that it is root's alone; SQLite gives what it keeps
/// beside it the same mode.
fn private(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let mut open = OpenOptions::new();
    let opened = open.create(true).append(true).mode(0o600).open(path)?;
    opened.set_permissions(std::fs::Permissions::from_mode(0o600))
}

/// What is not there needs no moving.
fn absent(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn file(verb: &'static str, path: &Path, source: io::Error) -> CacheError {
    CacheError::File {
        verb,
        path: path.to_owned(),
        source,
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

const fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Pod => "Pod",
        Kind::ConfigMap => "ConfigMap",
        Kind::Secret => "Secret",
        Kind::Token => "Token",
        Kind::Service => "Service",
    }
}

fn read_kind(word: &str) -> Option<Kind> {
    [
        Kind::Pod,
        Kind::ConfigMap,
        Kind::Secret,
        Kind::Token,
        Kind::Service,
    ]
    .into_iter()
    .find(|kind| kind_word(*kind) == word)
}
