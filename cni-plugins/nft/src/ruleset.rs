//! The seam: a table of sets, maps and chains whose elements change.

use std::sync::Arc;

use crate::element::{Change, Element, ElementKey};
use crate::error::NftError;
use crate::structure::{SetSpec, Structure};

/// The table `inet floe`, but for the chains of the CNI plugins in it. Calls block.
pub trait Ruleset: Send {
    /// Makes sets and chains be as `structure` has them, in one transaction; elements that are there
    /// already stay, and so does what an earlier call made.
    ///
    /// # Errors
    ///
    /// When the table refuses, for example because a set of another type has the name.
    fn load(&mut self, structure: &Structure) -> Result<(), NftError>;

    /// Takes away `chains` that were loaded and that nothing leads to any more, in one transaction.
    ///
    /// # Errors
    ///
    /// When the table refuses, for example because something leads to one.
    fn unload(&mut self, chains: &[Arc<str>]) -> Result<(), NftError>;

    /// Whether everything that was loaded is there and unchanged; elements are not looked at.
    ///
    /// # Errors
    ///
    /// When the table cannot be listed.
    fn holds(&mut self) -> Result<bool, NftError>;

    /// Puts `structure` in the place of every set and chain, with their elements, but for the CNI
    /// plugins', in one transaction.
    ///
    /// # Errors
    ///
    /// When the table refuses; what is there stays.
    fn replace(&mut self, structure: &Structure) -> Result<(), NftError>;

    /// The elements of the set `name`, none where it is not there.
    ///
    /// # Errors
    ///
    /// When the set cannot be listed.
    fn elements(&mut self, name: &str, spec: &SetSpec) -> Result<Vec<Element>, NftError>;

    /// Makes `changes` in one transaction: all of them, or none.
    ///
    /// # Errors
    ///
    /// When the table refuses; an element to be added that is there with another value, or one to be
    /// removed that is not there, says that someone else changed the table.
    fn change(&mut self, changes: &[Change]) -> Result<(), NftError>;

    /// Removes those of `keys` that are still there.
    ///
    /// # Errors
    ///
    /// When the table refuses for another reason.
    fn forget(&mut self, keys: &[ElementKey]) -> Result<(), NftError>;
}

/// Chains with this beginning belong to the CNI plugins, in the same table.
pub const FOREIGN_CHAINS: &str = "masquerade-";
