use std::collections::VecDeque;

use crate::meta::{self, Meta};
use crate::segment::{self, Segment};
use crate::tail::{self, Tail};
use crate::{Damage, Disk, DiskFile, Options, WalError};

/// What a log held when it was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The first index that was not purged.
    pub first: u64,
    /// The last record's index, if there is any.
    pub last: Option<u64>,
    /// What was last given to [`Wal::set_meta`](crate::Wal::set_meta).
    pub meta: Vec<u8>,
    /// The torn tail that was cut off: written, never synced, so nobody was told of it.
    pub cut: Option<Cut>,
}

/// A torn tail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The segment's name.
    pub file: String,
    /// Where it began.
    pub offset: u64,
    /// How long it was.
    pub bytes: u64,
}

/// The open files of a log.
#[derive(Debug)]
pub(crate) struct Files<F> {
    pub(crate) meta: Meta<F>,
    /// Finished segments, oldest first; sequence numbers have no gap.
    pub(crate) sealed: VecDeque<Segment<F>>,
    /// The one that is appended to.
    pub(crate) active: Segment<F>,
}

/// Opens the files, makes a new log where there is none, and leaves everything that was found durable.
pub(crate) fn recover<D: Disk>(
    disk: &D,
    options: &Options,
) -> Result<(Files<D::File>, Option<Cut>), WalError> {
    let (has_meta, sequences) = take_stock(disk)?;
    let meta = match (has_meta, sequences.as_slice()) {
        (true, []) => return Err(absent(segment::name_of(1))),
        (true, _) => Meta::open(disk)?,
        (false, []) => {
            let active = Segment::create(disk, 1, 0, options.fill_bytes)?;
            let meta = Meta::create(disk)?;
            let sealed = VecDeque::new();
            return Ok((Files { meta, sealed, active }, None));
        }
        (false, [only]) if is_unused(disk, *only)? => Meta::create(disk)?,
        (false, _) => return Err(absent(meta::NAME.to_owned())),
    };
    let mut segments = open_connected(disk, &sequences, meta.content().first)?;
    let Some(mut active) = segments.pop_back() else {
        return Err(absent(segment::name_of(1)));
    };
    for segment in &mut segments {
        let (first, stop) = (segment.first, segment.next.max(segment.first));
        segment.next = first;
        segment.scan_whole(stop)?;
    }
    let cut = recover_active(&mut active)?;
    let sealed = segments;
    Ok((Files { meta, sealed, active }, cut))
}

/// Whether there is a meta file, and the sequence numbers of the segments; what was not finished is removed.
fn take_stock<D: Disk>(disk: &D) -> Result<(bool, Vec<u64>), WalError> {
    let read = |source| WalError::Read {
        file: ".".to_owned(),
        source,
    };
    let names = disk.list().map_err(read)?;
    for name in names.iter().filter(|name| segment::is_unfinished(name)) {
        disk.remove(name).map_err(read)?;
    }
    // A name is shown before it is durable, and what it stands for is about to be told.
    disk.sync().map_err(|source| WalError::Failed {
        action: "sync the log's folder",
        source,
    })?;
    let sequences = names.iter().filter_map(|name| segment::sequence_of(name));
    let has_meta = names.iter().any(|name| name == meta::NAME);
    Ok((has_meta, sequences.collect()))
}

/// A new log has its first segment before its meta file, so a crash between leaves a segment without records.
fn is_unused<D: Disk>(disk: &D, sequence: u64) -> Result<bool, WalError> {
    let mut segment = Segment::open(disk, sequence)?;
    segment.scan(1)?;
    Ok(sequence == 1 && segment.first == 0 && segment.next == 0)
}

/// Opens the segments that still count. `next` of each becomes what later ones leave of it; those that end before `purged`
/// are removed, since a crash may have brought back any of them.
fn open_connected<D: Disk>(
    disk: &D,
    sequences: &[u64],
    purged: u64,
) -> Result<VecDeque<Segment<D::File>>, WalError> {
    let mut segments: VecDeque<Segment<D::File>> = VecDeque::new();
    let mut stop = u64::MAX;
    let mut unneeded = Vec::new();
    for sequence in sequences.iter().rev() {
        let expected = segments.front().map(|later| later.sequence - 1);
        let needed = stop > purged && unneeded.is_empty();
        if !needed || expected.is_some_and(|expected| expected != *sequence) {
            unneeded.push(*sequence);
            continue;
        }
        let mut segment = Segment::open(disk, *sequence)?;
        segment.next = stop;
        stop = stop.min(segment.first);
        segments.push_front(segment);
    }
    if let Some(oldest) = segments.front().filter(|_| stop > purged) {
        return Err(absent(segment::name_of(oldest.sequence.saturating_sub(1))));
    }
    for sequence in unneeded {
        let name = segment::name_of(sequence);
        disk.remove(&name).map_err(|source| WalError::NotWritten {
            action: "remove a purged segment of the log",
            source,
        })?;
    }
    Ok(segments)
}

fn recover_active<F: DiskFile>(active: &mut Segment<F>) -> Result<Option<Cut>, WalError> {
    active.next = active.first;
    let synced = active.scan(u64::MAX)?;
    let torn = match tail::examine(active)? {
        Tail::Blank => None,
        Tail::Torn(last) => Some(last),
        Tail::Damaged => return Err(active.corrupt(active.end, Damage::Record)),
    };
    tail::settle(active, synced, torn)?;
    // A file that lost its zeros in the crash gets them back by the next append.
    Ok(torn.map(|last| Cut {
        file: active.name.clone(),
        offset: active.end,
        bytes: last - active.end,
    }))
}

fn absent(file: String) -> WalError {
    WalError::Corrupt {
        file,
        offset: 0,
        damage: Damage::Absent,
    }
}
