//! Files that are refused, and who may read a store.

use controlplane_store::StateError;
use controlplane_store_sqlite::SqliteState;

#[test]
fn a_file_that_is_open_elsewhere_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let _held = SqliteState::open(&path).unwrap();
    let refused = SqliteState::open(&path);
    assert!(matches!(refused, Err(StateError::InUse(_))), "{refused:?}");
}

#[test]
fn a_file_of_a_newer_or_another_program_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    std::fs::write(&path, "this is no database, whatever its name says").unwrap();
    assert!(matches!(SqliteState::open(&path), Err(StateError::Corrupt(_))));
    std::fs::remove_file(&path).unwrap();
    drop(SqliteState::open(&path).unwrap());
    rusqlite::Connection::open(&path)
        .unwrap()
        .pragma_update(None, "user_version", 9)
        .unwrap();
    assert!(matches!(
        SqliteState::open(&path),
        Err(StateError::NewerSchema { found: 9, known: 2 })
    ));
}

#[test]
fn the_store_file_is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let _open = SqliteState::open(&path).unwrap();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        assert_eq!(
            file.unwrap().metadata().unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}
