//! Schema tables: structure, pruning, defaulting, patches.
//!
//! What Kubernetes knows of its kinds through Go types is here a table of facts. [`Schemas::parse`] reads
//! one, [`Schemas::kind`] gives a [`TypeRef`] to one kind, and everything else is a method of that.
//!
//! `check` finds what Go's decoder refuses (400), in its words; `missing` finds required fields, which
//! Kubernetes leaves to validation. `null` is an absent field, in a list or map the zero value: `prune` does
//! both, and spells scalars as Go's types write them. A table of defaults says of each whether `""` and `0` count as unset (no pointer in Go); [`Rule`]s for
//! those that depend on other fields run after it. Depth is bounded at
//! [`MAX_DEPTH`](model::MAX_DEPTH) (the JSON parser stops at 128), at most 100 problems are listed.

pub(crate) mod check;
mod defaulting;
mod error;
mod format;
pub mod model;
mod path;
mod problem;
mod schemas;
mod spelling;
mod table;
mod type_ref;
mod unknown;

pub use defaulting::Rule;
pub use error::TableError;
pub use problem::{Problem, ProblemKind};
pub use schemas::Schemas;
pub use type_ref::TypeRef;
