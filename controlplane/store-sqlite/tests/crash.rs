//! The crash matrix: a process that writes is killed between any two steps, and what it had acknowledged is there.
//!
//! The writer is this test program started again; it prints a line for each write that was acknowledged.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot be set up must stop"
)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use controlplane_store::{
    Batch, Durability, Key, Loaded, Op, Options, Outcome, Range, Reclaimed, Retention, StateError, Store,
    Txn, Value,
};
use controlplane_store_sqlite::SqliteDurability;

const STORE: &str = "FLOE_TEST_CRASH_STORE";
const STEP: &str = "FLOE_TEST_CRASH_STEP";

/// A disk whose process dies at one of the steps, the n-th time it gets there.
#[derive(Debug)]
struct Deadly {
    inner: SqliteDurability,
    step: String,
    left: u32,
}

impl Deadly {
    fn reach(&mut self, step: &str) {
        if self.step == step {
            self.left = self.left.saturating_sub(1);
            if self.left == 0 {
                let own = rustix::process::getpid();
                rustix::process::kill_process(own, rustix::process::Signal::KILL)
                    .expect("we may kill ourselves");
            }
        }
    }
}

impl Durability for Deadly {
    fn load(&mut self) -> Result<Loaded, StateError> {
        self.reach("before load");
        self.inner.load()
    }

    fn append(&mut self, batches: &[Batch]) -> Result<(), StateError> {
        self.reach("before append");
        let appended = self.inner.append(batches);
        self.reach("after append");
        appended
    }

    fn reclaim(&mut self) -> Result<Reclaimed, StateError> {
        self.reach("before reclaim");
        let reclaimed = self.inner.reclaim();
        self.reach("after reclaim");
        reclaimed
    }
}

/// Not a test: the writer that the tests below start and kill.
#[tokio::test]
#[ignore = "started by the tests of this file"]
async fn writer() {
    let path = PathBuf::from(std::env::var_os(STORE).expect("the parent names the file"));
    let step = std::env::var(STEP).unwrap_or_default();
    let inner = SqliteDurability::open(&path).expect("the store opens after a crash");
    let history = Retention {
        revisions: 10,
        ..Retention::default()
    };
    let store = Store::open(
        Deadly {
            inner,
            step,
            left: 40,
        },
        Options {
            history,
            ..Options::default()
        },
    )
    .expect("the store loads after a crash");
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

fn start_writer(path: &Path, step: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writer", "--ignored", "--nocapture"])
        .env(STORE, path)
        .env(STEP, step)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The last acknowledged revision and round, once the writer is dead.
fn last_acknowledged(child: &mut Child) -> Option<(u64, u64)> {
    let lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let acknowledged = lines.filter_map(|line| {
        let (_, numbers) = line.split_once("acknowledged ")?;
        let (revision, round) = numbers.split_once(' ')?;
        Some((revision.parse().ok()?, round.parse().ok()?))
    });
    let last = acknowledged.last();
    child.wait().unwrap();
    last
}

/// Opens the file and checks it against what the writer was told; returns the revision.
async fn check(path: &Path, acknowledged: Option<(u64, u64)>, before: u64) -> u64 {
    let store = Store::open(SqliteDurability::open(path).unwrap(), Options::default()).unwrap();
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
        let all = store.list(&Range::prefix("/registry/")).unwrap();
        let newest = all
            .entries
            .iter()
            .filter(|entry| entry.mod_revision.get() == reached)
            .count();
        assert_eq!(newest, 2, "a transaction is there whole or not at all");
    }
    assert!(reached >= before, "went from {before} back to {reached}");
    store.close().await;
    reached
}

#[tokio::test]
async fn no_acknowledged_write_is_lost_when_killed_at_any_step() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut reached = 0;
    for step in [
        "before append",
        "after append",
        "before reclaim",
        "after reclaim",
        "before append",
    ] {
        let mut child = start_writer(&path, step);
        let deadline = std::thread::spawn({
            let pid = rustix::process::Pid::from_child(&child);
            move || {
                // Steps that only an idle or long-running store reaches are cut short.
                std::thread::sleep(Duration::from_secs(2));
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
            }
        });
        let acknowledged = last_acknowledged(&mut child);
        assert!(acknowledged.is_some());
        reached = check(&path, acknowledged, reached).await;
        deadline.join().unwrap();
    }
}

#[tokio::test]
async fn no_acknowledged_write_is_lost_when_killed_at_any_moment() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut reached = 0;
    for run in 0..20_u64 {
        let mut child = start_writer(&path, "");
        std::thread::sleep(Duration::from_millis(20 + run * 7));
        child.kill().unwrap();
        let acknowledged = last_acknowledged(&mut child);
        reached = check(&path, acknowledged, reached).await;
    }
    assert!(reached > 20, "only {reached} writes in all");
}

#[tokio::test]
async fn a_file_that_is_open_elsewhere_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let _held = SqliteDurability::open(&path).unwrap();
    let refused = SqliteDurability::open(&path);
    assert!(matches!(refused, Err(StateError::InUse(_))), "{refused:?}");
}

#[test]
fn a_file_of_a_newer_or_another_program_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    std::fs::write(&path, "this is no database, whatever its name says").unwrap();
    assert!(matches!(
        SqliteDurability::open(&path),
        Err(StateError::Corrupt(_))
    ));
    std::fs::remove_file(&path).unwrap();
    drop(SqliteDurability::open(&path).unwrap());
    rusqlite::Connection::open(&path)
        .unwrap()
        .pragma_update(None, "user_version", 9)
        .unwrap();
    assert!(matches!(
        SqliteDurability::open(&path),
        Err(StateError::NewerSchema { found: 9, known: 2 })
    ));
}

#[test]
fn the_store_file_is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let _open = SqliteDurability::open(&path).unwrap();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        assert_eq!(
            file.unwrap().metadata().unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}
