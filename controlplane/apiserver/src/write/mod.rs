//! Writes: decode, check, join with what is stored, propose as one transaction.

pub(crate) mod admission;
pub(crate) mod apply;
pub(crate) mod binding;
pub(crate) mod change;
pub(crate) mod commit;
pub(crate) mod condition;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod delete_collection;
pub(crate) mod eviction;
pub(crate) mod intake;
pub(crate) mod owners;
pub(crate) mod patch;
pub(crate) mod scale;
pub(crate) mod services;
pub(crate) mod token;
pub(crate) mod update;
