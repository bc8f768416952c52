//! One version of one object as a row, and the checksum that finds a flipped bit in it.

use std::sync::Arc;

use controlplane_store::{Batch, Cause, Entry, Key, Revision, Value};
use crc32fast::Hasher;
use rusqlite::Row;

use crate::number::{signed, unsigned};

/// The columns that `current` and `past` share, in the order in which [`Version::read`] expects them, and the
/// checksum after them. The value comes last in the tables: a scan that does not need it skips its pages.
pub(crate) const COLUMNS: &str =
    "key, created, revision, previous, place, time, actor, expires, splice, checksum, value";
/// Index of the first column after [`COLUMNS`].
pub(crate) const AFTER: usize = 11;

/// One version of one object, borrowed from a row or from memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version<'a> {
    pub(crate) key: &'a str,
    /// Revision that created the object.
    pub(crate) created: i64,
    /// Revision that wrote this version.
    pub(crate) revision: i64,
    /// Revision of the version that this one replaced.
    pub(crate) previous: Option<i64>,
    /// Place among the operations of its transaction.
    pub(crate) place: i64,
    /// Unix time in seconds at which it was written; 0 where that is not known.
    pub(crate) time: i64,
    /// Who wrote it; empty where that is not known or the store itself did.
    pub(crate) actor: &'a str,
    pub(crate) expires: Option<i64>,
    pub(crate) splice: u32,
    pub(crate) value: &'a [u8],
}

impl<'a> Version<'a> {
    /// The version that `batch` wrote at `place`.
    pub(crate) fn of(
        batch: &'a Batch,
        place: usize,
        entry: &'a Entry,
        previous: Option<&Entry>,
    ) -> rusqlite::Result<Self> {
        Ok(Self {
            key: entry.key.as_str(),
            created: signed(entry.create_revision.get())?,
            revision: signed(entry.mod_revision.get())?,
            previous: previous.map(|old| signed(old.mod_revision.get())).transpose()?,
            place: i64::try_from(place).unwrap_or(i64::MAX),
            time: signed(batch.at)?,
            actor: &batch.actor,
            expires: entry.expires_at.map(signed).transpose()?,
            splice: entry.value.splice(),
            value: entry.value.bytes(),
        })
    }

    /// The version in `row`, which begins with [`COLUMNS`], and the checksum beside it.
    pub(crate) fn read(row: &'a Row<'_>) -> rusqlite::Result<(Self, u32)> {
        let version = Self {
            key: row.get_ref(0)?.as_str()?,
            created: row.get(1)?,
            revision: row.get(2)?,
            previous: row.get(3)?,
            place: row.get(4)?,
            time: row.get(5)?,
            actor: row.get_ref(6)?.as_str()?,
            expires: row.get(7)?,
            splice: row.get(8)?,
            value: row.get_ref(10)?.as_blob()?,
        };
        Ok((version, row.get(9)?))
    }

    /// CRC-32 over every column; lengths and absent values are told apart.
    pub(crate) fn checksum(&self) -> u32 {
        let mut hasher = Hasher::new();
        text(&mut hasher, self.key.as_bytes());
        for number in [self.created, self.revision, self.place, self.time] {
            hasher.update(&number.to_le_bytes());
        }
        optional(&mut hasher, self.previous);
        text(&mut hasher, self.actor.as_bytes());
        optional(&mut hasher, self.expires);
        hasher.update(&self.splice.to_le_bytes());
        text(&mut hasher, self.value);
        hasher.finalize()
    }

    /// The version as the store holds it.
    pub(crate) fn entry(&self) -> Result<Entry, Cause> {
        Ok(Entry {
            key: Key::parse(self.key)?,
            create_revision: Revision::from(unsigned(self.created)?),
            mod_revision: Revision::from(unsigned(self.revision)?),
            expires_at: self.expires.map(unsigned).transpose()?,
            value: Value::new(self.value, self.splice)?,
        })
    }
}

/// How a version ended: what `past` has beside the version itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End<'a> {
    /// Revision that ended it and the place in that transaction, as [`id`] joins them.
    pub(crate) id: i64,
    /// Unix time in seconds of that.
    pub(crate) time: i64,
    /// Who deleted it; none where another version took its place.
    pub(crate) deleted_by: Option<&'a str>,
}

impl End<'_> {
    /// The checksum of a version whose own is `version`, together with its end. So a version that ends is never
    /// read, and damage to it is not covered up.
    pub(crate) fn checksum(&self, version: u32) -> u32 {
        let mut hasher = Hasher::new_with_initial(version);
        hasher.update(&self.id.to_le_bytes());
        hasher.update(&self.time.to_le_bytes());
        match self.deleted_by {
            Some(actor) => text(&mut hasher, actor.as_bytes()),
            None => hasher.update(&[0xff]),
        }
        hasher.finalize()
    }
}

fn text(hasher: &mut Hasher, bytes: &[u8]) {
    hasher.update(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
    hasher.update(bytes);
}

fn optional(hasher: &mut Hasher, number: Option<i64>) {
    match number {
        Some(number) => {
            hasher.update(&[1]);
            hasher.update(&number.to_le_bytes());
        }
        None => hasher.update(&[0]),
    }
}

/// Bits of a `past` row's id that hold the place in the transaction; the revision is above them. A transaction of
/// 8 MiB has fewer operations than that, and revisions have 43 bits left.
pub(crate) const PLACE_BITS: u32 = 20;

/// The id of a row of `past`: rows are in the order in which versions ended.
pub(crate) fn id(revision: i64, place: usize) -> i64 {
    let place = i64::try_from(place).unwrap_or(i64::MAX);
    first_id(revision).saturating_add(place.min((1 << PLACE_BITS) - 1))
}

/// The lowest id that a version ended by `revision` can have.
pub(crate) fn first_id(revision: i64) -> i64 {
    revision.saturating_mul(1 << PLACE_BITS)
}

/// The revision in an id.
pub(crate) fn ended_at(id: i64) -> i64 {
    id >> PLACE_BITS
}

/// Text that many events share.
pub(crate) fn shared(last: &mut Arc<str>, text: &str) -> Arc<str> {
    if &**last != text {
        *last = Arc::from(text);
    }
    Arc::clone(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn version<'a>(key: &'a str, actor: &'a str, value: &'a [u8]) -> Version<'a> {
        Version {
            key,
            created: 3,
            revision: 9,
            previous: Some(4),
            place: 0,
            time: 1_700_000_000,
            actor,
            expires: None,
            splice: 13,
            value,
        }
    }

    proptest! {
        #[test]
        fn a_flipped_bit_of_the_value_changes_the_checksum(
            mut value in proptest::collection::vec(any::<u8>(), 1..300),
            at in any::<proptest::sample::Index>(),
            bit in 0_u32..8,
        ) {
            let before = version("/registry/pods/a", "me", &value).checksum();
            let at = at.index(value.len());
            value[at] ^= 1 << bit;
            prop_assert_ne!(version("/registry/pods/a", "me", &value).checksum(), before);
        }
    }

    #[test]
    fn what_moves_from_one_column_to_the_next_changes_the_checksum() {
        let one = version("/registry/pods/ab", "c", b"{}").checksum();
        assert_ne!(version("/registry/pods/a", "bc", b"{}").checksum(), one);
        let none = Version {
            previous: None,
            expires: Some(4),
            ..version("k", "", b"")
        };
        let other = Version {
            previous: Some(4),
            expires: None,
            ..none
        };
        assert_ne!(none.checksum(), other.checksum());
        let end = End {
            id: id(9, 1),
            time: 5,
            deleted_by: None,
        };
        let deleted = End {
            deleted_by: Some(""),
            ..end
        };
        assert_ne!(end.checksum(one), deleted.checksum(one));
    }

    #[test]
    fn ids_are_in_the_order_of_revisions_and_places() {
        assert!(id(7, 3) > id(7, 2) && id(8, 0) > id(7, 1_000_000));
        assert_eq!(ended_at(id(8, 12)), 8);
        assert!(id(7, usize::MAX) < first_id(8));
    }
}
