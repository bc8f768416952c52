//! The node's image store: OCI archives in, content-addressed layers out.
//!
//! Every call blocks (it reads, hashes and writes files): call it from a thread that may.

mod error;
mod reference;
mod store;

pub use error::ImageError;
pub use reference::{Reference, ReferenceError};
pub use store::{Image, ImageStore, Loaded};
