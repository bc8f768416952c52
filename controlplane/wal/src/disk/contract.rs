//! The claims that every disk makes, run by both through [`disk_contract_tests!`](crate::disk_contract_tests).

#![expect(
    clippy::expect_used,
    reason = "these are tests: a claim that does not hold must stop the one that checks it"
)]

use std::io::ErrorKind;

use super::{Disk, DiskFile};

/// Makes one test of each claim, for the disk that the expression makes.
#[macro_export]
macro_rules! disk_contract_tests {
    ($disk:expr) => {
        $crate::disk_contract_tests! { $disk;
            bytes_read_back_as_written, a_gap_reads_as_zeros, reading_stops_at_the_end, names_are_listed_in_order,
            an_existing_file_is_not_made_again, renaming_replaces_and_keeps_open_files, a_missing_file_is_not_found,
            synced_files_are_there_when_opened_again,
        }
    };
    ($disk:expr; $($claim:ident),+ $(,)?) => {
        $(
            #[test]
            fn $claim() {
                $crate::contract::$claim(&$disk);
            }
        )+
    };
}

fn content(file: &impl DiskFile) -> Vec<u8> {
    let size = file.size().expect("an open file has a size");
    let mut bytes = vec![0; usize::try_from(size).expect("a small file")];
    let read = file.read_at(0, &mut bytes).expect("an open file reads");
    assert_eq!(read, bytes.len());
    bytes
}

/// Also where later writes overlap earlier ones.
pub fn bytes_read_back_as_written(disk: &impl Disk) {
    let file = disk.create("a").expect("a new file");
    file.write_at(0, b"0123456789").expect("it is written");
    file.write_at(3, b"abc").expect("it is written");
    assert_eq!(content(&file), b"012abc6789");
}

/// As in files that grow in leaps.
pub fn a_gap_reads_as_zeros(disk: &impl Disk) {
    let file = disk.create("a").expect("a new file");
    file.write_at(4, b"x").expect("it is written");
    assert_eq!(content(&file), b"\0\0\0\0x");
}

/// What is beyond is no error.
pub fn reading_stops_at_the_end(disk: &impl Disk) {
    let file = disk.create("a").expect("a new file");
    file.write_at(0, b"abc").expect("it is written");
    let mut bytes = [0; 8];
    assert_eq!(file.read_at(1, &mut bytes).expect("it reads"), 2);
    assert!(bytes.starts_with(b"bc"));
    assert_eq!(file.read_at(9, &mut bytes).expect("it reads"), 0);
}

/// By their bytes.
pub fn names_are_listed_in_order(disk: &impl Disk) {
    for name in ["b", "a", "c"] {
        disk.create(name).expect("a new file");
    }
    disk.remove("b").expect("it is there");
    assert_eq!(disk.list().expect("the folder lists"), ["a", "c"]);
}

/// And stays what it is.
pub fn an_existing_file_is_not_made_again(disk: &impl Disk) {
    disk.create("a")
        .expect("a new file")
        .write_at(0, b"x")
        .expect("it is written");
    let again = disk.create("a").err().map(|error| error.kind());
    assert_eq!(again, Some(ErrorKind::AlreadyExists));
    assert_eq!(content(&disk.open("a").expect("it is there")), b"x");
}

/// The file that had the name is gone from the folder, not from those who have it open.
pub fn renaming_replaces_and_keeps_open_files(disk: &impl Disk) {
    let (a, b) = (
        disk.create("a").expect("a new file"),
        disk.create("b").expect("a new file"),
    );
    a.write_at(0, b"a").expect("it is written");
    b.write_at(0, b"b").expect("it is written");
    disk.rename("a", "b").expect("both are there");
    assert_eq!(disk.list().expect("the folder lists"), ["b"]);
    assert_eq!(content(&disk.open("b").expect("it is there")), b"a");
    a.write_at(1, b"!").expect("it is written");
    assert_eq!((content(&a), content(&b)), (b"a!".to_vec(), b"b".to_vec()));
}

/// By any call.
pub fn a_missing_file_is_not_found(disk: &impl Disk) {
    let kinds = [
        disk.open("a").err(),
        disk.remove("a").err(),
        disk.rename("a", "b").err(),
    ];
    let found: Vec<_> = kinds
        .into_iter()
        .map(|error| error.map(|error| error.kind()))
        .collect();
    assert_eq!(found, [Some(ErrorKind::NotFound); 3]);
}

/// What sync means beyond that shows only when the power is cut.
pub fn synced_files_are_there_when_opened_again(disk: &impl Disk) {
    let file = disk.create("a").expect("a new file");
    file.write_at(0, b"x").expect("it is written");
    file.sync().expect("it syncs");
    disk.sync().expect("it syncs");
    drop(file);
    assert_eq!(content(&disk.open("a").expect("it is there")), b"x");
}
