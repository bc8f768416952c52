use super::*;
use crate::{Damage, Fault, SimDisk};

fn options() -> Options {
    Options {
        segment_bytes: 4096,
        fill_bytes: 1024,
    }
}

fn open(disk: &SimDisk) -> Wal<SimDisk> {
    Wal::open(disk.clone(), options()).unwrap().0
}

fn error(disk: &SimDisk) -> WalError {
    Wal::open(disk.clone(), options()).unwrap_err()
}

fn payload(index: u64) -> Bytes {
    Bytes::from(format!("record {index} {}", "x".repeat(100)))
}

fn append(wal: &mut Wal<SimDisk>, range: Range<u64>) {
    let records: Vec<_> = range.map(|index| (index, payload(index))).collect();
    wal.append(&records).unwrap();
    wal.sync().unwrap();
}

fn all(wal: &Wal<SimDisk>) -> Vec<(u64, Bytes)> {
    let mut read = Vec::new();
    let mut at = wal.first();
    while at < wal.next() {
        read.extend(wal.read(at..wal.next(), 1000).unwrap());
        at = read.last().unwrap().0 + 1;
    }
    read
}

fn expected(range: Range<u64>) -> Vec<(u64, Bytes)> {
    range.map(|index| (index, payload(index))).collect()
}

#[test]
fn records_are_there_again_when_the_log_is_opened_again() {
    let disk = SimDisk::new(1);
    let mut wal = open(&disk);
    for group in 0..20 {
        append(&mut wal, group * 5..group * 5 + 5);
    }
    wal.set_meta(b"vote").unwrap();
    assert_eq!(all(&wal), expected(0..100));
    drop(wal);
    let (wal, recovered) = Wal::open(disk.crash(), options()).unwrap();
    let told = Recovered {
        first: 0,
        last: Some(99),
        meta: b"vote".to_vec(),
        cut: None,
    };
    assert_eq!((all(&wal), recovered), (expected(0..100), told));
}

#[test]
fn an_index_out_of_turn_is_refused() {
    let mut wal = open(&SimDisk::new(1));
    let refused = wal.append(&[(0, payload(0)), (2, payload(2))]).unwrap_err();
    assert!(matches!(
        refused,
        WalError::NotContiguous {
            expected: 1,
            found: 2
        }
    ));
    append(&mut wal, 0..3);
    assert!(matches!(
        wal.read(1..4, 1),
        Err(WalError::OutOfRange { index: 3, .. })
    ));
}

#[test]
fn a_read_gives_one_record_at_least_and_no_more_than_was_asked() {
    let mut wal = open(&SimDisk::new(1));
    append(&mut wal, 0..20);
    assert_eq!(wal.read(3..20, 0).unwrap(), expected(3..4));
    assert_eq!(wal.read(18..20, 1000).unwrap(), expected(18..20));
    assert_eq!(wal.read(3..6, 1 << 20).unwrap(), expected(3..6));
    assert_eq!(wal.read(3..3, 1000).unwrap(), []);
}

#[test]
fn what_was_cut_back_stays_away_and_the_log_goes_on_from_there() {
    let disk = SimDisk::new(1);
    let mut wal = open(&disk);
    append(&mut wal, 0..100);
    wal.truncate_from(40).unwrap();
    assert_eq!((wal.next(), all(&wal)), (40, expected(0..40)));
    wal.append(&[(40, Bytes::from_static(b"other"))]).unwrap();
    wal.sync().unwrap();
    wal.truncate_from(30).unwrap();
    append(&mut wal, 30..35);
    drop(wal);
    let wal = open(&disk.crash());
    assert_eq!(all(&wal), expected(0..35));
}

#[test]
fn purged_records_give_their_space_back() {
    let disk = SimDisk::new(1);
    let mut wal = open(&disk);
    append(&mut wal, 0..20);
    let small = wal.bytes();
    for next in (20..1000).step_by(20) {
        append(&mut wal, next..next + 20);
        wal.purge_through(next - 1).unwrap();
        assert!(
            wal.bytes() <= small + 2 * options().segment_bytes,
            "{}",
            wal.bytes()
        );
    }
    assert_eq!((wal.first(), all(&wal)), (980, expected(980..1000)));
    assert!(matches!(wal.read(979..981, 1), Err(WalError::OutOfRange { .. })));
    assert_eq!(usize::try_from(wal.bytes()).unwrap(), disk.used());
    drop(wal);
    assert_eq!(all(&open(&disk.crash())), expected(980..1000));
}

#[test]
fn a_purge_beyond_the_end_makes_the_log_go_on_after_it() {
    let disk = SimDisk::new(1);
    let mut wal = open(&disk);
    append(&mut wal, 0..5);
    wal.purge_through(99).unwrap();
    assert_eq!((wal.first(), wal.next(), wal.last()), (100, 100, None));
    drop(wal);
    let mut wal = open(&disk.crash());
    assert_eq!((wal.first(), wal.next(), wal.last()), (100, 100, None));
    append(&mut wal, 100..105);
    wal.purge_through(101).unwrap();
    drop(wal);
    assert_eq!(all(&open(&disk.crash())), expected(102..105));
}

#[test]
fn a_full_disk_takes_nothing_and_later_appends_work() {
    let disk = SimDisk::new(1);
    let mut wal = open(&disk);
    append(&mut wal, 0..10);
    disk.set_capacity(Some(disk.used() + 512));
    let mut next = 10;
    let refused = loop {
        match wal.append(&[(next, payload(next))]) {
            Ok(()) => next += 1,
            Err(error) => break error,
        }
    };
    assert!(
        matches!(refused, WalError::Full { .. }) && refused.is_not_written(),
        "{refused}"
    );
    wal.sync().unwrap();
    wal.set_meta(b"a vote needs no space").unwrap();
    assert_eq!((wal.next(), all(&wal)), (next, expected(0..next)));
    disk.set_capacity(None);
    append(&mut wal, next..200);
    drop(wal);
    assert_eq!(all(&open(&disk.crash())), expected(0..200));
}

#[test]
fn a_failed_write_leaves_nothing_behind_and_the_log_goes_on() {
    let disk = SimDisk::new(3);
    let mut wal = open(&disk);
    append(&mut wal, 0..3);
    disk.fail_after(0, Fault::Write);
    let failed = wal.append(&[(3, Bytes::from(vec![7; 5000]))]).unwrap_err();
    assert!(failed.is_not_written(), "{failed}");
    assert_eq!(all(&open(&disk)), expected(0..3));
    append(&mut wal, 3..6);
    drop(wal);
    assert_eq!(all(&open(&disk.crash())), expected(0..6));
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_until_the_log_is_opened_again() {
    let disk = SimDisk::new(1);
    let mut wal = open(&disk);
    append(&mut wal, 0..3);
    wal.append(&[(3, payload(3))]).unwrap();
    disk.fail_after(0, Fault::Sync);
    let failed = wal.sync().unwrap_err();
    assert!(
        matches!(failed, WalError::Failed { .. }) && !failed.is_not_written(),
        "{failed}"
    );
    assert!(matches!(wal.sync(), Err(WalError::Stopped)));
    assert!(matches!(wal.append(&[(4, payload(4))]), Err(WalError::Stopped)));
    assert!(matches!(wal.set_meta(b""), Err(WalError::Stopped)));
    assert!(matches!(wal.truncate_from(1), Err(WalError::Stopped)));
    assert!(matches!(wal.purge_through(1), Err(WalError::Stopped)));
    assert_eq!(wal.read(0..3, 1 << 20).unwrap(), expected(0..3));
}

#[test]
fn what_is_found_after_a_failed_sync_is_written_again_before_it_is_told() {
    for seed in 0..50 {
        let disk = SimDisk::new(seed);
        let mut wal = open(&disk);
        append(&mut wal, 0..3);
        let records: Vec<_> = (3..20).map(|index| (index, payload(index))).collect();
        wal.append(&records).unwrap();
        disk.fail_after(0, Fault::Sync);
        assert!(wal.sync().is_err());
        drop(wal);
        // The system still shows all of it, whatever is on the disk.
        let wal = open(&disk);
        assert_eq!(all(&wal), expected(0..20));
        drop(wal);
        assert_eq!(all(&open(&disk.crash())), expected(0..20), "seed {seed}");
    }
}

#[test]
fn too_much_is_refused_by_name() {
    let mut wal = open(&SimDisk::new(1));
    let refused = wal.set_meta(&[0; MAX_META + 1]).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "data beside the log of 4001 bytes is larger than 4000"
    );
    let large = Bytes::from(vec![0; MAX_PAYLOAD + 1]);
    assert!(matches!(
        wal.append(&[(0, large)]),
        Err(WalError::TooLarge { .. })
    ));
}

#[test]
fn a_record_larger_than_a_segment_has_one_of_its_own() {
    let disk = SimDisk::new(1);
    let mut wal = open(&disk);
    append(&mut wal, 0..2);
    let large = Bytes::from(vec![7; 10_000]);
    wal.append(&[(2, large.clone())]).unwrap();
    append(&mut wal, 3..5);
    drop(wal);
    let wal = open(&disk.crash());
    assert_eq!(wal.read(2..5, 0).unwrap(), [(2, large)]);
    assert_eq!(wal.next(), 5);
}

#[test]
fn a_missing_file_is_named() {
    let disk = SimDisk::new(1);
    let mut wal = open(&disk);
    append(&mut wal, 0..100);
    drop(wal);
    for name in disk.list().unwrap() {
        let disk = SimDisk::new(1);
        append(&mut open(&disk), 0..100);
        if disk.list().unwrap().last() != Some(&name) && name.ends_with(".log") || name == "meta" {
            disk.remove(&name).unwrap();
            let found = error(&disk);
            assert!(
                matches!(&found, WalError::Corrupt { file, damage: Damage::Absent, .. } if *file == name),
                "{name}: {found}"
            );
        }
    }
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let disk = SimDisk::new(1);
    drop(open(&disk));
    let file = disk.open("0000000000000001.log").unwrap();
    let mut header = [0; 64];
    file.read_at(0, &mut header).unwrap();
    header[8] = 9;
    let (before, after) = header.split_at(12);
    let sum = record::checksum(0, before, &after[4..]);
    record::put(&mut header, 12, &sum.to_le_bytes());
    file.write_at(0, &header).unwrap();
    assert!(matches!(
        error(&disk),
        WalError::NewerFormat {
            found: 9,
            known: 1,
            ..
        }
    ));
}
