//! Lists, pages and old revisions.

use super::{Bench, Disk, PODS, key, put, short, text};
use crate::{Op, Range, Retention, Revision, StoreError};

fn names(bench: &Bench, range: &Range) -> Vec<String> {
    let listing = bench.store.list(range).expect("the range can be listed");
    listing
        .entries
        .iter()
        .map(|entry| format!("{}={}", short(&entry.key), text(&entry.value)))
        .collect()
}

/// Kubernetes orders by the bytes of `<namespace>/<name>`, in which `-` and `.` come before `/`.
pub async fn list_is_ordered_by_key_bytes_as_kubernetes_orders(disk: &impl Disk) {
    let bench = Bench::over(disk).await;
    for name in ["b/a", "a/b", "a-1/a", "a/a.b", "a/a-b", "a/a", "a1/a", "a.1/a"] {
        bench.put(name, "").await;
    }
    let listed = names(&bench, &Range::prefix(PODS));
    let expected = [
        "a-1/a=", "a.1/a=", "a/a=", "a/a-b=", "a/a.b=", "a/b=", "a1/a=", "b/a=",
    ];
    assert_eq!(listed, expected);
    assert_eq!(
        names(&bench, &Range::prefix("/registry/pods/a/")),
        ["a/a=", "a/a-b=", "a/a.b=", "a/b="]
    );
}

/// Pages read at the first page's revision are one snapshot, whatever is written between them.
pub async fn pages_at_one_revision_make_one_snapshot(disk: &impl Disk) {
    let bench = Bench::over(disk).await;
    let ops = (0..10).map(|i| put(&format!("ns/{i}"), "old")).collect();
    bench.commit(vec![], ops).await;
    let whole = names(&bench, &Range::prefix(PODS));
    let first = Range {
        limit: Some(3),
        ..Range::prefix(PODS)
    };
    let mut page = bench.store.list(&first).expect("the present can be listed");
    let (at, mut paged) = (page.revision, Vec::new());
    loop {
        paged.extend(
            page.entries
                .iter()
                .map(|entry| format!("{}={}", short(&entry.key), text(&entry.value))),
        );
        assert_eq!(page.remaining, 10 - u64::try_from(paged.len()).expect("small"));
        let (Some(last), true) = (page.entries.last(), page.remaining > 0) else {
            break;
        };
        let i = paged.len() - 1;
        let ops = vec![
            put(&format!("ns/{i}"), "new"),
            Op::Delete { key: key("ns/9") },
            put("ns/55", "new"),
        ];
        bench.commit(vec![], ops).await;
        let next = Range {
            after: Some(last.key.clone()),
            at: Some(at),
            ..first.clone()
        };
        page = bench.store.list(&next).expect("the snapshot is kept");
    }
    assert_eq!(paged, whole);
}

/// Every revision that is kept can be read as it was when it was current.
pub async fn old_revision_reads_as_it_was(disk: &impl Disk) {
    let bench = Bench::over(disk).await;
    let mut then = vec![(bench.store.revision(), names(&bench, &Range::prefix(PODS)))];
    for step in 0..30 {
        match step % 4 {
            3 => bench.delete(&format!("ns/{}", step % 5)).await,
            _ => bench.put(&format!("ns/{}", step % 7), &step.to_string()).await,
        };
        then.push((bench.store.revision(), names(&bench, &Range::prefix(PODS))));
    }
    for (revision, expected) in then {
        let range = Range {
            at: Some(revision),
            ..Range::prefix(PODS)
        };
        assert_eq!(names(&bench, &range), expected, "at {revision}");
    }
}

/// What is no longer or not yet there is an error of its own.
pub async fn compacted_and_future_revisions_are_refused(disk: &impl Disk) {
    let bench = Bench::keeping(
        disk,
        Retention {
            revisions: 3,
            ..Retention::default()
        },
    )
    .await;
    for round in 0..10 {
        bench.put("ns/a", &round.to_string()).await;
    }
    let (compacted, current) = (bench.store.compacted(), bench.store.revision());
    assert_eq!(compacted, Revision::from(current.get() - 3));
    let at = |revision| {
        bench.store.list(&Range {
            at: Some(revision),
            ..Range::prefix(PODS)
        })
    };
    assert!(at(compacted).is_ok());
    assert!(
        matches!(at(compacted.previous()), Err(StoreError::Compacted { compacted: c, .. }) if c == compacted)
    );
    assert!(matches!(
        at(current.next()),
        Err(StoreError::FutureRevision { .. })
    ));
    let early = bench.store.watch(PODS, compacted.previous());
    assert!(matches!(early, Err(StoreError::Compacted { .. })));
}
