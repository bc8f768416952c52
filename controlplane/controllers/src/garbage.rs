//! Deletes what nobody owns any more, and holds what others wait for.
//!
//! A graph of owners and dependents is kept from watches of the metadata of every kind, so that a
//! deletion costs what it touches and never a scan. Owners are told by UID; one that the graph does
//! not know is asked for at the server before anything is deleted in its name.

mod apply;
mod graph;
mod kinds;
mod run;

pub(crate) use kinds::{Kind, discover};
pub(crate) use run::run;
