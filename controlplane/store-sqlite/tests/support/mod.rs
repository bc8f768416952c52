//! A state and a machine in step, as the store has them.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must stop")]
#![expect(dead_code, unreachable_pub, reason = "each test program uses some of it")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use controlplane_store::{Applied, Command, Decided, Key, Loaded, Machine, Op, Revision, State, Value};
use controlplane_store_sqlite::{Keep, SqliteState};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

/// Where the clock begins.
pub const START: u64 = 1_700_000_000;

pub struct Bench {
    pub folder: TempDir,
    pub state: SqliteState,
    pub machine: Machine,
    pub now: u64,
    position: u64,
}

impl Bench {
    pub fn new() -> Self {
        Self::keeping(Keep::default())
    }

    pub fn keeping(keep: Keep) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut state = SqliteState::keeping(&folder.path().join("store.db"), keep).unwrap();
        let machine = Machine::restore(state.load().unwrap());
        Self {
            folder,
            state,
            machine,
            now: START,
            position: 0,
        }
    }

    pub fn path(&self) -> PathBuf {
        self.beside("store.db")
    }

    pub fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// One transaction of `actor`; returns its revision.
    pub fn commit(&mut self, actor: &str, ops: Vec<Op>) -> Revision {
        self.command(
            vec![Decided {
                actor: actor.into(),
                ops,
            }],
            Revision::from(0),
        )
    }

    pub fn command(&mut self, txns: Vec<Decided>, compact: Revision) -> Revision {
        let first = self.machine.revision().next();
        let command = Command {
            at: self.now,
            first,
            txns,
            compact,
        };
        let change = self.machine.apply(&command).unwrap();
        self.position += 1;
        self.state
            .apply(&Applied {
                batches: &change.batches,
                compacted: change.compacted,
                position: &self.position.to_le_bytes(),
            })
            .unwrap();
        self.machine.revision()
    }

    pub fn compact(&mut self, through: Revision) {
        self.command(Vec::new(), through);
    }

    /// Closes the file and leaves it in its folder.
    pub fn close(self) -> TempDir {
        self.folder
    }

    /// Closes the file and opens it again.
    pub fn reopen(self) -> (TempDir, Loaded) {
        let Self { folder, state, .. } = self;
        drop(state);
        let loaded = open(&folder.path().join("store.db")).load().unwrap();
        (folder, loaded)
    }
}

pub fn open(path: &Path) -> SqliteState {
    SqliteState::open(path).unwrap()
}

/// What two states have to agree in.
pub fn assert_same(one: &Machine, other: &Machine) {
    assert_eq!(one.revision(), other.revision());
    let all = |machine: &Machine| {
        machine
            .list(&controlplane_store::Range::prefix("/registry/"))
            .unwrap()
    };
    assert_eq!(all(one), all(other));
    let compacted = one.history().compacted().max(other.history().compacted());
    let batches = |machine: &Machine| machine.history().after(compacted).cloned().collect::<Vec<_>>();
    assert_eq!(batches(one), batches(other));
}

pub fn key(path: &str) -> Key {
    Key::parse(&format!("/registry/{path}")).unwrap()
}

pub fn put(path: &str, object: &Json) -> Op {
    Op::Put {
        key: key(path),
        value: Value::encode(object).unwrap(),
        expires_at: None,
    }
}

pub fn delete(path: &str) -> Op {
    Op::Delete { key: key(path) }
}

pub fn object(kind: &str, namespace: &str, name: &str, text: &str) -> Json {
    json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": namespace}, "data": {"text": text}})
}

/// The rows of `sql` on the closed or copied file at `path`, with columns joined by a bar.
pub fn rows(path: &Path, sql: &str) -> Vec<String> {
    let db = rusqlite::Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut select = db.prepare(sql).unwrap();
    let columns = select.column_count();
    let rows = select
        .query_map((), |row| {
            let cell = |index| match row.get_ref(index).unwrap() {
                rusqlite::types::ValueRef::Null => "-".to_owned(),
                rusqlite::types::ValueRef::Integer(number) => number.to_string(),
                rusqlite::types::ValueRef::Real(number) => number.to_string(),
                rusqlite::types::ValueRef::Text(text) | rusqlite::types::ValueRef::Blob(text) => {
                    String::from_utf8_lossy(text).into_owned()
                }
            };
            Ok((0..columns).map(cell).collect::<Vec<_>>().join("|"))
        })
        .unwrap();
    rows.map(Result::unwrap).collect()
}

pub fn arc(text: &str) -> Arc<str> {
    Arc::from(text)
}
