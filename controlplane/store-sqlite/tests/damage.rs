//! Flipped bits are found, wherever they are, and what is damaged is not served.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must stop")]

mod support;

use std::error::Error;
use std::path::Path;

use controlplane_store::{Machine, Reclaimed, State, StateError};
use controlplane_store_sqlite::{Keep, SqliteState};
use support::{Bench, assert_same, object, open, put};

/// A closed file with objects and history; big values, so that most of its bytes are theirs.
fn written() -> (tempfile::TempDir, std::path::PathBuf, Machine) {
    let mut bench = Bench::new();
    for round in 0..40 {
        let text = format!("{round} {}", "x".repeat(1000));
        bench.commit(
            "alice",
            vec![put(
                &format!("configmaps/a/c{}", round % 10),
                &object("ConfigMap", "a", "c", &text),
            )],
        );
    }
    let path = bench.path();
    let machine = Machine::restore(bench.state.load().unwrap());
    (bench.close(), path, machine)
}

fn change(path: &Path, sql: &str) {
    let db = rusqlite::Connection::open(path).unwrap();
    assert!(db.execute(sql, ()).unwrap() > 0, "{sql}");
}

fn refusal(path: &Path) -> String {
    let refused = open(path).load().unwrap_err();
    assert!(matches!(refused, StateError::Corrupt(_)), "{refused}");
    refused.source().unwrap().to_string()
}

#[test]
fn damage_to_a_row_is_told_with_table_key_file_and_what_to_do() {
    for (sql, expected) in [
        (
            "UPDATE current SET value = CAST(replace(CAST(value AS TEXT), 'x', 'y') AS BLOB) WHERE key LIKE '%/c3'",
            "the row of /registry/configmaps/a/c3 in table current does not match its checksum",
        ),
        (
            "UPDATE past SET actor = 'mallory' WHERE id = (SELECT max(id) FROM past)",
            "in table past does not match its checksum",
        ),
        (
            "UPDATE past SET ended = ended + 1 WHERE id = (SELECT min(id) FROM past)",
            "in table past does not match its checksum",
        ),
        (
            "DELETE FROM current WHERE key LIKE '%/c3'",
            "table current has 9 rows where 10 were written",
        ),
        (
            "DELETE FROM past WHERE id = (SELECT min(id) FROM past)",
            "table past has 29 rows where 30 were written",
        ),
        (
            "UPDATE meta SET compacted = compacted + 1",
            "the row of table meta does not match its checksum",
        ),
    ] {
        let (_folder, path, _) = written();
        change(&path, sql);
        let told = refusal(&path);
        assert!(told.contains(expected), "{told}");
        assert!(
            told.contains(path.to_str().unwrap()) && told.contains("floe restore"),
            "{told}"
        );
    }
}

#[test]
fn a_flipped_bit_anywhere_in_the_file_is_found_or_harmless() {
    let (folder, path, before) = written();
    let whole = std::fs::read(&path).unwrap();
    let copy = folder.path().join("flipped.db");
    let mut found = 0;
    // Every page, at places that are not the same in each.
    for at in (0..whole.len()).step_by(1021) {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        std::fs::write(&copy, &flipped).unwrap();
        match SqliteState::open(&copy).and_then(|mut state| state.load()) {
            Err(_) => found += 1,
            Ok(loaded) => assert_same(&before, &Machine::restore(loaded)),
        }
        for suffix in ["-wal", "-shm"] {
            std::fs::remove_file(folder.path().join(format!("flipped.db{suffix}"))).ok();
        }
    }
    assert!(
        found * 2 > whole.len() / 1021,
        "only {found} found of {}",
        whole.len() / 1021
    );
}

#[test]
fn damage_while_the_state_is_in_use_is_found_by_upkeep() {
    for table in ["current", "past"] {
        let mut bench = Bench::keeping(Keep::default());
        for round in 0..40 {
            bench.commit(
                "alice",
                vec![put(
                    &format!("configmaps/a/c{}", round % 10),
                    &object("ConfigMap", "a", "c", "x"),
                )],
            );
        }
        let path = bench.path();
        let folder = bench.close();
        let mut state = open(&path);
        state.load().unwrap();
        // As if the disk had changed it: nothing tells SQLite.
        drop(state);
        change(
            &path,
            &format!("UPDATE {table} SET splice = splice + 1 WHERE id = (SELECT max(id) FROM {table})"),
        );
        let mut state = open(&path);
        let found = (1..20).find_map(|step| {
            loop {
                match state.reclaim(support::START + step * 60) {
                    Ok(Reclaimed::More) => {}
                    Ok(Reclaimed::Done) => break None,
                    Err(error) => break Some(error),
                }
            }
        });
        let told = found.expect("a few steps see every row");
        assert!(matches!(told, StateError::Corrupt(_)), "{told}");
        drop(folder);
    }
}

#[test]
fn a_damaged_state_gives_no_backup_and_a_damaged_snapshot_is_not_installed() {
    let (folder, path, _) = written();
    change(
        &path,
        "UPDATE current SET value = CAST(replace(CAST(value AS TEXT), 'x', 'y') AS BLOB) WHERE key LIKE '%/c3'",
    );
    let state = open(&path);
    let copy = folder.path().join("backup.db");
    assert!(matches!(
        state.archive().backup(&copy),
        Err(StateError::Corrupt(_))
    ));
    assert!(!copy.exists());
    let mut other = Bench::new();
    other.commit(
        "bob",
        vec![put("configmaps/a/mine", &object("ConfigMap", "a", "mine", "1"))],
    );
    drop(state);
    assert!(matches!(other.state.install(&path), Err(StateError::Corrupt(_))));
    assert_same(&other.machine, &Machine::restore(other.state.load().unwrap()));
}
