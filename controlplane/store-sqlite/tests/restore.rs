//! Backups: what is in them, and new clusters made from them.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must stop")]

mod support;

use std::collections::BTreeMap;

use controlplane_store::{Machine, Range, Revision, State};
use controlplane_store_sqlite::{PastError, Point, inspect, restore};
use proptest::prelude::*;
use support::{Bench, delete, object, open, put};

fn texts(machine: &Machine, at: Option<Revision>) -> BTreeMap<String, String> {
    let range = Range {
        at,
        ..Range::prefix("/registry/")
    };
    let listing = machine.list(&range).unwrap();
    let text = |entry: &controlplane_store::Entry| String::from_utf8(entry.value.bytes().to_vec()).unwrap();
    listing
        .entries
        .iter()
        .map(|entry| (entry.key.to_string(), text(entry)))
        .collect()
}

#[test]
fn a_backup_tells_what_is_inside() {
    let mut bench = Bench::new();
    let web = |text: &str| put("apps/deployments/a/web", &object("Deployment", "a", "web", text));
    bench.commit(
        "alice",
        vec![web("1"), put("pods/a/one", &object("Pod", "a", "one", "1"))],
    );
    bench.now += 60;
    bench.commit("bob", vec![web("22")]);
    let file = bench.beside("backup.db");
    bench.state.archive().backup(&file).unwrap();
    let found = inspect(&file).unwrap();
    assert_eq!(
        (found.revision, found.time, found.oldest_revision),
        (3, support::START + 60, 1)
    );
    assert_eq!(
        found.resources.keys().collect::<Vec<_>>(),
        ["deployments.apps", "pods"]
    );
    let deployments = found.resources["deployments.apps"];
    assert_eq!((deployments.objects, deployments.versions), (1, 1));
    assert_eq!(deployments.bytes, deployments.version_bytes + 1);
    assert_eq!(found.file_bytes, file.metadata().unwrap().len());
    assert_eq!(found.cluster_id.len(), 36);
}

#[test]
fn a_restored_cluster_has_the_objects_but_another_identity_and_later_revisions() {
    let mut bench = Bench::new();
    bench.commit("alice", vec![put("pods/a/one", &object("Pod", "a", "one", "1"))]);
    bench.commit("bob", vec![put("pods/a/one", &object("Pod", "a", "one", "2"))]);
    let (backup, into) = (bench.beside("backup.db"), bench.beside("new.db"));
    bench.state.archive().backup(&backup).unwrap();
    let before = inspect(&backup).unwrap();
    let restored = restore(&backup, &into, Point::Newest).unwrap();
    assert_ne!(restored.cluster_id, before.cluster_id);
    let mut state = open(&into);
    let loaded = state.load().unwrap();
    assert_eq!(loaded.revision, restored.revision);
    assert!(loaded.revision.get() > 1_000_000_000);
    assert_eq!(
        (loaded.compacted, loaded.history.len(), loaded.position.len()),
        (loaded.revision, 0, 0)
    );
    assert_eq!(
        texts(&Machine::restore(loaded), None),
        texts(&bench.machine, None)
    );
    // Its history goes on from that of the backup.
    let copy = bench.beside("copy.db");
    state.snapshot(&copy).unwrap();
    assert_eq!(
        support::rows(&copy, "SELECT revision, op, actor FROM history ORDER BY 1"),
        ["2|create|alice", "3|update|bob"]
    );
}

#[test]
fn a_restore_touches_nothing_that_is_there() {
    let mut bench = Bench::new();
    bench.commit("alice", vec![put("pods/a/one", &object("Pod", "a", "one", "1"))]);
    let backup = bench.beside("backup.db");
    bench.state.archive().backup(&backup).unwrap();
    let taken = bench.beside("taken.db");
    std::fs::write(&taken, "mine").unwrap();
    let refused = restore(&backup, &taken, Point::Newest).unwrap_err();
    assert!(matches!(refused, PastError::Failed(_)), "{refused}");
    assert_eq!(std::fs::read(&taken).unwrap(), b"mine");
    let into = bench.beside("new.db");
    let refused = restore(&backup, &into, Point::Revision(Revision::from(9))).unwrap_err();
    assert!(
        matches!(
            refused,
            PastError::Future {
                requested: 9,
                newest: 2
            }
        ),
        "{refused}"
    );
    let refused = restore(&bench.beside("absent.db"), &into, Point::Newest).unwrap_err();
    assert!(matches!(refused, PastError::Failed(_)), "{refused}");
    std::fs::write(
        bench.beside("text.db"),
        "this is no database, whatever its name says",
    )
    .unwrap();
    let refused = restore(&bench.beside("text.db"), &into, Point::Newest).unwrap_err();
    assert!(matches!(refused, PastError::Failed(_)), "{refused}");
    assert!(!into.exists() && !bench.beside("new.restoring").exists());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_point_within_history_is_restored_as_it_was(
        changes in proptest::collection::vec((0..5_u8, any::<bool>()), 1..30),
        point in any::<proptest::sample::Index>(),
    ) {
        let mut bench = Bench::new();
        for (number, (which, deletes)) in changes.iter().enumerate() {
            bench.now += 10;
            let path = format!("configmaps/a/c{which}");
            if *deletes && bench.machine.get(&support::key(&path)).is_some() {
                bench.commit("bob", vec![delete(&path)]);
            } else {
                bench.commit("alice", vec![put(&path, &object("ConfigMap", "a", "c", &number.to_string()))]);
            }
        }
        let (backup, into) = (bench.beside("backup.db"), bench.beside("new.db"));
        bench.state.archive().backup(&backup).unwrap();
        let steps = point.index(changes.len() + 1);
        let revision = Revision::from(1 + u64::try_from(steps).unwrap());
        let point = match steps % 2 {
            0 => Point::Revision(revision),
            _ => Point::Time(support::START + 10 * u64::try_from(steps).unwrap() + 5),
        };
        let restored = restore(&backup, &into, point).unwrap();
        prop_assert_eq!(restored.from, revision);
        let mut state = open(&into);
        let loaded = state.load().unwrap();
        prop_assert_eq!(restored.objects, u64::try_from(loaded.entries.len()).unwrap());
        let mut machine = Machine::restore(loaded);
        prop_assert_eq!(texts(&machine, None), texts(&bench.machine, Some(revision)));
        // And it is written on.
        let txns = vec![controlplane_store::Decided { actor: "carol".into(), ops: vec![put("pods/a/x", &object("Pod", "a", "x", "1"))] }];
        let first = machine.revision().next();
        let command = controlplane_store::Command { at: bench.now, first, txns, compact: Revision::from(0) };
        let change = machine.apply(&command).unwrap();
        let applied = controlplane_store::Applied { batches: &change.batches, compacted: None, position: b"1" };
        state.apply(&applied).unwrap();
        support::assert_same(&machine, &Machine::restore(state.load().unwrap()));
    }
}

#[test]
fn a_copy_without_a_name_leaves_nothing_behind() {
    use std::io::Read;
    let mut bench = Bench::new();
    bench.commit("alice", vec![put("pods/a/one", &object("Pod", "a", "one", "1"))]);
    let mut file = bench.state.archive().unnamed_backup().unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    assert!(bytes.starts_with(b"SQLite format 3\0"));
    std::fs::write(bench.beside("store.backup-7"), "of a crash").unwrap();
    std::fs::write(bench.beside("store.backup-8.part"), "of a crash").unwrap();
    let path = bench.path();
    let folder = bench.close();
    drop(open(&path));
    let left = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|found| found.unwrap().file_name());
    assert!(
        left.into_iter()
            .all(|name| name == "store.db" || name == "store.lock")
    );
}
