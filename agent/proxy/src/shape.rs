//! How much structure the elements need.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnet::IpNet;

use crate::family::{Family, Scope};

/// A choice among neighbouring slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Pick {
    pub(crate) scope: Scope,
    pub(crate) family: Family,
    /// The first slot.
    pub(crate) from: usize,
    /// How many slots; at least one.
    pub(crate) count: usize,
    pub(crate) by: By,
}

/// What decides a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum By {
    Chance,
    /// The client's address: it gets the same slot for as long as there are as many.
    Client,
}

impl Pick {
    /// The chain that makes it; one of a single slot needs none of its own.
    pub(crate) fn chain(self) -> Arc<str> {
        let Self {
            scope,
            family,
            from,
            count,
            by,
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
        let by = match by {
            By::Chance => "",
            By::Client => "-by-client",
        };
        format!("{stem}{}-{count}{behind}{by}", family.digit()).into()
    }
}

/// Which slots, choices, periods of affinity and ranges of clients are in use. It grows with what
/// services need; choices that lie idle are taken out of it when they are many.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Shape {
    pub(crate) families: BTreeSet<Family>,
    pub(crate) slots: BTreeMap<(Scope, Family), usize>,
    pub(crate) picks: BTreeSet<Pick>,
    pub(crate) periods: BTreeSet<(Family, u32)>,
    /// Who may use restricted load balancers.
    pub(crate) sources: BTreeSet<(Family, Vec<IpNet>)>,
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
        self.sources.extend(other.sources.iter().cloned());
        *self != before
    }
}
