//! The claims that every store makes, whatever it is made of: run by [`MemoryState`](crate::MemoryState) here and by each other
//! implementation in its own tests, through [`contract_tests!`](crate::contract_tests).

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "these are tests: a claim that does not hold must stop the one that checks it"
)]

mod durable;
mod reads;
mod transactions;
mod upkeep;
mod watches;

use std::fmt::Debug;
use std::sync::Arc;

use serde_json::json;

pub use durable::*;
pub use reads::*;
pub use transactions::*;
pub use upkeep::*;
pub use watches::*;

use crate::{Compare, Event, Key, ManualClock, Op, Options, Outcome, Retention, Revision, Store, Txn, Value};

/// What is under test: a store on some disk that can be opened again and again.
pub trait Disk {
    /// Opens it; what was open before has been closed.
    fn open(&self, options: Options) -> impl Future<Output = Store>;

    /// Lets its disk soon be full.
    fn fill(&self);

    /// Gives its disk space again.
    fn make_room(&self);
}

/// A store over a disk, with a clock that the test sets.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) store: Store,
    pub(crate) clock: Arc<ManualClock>,
}

/// Where the clocks of benches begin.
pub(crate) const START: u64 = 1_000_000;

impl Bench {
    pub(crate) async fn over(disk: &impl Disk) -> Self {
        Self::keeping(disk, Retention::default()).await
    }

    pub(crate) async fn keeping(disk: &impl Disk, history: Retention) -> Self {
        let clock = Arc::new(ManualClock::at(START));
        let options = Options {
            history,
            clock: Arc::<ManualClock>::clone(&clock),
            ..Options::default()
        };
        let store = disk.open(options).await;
        Self { store, clock }
    }

    /// Writes `text` to `name` without condition and returns the revision.
    pub(crate) async fn put(&self, name: &str, text: &str) -> Revision {
        self.commit(vec![], vec![put(name, text)]).await
    }

    pub(crate) async fn delete(&self, name: &str) -> Revision {
        self.commit(vec![], vec![Op::Delete { key: key(name) }]).await
    }

    pub(crate) async fn commit(&self, compares: Vec<Compare>, ops: Vec<Op>) -> Revision {
        match self
            .store
            .commit(Txn {
                actor: "test".into(),
                compares,
                ops,
            })
            .await
        {
            Ok(Outcome::Committed { revision }) => revision,
            other => panic!("commit: {other:?}"),
        }
    }

    /// What is listed under `prefix`, as `name=text`.
    pub(crate) fn texts(&self, prefix: &str) -> Vec<String> {
        let listing = self
            .store
            .list(&crate::Range::prefix(prefix))
            .expect("the present can be listed");
        listing
            .entries
            .iter()
            .map(|entry| format!("{}={}", short(&entry.key), text(&entry.value)))
            .collect()
    }
}

/// The prefix under which the suite writes.
pub(crate) const PODS: &str = "/registry/pods/";

pub(crate) fn key(name: &str) -> Key {
    Key::parse(&format!("{PODS}{name}")).expect("the suite's names are keys")
}

pub(crate) fn value(text: &str) -> Value {
    Value::encode(&json!({"metadata": {"name": "x"}, "text": text})).expect("an object is a value")
}

pub(crate) fn put(name: &str, text: &str) -> Op {
    Op::Put {
        key: key(name),
        value: value(text),
        expires_at: None,
    }
}

pub(crate) fn text(value: &Value) -> String {
    let object = value.to_json(Revision::EMPTY).expect("what was stored is JSON");
    object["text"]
        .as_str()
        .expect("the suite's values have a text")
        .to_owned()
}

pub(crate) fn short(key: &Key) -> &str {
    key.as_str().strip_prefix(PODS).unwrap_or(key.as_str())
}

/// An event as `+name=text` or `-name`.
pub(crate) fn shown(event: &Event) -> String {
    match event {
        Event::Put { entry, .. } => format!("+{}={}", short(&entry.key), text(&entry.value)),
        Event::Delete { key, .. } => format!("-{}", short(key)),
    }
}

/// Makes one test of each claim, for the [`Disk`] that the expression makes.
#[macro_export]
macro_rules! contract_tests {
    ($disk:expr) => {
        $crate::contract_tests! { $disk;
            watch_is_ordered, watch_is_unique, watch_is_atomic, watch_is_reliable, watch_is_resumable,
            watch_is_bookmarkable, slow_watch_ends_with_an_error_and_skips_nothing,
            watch_of_the_future_is_refused, watch_sees_only_its_prefix,
            watch_after_the_compaction_revision_sees_a_delete_right_after_it,
            list_and_watch_leave_no_gap, closed_store_ends_watches_after_their_last_event,
            cancelled_next_loses_no_event, watches_leave_nothing_behind,
            transaction_is_all_or_nothing, refused_transaction_shows_what_it_found,
            one_of_many_racing_creations_wins, transaction_that_changes_nothing_takes_no_revision,
            transaction_naming_a_key_twice_is_refused, oversized_transaction_is_refused,
            recreated_value_has_a_new_creation_revision, commit_outlives_its_caller,
            list_is_ordered_by_key_bytes_as_kubernetes_orders, pages_at_one_revision_make_one_snapshot,
            old_revision_reads_as_it_was, compacted_and_future_revisions_are_refused,
            expired_value_is_deleted_as_by_a_transaction, renewed_value_does_not_expire,
            history_is_bounded_in_revisions, history_is_bounded_in_time, history_is_bounded_in_bytes,
            acknowledged_writes_survive_reopening, revision_never_goes_back,
            history_survives_reopening, cluster_id_is_kept, expiry_survives_reopening,
            full_disk_refuses_clearly_and_later_writes_work,
        }
    };
    ($disk:expr; $($claim:ident),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $claim() {
                $crate::contract::$claim(&$disk).await;
            }
        )+
    };
}
