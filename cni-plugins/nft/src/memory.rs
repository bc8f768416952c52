//! A ruleset in memory, for tests of what uses one.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use crate::element::{Change, Element, ElementKey, Value, Verdict};
use crate::error::NftError;
use crate::ruleset::{FOREIGN_CHAINS, Ruleset};
use crate::structure::{SetSpec, Structure};

/// A table that behaves as the kernel's does.
#[derive(Debug, Clone, Default)]
pub struct MemoryRuleset {
    loaded: Structure,
    present: Structure,
    elements: BTreeMap<ElementKey, Element>,
    /// Sizes of the transactions so far.
    pub transactions: Vec<usize>,
    /// Loads so far.
    pub loads: usize,
}

impl MemoryRuleset {
    /// Someone deletes the table.
    pub fn wipe(&mut self) {
        self.present = Structure::default();
        self.elements.clear();
    }

    /// Someone deletes an element.
    pub fn lose(&mut self, key: &ElementKey) {
        self.elements.remove(key);
    }

    /// Someone deletes a chain's rules.
    pub fn lose_rules(&mut self, chain: &str) {
        if let Some(chain) = self.present.chains.get_mut(chain) {
            chain.rules.clear();
        }
    }

    /// Someone makes a chain.
    pub fn make_chain(&mut self, name: &str) {
        self.present
            .chains
            .insert(name.into(), crate::ChainSpec::default());
    }

    /// A packet, or someone, makes an element.
    pub fn put(&mut self, element: Element) {
        self.elements.insert(element.key.clone(), element);
    }

    /// Names of the chains that are there.
    #[must_use]
    pub fn chains(&self) -> BTreeSet<Arc<str>> {
        self.present.chains.keys().cloned().collect()
    }

    /// Every element that is there.
    #[must_use]
    pub fn all(&self) -> BTreeSet<Element> {
        self.elements.values().cloned().collect()
    }

    fn perform(&mut self, change: &Change) -> Result<(), io::ErrorKind> {
        if !self.present.sets.contains_key(&change.key().set) {
            return Err(io::ErrorKind::NotFound);
        }
        match change {
            Change::Remove(key) => match self.elements.remove(key) {
                Some(_) => Ok(()),
                None => Err(io::ErrorKind::NotFound),
            },
            Change::Add(element) => {
                if let Value::Verdict(Verdict::Goto(chain) | Verdict::Jump(chain)) = &element.value
                    && !self.present.chains.contains_key(chain)
                {
                    return Err(io::ErrorKind::NotFound);
                }
                match self.elements.get(&element.key) {
                    Some(there) if there.value != element.value => Err(io::ErrorKind::ResourceBusy),
                    Some(_) => Ok(()),
                    None => {
                        self.put(element.clone());
                        Ok(())
                    }
                }
            }
        }
    }
}

impl Ruleset for MemoryRuleset {
    fn load(&mut self, structure: &Structure) -> Result<(), NftError> {
        let conflict = structure
            .sets
            .iter()
            .find(|(name, set)| self.present.sets.get(*name).is_some_and(|there| there != *set));
        if let Some((name, _)) = conflict {
            return Err(NftError::Refused {
                attempted: "load sets and chains".to_owned(),
                said: format!("set {name} has another type"),
            });
        }
        self.loads += 1;
        self.loaded.merge(structure.clone());
        self.present.merge(structure.clone());
        Ok(())
    }

    fn unload(&mut self, chains: &[Arc<str>]) -> Result<(), NftError> {
        let leads = |element: &Element| match &element.value {
            Value::Verdict(Verdict::Goto(chain) | Verdict::Jump(chain)) => chains.contains(chain),
            Value::Verdict(Verdict::Drop) | Value::Tuple(_) | Value::Nothing => false,
        };
        if let Some(element) = self.elements.values().find(|element| leads(element)) {
            return Err(NftError::Refused {
                attempted: "remove chains".to_owned(),
                said: format!("in use by {element}"),
            });
        }
        for chain in chains {
            self.loaded.chains.remove(chain);
            self.present.chains.remove(chain);
        }
        Ok(())
    }

    fn holds(&mut self) -> Result<bool, NftError> {
        Ok(self.loaded.clone().minus(&self.present).is_empty())
    }

    fn replace(&mut self, structure: &Structure) -> Result<(), NftError> {
        self.loaded = Structure::default();
        self.present.sets.clear();
        self.present
            .chains
            .retain(|name, _| name.starts_with(FOREIGN_CHAINS));
        self.elements.clear();
        self.load(structure)
    }

    fn elements(&mut self, name: &str, _: &SetSpec) -> Result<Vec<Element>, NftError> {
        let all = self.elements.values();
        Ok(all.filter(|element| *element.key.set == *name).cloned().collect())
    }

    fn change(&mut self, changes: &[Change]) -> Result<(), NftError> {
        let before = self.elements.clone();
        for change in changes {
            if let Err(kind) = self.perform(change) {
                self.elements = before;
                return Err(NftError::Kernel {
                    attempted: change.to_string(),
                    source: kind.into(),
                });
            }
        }
        self.transactions.push(changes.len());
        Ok(())
    }

    fn forget(&mut self, keys: &[ElementKey]) -> Result<(), NftError> {
        for key in keys {
            self.elements.remove(key);
        }
        Ok(())
    }
}
