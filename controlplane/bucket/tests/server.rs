//! Against a real S3 server, which checks signatures, checksums and rights: `moto`, over TLS with an authority of its own.
//! `tests/run` installs it and runs these.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must stop")]

mod support;

use std::io::{Read, Seek, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use controlplane_bucket::{Bucket, BucketError, Settings, Unfinished};
use support::{Server, private, settings, written};
use tests_kill::Victim;

const FOLDER: &str = "FLOE_TEST_BUCKET_FOLDER";
const PORT: &str = "FLOE_TEST_BUCKET_PORT";

/// Uploads that were begun and neither ended nor given up.
fn half_done(server: &mut Server) -> String {
    server.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    server.line()
}

#[tokio::test]
#[ignore = "needs moto: run by tests/run"]
async fn what_is_uploaded_is_listed_downloaded_and_removed() {
    let mut server = Server::start();
    let bucket = Bucket::open(&server.settings()).unwrap();
    let unfinished = Unfinished::at(server.note());
    let part = 16 << 20;
    for (name, bytes) in [
        ("a", 0),
        ("b", 5),
        ("c", part),
        ("d", part + 1),
        ("e", 2 * part),
        ("f", 2 * part + 77),
    ] {
        let file = server.file(bytes);
        let mut same = file.try_clone().unwrap();
        assert_eq!(bucket.put(name, file, &unfinished).await.unwrap(), bytes as u64);
        assert!(!server.note().exists());
        let mut back = tempfile::tempfile().unwrap();
        assert_eq!(bucket.get(name, &mut back).await.unwrap(), bytes as u64);
        let (mut sent, mut came) = (Vec::new(), Vec::new());
        for (file, into) in [(&mut same, &mut sent), (&mut back, &mut came)] {
            file.rewind().unwrap();
            file.read_to_end(into).unwrap();
        }
        assert!(sent == came, "{name}: what came is not what was sent");
    }
    assert_eq!(half_done(&mut server), "0");
    // What lies beside, or in folders, is not ours.
    let beside = Settings {
        prefix: "clusters/".to_owned(),
        ..server.settings()
    };
    let beside = Bucket::open(&beside).unwrap();
    beside.put("two-x", server.file(3), &unfinished).await.unwrap();
    beside
        .put("one-folder/x", server.file(3), &unfinished)
        .await
        .unwrap();
    bucket.remove("c").await.unwrap();
    bucket.remove("c").await.unwrap();
    let listed = bucket.list().await.unwrap();
    let names: Vec<(&str, u64)> = listed
        .iter()
        .map(|object| (object.name.as_str(), object.bytes))
        .collect();
    let part = part as u64;
    let expected = [
        ("a", 0),
        ("b", 5),
        ("d", part + 1),
        ("e", 2 * part),
        ("f", 2 * part + 77),
    ];
    assert_eq!(names, expected);
}

fn chain(error: &BucketError) -> String {
    let source = std::error::Error::source(error).map(ToString::to_string);
    format!("{error}: {}", source.unwrap_or_default())
}

#[tokio::test]
#[ignore = "needs moto: run by tests/run"]
async fn what_the_server_refuses_is_told_with_what_was_asked() {
    let server = Server::start();
    let unfinished = Unfinished::at(server.note());
    let good = server.settings();
    let text = std::fs::read_to_string(good.credentials_file.as_ref().unwrap()).unwrap();
    let forged = server.folder.path().join("forged");
    let secret = text.split("aws_secret_access_key = ").nth(1).unwrap().trim();
    std::fs::write(&forged, text.replace(secret, "another-secret")).unwrap();
    for (settings, expected) in [
        (
            Settings {
                credentials_file: Some(private(&forged)),
                ..good.clone()
            },
            "upload s3://floe-backups/clusters/one-x: the server refuses it; do the credentials belong to this server",
        ),
        (
            Settings {
                bucket: "no-such-bucket".to_owned(),
                ..good.clone()
            },
            "upload s3://no-such-bucket/clusters/one-x: the server has no such bucket",
        ),
        (
            Settings {
                ca_file: None,
                ..good.clone()
            },
            "upload s3://floe-backups/clusters/one-x",
        ),
        (
            Settings {
                endpoint: Some("https://127.0.0.1:1".to_owned()),
                ..good.clone()
            },
            "upload s3://floe-backups/clusters/one-x",
        ),
    ] {
        let bucket = Bucket::open(&settings).unwrap();
        let refused = bucket.put("x", server.file(9), &unfinished).await.unwrap_err();
        assert!(chain(&refused).contains(expected), "{}", chain(&refused));
    }
    let bucket = Bucket::open(&good).unwrap();
    let refused = bucket
        .get("x", &mut tempfile::tempfile().unwrap())
        .await
        .unwrap_err();
    assert!(
        matches!(refused, BucketError::Absent { .. }),
        "{}",
        chain(&refused)
    );
}

#[tokio::test]
#[ignore = "needs moto: run by tests/run"]
async fn an_upload_that_fails_leaves_nothing_behind() {
    let mut server = Server::start();
    let bucket = Bucket::open(&server.settings()).unwrap();
    let unfinished = Unfinished::at(server.note());
    let file = server.file(64 << 20);
    let shrinking = file.try_clone().unwrap();
    let shrink = async {
        while !server.note().exists() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        shrinking.set_len(20 << 20).unwrap();
    };
    let (put, ()) = tokio::join!(bucket.put("x", file, &unfinished), shrink);
    assert!(chain(&put.unwrap_err()).contains("the file has become shorter"));
    assert_eq!(half_done(&mut server), "0");
    assert!(!server.note().exists() && bucket.list().await.unwrap().is_empty());
}

/// Not a test: what the test below starts and kills.
#[tokio::test]
#[ignore = "started by the test below"]
async fn uploader() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else {
        return;
    };
    let settings = settings(&folder, &std::env::var(PORT).unwrap());
    let bucket = Bucket::open(&settings).unwrap();
    let file = written(&folder, 96 << 20);
    bucket
        .put("killed", file, &Unfinished::at(folder.join("upload")))
        .await
        .unwrap();
}

#[tokio::test]
#[ignore = "needs moto: run by tests/run"]
async fn what_a_killed_process_left_half_done_is_removed_by_the_next_upload() {
    let mut server = Server::start();
    let variables = [
        (FOLDER, server.folder.path().as_os_str()),
        (PORT, server.port.as_ref()),
    ];
    let mut uploader = Victim::start("uploader", variables);
    let begun = Instant::now();
    while !server.note().exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it begins");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    uploader.kill();
    assert_eq!(half_done(&mut server), "1");
    let bucket = Bucket::open(&server.settings()).unwrap();
    let unfinished = Unfinished::at(server.note());
    bucket.put("next", server.file(10), &unfinished).await.unwrap();
    assert_eq!(half_done(&mut server), "0");
    let names: Vec<String> = bucket
        .list()
        .await
        .unwrap()
        .into_iter()
        .map(|object| object.name)
        .collect();
    assert_eq!(names, ["next"]);
}
