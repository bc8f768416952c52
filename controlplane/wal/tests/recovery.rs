//! Whatever is done to a log and wherever the power is cut in it: what was synced is there, nothing else is but what
//! was appended, and indexes have no gap.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a claim that does not hold must stop the test"
)]

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use controlplane_wal::{Fault, Options, SimDisk, Wal, WalError};
use proptest::prelude::*;

/// What a test does to a log.
#[derive(Debug, Clone)]
enum Step {
    Append(Vec<u16>),
    Sync,
    Truncate(prop::sample::Index),
    /// Relative to the first record; may go beyond the end.
    Purge(u8),
    Meta(u8),
    Fault(u64, Fault),
    Reopen,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let fault = prop_oneof![
        Just(Fault::Crash),
        Just(Fault::Crash),
        Just(Fault::Write),
        Just(Fault::Sync)
    ];
    prop_oneof![
        6 => prop::collection::vec(0u16..700, 1..6).prop_map(Step::Append),
        4 => Just(Step::Sync),
        1 => any::<prop::sample::Index>().prop_map(Step::Truncate),
        1 => (0u8..30).prop_map(Step::Purge),
        1 => any::<u8>().prop_map(Step::Meta),
        2 => (0u64..12, fault).prop_map(|(after, fault)| Step::Fault(after, fault)),
        1 => Just(Step::Reopen),
        1 => Just(Step::Crash),
    ]
}

/// What a log should hold.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Model {
    first: u64,
    records: BTreeMap<u64, Bytes>,
    /// Every record before it has been synced.
    synced: u64,
    meta: Vec<u8>,
}

impl Model {
    fn next(&self) -> u64 {
        self.records
            .last_key_value()
            .map_or(self.first, |(last, _)| last + 1)
    }

    /// The model once `step` is done.
    fn after(&self, step: &Step, counter: u64) -> Self {
        let mut after = self.clone();
        match step {
            Step::Append(_) => after.records.extend(self.batch(step, counter)),
            Step::Sync => after.synced = self.next(),
            Step::Truncate(index) => {
                let from = self.truncated(index);
                after.records.split_off(&from);
                if from < self.next() {
                    after.synced = from;
                }
            }
            Step::Purge(count) => {
                after.first = self.first + u64::from(*count) + 1;
                after.records = after.records.split_off(&after.first);
                after.synced = after.synced.max(after.first);
            }
            Step::Meta(byte) => after.meta = vec![*byte; usize::from(*byte)],
            Step::Fault(..) | Step::Reopen | Step::Crash => {}
        }
        after
    }

    /// Records whose payloads occur once in a test.
    fn batch(&self, step: &Step, counter: u64) -> Vec<(u64, Bytes)> {
        let Step::Append(sizes) = step else {
            return Vec::new();
        };
        let payload = |(index, size): (u64, &u16)| {
            let mut text = format!("{counter}:{index}:").into_bytes();
            text.resize(text.len().max(usize::from(*size)), b'x');
            (index, Bytes::from(text))
        };
        (self.next()..).zip(sizes).map(payload).collect()
    }

    fn truncated(&self, index: &prop::sample::Index) -> u64 {
        self.first + index.index(usize::try_from(self.next() - self.first).unwrap() + 1) as u64
    }

    /// Whether a log that holds `found` may be this one after a crash.
    fn allows(&self, found: &Self) -> bool {
        let lost_only_unsynced = found.next() >= self.synced.min(self.next());
        let all_appended = found
            .records
            .iter()
            .all(|(index, bytes)| self.records.get(index) == Some(bytes));
        found.first == self.first && found.meta == self.meta && lost_only_unsynced && all_appended
    }
}

/// Short, since payloads are long: an index with the beginning of its payload.
impl std::fmt::Display for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}.. synced {} meta {}:",
            self.first,
            self.synced,
            self.meta.len()
        )?;
        for (index, bytes) in &self.records {
            let text = String::from_utf8_lossy(bytes);
            write!(f, " {index}={}({})", text.trim_end_matches('x'), bytes.len())?;
        }
        Ok(())
    }
}

struct Bench {
    disk: SimDisk,
    wal: Wal<SimDisk>,
    options: Options,
}

impl Bench {
    fn open(disk: SimDisk, options: Options) -> Self {
        let (wal, recovered) = Wal::open(disk.clone(), options).unwrap();
        assert_eq!(
            (recovered.first, recovered.last, recovered.meta.as_slice()),
            (wal.first(), wal.last(), wal.meta())
        );
        Self { disk, wal, options }
    }

    fn found(&self) -> Model {
        let mut records = BTreeMap::new();
        let mut at = self.wal.first();
        while at < self.wal.next() {
            for (index, bytes) in self.wal.read(at..self.wal.next(), 900).unwrap() {
                assert_eq!(index, at, "no gap");
                records.insert(index, bytes);
                at += 1;
            }
        }
        Model {
            first: self.wal.first(),
            synced: self.wal.next(),
            meta: self.wal.meta().to_vec(),
            records,
        }
    }

    fn perform(&mut self, step: &Step, model: &Model, counter: u64) -> Result<(), WalError> {
        match step {
            Step::Append(_) => self.wal.append(&model.batch(step, counter)),
            Step::Sync => self.wal.sync(),
            Step::Truncate(index) => self.wal.truncate_from(model.truncated(index)),
            Step::Purge(count) => self.wal.purge_through(model.first + u64::from(*count)),
            Step::Meta(byte) => self.wal.set_meta(&vec![*byte; usize::from(*byte)]),
            Step::Fault(after, fault) => {
                self.disk.fail_after(*after, *fault);
                Ok(())
            }
            Step::Reopen | Step::Crash => Ok(()),
        }
    }

    /// Opens the log again, after a crash or as after a restart of the process, and checks that it holds one of `allowed`.
    fn recover(self, crash: bool, allowed: &[&Model]) -> (Self, Model) {
        let Self { disk, wal, options } = self;
        drop(wal);
        disk.clear_faults();
        let disk = if crash || !disk.is_on() {
            disk.restart()
        } else {
            disk
        };
        let bench = Self::open(disk, options);
        let found = bench.found();
        let fits = allowed.iter().any(|model| model.allows(&found));
        assert!(
            fits,
            "found {found}\nwhere one of {} must be",
            allowed
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" or ")
        );
        (bench, found)
    }
}

fn run(seed: u64, steps: &[Step]) {
    let options = Options {
        segment_bytes: 3000,
        fill_bytes: 1024,
    };
    let mut bench = Bench::open(SimDisk::new(seed), options);
    let mut model = bench.found();
    for (step, counter) in steps.iter().zip(0..) {
        let after = model.after(step, counter);
        let done = bench.perform(step, &model, counter);
        let crash = matches!(step, Step::Crash);
        match done {
            Ok(()) if crash || matches!(step, Step::Reopen) => {
                (bench, model) = bench.recover(crash, &[&model]);
                // What was told of must be there however often the power is cut.
                let found = model.clone();
                (bench, model) = bench.recover(true, &[&found]);
                assert_eq!(model, found);
            }
            Ok(()) => {
                model = after;
                assert_eq!(bench.wal.next(), model.next());
                assert!((model.synced.min(model.next())..=model.next()).contains(&bench.wal.synced()));
            }
            Err(error) if bench.disk.is_on() && error.is_not_written() => {
                // A purge is done even where a file could not be removed.
                if matches!(step, Step::Purge(_)) && bench.wal.first() == after.first {
                    model = after;
                }
                let shown = Model {
                    synced: model.synced,
                    ..bench.found()
                };
                assert_eq!(shown, model, "after {error}");
            }
            Err(_) => (bench, model) = bench.recover(counter % 2 == 0, &[&model, &after]),
        }
    }
    bench.recover(true, &[&model]);
}

proptest! {
    // `tests/run --soak` runs many more.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_synced_survives_a_crash_at_any_operation(
        seed: u64,
        steps in prop::collection::vec(step(), 1..60),
    ) {
        run(seed, &steps);
    }

    #[test]
    fn a_flipped_bit_is_found_and_named_or_covered_by_a_copy(
        groups in prop::collection::vec(prop::collection::vec(0usize..700, 1..5), 2..12),
        at: prop::sample::Index,
        bit: prop::sample::Index,
    ) {
        flip(&groups, &at, &bit);
    }
}

/// Appends groups of records, syncing each, flips a bit anywhere and opens the log again.
fn flip(groups: &[Vec<usize>], at: &prop::sample::Index, bit: &prop::sample::Index) {
    let options = Options {
        segment_bytes: 3000,
        fill_bytes: 1024,
    };
    let mut bench = Bench::open(SimDisk::new(1), options);
    let mut last_group: Range<u64> = 0..0;
    for group in groups {
        let start = bench.wal.next();
        let payload = |size: &usize| Bytes::from(vec![b'x'; *size]);
        let records: Vec<_> = (start..).zip(group.iter().map(payload)).collect();
        bench.wal.append(&records).unwrap();
        bench.wal.sync().unwrap();
        last_group = start..bench.wal.next();
    }
    bench.wal.set_meta(b"vote").unwrap();
    let before = bench.found();
    let names = controlplane_wal::Disk::list(&bench.disk).unwrap();
    let name = &names[at.index(names.len())];
    let size =
        controlplane_wal::DiskFile::size(&controlplane_wal::Disk::open(&bench.disk, name).unwrap()).unwrap();
    bench
        .disk
        .flip_bit(name, bit.index(usize::try_from(size).unwrap() * 8))
        .unwrap();
    match Wal::open(bench.disk.clone(), options) {
        Err(WalError::Corrupt { file, .. }) => assert_eq!(file, *name),
        Err(other) => panic!("{other}"),
        Ok((wal, _)) => {
            let found = Bench {
                disk: bench.disk,
                wal,
                options,
            }
            .found();
            // Only the newest group, which nothing was written after, can pass for torn.
            assert!(
                found.next() >= last_group.start,
                "lost {} of {}",
                found.next(),
                before.next()
            );
            assert!(Model { synced: 0, ..before }.allows(&found));
        }
    }
}
