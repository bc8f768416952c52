//! Moving between the schema version of the release before and this one.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must stop")]

mod support;

use std::path::Path;

use controlplane_store::{Revision, State, StateError};
use controlplane_store_sqlite::SqliteState;
use support::{Bench, delete, object, open, put, rows};

/// What the release before wrote.
fn write_version_1(path: &Path) {
    let db = rusqlite::Connection::open(path).unwrap();
    db.execute_batch(
        r#"PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;
        CREATE TABLE meta (one INTEGER PRIMARY KEY CHECK (one = 1), cluster_id TEXT NOT NULL, revision INTEGER NOT NULL) STRICT;
        CREATE TABLE current (key TEXT PRIMARY KEY, create_revision INTEGER NOT NULL, mod_revision INTEGER NOT NULL,
            expires_at INTEGER, splice INTEGER NOT NULL, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
        INSERT INTO meta VALUES (1, 'the-cluster', 9);
        INSERT INTO current VALUES ('/registry/pods/a/one', 3, 3, NULL, 13, CAST('{"metadata":{"name":"one"}}' AS BLOB));
        INSERT INTO current VALUES ('/registry/pods/a/two', 4, 7, 99, 13, CAST('{"metadata":{"name":"two"}}' AS BLOB));
        PRAGMA application_id = 0x466c6f65; PRAGMA user_version = 1;"#,
    )
    .unwrap();
}

/// What the release before read.
const READ_1: &str = "SELECT key, create_revision, mod_revision, expires_at, splice, CAST(value AS TEXT) FROM current ORDER BY key";

#[test]
fn a_store_of_the_release_before_is_taken_over_without_loss() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    write_version_1(&path);
    let mut state = open(&path);
    let loaded = state.load().unwrap();
    assert_eq!(
        (loaded.cluster_id.as_str(), loaded.revision.get()),
        ("the-cluster", 9)
    );
    assert_eq!((loaded.compacted, loaded.history.len()), (Revision::from(9), 0));
    let two = loaded
        .entries
        .iter()
        .find(|entry| entry.key.name() == "two")
        .unwrap();
    assert_eq!(
        (two.create_revision.get(), two.mod_revision.get(), two.expires_at),
        (4, 7, Some(99))
    );
    let copy = folder.path().join("copy.db");
    state.snapshot(&copy).unwrap();
    let shown = rows(
        &copy,
        "SELECT name, op, revision, time, actor FROM history ORDER BY revision",
    );
    assert_eq!(shown, ["one|create|3|-|-", "two|update|7|-|-"]);
}

#[test]
fn one_step_back_gives_the_release_before_what_it_knows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    write_version_1(&path);
    let before = rows(&path, READ_1);
    drop(open(&path));
    SqliteState::downgrade(&path).unwrap();
    assert_eq!(rows(&path, READ_1), before);
    assert_eq!(
        rows(&path, "SELECT one, cluster_id, revision FROM meta"),
        ["1|the-cluster|9"]
    );
    assert_eq!(rows(&path, "PRAGMA user_version"), ["1"]);
    assert_eq!(rows(&path, "PRAGMA integrity_check"), ["ok"]);
    assert_eq!(
        rows(
            &path,
            "SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite%' ORDER BY 1"
        ),
        ["current", "meta"]
    );
    // And forward again.
    assert_eq!(open(&path).load().unwrap().entries.len(), 2);
}

#[test]
fn a_step_back_keeps_what_was_written_since() {
    let mut bench = Bench::new();
    let one = |text: &str| put("configmaps/a/one", &object("ConfigMap", "a", "one", text));
    bench.commit(
        "alice",
        vec![
            one("1"),
            put("configmaps/a/two", &object("ConfigMap", "a", "two", "1")),
        ],
    );
    bench.commit("alice", vec![one("2")]);
    bench.commit("alice", vec![delete("configmaps/a/two")]);
    let path = bench.path();
    let _folder = bench.close();
    SqliteState::downgrade(&path).unwrap();
    assert_eq!(
        rows(&path, "SELECT key, create_revision, mod_revision FROM current"),
        ["/registry/configmaps/a/one|2|3"]
    );
    assert_eq!(rows(&path, "SELECT revision FROM meta"), ["4"]);
}

#[test]
fn a_damaged_store_takes_no_step_back() {
    let mut bench = Bench::new();
    bench.commit(
        "alice",
        vec![put("configmaps/a/one", &object("ConfigMap", "a", "one", "1"))],
    );
    let path = bench.path();
    let _folder = bench.close();
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute("UPDATE current SET revision = 1", ()).unwrap();
    drop(db);
    assert!(matches!(
        SqliteState::downgrade(&path),
        Err(StateError::Corrupt(_))
    ));
    assert_eq!(rows(&path, "PRAGMA user_version"), ["2"]);
}
