//! The store's durability on SQLite.
