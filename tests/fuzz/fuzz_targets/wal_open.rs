//! A log whose newest file has anything after its first records opens with these, or says what is damaged.
#![no_main]

use bytes::Bytes;
use controlplane_wal::{Disk as _, DiskFile as _, Options, SimDisk, Wal};
use libfuzzer_sys::fuzz_target;

const OPTIONS: Options = Options {
    segment_bytes: 1 << 20,
    fill_bytes: 4096,
};

fuzz_target!(|input: (u16, &[u8])| {
    let (at, bytes) = input;
    let disk = SimDisk::new(1);
    let (mut wal, _) = Wal::open(disk.clone(), OPTIONS).expect("an empty disk");
    for index in 0..3 {
        wal.append(&[(index, Bytes::from_static(b"payload"))]).expect("it is written");
        wal.sync().expect("it syncs");
    }
    drop(wal);
    let file = disk.open("0000000000000001.log").expect("the first segment");
    file.write_at(u64::from(at), bytes).expect("it is written");
    if let Ok((wal, recovered)) = Wal::open(disk, OPTIONS) {
        assert_eq!(recovered.last, wal.next().checked_sub(1));
        for index in wal.first()..wal.next() {
            wal.read(index..index + 1, 0).expect("what was recovered can be read");
        }
    }
});
