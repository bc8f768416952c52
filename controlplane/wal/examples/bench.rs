//! What the log adds to the disk: records of 1 KB, 1, 64 and 512 for each sync, beside plain writes of as many bytes with
//! `fdatasync` into a file that has its zeros already. Both take turns in one run, since disks change their mind.
//!
//! `cargo run --release -p controlplane-wal --example bench -- FOLDER`
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a benchmark prints, and one that cannot be set up must stop"
)]

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use controlplane_wal::{Options, RealDisk, Wal};

const RECORD: usize = 1024;
const ROUNDS: usize = 10;

fn main() {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: bench FOLDER, which is made and removed");
        return;
    };
    std::fs::create_dir(&folder).unwrap();
    println!("records of {RECORD} bytes; rates in records a second, latencies of one group");
    println!(
        "{:>9} {:>9} {:>9} {:>6} {:>9} {:>9}",
        "per sync", "log", "plain", "ratio", "p50", "p99"
    );
    for group in [1, 64, 512] {
        measure(&folder, group);
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

fn measure(folder: &Path, group: usize) {
    let groups = if group == 1 { 400 } else { 40 };
    let (mut wal, _) = Wal::open(
        RealDisk::open(&folder.join(group.to_string())).unwrap(),
        Options::default(),
    )
    .unwrap();
    let plain = File::create(folder.join("plain")).unwrap();
    let size = (group * RECORD) as u64;
    plain
        .write_all_at(&vec![0; group * RECORD * groups * ROUNDS], 0)
        .unwrap();
    plain.sync_all().unwrap();
    let payload = Bytes::from(vec![b'x'; RECORD]);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        for _ in 0..groups {
            let next = wal.next();
            let records: Vec<_> = (next..)
                .take(group)
                .map(|index| (index, payload.clone()))
                .collect();
            let begin = Instant::now();
            wal.append(&records).unwrap();
            wal.sync().unwrap();
            ours.push(begin.elapsed());
        }
        wal.purge_through(wal.next().saturating_sub(1000)).unwrap();
        let bytes = vec![b'x'; group * RECORD];
        for index in 0..groups {
            let begin = Instant::now();
            plain
                .write_all_at(&bytes, (round * groups + index) as u64 * size)
                .unwrap();
            plain.sync_data().unwrap();
            theirs.push(begin.elapsed());
        }
    }
    report(group, &mut ours, &theirs);
}

fn report(group: usize, ours: &mut [Duration], theirs: &[Duration]) {
    let rate =
        |times: &[Duration]| (group * times.len()) as f64 / times.iter().sum::<Duration>().as_secs_f64();
    let (log, plain) = (rate(ours), rate(theirs));
    ours.sort();
    let at = |share: usize| {
        ours.get(ours.len() * share / 100)
            .copied()
            .unwrap_or_default()
            .as_micros()
    };
    let ratio = log / plain;
    println!(
        "{group:>9} {log:>9.0} {plain:>9.0} {ratio:>6.2} {:>6} us {:>6} us",
        at(50),
        at(99)
    );
}
