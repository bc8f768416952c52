//! Backups by schedule into a bucket, by the daemon itself. `tests/run` installs the server and runs this.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must stop")]

#[path = "../../bucket/tests/support/mod.rs"]
mod support;

#[path = "support/ports.rs"]
mod ports;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use controlplane_bucket::Bucket;
use controlplane_store_sqlite::inspect;
use ports::Port;
use support::Server;

struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[tokio::test]
#[ignore = "needs moto: run by tests/run"]
async fn a_daemon_fills_a_bucket_and_keeps_as_many_as_it_is_told() {
    let server = Server::start();
    let settings = server.settings();
    let bucket = Bucket::open(&settings).unwrap();
    let unfinished = controlplane_bucket::Unfinished::at(server.note());
    for name in [
        "floe-20200101T000000Z.db",
        "floe-20200102T000000Z.db",
        "notes.txt",
    ] {
        bucket.put(name, server.file(10), &unfinished).await.unwrap();
    }
    let folder = server.folder.path();
    let (port, peer_port) = (Port::reserve(), Port::reserve());
    // As systemd hands it to a unit.
    let text = format!(
        "state_dir = {:?}\nlisten = \"127.0.0.1:{}\"\npeer_listen = \"127.0.0.1:{}\"\n\
         [backup]\nkeep = 2\n[backup.s3]\nbucket = \"floe-backups\"\nprefix = \"clusters/one-\"\n\
         endpoint = {:?}\ncredentials_file = \"credentials\"\nca_file = {:?}\n",
        folder.join("state"),
        port.number(),
        peer_port.number(),
        settings.endpoint.as_ref().unwrap(),
        folder.join("ca.pem"),
    );
    let config = folder.join("config.toml");
    std::fs::write(&config, text).unwrap();
    let log = std::fs::File::create(folder.join("log")).unwrap();
    let daemon = Command::new(env!("CARGO_BIN_EXE_floe-controlplane"))
        .arg("--config")
        .arg(&config)
        .env("CREDENTIALS_DIRECTORY", folder)
        .env_remove("JOURNAL_STREAM")
        .stderr(log)
        .stdout(Stdio::null())
        .spawn();
    let _daemon = Daemon(daemon.unwrap());
    let begun = Instant::now();
    let names = loop {
        let listed = bucket.list().await.unwrap();
        let names: Vec<String> = listed.into_iter().map(|object| object.name).collect();
        // Made, and the oldest of three removed.
        if names.len() == 3 && !names.contains(&"floe-20200101T000000Z.db".to_owned()) {
            break names;
        }
        let log = std::fs::read_to_string(folder.join("log")).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(60), "{names:?}\n{log}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(names[0], "floe-20200102T000000Z.db");
    assert_eq!(names[2], "notes.txt");
    let copy = folder.join("copy.db");
    let mut file = std::fs::File::create(&copy).unwrap();
    bucket.get(&names[1], &mut file).await.unwrap();
    let found = inspect(&copy).unwrap();
    assert!(found.resources.contains_key("namespaces"), "{found:?}");
}
