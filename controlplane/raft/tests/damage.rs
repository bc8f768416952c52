//! A server whose state on disk is damaged while it runs.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot be set up must stop"
)]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use controlplane_raft::{Drive, NoNetwork, Origin, Peer, Server, ServerId, Setup, Tuning};
use controlplane_store::{Options, State, StoreError};
use controlplane_store_sqlite::{Archive, SqliteState};
use controlplane_wal::{RealDisk, Wal};
use support::{Cluster, eventually, text, write};

/// A server alone on real files.
async fn open(folder: &Path) -> (Server, Archive) {
    let mut state = SqliteState::open(&folder.join("store.db")).unwrap();
    let archive = state.archive();
    let loaded = state.load().unwrap();
    let disk = RealDisk::open(&folder.join("log")).unwrap();
    let (log, _) = Wal::open(disk, controlplane_wal::Options::default()).unwrap();
    let server = Server::start(Setup {
        id: 1,
        peer: Peer::default(),
        log,
        state,
        loaded,
        transport: Arc::new(NoNetwork),
        folder: folder.join("snapshots"),
        options: Options::default(),
        tuning: Tuning::default(),
        room: None,
        drive: Drive::Threads,
        origin: Origin::Found,
    });
    let server = server.await.unwrap();
    let members = server.members();
    let archive = archive.reporting(move |error| {
        let why = std::error::Error::source(error).map(ToString::to_string);
        members.damaged(why.unwrap_or_default());
    });
    (server, archive)
}

/// Flips a bit of each place where `text` stands in the file or its log, as a disk would.
fn flip(folder: &Path, text: &str) -> usize {
    let mut flipped = 0;
    for name in ["store.db", "store.db-wal"] {
        let mut bytes = std::fs::read(folder.join(name)).unwrap();
        let places: Vec<usize> = (0..bytes.len().saturating_sub(text.len()))
            .filter(|at| bytes[*at..].starts_with(text.as_bytes()))
            .collect();
        for at in &places {
            bytes[*at] ^= 4;
        }
        flipped += places.len();
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    flipped
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bit_that_flips_on_disk_is_found_by_a_reader_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (server, archive) = open(folder.path()).await;
    let store = server.store().clone();
    for round in 0..40 {
        let name = format!("c{round}");
        write(&store, &name, &format!("unmistakable-{round}"))
            .await
            .unwrap();
    }
    let copy = folder.path().join("copy");
    eventually("all is in the file", || {
        std::fs::remove_file(&copy).ok();
        let made = archive.backup(&copy);
        let whole = made.is_ok() && controlplane_store_sqlite::inspect(&copy).unwrap().revision >= 41;
        async move { whole }
    })
    .await;
    std::fs::remove_file(&copy).unwrap();
    assert!(flip(folder.path(), "unmistakable-17") > 0);
    assert!(archive.backup(&copy).is_err(), "no copy of a damaged file");
    eventually("the file is whole again", || {
        let made = archive.backup(&copy).is_ok();
        async move { made }
    })
    .await;
    eventually("nothing is wrong any more", || {
        let whole = server.members().trouble().is_none();
        async move { whole }
    })
    .await;
    // Written to and read as before, and after a restart.
    write(&store, "after", "the damage").await.unwrap();
    drop(store);
    server.stop().await;
    let (server, _) = open(folder.path()).await;
    assert_eq!(text(server.store(), "c17").as_deref(), Some("unmistakable-17"));
    assert_eq!(text(server.store(), "after").as_deref(), Some("the damage"));
    server.stop().await;
}

#[tokio::test]
async fn a_leader_that_cannot_write_its_damaged_state_anew_hands_over_and_comes_back() {
    let cluster = Cluster::of(3, Options::default()).await;
    let leader = cluster.leader().await;
    write(&cluster.store(leader), "a", "before").await.unwrap();
    let disk = cluster.disk(leader);
    disk.state.set_full(true);
    disk.state.damage();
    let members = cluster.servers[&leader].members();
    members.damaged("a row does not match its checksum".to_owned());
    eventually("another server leads", || {
        let mut others = cluster.servers.iter().filter(|(id, _)| **id != leader);
        let led = others.any(|(_, server)| server.members().leads());
        async move { led }
    })
    .await;
    assert!(members.trouble().is_some());
    let next = cluster.leader().await;
    assert_ne!(next, leader);
    // The others go on, and through them the damaged one too, far beyond what waits for the disk.
    for round in 0..600 {
        write(&cluster.store(next), "a", &round.to_string())
            .await
            .unwrap();
    }
    disk.state.set_full(false);
    eventually("its state is whole again", || {
        let whole = members.trouble().is_none();
        async move { whole }
    })
    .await;
    write(&cluster.store(leader), "a", "after").await.unwrap();
    all_on_disk(&cluster, leader).await;
}

/// Waits until the state of a server, which follows memory, has all that was written.
async fn all_on_disk(cluster: &Cluster, id: ServerId) {
    let store = cluster.store(cluster.leader().await);
    eventually("its state has all that was written", || {
        let mut state = cluster.disk(id).state;
        let held = state.load().unwrap().revision == store.revision();
        async move { held }
    })
    .await;
}

#[tokio::test]
async fn a_server_alone_takes_no_writes_while_its_state_is_damaged_and_reads_go_on() {
    let cluster = Cluster::of(1, Options::default()).await;
    let store = cluster.store(1);
    write(&store, "a", "before").await.unwrap();
    all_on_disk(&cluster, 1).await;
    cluster.disk(1).state.set_full(true);
    cluster.disk(1).state.damage();
    cluster.servers[&1]
        .members()
        .damaged("a row is missing".to_owned());
    eventually("writes are refused", || async {
        match write(&store, "a", "meanwhile").await {
            Ok(_) => false,
            Err(StoreError::NotWritten(cause)) => cause.to_string().contains("damaged"),
            Err(other) => panic!("{other}"),
        }
    })
    .await;
    let kept = text(&store, "a").unwrap();
    assert!(kept == "before" || kept == "meanwhile");
    cluster.disk(1).state.set_full(false);
    let healed = tokio::time::timeout(Duration::from_secs(20), async {
        while write(&store, "a", "after").await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(healed.await.is_ok(), "writes are taken again");
}
