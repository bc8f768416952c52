//! Ordered, unique, atomic, reliable, resumable, bookmarkable.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::{Bench, Disk, PODS, put, shown};
use crate::{Batch, Key, Op, Range, Retention, Revision, StoreError, Watch, WatchError};

const FEW: Retention = Retention {
    revisions: 5,
    seconds: 300,
    bytes: 1 << 20,
};

/// What a watch has to say now.
fn drain(watch: &mut Watch) -> Vec<Arc<Batch>> {
    std::iter::from_fn(|| watch.try_next().expect("the watch goes on")).collect()
}

fn lines(batches: &[Arc<Batch>]) -> Vec<String> {
    batches
        .iter()
        .flat_map(|batch| &batch.events)
        .map(shown)
        .collect()
}

/// Writes that come from several tasks at once, as many as `writers` times `each`.
async fn write_at_once(bench: &Bench, writers: usize, each: usize) {
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..writers {
        let store = bench.store.clone();
        tasks.spawn(async move {
            for round in 0..each {
                let ops = vec![put(&format!("ns/w{writer}"), &round.to_string())];
                store
                    .commit(crate::Txn {
                        actor: "test".into(),
                        compares: vec![],
                        ops,
                    })
                    .await
                    .expect("writes succeed");
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("writers do not panic");
    }
}

/// Events come in the order of revisions, also when many write at once.
pub async fn watch_is_ordered(disk: &impl Disk) {
    let bench = Bench::over(disk).await;
    let mut watch = bench
        .store
        .watch(PODS, bench.store.revision())
        .expect("the present can be watched");
    write_at_once(&bench, 8, 50).await;
    let revisions: Vec<Revision> = drain(&mut watch).iter().map(|batch| batch.revision).collect();
    assert!(revisions.is_sorted(), "{revisions:?}");
}

/// No event comes twice.
pub async fn watch_is_unique(disk: &impl Disk) {
    let bench = Bench::over(disk).await;
    let mut watch = bench
        .store
        .watch(PODS, bench.store.revision())
        .expect("the present can be watched");
    write_at_once(&bench, 8, 50).await;
    let batches = drain(&mut watch);
    let seen = batches.iter().flat_map(|batch| {
        let keys = batch.events.iter().map(crate::Event::key);
        keys.map(|key| (batch.revision, key.clone()))
    });
    let seen: Vec<(Revision, Key)> = seen.collect();
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), seen.len());
}

/// All events of a transaction come in one batch, in the order of its operations.
pub async fn watch_is_atomic(disk: &impl Disk) {
    let bench = Bench::over(disk).await;
    bench.put("ns/old", "0").await;
    let mut watch = bench
        .store
        .watch(PODS, bench.store.revision())
        .expect("the present can be watched");
    let ops = vec![
        put("ns/z", "1"),
        Op::Delete {
            key: super::key("ns/old"),
        },
        put("ns/a", "1"),
    ];
    let revision = bench.commit(vec![], ops).await;
    let batches = drain(&mut watch);
    assert_eq!(batches.len(), 1);
    assert_eq!(batches[0].revision, revision);
    assert_eq!(lines(&batches), ["+ns/z=1", "-ns/old", "+ns/a=1"]);
}

/// Every committed change is seen, also by a watch that waits while it is made.
pub async fn watch_is_reliable(disk: &impl Disk) {
    let bench = Bench::over(disk).await;
    let mut watch = bench
        .store
        .watch(PODS, bench.store.revision())
        .expect("the present can be watched");
    let mut seen = 0;
    let reader = async {
        while seen < 400 {
            seen += watch.next().await.expect("the watch goes on").events.len();
        }
    };
    let both = async { tokio::join!(reader, write_at_once(&bench, 8, 50)) };
    tokio::time::timeout(Duration::from_secs(60), both)
        .await
        .expect("all 400 events arrive");
    assert_eq!(drain(&mut watch), []);
}

/// A watch begun after any revision that is kept sees exactly what a watch from the beginning sees after it.
pub async fn watch_is_resumable(disk: &impl Disk) {
    let bench = Bench::over(disk).await;
    let start = bench.store.revision();
    for round in 0..10 {
        bench.put(&format!("ns/{}", round % 3), &round.to_string()).await;
        bench.put("other/x", &round.to_string()).await;
    }
    bench.delete("ns/1").await;
    let mut whole = bench
        .store
        .watch("/registry/pods/ns/", start)
        .expect("nothing is compacted");
    let all = drain(&mut whole);
    for from in start.get()..=bench.store.revision().get() {
        let from = Revision::from(from);
        let mut resumed = bench
            .store
            .watch("/registry/pods/ns/", from)
            .expect("nothing is compacted");
        let expected: Vec<Arc<Batch>> = all
            .iter()
            .filter(|batch| batch.revision > from)
            .cloned()
            .collect();
        assert_eq!(drain(&mut resumed), expected, "resumed after {from}");
    }
}

/// `progress` reaches the store's revision on a quiet watch, and never overtakes an event.
pub async fn watch_is_bookmarkable(disk: &impl Disk) {
    let bench = Bench::over(disk).await;
    let mut watch = bench
        .store
        .watch("/registry/pods/ns/", bench.store.revision())
        .expect("now is watchable");
    let elsewhere = bench.put("other/x", "1").await;
    assert_eq!(watch.progress(), elsewhere);
    let first = bench.put("ns/a", "1").await;
    bench.put("other/x", "2").await;
    let second = bench.put("ns/a", "2").await;
    assert_eq!(watch.progress(), first.previous());
    assert_eq!(
        watch.try_next().map(|batch| batch.map(|batch| batch.revision)),
        Ok(Some(first))
    );
    assert_eq!(watch.progress(), second.previous());
    assert_eq!(
        watch.try_next().map(|batch| batch.map(|batch| batch.revision)),
        Ok(Some(second))
    );
    assert_eq!(watch.progress(), bench.store.revision());
}

/// A watch that falls behind the history says so, on every call; one that is merely quiet does not.
pub async fn slow_watch_ends_with_an_error_and_skips_nothing(disk: &impl Disk) {
    let bench = Bench::keeping(disk, FEW).await;
    let start = bench.store.revision();
    let mut slow = bench
        .store
        .watch("/registry/pods/ns/", start)
        .expect("the present can be watched");
    let mut quiet = bench
        .store
        .watch("/registry/pods/quiet/", start)
        .expect("the present can be watched");
    for round in 0..20 {
        bench.put("ns/a", &round.to_string()).await;
    }
    for _ in 0..2 {
        assert!(matches!(slow.next().await, Err(WatchError::Lagged { .. })));
    }
    bench.put("quiet/a", "1").await;
    assert_eq!(lines(&drain(&mut quiet)), ["+quiet/a=1"]);
}

/// A revision that is not reached yet, as from another cluster, is refused instead of showing old events.
pub async fn watch_of_the_future_is_refused(disk: &impl Disk) {
    let bench = Bench::over(disk).await;
    let current = bench.put("ns/a", "1").await;
    let refused = bench.store.watch(PODS, current.next());
    assert!(matches!(refused, Err(StoreError::FutureRevision { current: at, .. }) if at == current));
}

/// Other keys do not show, not even those whose names begin alike.
pub async fn watch_sees_only_its_prefix(disk: &impl Disk) {
    let bench = Bench::over(disk).await;
    let mut watch = bench
        .store
        .watch("/registry/pods/ns/", bench.store.revision())
        .expect("now is watchable");
    bench
        .commit(
            vec![],
            vec![put("ns-2/a", "1"), put("ns/a", "1"), put("n/a", "1")],
        )
        .await;
    assert_eq!(lines(&drain(&mut watch)), ["+ns/a=1"]);
}

/// The oldest event that is kept can be watched, and it can be a delete.
pub async fn watch_after_the_compaction_revision_sees_a_delete_right_after_it(disk: &impl Disk) {
    let bench = Bench::keeping(disk, Retention { revisions: 1, ..FEW }).await;
    bench.put("ns/a", "1").await;
    let compacted = bench.put("ns/b", "1").await;
    bench.delete("ns/a").await;
    assert_eq!(bench.store.compacted(), compacted);
    let mut watch = bench
        .store
        .watch(PODS, compacted)
        .expect("the compaction revision can be watched from");
    assert_eq!(lines(&drain(&mut watch)), ["-ns/a"]);
}

/// A listing and its watch together hold every write once.
pub async fn list_and_watch_leave_no_gap(disk: &impl Disk) {
    let bench = Bench::over(disk).await;
    let joining = async {
        let mut joined = Vec::new();
        for _ in 0..50 {
            joined.push(
                bench
                    .store
                    .list_and_watch(&Range::prefix(PODS))
                    .expect("the present can be watched"),
            );
            tokio::task::yield_now().await;
        }
        joined
    };
    let (joined, ()) = tokio::join!(joining, write_at_once(&bench, 4, 50));
    for (listing, mut watch) in joined {
        let old = listing.entries.iter().map(|entry| entry.mod_revision);
        assert!(old.max().is_none_or(|newest| newest <= listing.revision));
        let new: Vec<u64> = drain(&mut watch)
            .iter()
            .map(|batch| batch.revision.get())
            .collect();
        let expected: Vec<u64> = (listing.revision.next().get()..=bench.store.revision().get()).collect();
        assert_eq!(new, expected);
    }
}

/// What was committed before closing is still delivered.
pub async fn closed_store_ends_watches_after_their_last_event(disk: &impl Disk) {
    let bench = Bench::over(disk).await;
    let mut watch = bench
        .store
        .watch(PODS, bench.store.revision())
        .expect("the present can be watched");
    bench.put("ns/a", "1").await;
    bench.store.close().await;
    assert_eq!(watch.next().await.map(|batch| batch.events.len()), Ok(1));
    assert!(matches!(watch.next().await, Err(WatchError::Closed { .. })));
}

/// A `next` that is dropped while it waits takes nothing with it.
pub async fn cancelled_next_loses_no_event(disk: &impl Disk) {
    let bench = Bench::over(disk).await;
    let mut watch = bench
        .store
        .watch(PODS, bench.store.revision())
        .expect("the present can be watched");
    let mut seen = Vec::new();
    for round in 0..20 {
        let cancelled = tokio::time::timeout(Duration::ZERO, watch.next()).await;
        seen.extend(cancelled.into_iter().flatten());
        bench.put("ns/a", &round.to_string()).await;
    }
    seen.extend(drain(&mut watch));
    assert_eq!(seen.len(), 20);
}

/// A dropped watch is forgotten.
pub async fn watches_leave_nothing_behind(disk: &impl Disk) {
    let bench = Bench::over(disk).await;
    let begin = || {
        bench
            .store
            .watch(PODS, bench.store.revision())
            .expect("the present can be watched")
    };
    let watches = [begin(), begin(), begin()];
    assert_eq!(bench.store.watches(), 3);
    drop(watches);
    assert_eq!(bench.store.watches(), 0);
    bench.put("ns/a", "1").await;
}
