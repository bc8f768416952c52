//! What a group of servers promises while servers and wires fail: the store's part of the list of what broke others.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot be set up must stop"
)]

mod support;

use std::time::Duration;

use controlplane_raft::{Change, Log as _, Origin, Role, ServerId, Tuning};
use controlplane_store::{
    ClusterId, MemoryState, Options, Range, Retention, Revision, Store, StoreError, WatchError,
};
use support::{Cluster, Disk, eventually, text, write};
use tokio::time::Instant;

/// Everything that a store shows, to be compared with another's.
fn shown(store: &Store) -> (Revision, Revision, Vec<String>) {
    let all = store.list(&Range::prefix("/registry/")).unwrap();
    let entries = all
        .entries
        .iter()
        .map(|entry| format!("{} {} {:?}", entry.key, entry.mod_revision, entry.value));
    (all.revision, store.compacted(), entries.collect())
}

async fn all_agree(cluster: &Cluster) {
    eventually("all servers hold the same", || {
        let shown: Vec<_> = cluster
            .servers
            .keys()
            .map(|id| shown(&cluster.store(*id)))
            .collect();
        async move { shown.windows(2).all(|pair| pair[0] == pair[1]) }
    })
    .await;
}

#[tokio::test]
async fn an_acknowledged_write_is_read_by_every_server_after_a_barrier() {
    let cluster = Cluster::of(3, Options::default()).await;
    let leader = cluster.leader_store().await;
    for round in 0..50 {
        write(&leader, "a", &round.to_string()).await.unwrap();
        for id in [1, 2, 3] {
            let store = cluster.store(id);
            store.read_barrier().await.unwrap();
            assert_eq!(text(&store, "a"), Some(round.to_string()));
        }
    }
}

#[tokio::test]
async fn a_write_at_a_follower_is_read_there_at_once() {
    let cluster = Cluster::of(3, Options::default()).await;
    let leader = cluster.leader().await;
    for id in [1, 2, 3].into_iter().filter(|id| *id != leader) {
        for round in 0..20 {
            let store = cluster.store(id);
            write(&store, "a", &format!("{id}-{round}")).await.unwrap();
            assert_eq!(text(&store, "a"), Some(format!("{id}-{round}")));
        }
    }
    all_agree(&cluster).await;
}

/// In simulated time.
#[tokio::test(start_paused = true)]
async fn writes_go_on_within_two_seconds_of_losing_the_leader() {
    let mut cluster = Cluster::of(3, Options::default()).await;
    for round in 0..5 {
        let leader = cluster.leader().await;
        write(&cluster.store(leader), "a", &round.to_string())
            .await
            .unwrap();
        cluster.wires.cut(&[leader]);
        let lost = Instant::now();
        let other = [1, 2, 3].into_iter().find(|id| *id != leader).unwrap();
        while write(&cluster.store(other), "b", &round.to_string())
            .await
            .is_err()
        {}
        assert!(lost.elapsed() < Duration::from_secs(3), "{:?}", lost.elapsed());
        assert_eq!(text(&cluster.store(other), "a"), Some(round.to_string()));
        cluster.wires.cut(&[]);
        all_agree(&cluster).await;
    }
    let last = cluster.leader().await;
    cluster.stop(last).await;
    write(&cluster.leader_store().await, "a", "after").await.unwrap();
}

/// In simulated time, which passes as fast as nobody computes.
#[tokio::test(start_paused = true)]
async fn writes_go_on_within_two_seconds_whoever_stands_first_lacks_a_write() {
    let cluster = Cluster::of(3, Options::default()).await;
    let mut lost_for = Vec::new();
    for round in 0..20 {
        let leader = cluster.leader().await;
        let mut others = [1, 2, 3].into_iter().filter(|id| *id != leader);
        let (one, other) = (others.next().unwrap(), others.next().unwrap());
        // Each is behind in turn, so that none counts as one that is behind for good.
        let (behind, ahead) = if round % 4 < 2 { (one, other) } else { (other, one) };
        cluster.wires.cut(&[behind]);
        let text = round.to_string();
        write(&cluster.store(leader), "a", &text).await.unwrap();
        cluster.wires.cut(&[leader]);
        let lost = Instant::now();
        while write(&cluster.store(ahead), "b", &text).await.is_err() {}
        lost_for.push(lost.elapsed());
        cluster.wires.cut(&[]);
        all_agree(&cluster).await;
    }
    let worst = lost_for.iter().max().unwrap();
    assert!(*worst < Duration::from_secs(2), "{lost_for:?}");
}

/// In simulated time.
#[tokio::test(start_paused = true)]
async fn a_leader_that_was_cut_off_acknowledges_nothing_and_serves_no_stale_read() {
    let cluster = Cluster::of(3, Options::default()).await;
    let old = cluster.leader().await;
    write(&cluster.store(old), "a", "before").await.unwrap();
    cluster.wires.cut(&[old]);
    let other = [1, 2, 3].into_iter().find(|id| *id != old).unwrap();
    let lonely = cluster.store(old);
    let (alone, among) = tokio::join!(write(&lonely, "a", "alone"), async {
        while write(&cluster.store(other), "a", "among").await.is_err() {}
    });
    let () = among;
    assert!(
        matches!(alone, Err(StoreError::Unknown(_) | StoreError::NoLeader)),
        "{alone:?}"
    );
    // Many readers are refused as soon as one, and not one after the other.
    let began = Instant::now();
    let refused = futures::future::join_all((0..20).map(|_| lonely.read_barrier())).await;
    assert!(
        refused.iter().all(|one| matches!(one, Err(StoreError::NoLeader))),
        "{refused:?}"
    );
    assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
    cluster.wires.cut(&[]);
    eventually("the old leader follows", || {
        let store = lonely.clone();
        async move { store.read_barrier().await.is_ok() && text(&store, "a").as_deref() == Some("among") }
    })
    .await;
    all_agree(&cluster).await;
}

#[tokio::test]
async fn a_watch_does_not_go_back_in_time_when_the_leader_changes() {
    let cluster = Cluster::of(3, Options::default()).await;
    let start = cluster.leader_store().await.revision();
    let mut watches: Vec<_> = [1, 2, 3]
        .into_iter()
        .map(|id| cluster.store(id))
        .map(|store| store.watch("/registry/", start.min(store.revision())).unwrap())
        .collect();
    for round in 0..3 {
        let leader = cluster.leader().await;
        cluster.wires.cut(&[leader]);
        let other = [1, 2, 3].into_iter().find(|id| *id != leader).unwrap();
        while write(&cluster.store(other), "a", &round.to_string())
            .await
            .is_err()
        {}
        cluster.wires.cut(&[]);
        // The old leader may take itself for one until it hears of the other.
        while write(&cluster.leader_store().await, "b", &round.to_string())
            .await
            .is_err()
        {}
    }
    all_agree(&cluster).await;
    let mut seen = Vec::new();
    for watch in &mut watches {
        let mut revisions = Vec::new();
        while let Ok(Some(batch)) = watch.try_next() {
            revisions.push((batch.revision, batch.events.len()));
        }
        let ordered = revisions.windows(2).all(|pair| pair[0].0 < pair[1].0);
        assert!(ordered && !revisions.is_empty(), "{revisions:?}");
        seen.push(revisions);
    }
    let newest = seen.iter().filter_map(|revisions| revisions.last()).max();
    assert!(seen.iter().all(|revisions| revisions.last() == newest));
}

#[tokio::test]
async fn members_agree_on_what_was_compacted() {
    let history = Retention {
        revisions: 7,
        ..Retention::default()
    };
    let options = Options {
        history,
        ..Options::default()
    };
    let cluster = Cluster::of(3, options).await;
    let leader = cluster.leader_store().await;
    for round in 0..40 {
        write(&leader, &format!("k{}", round % 3), "x").await.unwrap();
    }
    all_agree(&cluster).await;
    assert_eq!(leader.compacted().get(), leader.revision().get() - 7);
}

#[tokio::test]
async fn members_away_for_longer_than_the_log_is_kept_get_snapshots_at_once_while_history_is_compacted() {
    let history = Retention {
        revisions: 50,
        ..Retention::default()
    };
    let options = Options {
        history,
        ..Options::default()
    };
    let mut cluster = Cluster::of(5, options).await;
    let leader = cluster.leader().await;
    let away: Vec<ServerId> = (1..=5).filter(|id| *id != leader).take(2).collect();
    let store = cluster.store(away[0]);
    let mut slow = store.watch("/registry/", store.revision()).unwrap();
    let mut quiet = store.watch("/registry/nothing/", store.revision()).unwrap();
    cluster.wires.cut(&away);
    let leader = cluster.leader_store().await;
    // More entries than are kept for peers, by far.
    let round = |round: u64| {
        let leader = leader.clone();
        async move { write(&leader, &format!("k{}", round % 100), &round.to_string()).await }
    };
    for number in 0..8_000 {
        round(number).await.unwrap();
    }
    cluster.wires.cut(&[]);
    // Each of these forgets an older one, while two snapshots are made, sent and installed, one right after the other.
    for number in 8_000..9_000 {
        round(number).await.unwrap();
    }
    all_agree(&cluster).await;
    assert!(matches!(slow.next().await, Err(WatchError::Lagged { .. })));
    assert!(matches!(quiet.next().await, Err(WatchError::Lagged { .. })));
    for id in away {
        write(&cluster.store(id), "after", "snapshot").await.unwrap();
        cluster.stop(id).await;
        cluster.restart(id).await;
    }
    all_agree(&cluster).await;
    for id in 1..=5 {
        let store = cluster.store(id);
        let kept = store.revision().get() - store.compacted().get();
        assert_eq!(kept, 50, "server {id} has forgotten another part of history");
        assert_eq!(text(&store, "k99").as_deref(), Some("8999"));
        // What the state holds is forgotten, too, but for a part that spares peers a snapshot.
        let log = cluster.disk(id).log;
        let tuning = Tuning::default();
        assert!(log.next() - log.first() < tuning.snapshot_every + tuning.keep_entries + 500);
    }
}

#[tokio::test]
async fn from_one_server_to_three_to_five_and_back_under_load() {
    let mut cluster = Cluster::of(1, Options::default()).await;
    let id = ClusterId::from_stored(cluster.store(1).cluster_id().to_owned());
    let writer_store = cluster.store(1);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        let mut acknowledged = 0_u64;
        while !*stopped.borrow() {
            if write(&writer_store, "counter", &(acknowledged + 1).to_string())
                .await
                .is_ok()
            {
                acknowledged += 1;
            }
        }
        acknowledged
    });
    for number in 2..=5 {
        cluster.add(Disk::new(number, &id)).await;
    }
    let members = cluster.servers[&1].members();
    assert_eq!(
        members
            .list()
            .iter()
            .filter(|info| info.role != Role::Learner)
            .count(),
        5
    );
    for number in [5, 4, 3, 2] {
        members.change(Change::Remove(number)).await.unwrap();
        cluster.stop(number).await;
    }
    stop.send_replace(true);
    let acknowledged = tasks.join_next().await.unwrap().unwrap();
    assert!(acknowledged > 10, "{acknowledged}");
    assert_eq!(text(&cluster.store(1), "counter"), Some(acknowledged.to_string()));
    write(&cluster.store(1), "alone", "again").await.unwrap();
}

#[tokio::test]
async fn state_from_before_there_was_a_log_is_taken_over_and_reaches_new_servers() {
    let id = ClusterId::generate();
    let disk = Disk::new(1, &id);
    let before = Store::open(disk.state.clone(), Options::default()).unwrap();
    for round in 0..5 {
        write(&before, &format!("k{round}"), "kept").await.unwrap();
    }
    let revision = before.revision();
    before.close().await;
    let mut cluster = Cluster::on(vec![disk], Options::default()).await;
    assert_eq!(cluster.store(1).revision(), revision);
    write(&cluster.store(1), "new", "written").await.unwrap();
    cluster.add(Disk::new(2, &id)).await;
    all_agree(&cluster).await;
    assert_eq!(text(&cluster.store(2), "k4").as_deref(), Some("kept"));
    assert_eq!(text(&cluster.store(2), "new").as_deref(), Some("written"));
}

/// In simulated time.
#[tokio::test(start_paused = true)]
async fn a_leader_that_stops_hands_over_first() {
    let mut cluster = Cluster::of(3, Options::default()).await;
    let leader = cluster.leader().await;
    let stopping = Instant::now();
    cluster.stop(leader).await;
    let next = cluster.leader().await;
    assert_ne!(next, leader);
    assert!(
        stopping.elapsed() < Duration::from_millis(2500),
        "{:?}",
        stopping.elapsed()
    );
    write(&cluster.store(next), "a", "1").await.unwrap();
}

#[tokio::test]
async fn a_state_that_was_replaced_by_an_older_copy_is_refused() {
    let mut cluster = Cluster::of(3, Options::default()).await;
    let follower = [1, 2, 3].into_iter().find(|id| *id != 1).unwrap();
    write(&cluster.leader_store().await, "a", "1").await.unwrap();
    all_agree(&cluster).await;
    cluster.stop(follower).await;
    let mut disk = cluster.disk(follower);
    disk.state = MemoryState::of(ClusterId::from_stored(cluster.store(1).cluster_id().to_owned()));
    let refused = disk
        .try_start(&cluster.wires, Origin::Join, Options::default())
        .await;
    assert!(refused.unwrap_err().to_string().contains("older copy"));
}

#[tokio::test]
async fn the_last_vote_cannot_be_removed_and_strangers_are_named() {
    let cluster = Cluster::of(1, Options::default()).await;
    let members = cluster.servers[&1].members();
    let last = members.change(Change::Remove(1)).await.unwrap_err();
    assert!(last.to_string().contains("only server"), "{last}");
    let stranger = members.change(Change::Promote(9)).await.unwrap_err();
    assert!(
        stranger.to_string().contains("server 9 is not a member"),
        "{stranger}"
    );
}

#[tokio::test]
async fn the_lead_goes_where_it_is_asked_to_and_writes_go_on() {
    let cluster = Cluster::of(3, Options::default()).await;
    let leader = cluster.leader().await;
    let heir = (1..=3).find(|id| *id != leader).unwrap();
    let asked_at = (1..=3).find(|id| *id != leader && *id != heir).unwrap();
    let mut leads = cluster.servers[&heir].members().leadership();
    let members = cluster.servers[&asked_at].members();
    members.change(Change::HandOver(heir)).await.unwrap();
    leads.wait_for(|leads| *leads).await.unwrap();
    for id in 1..=3 {
        write(&cluster.store(id), &format!("from-{id}"), "after")
            .await
            .unwrap();
    }
    assert_eq!(cluster.leader().await, heir);
    let refused = members.change(Change::HandOver(9)).await.unwrap_err();
    assert!(refused.to_string().contains("not a member"), "{refused}");
    // Again and back: nobody is left silent.
    members.change(Change::HandOver(asked_at)).await.unwrap();
    write(&cluster.store(heir), "again", "after").await.unwrap();
}
