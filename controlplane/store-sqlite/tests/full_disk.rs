//! A disk that is really full: a small tmpfs in a mount namespace of its own, which needs root.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must stop")]

use std::path::Path;
use std::process::Command;

use controlplane_store::{Key, Op, Options, Outcome, Store, StoreError, Txn, Value};
use controlplane_store_sqlite::SqliteState;

const FOLDER: &str = "FLOE_TEST_FULL_FOLDER";

#[test]
#[ignore = "needs root, to mount a small tmpfs in a namespace of its own"]
fn full_disk_refuses_and_freed_space_makes_writes_work() {
    let folder = tempfile::tempdir().unwrap();
    let script =
        format!("mount -t tmpfs -o size=2m tmpfs \"${FOLDER}\" && exec \"$0\" --exact inside --ignored");
    let status = Command::new("unshare")
        .args(["--mount", "sh", "-c", &script])
        .arg(std::env::current_exe().unwrap())
        .env(FOLDER, folder.path())
        .status()
        .unwrap();
    assert!(status.success());
}

/// Not a test by itself: what the one above runs on its tmpfs.
#[tokio::test]
#[ignore = "run by the other test of this file"]
async fn inside() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let folder = Path::new(&folder);
    let path = folder.join("store.db");
    let filler = folder.join("filler");
    let open = || Store::open(SqliteState::open(&path).unwrap(), Options::default()).unwrap();
    let store = open();
    std::fs::write(&filler, vec![0; 1 << 20]).unwrap();
    let mut written = 0;
    let refusal = loop {
        match put(&store, written).await {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(&refusal, StoreError::NotWritten(_)), "{refusal}");
    let reached = store.revision();
    std::fs::remove_file(&filler).unwrap();
    let Ok(Outcome::Committed { revision }) = put(&store, written).await else {
        panic!("space was freed")
    };
    assert_eq!(revision, reached.next());
    store.close().await;
    let again = open();
    assert_eq!(again.revision(), revision);
    assert!((0..=written).all(|number| again.get(&key(number)).is_some()));
}

fn key(number: u32) -> Key {
    Key::parse(&format!("/registry/configmaps/full/{number}")).unwrap()
}

async fn put(store: &Store, number: u32) -> Result<Outcome, StoreError> {
    let value = Value::encode(&serde_json::json!({"text": "x".repeat(20_000)})).unwrap();
    let ops = vec![Op::Put {
        key: key(number),
        value,
        expires_at: None,
    }];
    store
        .commit(Txn {
            actor: "test".into(),
            compares: vec![],
            ops,
        })
        .await
}
