//! A durable log: records numbered without gaps, in segment files beneath one folder.
//!
//! A record is an index and bytes; what they mean is the caller's. [`Wal::append`] writes, [`Wal::sync`] makes everything
//! appended survive a power cut, and only then may anybody be told. The log knows neither threads nor clocks nor
//! chance: what it does follows from the calls and from the [`Disk`], which is [`RealDisk`] or, in tests, `SimDisk`.
//!
//! # On disk
//!
//! `meta` holds the first index that still counts and up to [`MAX_META`] bytes of the caller's, in two slots that are
//! written and synced one after the other: whichever is damaged or half written, the other is right. `<sequence>.log` are
//! the segments: a header with the first index, then records, each with a checksum over length, index and payload,
//! then zeros. Zeros are written ahead of the records, so that a sync inside them changes no metadata. Appending never
//! overwrites: cutting the log back starts a segment whose first index hides what earlier ones hold from there.
//!
//! # A torn tail or damage
//!
//! A power cut may leave a part of what was written after the last sync, in units of 512 bytes, over zeros. Each record
//! says up to where its segment had been synced when it was written. So an unreadable record is *torn*, and cut off at
//! open, only if it is in the last segment, nothing readable after it was written once it had been synced, and some sector
//! of it is still zero. Everything else is *damage*: [`WalError::Corrupt`] names file and offset, nothing is skipped.
//! What this cannot tell apart: a last group of records, synced and never followed by another, of which a whole sector was
//! later set to zero.
//!
//! # Bounds
//!
//! A record has at most [`MAX_PAYLOAD`] bytes. Memory is 16 bytes for each 64 KiB of log, and one append: records are read
//! from the files, since whoever appends has what was appended a moment ago in a better form.

mod disk;
mod error;
mod file;
mod meta;
mod options;
mod record;
mod recover;
mod segment;
mod tail;
mod wal;

#[cfg(feature = "sim")]
pub use disk::contract;
pub use disk::{Disk, DiskFile, RealDisk};
#[cfg(feature = "sim")]
pub use disk::{Fault, SimDisk, SimFile};
pub use error::{Damage, WalError};
pub use meta::MAX_META;
pub use options::Options;
pub use record::{Decoded, MAX_PAYLOAD, decode};
pub use recover::{Cut, Recovered};
pub use wal::Wal;
