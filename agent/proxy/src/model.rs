//! Services and slices in, changes out: only what belongs to a changed service is computed again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cni_plugins_nft::{Change, Element, ElementKey, Structure};

use crate::claims::{Claims, Owner, Touched};
use crate::config::Config;
use crate::family::Family;
use crate::program::{node, program};
use crate::service::{ObjectName, Service};
use crate::shape::{Pick, Shape};
use crate::slice::Slice;
use crate::structure::structure;
use crate::target::{Reached, Target};

/// Choices that may lie idle: below that, one that is needed again is there.
const SPARE_PICKS: usize = 64;

/// What became known.
#[derive(Debug, Clone)]
pub enum Update {
    /// The complete list of services.
    Services(Vec<Service>),
    /// A service is there or has changed.
    Service(Box<Service>),
    /// A service is gone, or none to be proxied any more.
    NoService(ObjectName),
    /// The complete list of slices.
    Slices(Vec<Slice>),
    /// A slice is there or has changed.
    Slice(Box<Slice>),
    /// A slice is gone, or no service's any more.
    NoSlice(ObjectName),
}

/// What is wanted, and what of it has not been planned yet.
#[derive(Debug)]
pub struct Model {
    config: Config,
    services: BTreeMap<ObjectName, Service>,
    slices: BTreeMap<ObjectName, Slice>,
    /// Names of the slices of a service.
    by_service: BTreeMap<ObjectName, BTreeSet<ObjectName>>,
    services_listed: bool,
    slices_listed: bool,
    dirty: BTreeSet<ObjectName>,
    claims: Claims,
    shape: Shape,
}

/// What makes the table as it is wanted.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Whether sets or chains are needed that no earlier plan needed.
    pub grows: bool,
    /// Changes of elements: one transaction.
    pub changes: Vec<Change>,
    /// Chains that nothing leads to once the changes are made.
    pub idle: Vec<Arc<str>>,
}

impl Model {
    /// Knows the node and no service.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let own = node(&config);
        let mut claims = Claims::default();
        claims.replace(&Owner::Node, own.elements, &mut Touched::new());
        Self {
            config,
            services: BTreeMap::new(),
            slices: BTreeMap::new(),
            by_service: BTreeMap::new(),
            services_listed: false,
            slices_listed: false,
            dirty: BTreeSet::new(),
            claims,
            shape: own.shape,
        }
    }

    /// Whether both lists were complete once; until then nothing may be removed.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.services_listed && self.slices_listed
    }

    /// Takes in what became known.
    pub fn update(&mut self, update: Update) {
        match update {
            Update::Services(list) => {
                self.services_listed = true;
                let mut old = std::mem::take(&mut self.services);
                for service in list {
                    if old.remove(&service.name).as_ref() != Some(&service) {
                        self.dirty.insert(service.name.clone());
                    }
                    self.services.insert(service.name.clone(), service);
                }
                self.dirty.extend(old.into_keys());
            }
            Update::Service(service) => {
                self.dirty.insert(service.name.clone());
                self.services.insert(service.name.clone(), *service);
            }
            Update::NoService(name) => {
                self.services.remove(&name);
                self.dirty.insert(name);
            }
            Update::Slices(list) => {
                self.slices_listed = true;
                let listed: BTreeSet<ObjectName> = list.iter().map(|slice| slice.name.clone()).collect();
                let known: Vec<ObjectName> = self.slices.keys().cloned().collect();
                for gone in known.into_iter().filter(|name| !listed.contains(name)) {
                    self.remove_slice(&gone);
                }
                list.into_iter().for_each(|slice| self.put_slice(slice));
            }
            Update::Slice(slice) => self.put_slice(*slice),
            Update::NoSlice(name) => self.remove_slice(&name),
        }
    }

    fn put_slice(&mut self, slice: Slice) {
        if self.slices.get(&slice.name) == Some(&slice) {
            return;
        }
        self.remove_slice(&slice.name);
        self.dirty.insert(slice.service.clone());
        let slices = self.by_service.entry(slice.service.clone()).or_default();
        slices.insert(slice.name.clone());
        self.slices.insert(slice.name.clone(), slice);
    }

    fn remove_slice(&mut self, name: &ObjectName) {
        let Some(slice) = self.slices.remove(name) else {
            return;
        };
        if let Some(slices) = self.by_service.get_mut(&slice.service) {
            slices.remove(name);
            if slices.is_empty() {
                self.by_service.remove(&slice.service);
            }
        }
        self.dirty.insert(slice.service);
    }

    /// The changes since the last plan.
    pub fn plan(&mut self) -> Plan {
        let mut touched = Touched::new();
        let mut grows = false;
        for name in std::mem::take(&mut self.dirty) {
            let elements = match self.services.get(&name) {
                None => Vec::new(),
                Some(service) => {
                    let slices = self.by_service.get(&name).into_iter().flatten();
                    let slices: Vec<&Slice> = slices.filter_map(|slice| self.slices.get(slice)).collect();
                    let program = program(service, &slices, &self.config);
                    grows |= self.shape.grow(&program.shape);
                    program.elements
                }
            };
            self.claims.replace(&Owner::Service(name), elements, &mut touched);
        }
        let changes = self.claims.changes(&touched);
        let idle = if grows { self.retire() } else { Vec::new() };
        Plan { grows, changes, idle }
    }

    /// Takes choices that are not made any more out of the shape, once they are many: a service that
    /// grows one by one to a thousand endpoints would leave as many behind, each with a map of its own.
    fn retire(&mut self) -> Vec<Arc<str>> {
        if self.shape.picks.len() <= SPARE_PICKS {
            return Vec::new();
        }
        let used = self.claims.chains();
        let is_idle = |pick: &Pick| !used.contains(&pick.chain());
        let idle: Vec<Pick> = self.shape.picks.iter().copied().filter(is_idle).collect();
        if idle.len() <= SPARE_PICKS / 2 {
            return Vec::new();
        }
        self.shape.picks.retain(|pick| !idle.contains(pick));
        idle.into_iter().map(Pick::chain).collect()
    }

    /// Sets and chains for all that was planned so far.
    #[must_use]
    pub fn structure(&self) -> Structure {
        structure(&self.config, &self.shape)
    }

    /// Every element that is wanted, as of the last plan.
    pub fn wanted(&self) -> impl Iterator<Item = Element> + '_ {
        self.claims.elements()
    }

    /// The changes that turn the elements `found` into those that are wanted.
    #[must_use]
    pub fn repair(&self, found: Vec<Element>) -> Vec<Change> {
        self.claims.repair(found)
    }

    /// Families in which clients may stay with their endpoint.
    pub(crate) fn affine_families(&self) -> BTreeSet<Family> {
        self.shape.periods.iter().map(|(family, _)| *family).collect()
    }

    /// Where `target` leads.
    pub(crate) fn reached(&self, target: &Target) -> Reached {
        let mut reached = Reached::default();
        for family in target.families() {
            let scope = target.scope();
            let key = |set| ElementKey {
                set,
                key: target.key(),
            };
            let slots = self
                .shape
                .slots
                .get(&(scope, family))
                .copied()
                .unwrap_or_default();
            let values = (0..slots).filter_map(|slot| self.claims.value(&key(scope.endpoints(family, slot))));
            reached.endpoints.extend(values.filter_map(Reached::endpoint));
            reached.affine |= self.claims.value(&key(scope.affine(family))).is_some();
        }
        reached
    }

    /// The node.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }
}
