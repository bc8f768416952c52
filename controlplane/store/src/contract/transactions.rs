//! Compares and operations.

use super::{Bench, Disk, PODS, key, put, text};
use crate::{Compare, Op, Outcome, StoreError, Txn};

/// One compare that fails stops every operation.
pub async fn transaction_is_all_or_nothing(disk: &impl Disk) {
    let bench = Bench::over(disk).await;
    let first = bench.put("ns/a", "1").await;
    let holds = Compare::ModRevision(key("ns/a"), first);
    let fails = Compare::Exists(key("ns/b"));
    let txn = Txn {
        actor: "test".into(),
        compares: vec![holds.clone(), fails],
        ops: vec![put("ns/a", "2"), put("ns/c", "2")],
    };
    assert!(matches!(
        bench.store.commit(txn).await,
        Ok(Outcome::Refused { .. })
    ));
    assert_eq!(
        (bench.texts(PODS), bench.store.revision()),
        (vec!["ns/a=1".to_owned()], first)
    );
    let second = bench
        .commit(vec![holds], vec![put("ns/a", "2"), put("ns/c", "2")])
        .await;
    assert_eq!(second, first.next());
    assert_eq!(bench.texts(PODS), ["ns/a=2", "ns/c=2"]);
}

/// A refusal carries the value of each compare's key, in order.
pub async fn refused_transaction_shows_what_it_found(disk: &impl Disk) {
    let bench = Bench::over(disk).await;
    let revision = bench.put("ns/a", "1").await;
    let compares = vec![Compare::Exists(key("ns/b")), Compare::Absent(key("ns/a"))];
    let outcome = bench
        .store
        .commit(Txn {
            actor: "test".into(),
            compares,
            ops: vec![],
        })
        .await
        .expect("a refusal is no error");
    let Outcome::Refused { current } = outcome else {
        panic!("{outcome:?}")
    };
    assert!(current[0].is_none());
    let found = current[1].as_ref().expect("the value is there");
    assert_eq!((text(&found.value).as_str(), found.mod_revision), ("1", revision));
}

/// Of many that create one key at once, one succeeds.
pub async fn one_of_many_racing_creations_wins(disk: &impl Disk) {
    let bench = Bench::over(disk).await;
    let mut racers = tokio::task::JoinSet::new();
    for racer in 0..32 {
        let store = bench.store.clone();
        let ops = vec![put("ns/a", &racer.to_string())];
        let txn = Txn {
            actor: "test".into(),
            compares: vec![Compare::Absent(key("ns/a"))],
            ops,
        };
        racers.spawn(async move { store.commit(txn).await.expect("the store answers") });
    }
    let outcomes = racers.join_all().await;
    let won = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Outcome::Committed { .. }))
        .count();
    assert_eq!(won, 1);
}

/// Deleting what is absent, or doing nothing, is no revision.
pub async fn transaction_that_changes_nothing_takes_no_revision(disk: &impl Disk) {
    let bench = Bench::over(disk).await;
    let before = bench.put("ns/a", "1").await;
    assert_eq!(bench.delete("ns/b").await, before);
    assert_eq!(
        bench.commit(vec![Compare::Exists(key("ns/a"))], vec![]).await,
        before
    );
    assert_eq!(bench.store.revision(), before);
}

/// A key has one event in a revision.
pub async fn transaction_naming_a_key_twice_is_refused(disk: &impl Disk) {
    let bench = Bench::over(disk).await;
    let ops = vec![put("ns/a", "1"), Op::Delete { key: key("ns/a") }];
    let refused = bench
        .store
        .commit(Txn {
            actor: "test".into(),
            compares: vec![],
            ops,
        })
        .await;
    assert!(matches!(refused, Err(StoreError::DuplicateKey(twice)) if twice == key("ns/a")));
    bench.put("ns/a", "1").await;
}

/// Memory is bounded for each transaction.
pub async fn oversized_transaction_is_refused(disk: &impl Disk) {
    let bench = Bench::over(disk).await;
    let ops = vec![put("ns/a", &"x".repeat(9 << 20))];
    let refused = bench
        .store
        .commit(Txn {
            actor: "test".into(),
            compares: vec![],
            ops,
        })
        .await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })));
}

/// Updates keep the revision of creation; deleting and creating again does not.
pub async fn recreated_value_has_a_new_creation_revision(disk: &impl Disk) {
    let bench = Bench::over(disk).await;
    let created = bench.put("ns/a", "1").await;
    let updated = bench.put("ns/a", "2").await;
    let entry = bench.store.get(&key("ns/a")).expect("it was written");
    assert_eq!((entry.create_revision, entry.mod_revision), (created, updated));
    bench.delete("ns/a").await;
    let again = bench.put("ns/a", "3").await;
    let entry = bench.store.get(&key("ns/a")).expect("it was written");
    assert_eq!((entry.create_revision, entry.mod_revision), (again, again));
}

/// A caller that goes away after proposing, as a dropped connection does, stops nothing.
pub async fn commit_outlives_its_caller(disk: &impl Disk) {
    let bench = Bench::over(disk).await;
    {
        let commit = bench.store.commit(Txn {
            actor: "test".into(),
            compares: vec![],
            ops: vec![put("ns/a", "1")],
        });
        // One poll proposes; then the caller is gone.
        tokio::time::timeout(std::time::Duration::ZERO, commit).await.ok();
    }
    bench.put("ns/b", "1").await;
    assert_eq!(bench.texts(PODS), ["ns/a=1", "ns/b=1"]);
}
