//! Empties a namespace that is being deleted, then lets it go.

mod plan;
mod run;

pub(crate) use run::run;
