//! A record's bytes: checksum (4), length of the payload (4), index (8), synced offset (8), payload, zeros up to a multiple
//! of 8. Numbers are little-endian; the checksum is a CRC-32 seeded by the segment, over all that follows it.

use std::ops::Range;

/// Largest payload of a record in bytes.
pub const MAX_PAYLOAD: usize = 64 << 20;

/// Bytes before the payload.
pub(crate) const HEADER: usize = 24;
/// Records begin at multiples of this, so that a header's numbers never lie across a sector's end.
pub(crate) const ALIGN: usize = 8;

/// What stands at the beginning of some bytes of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// A whole record whose checksum matches.
    Record {
        /// Its number.
        index: u64,
        /// Up to where the segment had been synced when it was written.
        synced: u64,
        /// Where in the bytes its payload is.
        payload: Range<usize>,
        /// Bytes up to the next record.
        size: usize,
    },
    /// A header of zeros: nothing was written here.
    Blank,
    /// It takes this many bytes to tell; there are fewer.
    Short(usize),
    /// No record.
    Unreadable,
}

/// Bytes that a record with `payload` bytes takes.
pub(crate) fn size(payload: usize) -> usize {
    (HEADER + payload).next_multiple_of(ALIGN)
}

/// Appends the record to `out`.
pub(crate) fn encode(seed: u32, index: u64, synced: u64, payload: &[u8], out: &mut Vec<u8>) {
    let mut head = [0; HEADER];
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    put(&mut head, 4, &length.to_le_bytes());
    put(&mut head, 8, &index.to_le_bytes());
    put(&mut head, 16, &synced.to_le_bytes());
    let sum = checksum(seed, head.get(4..).unwrap_or_default(), payload);
    put(&mut head, 0, &sum.to_le_bytes());
    out.extend_from_slice(&head);
    out.extend_from_slice(payload);
    out.resize(out.len() + size(payload.len()) - HEADER - payload.len(), 0);
}

/// Reads the record at the beginning of `bytes`, which are from a segment with this seed. Never panics, allocates nothing.
#[must_use]
pub fn decode(seed: u32, bytes: &[u8]) -> Decoded {
    let Some((head, rest)) = bytes.split_at_checked(HEADER) else {
        return Decoded::Short(HEADER);
    };
    if is_zero(head) {
        return Decoded::Blank;
    }
    let length = usize::try_from(u32_at(head, 4)).unwrap_or(usize::MAX);
    if length > MAX_PAYLOAD {
        return Decoded::Unreadable;
    }
    let size = size(length);
    let Some((payload, padding)) = rest
        .get(..size - HEADER)
        .and_then(|body| body.split_at_checked(length))
    else {
        return Decoded::Short(size);
    };
    let sum = checksum(seed, head.get(4..).unwrap_or_default(), payload);
    if sum != u32_at(head, 0) || !is_zero(padding) {
        return Decoded::Unreadable;
    }
    Decoded::Record {
        index: u64_at(head, 8),
        synced: u64_at(head, 16),
        payload: HEADER..HEADER + length,
        size,
    }
}

/// Index and synced offset that a header claims, and the size of its record; unchecked.
pub(crate) fn claims(head: &[u8]) -> Option<(u64, u64, usize)> {
    let length = usize::try_from(u32_at(head, 4)).ok()?;
    (head.len() >= HEADER && length <= MAX_PAYLOAD).then(|| (u64_at(head, 8), u64_at(head, 16), size(length)))
}

pub(crate) fn checksum(seed: u32, first: &[u8], second: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(first);
    hasher.update(second);
    hasher.finalize()
}

pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

pub(crate) fn put(into: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = into.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let array = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
    array.map_or(0, u32::from_le_bytes)
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let array = bytes.get(at..at + 8).and_then(|eight| eight.try_into().ok());
    array.map_or(0, u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_record_reads_back_as_written(seed: u32, index: u64, synced in 1u64.., payload: Vec<u8>, after: Vec<u8>) {
            let mut bytes = Vec::new();
            encode(seed, index, synced, &payload, &mut bytes);
            let size = bytes.len();
            prop_assert_eq!(size % ALIGN, 0);
            bytes.extend(after);
            let expected = Decoded::Record { index, synced, payload: HEADER..HEADER + payload.len(), size };
            prop_assert_eq!(decode(seed, &bytes), expected);
        }

        #[test]
        fn a_flipped_bit_is_found(seed: u32, index: u64, payload: Vec<u8>, at: proptest::sample::Index, bit in 0u8..8) {
            let mut bytes = Vec::new();
            encode(seed, index, 64, &payload, &mut bytes);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let found = decode(seed, &bytes);
            prop_assert!(!matches!(found, Decoded::Record { .. } | Decoded::Blank), "{:?}", found);
        }

        #[test]
        fn any_bytes_decode_to_something_within_them(seed: u32, bytes: Vec<u8>) {
            if let Decoded::Record { payload, size, .. } = decode(seed, &bytes) {
                prop_assert!(payload.end <= size && size <= bytes.len());
            }
        }
    }

    #[test]
    fn a_record_of_another_segment_is_unreadable() {
        let mut bytes = Vec::new();
        encode(1, 5, 64, b"x", &mut bytes);
        assert_eq!(decode(2, &bytes), Decoded::Unreadable);
    }
}
