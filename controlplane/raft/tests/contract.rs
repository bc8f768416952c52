//! The claims of every store, on one server and on three, seen from the one that leads and from one that follows.
#![expect(clippy::expect_used, reason = "a test that cannot be set up must stop")]

mod support;

use std::sync::atomic::Ordering;

use controlplane_store::contract::Disk as UnderTest;
use controlplane_store::{Options, Store};
use support::Cluster;
use tokio::sync::Mutex;

/// From where a cluster is looked at.
enum View {
    Leader,
    Follower,
}

/// A cluster that is closed and opened again.
struct Group {
    count: u64,
    view: View,
    open: Mutex<Option<Cluster>>,
}

impl Group {
    fn new(count: u64, view: View) -> Self {
        Self {
            count,
            view,
            open: Mutex::new(None),
        }
    }

    fn set_full(&self, full: bool) {
        let open = self.open.try_lock().expect("nobody else is here");
        let disks = &open.as_ref().expect("it was opened").disks;
        disks
            .iter()
            .for_each(|disk| disk.full.store(full, Ordering::SeqCst));
    }
}

impl UnderTest for Group {
    async fn open(&self, options: Options) -> Store {
        let mut open = self.open.lock().await;
        let cluster = match open.take() {
            Some(cluster) => {
                let disks = cluster.disks.clone();
                cluster.stop_all().await;
                Cluster::on(disks, options).await
            }
            None => Cluster::of(self.count, options).await,
        };
        let leader = cluster.leader().await;
        let follower = cluster.servers.keys().find(|id| **id != leader);
        let seen = match self.view {
            View::Leader => leader,
            View::Follower => *follower.expect("there are others"),
        };
        let store = cluster.store(seen);
        *open = Some(cluster);
        store
    }

    fn fill(&self) {
        self.set_full(true);
    }

    fn make_room(&self) {
        self.set_full(false);
    }
}

mod one_server {
    use super::*;

    controlplane_store::contract_tests!(Group::new(1, View::Leader));
}

mod three_servers {
    use super::*;

    controlplane_store::contract_tests!(Group::new(3, View::Leader));
}

/// Upkeep is the leader's: what is told to expire by hand is left out.
mod a_follower_of_three {
    use super::*;

    controlplane_store::contract_tests!(Group::new(3, View::Follower);
        watch_is_ordered, watch_is_unique, watch_is_atomic, watch_is_reliable, watch_is_resumable,
        watch_is_bookmarkable, watch_of_the_future_is_refused, watch_sees_only_its_prefix,
        list_and_watch_leave_no_gap, cancelled_next_loses_no_event,
        transaction_is_all_or_nothing, refused_transaction_shows_what_it_found, one_of_many_racing_creations_wins,
        transaction_that_changes_nothing_takes_no_revision, transaction_naming_a_key_twice_is_refused,
        recreated_value_has_a_new_creation_revision, pages_at_one_revision_make_one_snapshot,
        acknowledged_writes_survive_reopening, history_survives_reopening, cluster_id_is_kept,
        full_disk_refuses_clearly_and_later_writes_work,
    );
}
