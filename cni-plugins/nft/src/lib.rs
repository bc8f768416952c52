//! The nftables ruleset as data, applied in one transaction.
//!
//! Everything lies in the table `inet floe`, but for the host ports of a network. What the CNI plugins want is a value ([`Masquerade`]);
//! turning it into commands is pure, and [`apply`] hands them to `nft` as one transaction. The rest of
//! the table is a [`Ruleset`]: its structure comes by `nft`, single elements by netlink.
//! [`Watch`] hears of changes by others, [`Flows`] are the connections that the kernel tracks.

#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod element;
mod encode;
mod error;
mod flows;
mod hash;
mod kernel;
mod masquerade;
mod memory;
mod nft;
mod own;
mod rules;
mod ruleset;
mod socket;
mod structure;
mod watch;
mod wire;

pub use element::{
    Change, Element, ElementKey, Field, MAX_COMMENT, Protocol, Tuple, Value, Verdict, comment,
};
pub use error::NftError;
pub use flows::{Flow, Flows, KernelFlows, MemoryFlows};
pub use hash::fnv1a;
pub use kernel::KernelRuleset;
pub use masquerade::Masquerade;
pub use memory::MemoryRuleset;
pub use nft::{apply, is_applied, is_installed, remove};
pub use own::Own;
pub use ruleset::{FOREIGN_CHAINS, Ruleset};
pub use structure::{ChainSpec, FieldKind, Filled, Hook, SetSpec, Structure, ValueKind};
pub use watch::{Foreign, Watch};

/// The one table that Floe owns.
pub const TABLE: &str = "floe";
