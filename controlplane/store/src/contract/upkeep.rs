//! What the store does by itself: expiry and compaction.

use super::{Bench, Disk, PODS, START, key, shown, value};
use crate::{Op, Retention};

async fn put_until(bench: &Bench, name: &str, text: &str, expires_at: u64) {
    let op = Op::Put {
        key: key(name),
        value: value(text),
        expires_at: Some(expires_at),
    };
    bench.commit(vec![], vec![op]).await;
}

async fn pass(bench: &Bench, until: u64) {
    bench.clock.set(until);
    bench.store.tick().await.expect("the store is open");
}

/// Expiry is a delete like any other: it has a revision and is watched.
pub async fn expired_value_is_deleted_as_by_a_transaction(disk: &impl Disk) {
    let bench = Bench::over(disk).await;
    put_until(&bench, "ns/late", "1", START + 20).await;
    put_until(&bench, "ns/soon", "1", START + 10).await;
    let mut watch = bench
        .store
        .watch(PODS, bench.store.revision())
        .expect("the present can be watched");
    pass(&bench, START + 9).await;
    assert_eq!(bench.texts(PODS).len(), 2);
    let before = bench.store.revision();
    pass(&bench, START + 10).await;
    let batch = watch
        .try_next()
        .expect("the watch goes on")
        .expect("the delete is seen");
    assert_eq!(
        (shown(&batch.events[0]).as_str(), batch.revision),
        ("-ns/soon", before.next())
    );
    pass(&bench, START + 1000).await;
    assert!(bench.texts(PODS).is_empty());
}

/// Writing again moves or removes the time.
pub async fn renewed_value_does_not_expire(disk: &impl Disk) {
    let bench = Bench::over(disk).await;
    put_until(&bench, "ns/moved", "1", START + 10).await;
    put_until(&bench, "ns/moved", "2", START + 50).await;
    put_until(&bench, "ns/kept", "1", START + 10).await;
    bench.put("ns/kept", "2").await;
    pass(&bench, START + 30).await;
    assert_eq!(bench.texts(PODS), ["ns/kept=2", "ns/moved=2"]);
    pass(&bench, START + 60).await;
    assert_eq!(bench.texts(PODS), ["ns/kept=2"]);
}

fn kept(bench: &Bench) -> u64 {
    bench.store.revision().get() - bench.store.compacted().get()
}

/// Never more revisions than allowed.
pub async fn history_is_bounded_in_revisions(disk: &impl Disk) {
    let bench = Bench::keeping(
        disk,
        Retention {
            revisions: 7,
            ..Retention::default()
        },
    )
    .await;
    for round in 0..50 {
        bench.put("ns/a", &round.to_string()).await;
        assert!(kept(&bench) <= 7);
    }
    assert_eq!(kept(&bench), 7);
}

/// Nothing older than allowed.
pub async fn history_is_bounded_in_time(disk: &impl Disk) {
    let bench = Bench::keeping(
        disk,
        Retention {
            seconds: 10,
            ..Retention::default()
        },
    )
    .await;
    bench.put("ns/a", "1").await;
    pass(&bench, START + 5).await;
    bench.put("ns/a", "2").await;
    assert_eq!(kept(&bench), 2);
    pass(&bench, START + 10).await;
    assert_eq!(kept(&bench), 1);
    pass(&bench, START + 15).await;
    assert_eq!(kept(&bench), 0);
    assert_eq!(bench.texts(PODS), ["ns/a=2"]);
}

/// Large values leave less history, so that its memory is bounded.
pub async fn history_is_bounded_in_bytes(disk: &impl Disk) {
    let bench = Bench::keeping(
        disk,
        Retention {
            bytes: 100_000,
            ..Retention::default()
        },
    )
    .await;
    for _ in 0..30 {
        bench.put("ns/a", &"x".repeat(10_000)).await;
    }
    assert!((3..=5).contains(&kept(&bench)), "{}", kept(&bench));
}
