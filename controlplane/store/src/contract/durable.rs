//! What is still there after closing and opening again.

use super::{Bench, Disk, PODS, START, key, put, value};
use crate::{Op, Range, StateError, StoreError, Txn};

/// Values, their revisions and deletes.
pub async fn acknowledged_writes_survive_reopening(disk: &impl Disk) {
    let bench = Bench::over(disk).await;
    bench.put("ns/a", "1").await;
    bench.put("ns/b", "1").await;
    bench.put("ns/a", "2").await;
    bench.delete("ns/b").await;
    let before = bench.store.get(&key("ns/a")).expect("it was written");
    bench.store.close().await;
    let again = Bench::over(disk).await;
    assert_eq!(again.texts(PODS), ["ns/a=2"]);
    assert_eq!(again.store.get(&key("ns/a")), Some(before));
}

/// Not even when the newest revisions were deletes, which leave no value behind.
pub async fn revision_never_goes_back(disk: &impl Disk) {
    let mut last = None;
    for _ in 0..3 {
        let bench = Bench::over(disk).await;
        let revision = bench.store.revision();
        assert!(last.is_none_or(|last| revision == last));
        assert!(bench.store.compacted() <= revision);
        bench.put("ns/a", "1").await;
        last = Some(bench.delete("ns/a").await);
        bench.store.close().await;
    }
}

/// A watch goes on where it was, and old revisions read as before.
pub async fn history_survives_reopening(disk: &impl Disk) {
    let bench = Bench::over(disk).await;
    let start = bench.put("ns/a", "1").await;
    bench.put("ns/a", "2").await;
    bench.delete("ns/a").await;
    bench.store.close().await;
    let again = Bench::over(disk).await;
    let mut watch = again.store.watch(PODS, start).expect("history is kept");
    let mut seen = Vec::new();
    while let Ok(Some(batch)) = watch.try_next() {
        seen.extend(batch.events.iter().map(super::shown));
        assert_eq!((batch.at, &*batch.actor), (START, "test"));
    }
    assert_eq!(seen, ["+ns/a=2", "-ns/a"]);
    let then = Range {
        at: Some(start),
        ..Range::prefix(PODS)
    };
    let entries = again.store.list(&then).expect("history is kept").entries;
    assert_eq!(super::text(&entries[0].value), "1");
}

/// A cluster stays the one it is.
pub async fn cluster_id_is_kept(disk: &impl Disk) {
    let bench = Bench::over(disk).await;
    let id = bench.store.cluster_id().to_owned();
    assert_eq!(id.len(), 36);
    bench.store.close().await;
    assert_eq!(Bench::over(disk).await.store.cluster_id(), id);
}

/// A value that expires while the store is closed is deleted when it opens.
pub async fn expiry_survives_reopening(disk: &impl Disk) {
    let bench = Bench::over(disk).await;
    let op = Op::Put {
        key: key("ns/a"),
        value: value("1"),
        expires_at: Some(START + 10),
    };
    bench.commit(vec![], vec![op]).await;
    bench.store.close().await;
    let again = Bench::over(disk).await;
    again.clock.set(START + 20);
    again.store.tick().await.expect("the store is open");
    assert!(again.texts(PODS).is_empty());
}

/// What is refused for want of space was not written, what was acknowledged stays, and space makes writes work again.
pub async fn full_disk_refuses_clearly_and_later_writes_work(disk: &impl Disk) {
    let bench = Bench::over(disk).await;
    disk.fill();
    let mut written = Vec::new();
    let refusal = loop {
        let name = format!("ns/{:04}", written.len());
        let txn = Txn {
            actor: "test".into(),
            compares: vec![],
            ops: vec![put(&name, &"x".repeat(20_000))],
        };
        match bench.store.commit(txn).await {
            Ok(_) if written.len() < 1000 => written.push(key(&name)),
            Ok(_) => panic!("the disk never became full"),
            Err(error) => break error,
        }
    };
    let StoreError::NotWritten(cause) = refusal else {
        panic!("{refusal}")
    };
    assert!(matches!(*cause, StateError::Full(_)), "{cause}");
    let reached = bench.store.revision();
    assert!(written.iter().all(|key| bench.store.get(key).is_some()));
    assert!(
        bench
            .store
            .list(&crate::Range::prefix(PODS))
            .is_ok_and(|all| all.entries.len() == written.len())
    );
    disk.make_room();
    let ops = written
        .iter()
        .take(5)
        .map(|key| Op::Delete { key: key.clone() })
        .collect();
    let freed = bench.commit(vec![], ops).await;
    let after = bench.put("ns/after", &"x".repeat(20_000)).await;
    assert_eq!(
        (freed.get(), after.get()),
        (reached.get() + u64::from(!written.is_empty()), freed.get() + 1)
    );
    bench.store.close().await;
    let again = Bench::over(disk).await;
    assert_eq!(again.store.revision(), after);
    assert!(written.iter().skip(5).all(|key| again.store.get(key).is_some()));
}
