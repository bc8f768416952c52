//! The store's durability on SQLite: current values in one table, each group of transactions one SQLite transaction.
//!
//! History is not kept on disk: after a restart it begins at the revision that was reached.
//!
//! Two tables: `current` (WITHOUT ROWID) and one row of `meta` with cluster ID and revision, written in the same
//! transaction; the file is 0600. `user_version` is the schema version, `application_id` says `Floe`. A second process is
//! refused after 5 s. Checkpoints never run inside a commit: `reclaim` does one after 4 MiB of writes, on idle or every 64
//! groups, then gives free pages beyond 4 MiB back, 256 a step (`auto_vacuum=INCREMENTAL`); the WAL is cut to 16 MiB. An
//! error before COMMIT wrote less than the committing frame, which is why it leaves nothing.

mod durability;
mod fault;
mod rows;
mod schema;

pub use durability::SqliteDurability;
