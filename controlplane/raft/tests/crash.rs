//! The crash matrix: a process that writes is killed between any two steps, and what it had acknowledged is there.
//!
//! The writer is this test program started again; it prints a line for each write that was acknowledged.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot be set up must stop"
)]

use std::cell::Cell;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use bytes::Bytes;
use controlplane_raft::{Change, Drive, Log, NoNetwork, Origin, Peer, Server, Setup, Tuning};
use controlplane_store::{
    Applied, Key, Loaded, Op, Options, Outcome, Reclaimed, Retention, State, StateError, Txn, Value,
};
use controlplane_store_sqlite::SqliteState;
use controlplane_wal::{RealDisk, Wal};
use tests_kill::Victim;

const STORE: &str = "FLOE_TEST_CRASH_STORE";
const STEP: &str = "FLOE_TEST_CRASH_STEP";

/// A log or a state whose process dies at one of its steps, the n-th time it gets there.
#[derive(Debug)]
struct Deadly<T> {
    inner: T,
    step: String,
    left: Cell<u32>,
}

impl<T> Deadly<T> {
    fn new(inner: T, step: &str, after: u32) -> Self {
        Self {
            inner,
            step: step.to_owned(),
            left: Cell::new(after),
        }
    }

    fn reach(&self, step: &str) {
        if self.step == step {
            self.left.set(self.left.get().saturating_sub(1));
            if self.left.get() == 0 {
                let own = rustix::process::getpid();
                rustix::process::kill_process(own, rustix::process::Signal::KILL)
                    .expect("we may kill ourselves");
            }
        }
    }
}

impl Log for Deadly<Wal<RealDisk>> {
    fn first(&self) -> u64 {
        Log::first(&self.inner)
    }

    fn next(&self) -> u64 {
        Log::next(&self.inner)
    }

    fn meta(&self) -> Vec<u8> {
        Log::meta(&self.inner)
    }

    async fn append(&mut self, records: &[(u64, Bytes)]) -> Result<(), StateError> {
        self.reach("before append");
        let appended = Log::append(&mut self.inner, records).await;
        self.reach("after append");
        appended
    }

    fn read(&self, range: Range<u64>, max_bytes: usize) -> Result<Vec<(u64, Bytes)>, StateError> {
        Log::read(&self.inner, range, max_bytes)
    }

    async fn truncate_from(&mut self, index: u64) -> Result<(), StateError> {
        Log::truncate_from(&mut self.inner, index).await
    }

    async fn purge_through(&mut self, index: u64) -> Result<(), StateError> {
        self.reach("before purge");
        let purged = Log::purge_through(&mut self.inner, index).await;
        self.reach("after purge");
        purged
    }

    async fn set_meta(&mut self, data: &[u8]) -> Result<(), StateError> {
        self.reach("before meta");
        let set = Log::set_meta(&mut self.inner, data).await;
        self.reach("after meta");
        set
    }
}

impl State for Deadly<SqliteState> {
    fn load(&mut self) -> Result<Loaded, StateError> {
        self.inner.load()
    }

    fn apply(&mut self, applied: &Applied<'_>) -> Result<(), StateError> {
        self.reach("before apply");
        let done = self.inner.apply(applied);
        self.reach("after apply");
        done
    }

    fn sync(&mut self) -> Result<(), StateError> {
        self.reach("before sync");
        let done = self.inner.sync();
        self.reach("after sync");
        done
    }

    fn reclaim(&mut self, now: u64) -> Result<Reclaimed, StateError> {
        self.reach("before reclaim");
        let reclaimed = self.inner.reclaim(now);
        self.reach("after reclaim");
        reclaimed
    }

    fn snapshot(&mut self, into: &Path) -> Result<(), StateError> {
        self.inner.snapshot(into)
    }

    fn install(&mut self, from: &Path) -> Result<Loaded, StateError> {
        self.inner.install(from)
    }

    fn verify(&mut self) -> Result<(), StateError> {
        self.inner.verify()
    }

    fn mend(&mut self, memory: &Loaded) -> Result<(), StateError> {
        self.inner.mend(memory)
    }
}

/// Opens the store in `folder`, to die at `step`.
async fn open(folder: &Path, step: &str, options: Options) -> Server {
    let mut state = SqliteState::open(&folder.join("store.db")).expect("the state opens after a crash");
    let loaded = state.load().expect("the state loads after a crash");
    let disk = RealDisk::open(&folder.join("log")).expect("the folder can be made");
    let (log, _) =
        Wal::open(disk, controlplane_wal::Options::default()).expect("the log opens after a crash");
    Server::start(Setup {
        id: 1,
        peer: Peer::default(),
        log: Deadly::new(log, step, if step.ends_with("append") { 40 } else { 1 }),
        state: Deadly::new(state, step, if step.ends_with("apply") { 20 } else { 1 }),
        loaded,
        transport: Arc::new(NoNetwork),
        folder: folder.join("snapshots"),
        options,
        tuning: Tuning::default(),
        room: None,
        drive: Drive::Threads,
        origin: Origin::Found,
    })
    .await
    .expect("the store starts after a crash")
}

/// Not a test: the writer that the tests below start and kill.
#[tokio::test]
#[ignore = "started by the tests of this file"]
async fn writer() {
    let path = PathBuf::from(std::env::var_os(STORE).expect("the parent names the file"));
    let step = std::env::var(STEP).unwrap_or_default();
    let history = Retention {
        revisions: 10,
        ..Retention::default()
    };
    let options = Options {
        history,
        ..Options::default()
    };
    let server = open(&path, &step, options).await;
    let store = server.store().clone();
    if step.ends_with("sync") || step.ends_with("purge") {
        purge(&server).await;
    }
    for round in 0_u64.. {
        let ops = vec![
            put("counter", &round.to_string()),
            put(&format!("w{}", round % 50), &"x".repeat(4000)),
        ];
        let outcome = store
            .commit(Txn {
                actor: "test".into(),
                compares: vec![],
                ops,
            })
            .await
            .expect("the write succeeds");
        let Outcome::Committed { revision } = outcome else {
            panic!("{outcome:?}")
        };
        println!("acknowledged {revision} {round}");
    }
}

/// A second server that never answers is added and removed, for which the log's beginning is forgotten, in the background.
async fn purge(server: &Server) {
    let members = server.members();
    let peer = Peer {
        address: "nowhere:6444".to_owned(),
        ..Peer::default()
    };
    members
        .change(Change::Add(2, peer))
        .await
        .expect("a server can be added");
}

fn key(name: &str) -> Key {
    Key::parse(&format!("/registry/configmaps/crash/{name}")).unwrap()
}

fn put(name: &str, text: &str) -> Op {
    let value = Value::encode(&serde_json::json!({"metadata": {"name": name}, "text": text})).unwrap();
    Op::Put {
        key: key(name),
        value,
        expires_at: None,
    }
}

fn start_writer(path: &Path, step: &str) -> Victim {
    Victim::start("writer", [(STORE, path.as_os_str()), (STEP, step.as_ref())])
}

/// The last acknowledged revision and round, once the writer is dead.
fn last_acknowledged(writer: &mut Victim) -> Option<(u64, u64)> {
    let said = writer.said("acknowledged ");
    let (revision, round) = said.last()?.split_once(' ')?;
    Some((revision.parse().ok()?, round.parse().ok()?))
}

/// Opens the file and checks it against what the writer was told; returns the revision.
async fn check(path: &Path, acknowledged: Option<(u64, u64)>, before: u64) -> u64 {
    let server = open(path, "", Options::default()).await;
    let store = server.store().clone();
    let reached = store.revision().get();
    if let Some((revision, round)) = acknowledged {
        let counter = store.get(&key("counter")).expect("the counter was acknowledged");
        let text = counter.value.to_json(counter.mod_revision).unwrap()["text"].clone();
        let found: u64 = text.as_str().unwrap().parse().unwrap();
        // One more may be there: written, but not yet acknowledged when its process died.
        assert!(
            found == round || found == round + 1,
            "acknowledged {round}, found {found}"
        );
        assert!(
            reached == revision || reached == revision + 1,
            "acknowledged {revision}, found {reached}"
        );
        assert_eq!(counter.mod_revision.get(), reached);
        let all = store
            .list(&controlplane_store::Range::prefix("/registry/"))
            .unwrap();
        let newest = all
            .entries
            .iter()
            .filter(|entry| entry.mod_revision.get() == reached)
            .count();
        assert_eq!(newest, 2, "a transaction is there whole or not at all");
    }
    assert!(reached >= before, "went from {before} back to {reached}");
    server.stop().await;
    reached
}

#[tokio::test]
async fn no_acknowledged_write_is_lost_when_killed_at_any_step() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let mut reached = 0;
    for step in [
        "before append",
        "after append",
        "before meta",
        "after meta",
        "before apply",
        "after apply",
        "before reclaim",
        "after reclaim",
        "before sync",
        "after sync",
        "before purge",
        "after purge",
        "before append",
    ] {
        let mut child = start_writer(&path, step);
        let (ended, still_runs) = std::sync::mpsc::sync_channel::<()>(1);
        let deadline = std::thread::spawn({
            let pid = rustix::process::Pid::from_child(child.child());
            move || {
                // Steps that only an idle or long-running store reaches are cut short.
                if still_runs.recv_timeout(Duration::from_secs(2)) == Err(RecvTimeoutError::Timeout) {
                    rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
                }
            }
        });
        let acknowledged = last_acknowledged(&mut child);
        drop(ended);
        deadline.join().unwrap();
        reached = check(&path, acknowledged, reached).await;
    }
}

#[tokio::test]
async fn no_acknowledged_write_is_lost_when_killed_at_any_moment() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let mut reached = 0;
    // On a busy machine a writer takes longer to begin than the first of these are given.
    for run in 0..200_u64 {
        if run >= 20 && reached > 20 {
            break;
        }
        let mut child = start_writer(&path, "");
        std::thread::sleep(Duration::from_millis(20 + run * 7));
        child.kill();
        let acknowledged = last_acknowledged(&mut child);
        reached = check(&path, acknowledged, reached).await;
    }
    assert!(reached > 20, "only {reached} writes in all");
}
