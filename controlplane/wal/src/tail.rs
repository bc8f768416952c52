//! Tells a torn tail from damage, as the crate's documentation says.

use crate::file::Window;
use crate::record::{self, Decoded};
use crate::segment::{self, HEADER, Segment, decode_at};
use crate::{DiskFile, WalError};

/// What a power cut leaves whole.
const SECTOR: u64 = 512;
const PIECE: usize = 256 << 10;

/// What follows the last readable record of the last segment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Zeros only.
    Blank,
    /// The rest of a write that no sync followed; it ends before this offset.
    Torn(u64),
    /// Something that was written and synced.
    Damaged,
}

/// Looks at what follows the records that [`Segment::scan`] found.
pub(crate) fn examine<F: DiskFile>(segment: &Segment<F>) -> Result<Tail, WalError> {
    let mut window = Window::over(&segment.file, &segment.name, PIECE);
    let Some(last) = last_written(&mut window, segment.end, segment.filled)? else {
        return Ok(Tail::Blank);
    };
    let damaged = was_synced(&mut window, segment, last)? || !is_torn(&mut window, segment)?;
    Ok(if damaged { Tail::Damaged } else { Tail::Torn(last) })
}

/// The offset after the last byte that is not zero.
fn last_written<F: DiskFile>(
    window: &mut Window<'_, F>,
    from: u64,
    to: u64,
) -> Result<Option<u64>, WalError> {
    let (mut at, mut last) = (from, None);
    while at < to {
        let piece = window.at(at, PIECE)?;
        if let Some(offset) = piece.iter().rposition(|byte| *byte != 0) {
            last = Some(at + offset as u64 + 1);
        }
        at += piece.len().max(1) as u64;
    }
    Ok(last)
}

/// Whether a readable record further on was written after the place where records stop had been synced.
fn was_synced<F: DiskFile>(
    window: &mut Window<'_, F>,
    segment: &Segment<F>,
    last: u64,
) -> Result<bool, WalError> {
    let mut at = segment.end + record::ALIGN as u64;
    while at < last {
        if could_follow(window.at(at, record::HEADER)?, segment, at)
            && matches!(decode_at(window, segment.seed, at)?, Decoded::Record { .. })
        {
            return Ok(true);
        }
        at += record::ALIGN as u64;
    }
    Ok(false)
}

/// A quick look, so that a checksum is worked out only for what can be such a record.
fn could_follow<F>(head: &[u8], segment: &Segment<F>, at: u64) -> bool {
    let most = (at - segment.end) / record::HEADER as u64;
    record::claims(head).is_some_and(|(index, synced, _)| {
        synced > segment.end && synced <= at && index > segment.next && index - segment.next <= most
    })
}

/// Whether a sector of the record at the end was never written: it is still zero, or beyond the file.
fn is_torn<F: DiskFile>(window: &mut Window<'_, F>, segment: &Segment<F>) -> Result<bool, WalError> {
    let at = segment.end;
    let head = window.at(at, record::HEADER)?;
    if head.len() < record::HEADER || has_blank_sector(head, at) {
        return Ok(true);
    }
    let Some((index, synced, size)) = record::claims(head) else {
        return Ok(false);
    };
    if index != segment.next || synced > at || synced < HEADER {
        return Ok(false);
    }
    let whole = window.at(at, size)?;
    Ok(whole.len() < size || has_blank_sector(whole, at))
}

/// Whether `bytes`, which begin at `offset` of the file, are all zero in one of the sectors that they share.
fn has_blank_sector(bytes: &[u8], offset: u64) -> bool {
    let first = usize::try_from(SECTOR - offset % SECTOR).unwrap_or(usize::MAX);
    let (head, rest) = bytes.split_at_checked(first).unwrap_or((bytes, &[]));
    let sectors = rest.chunks(usize::try_from(SECTOR).unwrap_or(usize::MAX));
    record::is_zero(head) || sectors.into_iter().any(record::is_zero)
}

/// Writes what was appended since `from` once more and syncs it. A process that was killed, or whose sync failed, has
/// left it where it can be read, which does not say that it is on the disk: the system takes pages whose write failed
/// for clean.
pub(crate) fn settle<F: DiskFile>(
    segment: &mut Segment<F>,
    from: u64,
    torn: Option<u64>,
) -> Result<(), WalError> {
    let failed = |source| WalError::Failed {
        action: "write the tail of the log again",
        source,
    };
    let mut at = from;
    while at < segment.end {
        let length = usize::try_from(segment.end - at).unwrap_or(usize::MAX).min(PIECE);
        let mut window = Window::over(&segment.file, &segment.name, length);
        let bytes = window.at(at, length)?;
        segment.file.write_at(at, bytes).map_err(failed)?;
        at += bytes.len().max(1) as u64;
    }
    if let Some(last) = torn {
        crate::file::fill(&segment.file, segment.end, last).map_err(failed)?;
    }
    segment.file.sync().map_err(failed)?;
    segment.synced = segment.end;
    debug_assert!(segment.synced >= segment::HEADER);
    Ok(())
}
