//! SQL by people: what it reads, and that it does nothing else and costs no more than allowed.

#![expect(clippy::panic, reason = "a test that cannot be set up must stop")]

mod support;

use std::time::Duration;

use controlplane_store::{Revision, State};
use controlplane_store_sqlite::{Answer, Archive, Cell, Keep, PastError, Query, QueryError};
use proptest::prelude::*;
use support::{Bench, delete, object, put};

fn query(sql: &str) -> Query {
    Query {
        sql: sql.to_owned(),
        rows: 100,
        bytes: 1 << 20,
        time: Duration::from_secs(5),
    }
}

fn ask(archive: &Archive, sql: &str) -> Answer {
    archive
        .query(&query(sql))
        .unwrap_or_else(|error| panic!("{sql}: {error}"))
}

fn refusal(archive: &Archive, sql: &str) -> String {
    match archive.query(&query(sql)) {
        Err(error @ (QueryError::Refused(_) | QueryError::TooLarge(_))) => error.to_string(),
        other => panic!("{sql}: {other:?}"),
    }
}

fn some() -> Bench {
    let mut bench = Bench::new();
    for (place, name) in ["one", "two", "three"].into_iter().enumerate() {
        let text = "x".repeat(place * 10);
        bench.commit(
            "alice",
            vec![put(
                &format!("configmaps/a/{name}"),
                &object("ConfigMap", "a", name, &text),
            )],
        );
    }
    bench.commit("bob", vec![delete("configmaps/a/two")]);
    bench
}

#[test]
fn a_query_reads_the_views_beside_the_writer() {
    let mut bench = some();
    let archive = bench.state.archive();
    let answer = ask(
        &archive,
        "SELECT name, revision, length(value ->> '$.data.text') / 2.0 AS half FROM objects ORDER BY name",
    );
    assert_eq!(answer.columns, ["name", "revision", "half"]);
    let text = |text: &str| Cell::Text(text.to_owned());
    assert_eq!(
        answer.rows,
        [
            vec![text("one"), Cell::Integer(2), Cell::Real(0.0)],
            vec![text("three"), Cell::Integer(4), Cell::Real(10.0)]
        ]
    );
    // What is committed later is seen by the next query.
    bench.commit(
        "alice",
        vec![put("configmaps/a/four", &object("ConfigMap", "a", "four", ""))],
    );
    assert_eq!(
        ask(&archive, "SELECT count(*) FROM objects").rows,
        [[Cell::Integer(3)]]
    );
    let keys = ask(
        &archive,
        "SELECT key FROM (SELECT j.key FROM objects AS o, json_each(o.value) AS j) GROUP BY 1 ORDER BY 1",
    );
    assert_eq!(keys.rows.len(), 4, "{keys:?}");
    let shown = ask(
        &archive,
        "SELECT revision, oldest_revision, objects, old_versions FROM store",
    );
    assert_eq!(shown.rows, [[6, 1, 3, 1].map(Cell::Integer)]);
    let recursive =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT sum(i) FROM n";
    assert_eq!(ask(&archive, recursive).rows, [[Cell::Integer(15)]]);
}

#[test]
fn nothing_but_reading_the_views_is_done() {
    let bench = some();
    let archive = bench.state.archive();
    let before = std::fs::read(bench.path()).unwrap();
    for sql in [
        "DELETE FROM current",
        "INSERT INTO meta DEFAULT VALUES",
        "UPDATE current SET value = x''",
        "DROP VIEW objects",
        "CREATE TABLE t (a)",
        "CREATE TEMP TABLE t AS SELECT * FROM objects",
        "ATTACH '/etc/passwd' AS p",
        "ATTACH ':memory:' AS p",
        "DETACH main",
        "VACUUM",
        "VACUUM INTO '/tmp/floe-stolen'",
        "PRAGMA user_version = 7",
        "PRAGMA writable_schema = ON",
        "PRAGMA table_info(objects)",
        "SELECT * FROM pragma_table_info('objects')",
        "SELECT * FROM sqlite_schema",
        "SELECT * FROM current",
        "SELECT * FROM past",
        "SELECT position FROM meta",
        "SELECT load_extension('/tmp/x.so')",
        "SELECT readfile('/etc/passwd')",
        "SELECT writefile('/tmp/floe-x', 'y')",
        "SELECT zeroblob(1000000000)",
        "SELECT randomblob(1000000000)",
        "SELECT printf('%1000000000d', 1)",
        "SELECT sqlite_version()",
        "SELECT 1; SELECT 2",
        "BEGIN",
        "COMMIT",
        "REINDEX",
        "ANALYZE",
        "EXPLAIN DELETE FROM current",
        "",
        ";",
        "-- nothing",
        "SELEC 1",
        "SELECT * FROM nowhere",
        "SELECT nothing FROM objects",
        "SELECT ?1",
    ] {
        let told = refusal(&archive, sql);
        assert!(!told.is_empty() && !told.contains('\n'), "{sql}: {told}");
    }
    assert_eq!(std::fs::read(bench.path()).unwrap(), before);
    assert!(!std::path::Path::new("/tmp/floe-stolen").exists());
}

#[test]
fn what_is_refused_is_told_in_one_clear_sentence() {
    let bench = some();
    let archive = bench.state.archive();
    for (sql, expected) in [
        ("SELECT * FROM nowhere", "no such table: nowhere"),
        ("SELEC 1", "near \"SELEC\": syntax error"),
        (
            "SELECT * FROM current",
            "access to current.id is prohibited; it reads objects, history, events, store only",
        ),
        (
            "DELETE FROM current",
            "not authorized; it reads objects, history, events, store only",
        ),
        ("SELECT 1; SELECT 2", "it is more than one statement"),
        ("", "only a SELECT is answered"),
        ("SELECT readfile('x')", "no such function: readfile"),
    ] {
        assert_eq!(refusal(&archive, sql), expected, "{sql}");
    }
}

#[test]
fn rows_bytes_and_time_are_limited() {
    let bench = some();
    let archive = bench.state.archive();
    let endless =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i, 'aaaaaaaa' FROM n";
    let answer = ask(&archive, endless);
    assert!(answer.truncated);
    assert_eq!(answer.rows.len(), 100);
    let few = Query {
        bytes: 100,
        ..query(endless)
    };
    let answer = archive.query(&few).unwrap();
    assert!(answer.truncated && answer.rows.len() == 5, "{answer:?}");
    let slow = Query {
        time: Duration::from_millis(50),
        ..query("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n")
    };
    let late = archive.query(&slow);
    assert!(matches!(late, Err(QueryError::TooSlow(_))), "{late:?}");
    let exact = Query {
        rows: 2,
        ..query("SELECT name FROM objects")
    };
    assert!(!archive.query(&exact).unwrap().truncated);
}

#[test]
fn no_text_makes_a_query_write_or_panic() {
    let bench = some();
    let archive = bench.state.archive();
    let before = std::fs::read(bench.path()).unwrap();
    proptest!(|(sql in "[ -~]{0,60}")| {
        drop(archive.query(&Query { time: Duration::from_millis(200), ..query(&sql) }));
        prop_assert_eq!(std::fs::read(bench.path()).unwrap(), before.clone());
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_past_reads_as_it_was(changes in proptest::collection::vec((0..5_u8, any::<bool>()), 1..40)) {
        let mut bench = Bench::new();
        for (number, (which, deletes)) in changes.iter().enumerate() {
            let path = format!("configmaps/a/c{which}");
            if *deletes && bench.machine.get(&support::key(&path)).is_some() {
                bench.commit("bob", vec![delete(&path)]);
            } else {
                bench.commit("alice", vec![put(&path, &object("ConfigMap", "a", "c", &number.to_string()))]);
            }
        }
        let archive = bench.state.archive();
        for revision in 1..=bench.machine.revision().get() {
            let at = Revision::from(revision);
            let range = controlplane_store::Range { at: Some(at), ..controlplane_store::Range::prefix("/registry/configmaps/") };
            let memory = bench.machine.list(&range).unwrap();
            prop_assert_eq!(archive.list("/registry/configmaps/", at).unwrap().entries, memory.entries);
        }
        prop_assert!(archive.list("/registry/pods/", Revision::from(2)).unwrap().entries.is_empty());
    }
}

#[test]
fn a_time_is_the_last_revision_until_then() {
    let mut bench = Bench::new();
    let one = |text: &str| put("configmaps/a/one", &object("ConfigMap", "a", "one", text));
    bench.commit("alice", vec![one("1")]);
    bench.now += 100;
    bench.commit("alice", vec![one("2")]);
    bench.commit("alice", vec![delete("configmaps/a/one")]);
    let archive = bench.state.archive();
    let at = |after: u64| archive.revision_at(support::START + after).unwrap().get();
    assert_eq!([at(0), at(99), at(100), at(1 << 40)], [2, 2, 4, 4]);
    assert_eq!(archive.revision_at(5).unwrap(), Revision::EMPTY);
}

#[test]
fn what_is_no_longer_or_not_yet_known_is_refused() {
    let mut bench = Bench::keeping(Keep {
        versions: 3,
        ..Keep::default()
    });
    for round in 0..20 {
        bench.now += 10;
        bench.commit(
            "alice",
            vec![put(
                "configmaps/a/one",
                &object("ConfigMap", "a", "one", &round.to_string()),
            )],
        );
        let through = bench.machine.revision();
        bench.compact(through);
    }
    while bench.state.reclaim(bench.now).unwrap() == controlplane_store::Reclaimed::More {}
    let archive = bench.state.archive();
    let refused = archive.list("/registry/", Revision::from(4));
    assert!(
        matches!(
            refused,
            Err(PastError::Forgotten {
                requested: 4,
                oldest: 18
            })
        ),
        "{refused:?}"
    );
    assert_eq!(
        archive.list("/registry/", Revision::from(18)).unwrap().entries[0]
            .mod_revision
            .get(),
        18
    );
    let refused = archive.list("/registry/", Revision::from(99));
    assert!(
        matches!(
            refused,
            Err(PastError::Future {
                requested: 99,
                newest: 21
            })
        ),
        "{refused:?}"
    );
    assert!(matches!(
        archive.revision_at(support::START + 20),
        Err(PastError::Forgotten { .. })
    ));
    assert_eq!(
        archive.revision_at(support::START + 175).unwrap(),
        Revision::from(18)
    );
}
