//! The store's durability on SQLite: current values in one table, each group of transactions one SQLite transaction.
//!
//! History is not kept on disk: after a restart it begins at the revision that was reached.

mod durability;
mod fault;
mod rows;
mod schema;

pub use durability::SqliteDurability;
