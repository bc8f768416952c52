//! A process that writes a log on a real disk is killed at any moment, and every record that it had synced is there.
//!
//! The writer is this test program started again; it prints the index of each record that was synced.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must stop")]

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use controlplane_wal::{Options, RealDisk, Wal};
use tests_kill::Victim;

const FOLDER: &str = "FLOE_TEST_WAL";

fn options() -> Options {
    Options {
        segment_bytes: 256 << 10,
        fill_bytes: 64 << 10,
    }
}

fn payload(index: u64) -> Bytes {
    let size = usize::try_from(index * 7919 % 9000).unwrap();
    let mut bytes = index.to_le_bytes().to_vec();
    bytes.resize(8 + size, u8::try_from(index % 251).unwrap());
    Bytes::from(bytes)
}

/// Not a test: the writer that the tests below start and kill.
#[test]
#[ignore = "started by the tests of this file"]
fn writer() {
    let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap());
    let (mut wal, _) = Wal::open(RealDisk::open(&folder).unwrap(), options()).unwrap();
    for round in 0_u64.. {
        let next = wal.next();
        let records: Vec<_> = (next..=next + round % 9)
            .map(|index| (index, payload(index)))
            .collect();
        wal.append(&records).unwrap();
        wal.sync().unwrap();
        wal.set_meta(&wal.next().to_le_bytes()).unwrap();
        println!("synced {}", wal.next());
        if round % 50 == 49 {
            wal.purge_through(wal.next() - 40).unwrap();
        }
        if round % 30 == 29 {
            wal.truncate_from(wal.next()).unwrap();
        }
    }
}

#[test]
fn every_synced_record_survives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let mut told = 0;
    // On a busy machine a writer takes longer to begin than the first of these are given.
    for round in 0..100 {
        if round >= 12 && told > 20 {
            break;
        }
        let mut writer = Victim::start("writer", [(FOLDER, folder.path().as_os_str())]);
        std::thread::sleep(Duration::from_millis(30 + round * 13));
        writer.kill();
        let said = writer.said("synced ");
        told = said.last().map_or(told, |number| number.parse().unwrap());
        let (wal, recovered) = Wal::open(RealDisk::open(folder.path()).unwrap(), options()).unwrap();
        assert!(wal.next() >= told, "synced up to {told}, found {recovered:?}");
        let meta = u64::from_le_bytes(recovered.meta.try_into().unwrap_or_default());
        assert!(meta >= told || told == 0, "meta says {meta}, told {told}");
        for index in wal.first()..wal.next() {
            assert_eq!(wal.read(index..index + 1, 0).unwrap(), [(index, payload(index))]);
        }
    }
    assert!(told > 20, "the writer was given time to write: {told}");
}
