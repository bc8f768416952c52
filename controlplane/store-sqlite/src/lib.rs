//! The store's state on SQLite: current values, history for people, and copies of both.
//!
//! Three tables and four views (`tables.sql`, `views.rs`). `current` has one row an object, `past` one a version that was
//! replaced or deleted, in the order in which they ended: so the state at any revision that is kept is a scan, and nothing
//! is stored twice. Every row has a CRC-32, `meta` counts and sums them; both are checked when the file is loaded, when
//! it was copied, and all the time by small steps of [`reclaim`](controlplane_store::State::reclaim).
//!
//! One process holds the file: a lock on `store.lock`, and SQLite's `unix-excl`, which also lets readers of this process
//! in ([`Archive`]) and needs no shared memory. `user_version` is the schema version, `application_id` says `Floe`.
//! Checkpoints never run inside a commit: `reclaim` does one after 4 MiB of log (a write, after 16 MiB), forgets history beyond its bounds,
//! gives free pages beyond 4 MiB back, 256 a step, or checks rows for 4 ms.

mod archive;
mod copy;
mod fault;
mod file;
mod inspect;
mod load;
mod mend;
mod meta;
mod number;
mod past;
mod query;
mod restore;
mod retention;
mod rows;
mod salvage;
mod schema;
mod scrub;
mod state;
mod upgrade;
mod version;
mod views;

pub use archive::Archive;
pub use inspect::{Inspection, Share, inspect};
pub use past::PastError;
pub use query::{Answer, Cell, Query, QueryError};
pub use restore::{Point, Restored, restore};
pub use retention::Keep;
pub use state::SqliteState;
