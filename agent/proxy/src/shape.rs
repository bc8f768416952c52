//! How much structure the elements need.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::family::{Family, Scope};

/// A random choice among neighbouring slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Pick {
    pub(crate) scope: Scope,
    pub(crate) family: Family,
    /// The first slot.
    pub(crate) from: usize,
    /// How many slots; at least one.
    pub(crate) count: usize,
}

impl Pick {
    /// The chain that makes it; one of a single slot needs none of its own.
    pub(crate) fn chain(self) -> Arc<str> {
        let Self {
            scope,
            family,
            from,
            count,
        } = self;
        if count == 1 {
            return scope.slot(family, from);
        }
        let stem = match scope {
            Scope::Address => "pick",
            Scope::Node => "pick-node",
        };
        let behind = if from == 0 {
            String::new()
        } else {
            format!("-from-{from}")
        };
        format!("{stem}{}-{count}{behind}", family.digit()).into()
    }
}

/// Which slots, choices and periods of affinity are in use. It grows and never shrinks: what is not
/// needed any more costs nothing, and goes when the agent starts anew after a reboot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Shape {
    pub(crate) families: BTreeSet<Family>,
    pub(crate) slots: BTreeMap<(Scope, Family), usize>,
    pub(crate) picks: BTreeSet<Pick>,
    pub(crate) periods: BTreeSet<(Family, u32)>,
}

impl Shape {
    /// Takes in a choice and the slots it is made from.
    pub(crate) fn add_pick(&mut self, pick: Pick) {
        self.add_slots(pick.scope, pick.family, pick.from + pick.count);
        if pick.count > 1 {
            self.picks.insert(pick);
        }
    }

    pub(crate) fn add_slots(&mut self, scope: Scope, family: Family, count: usize) {
        let slots = self.slots.entry((scope, family)).or_default();
        *slots = (*slots).max(count);
    }

    /// Takes in `other`; says whether that changed anything.
    pub(crate) fn grow(&mut self, other: &Self) -> bool {
        let before = self.clone();
        self.families.extend(&other.families);
        for ((scope, family), count) in &other.slots {
            self.add_slots(*scope, *family, *count);
        }
        self.picks.extend(&other.picks);
        self.periods.extend(&other.periods);
        *self != before
    }
}
