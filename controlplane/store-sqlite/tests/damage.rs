//! Flipped bits are found, wherever they are, and what is damaged is not served.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must stop")]

mod support;

use std::error::Error;
use std::path::Path;

use controlplane_store::{Loaded, Machine, Reclaimed, State, StateError};
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

/// A state with history, half of which memory has forgotten, and what memory holds.
fn in_use() -> (Bench, Loaded) {
    let mut bench = Bench::new();
    for round in 0..60 {
        let name = format!("c{}", round % 10);
        let object = object("ConfigMap", "a", &name, &format!("{round} {}", "x".repeat(1000)));
        bench.commit("alice", vec![put(&format!("configmaps/a/{name}"), &object)]);
    }
    bench.commit("bob", vec![support::delete("configmaps/a/c9")]);
    bench.compact(30.into());
    let cluster = bench.state.load().unwrap().cluster_id;
    let memory = Loaded {
        position: b"there".to_vec(),
        ..bench.machine.dump(cluster)
    };
    (bench, memory)
}

/// A file that was damaged by `damage` while nobody had it open, written anew.
fn mended(damage: impl Fn(&Path)) -> (tempfile::TempDir, std::path::PathBuf, Machine) {
    let (bench, memory) = in_use();
    let path = bench.path();
    let Bench {
        folder,
        state,
        machine,
        ..
    } = bench;
    drop(state);
    damage(&path);
    let mut state = open(&path);
    state.mend(&memory).unwrap();
    assert_eq!(state.load().unwrap().position, b"there");
    (folder, path, machine)
}

#[test]
fn a_damaged_file_is_written_anew_from_memory_with_all_that_is_right_in_it() {
    let (folder, path, machine) = mended(|path| {
        change(path, "UPDATE current SET actor = 'mallory' WHERE key LIKE '%/c3'");
        change(
            path,
            "UPDATE past SET value = CAST('{}' AS BLOB) WHERE id = (SELECT min(id) + 3 * (1 << 20) FROM past)",
        );
    });
    assert_same(&machine, &Machine::restore(open(&path).load().unwrap()));
    let copy = folder.path().join("copy.db");
    open(&path).snapshot(&copy).unwrap();
    // Who wrote what, but for the row that was damaged and is older than what memory knows.
    assert_eq!(
        support::rows(
            &copy,
            "SELECT DISTINCT coalesce(actor, 'nobody knows') FROM objects"
        ),
        ["alice"]
    );
    assert_eq!(
        support::rows(
            &copy,
            "SELECT count(*), min(ended_revision) FROM (SELECT id >> 20 AS ended_revision FROM past)"
        ),
        ["47|16"],
        "older history is there, back to the damaged version"
    );
    let damaged = folder.path().join("store.damaged");
    assert!(damaged.exists(), "the damaged file is kept");
}

#[test]
fn a_file_that_sqlite_cannot_read_is_written_anew_too() {
    for at in [0, 20, 100, 4096, 8192 + 30, 40_000] {
        let (mut bench, memory) = in_use();
        let path = bench.path();
        // Into the file and its log, while both are open.
        for file in [path.clone(), bench.beside("store.db-wal")] {
            let mut whole = std::fs::read(&file).unwrap();
            if whole.len() > at + 16 {
                whole[at..at + 16].fill(0xff);
            }
            std::fs::write(file, whole).unwrap();
        }
        bench.state.mend(&memory).unwrap();
        assert_same(&bench.machine, &Machine::restore(bench.state.load().unwrap()));
        // It is written to as before.
        bench.commit(
            "alice",
            vec![put("configmaps/a/new", &object("ConfigMap", "a", "new", "1"))],
        );
        let machine = bench.machine;
        drop(bench.state);
        assert_same(&machine, &Machine::restore(open(&path).load().unwrap()));
    }
}

#[test]
fn a_crash_while_the_new_file_takes_its_place_leaves_one_that_is_whole() {
    let (folder, path, machine) = mended(|path| {
        change(
            path,
            "UPDATE current SET splice = splice + 1 WHERE key LIKE '%/c3'",
        );
    });
    let beside = |name: &str| folder.path().join(name);
    // Before anything was moved; after the log; after the damaged file.
    for moved in 0..3 {
        std::fs::rename(&path, beside("store.mended")).unwrap();
        std::fs::write(beside("store.mending"), "half").unwrap();
        if moved < 2 {
            std::fs::copy(beside("store.damaged"), &path).unwrap();
        }
        if moved < 1 {
            std::fs::write(beside("store.db-wal"), "of the damaged file").unwrap();
        }
        assert_same(&machine, &Machine::restore(open(&path).load().unwrap()));
        assert!(!beside("store.mended").exists() && !beside("store.mending").exists());
    }
}
