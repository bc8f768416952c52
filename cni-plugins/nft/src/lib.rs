//! The nftables ruleset as data, applied in one transaction.
//!
//! Everything lies in the table `inet floe`. What is wanted is a value ([`Masquerade`]); turning it
//! into commands is pure, and [`apply`] hands them to `nft` as one transaction.

mod error;
mod masquerade;
mod nft;
mod rules;

pub use error::NftError;
pub use masquerade::Masquerade;
pub use nft::{apply, is_applied, remove};

/// The one table that Floe owns.
pub const TABLE: &str = "floe";
