//! Certificate requests of nodes: approving, signing, cleaning.

mod signer;

pub use signer::{SignError, Signer, Subject, Usage};
