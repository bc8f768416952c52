//! The store behind the API server: a multi-version map of keys to JSON objects.
//!
//! A [`Txn`] is data, one committed transaction is one [`Revision`], and every read and watch is
//! served from memory at a known revision. From pure to effectful:
//!
//! - [`Machine`] holds current values and history; [`Stage`] decides what transactions come to; a [`Command`] is that
//!   decision, which every member of a cluster carries out alike;
//! - [`Replica`] is one member's machine with its watches; [`State`] keeps what was applied on disk;
//! - [`Replication`] orders commands and makes them durable (a log, Raft);
//! - [`Store`] is what the API server holds; its [`Proposer`] joins the others.
//!
//! # Bounds
//!
//! 1 024 queued transactions (callers wait), 256 in a group, 8 MiB in a transaction, a key once in it. History is
//! 10 000 revisions, 5 minutes or 64 MiB of values, whichever comes first; compaction is steps of 1 024 revisions inside
//! commands. Lists are in byte order of keys, as Kubernetes lists. A commit touches only watches whose prefix
//! matches; `progress` (bookmarks) is the oldest undelivered revision minus one, so it overtakes nothing. Expiry is a
//! delete with a compare on the revision, proposed by the store itself: an idle store sleeps until the next value expires
//! or history ages. A caller that is dropped stops nothing that is queued.

mod alone;
mod clock;
pub mod codec;
mod command;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod entry;
mod error;
mod history;
mod key;
mod loaded;
mod machine;
mod memory_state;
mod options;
mod proposer;
mod registry;
mod replica;
mod replication;
mod stage;
mod state;
mod store;
mod txn;
mod value;
mod watch;
pub mod wire;

pub use clock::{Clock, ManualClock, SystemClock};
pub use command::{Command, Decided};

pub use entry::{Batch, Entry, Event, Revision};
pub use error::StoreError;
pub use history::{History, Retention};
pub use key::{Key, KeyError};
pub use loaded::{Cause, ClusterId, Loaded, Reclaimed, StateError};
pub use machine::{Change, Listing, Machine, OutOfStep, Range};
pub use memory_state::MemoryState;
pub use options::Options;
pub use proposer::Proposer;
pub use replica::Replica;
pub use replication::{NoLeader, Pending, ProposeError, Replication};
pub use stage::Stage;
pub use state::{Applied, State};
pub use store::Store;
pub use txn::{Compare, Op, Outcome, Txn};
pub use value::{Value, ValueError};
pub use watch::{Watch, WatchError};
