//! Who holds which part of the range, and who gets the next. Pure.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use k8s_openapi::api::core::v1::Node;

use super::range::PodRange;
use crate::meta;

/// What is to be done for a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// It has what it needs, or has been told that there is nothing.
    Nothing,
    /// Write this network into it.
    Assign(IpNet),
    /// Say that no part is left.
    TellExhausted,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    /// It has no network yet.
    Wanting { told: bool },
    /// A part is kept for it, and perhaps written already: the answer may have been lost.
    Reserved(u32),
    /// These parts are in its object.
    Assigned(BTreeSet<u32>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    uid: String,
    standing: Standing,
}

impl Entry {
    fn parts(&self) -> impl Iterator<Item = u32> {
        let (reserved, assigned) = match &self.standing {
            Standing::Wanting { .. } => (None, None),
            Standing::Reserved(part) => (Some(*part), None),
            Standing::Assigned(parts) => (None, Some(parts.iter().copied())),
        };
        reserved.into_iter().chain(assigned.into_iter().flatten())
    }
}

/// All nodes and the parts they hold.
#[derive(Debug)]
pub(super) struct Allocations {
    range: PodRange,
    nodes: BTreeMap<String, Entry>,
    /// Number of nodes that hold a part; more than one only where somebody else wrote so.
    holders: BTreeMap<u32, usize>,
    /// Where the search for a free part begins: what was given back rests as long as possible, so
    /// that routes and caches of its last node die out.
    next: u32,
}

impl Allocations {
    /// No node is known yet.
    pub(super) fn new(range: PodRange) -> Self {
        Self {
            range,
            nodes: BTreeMap::new(),
            holders: BTreeMap::new(),
            next: 0,
        }
    }

    /// Takes note of a node as the server shows it.
    pub(super) fn see(&mut self, node: &Node) {
        let (name, uid) = (meta::name(&node.metadata), meta::uid(&node.metadata));
        let networks = networks(node);
        let known = self.nodes.get(name).filter(|entry| entry.uid == uid);
        let standing = if networks.is_empty() {
            match known.map(|entry| &entry.standing) {
                Some(standing @ (Standing::Wanting { .. } | Standing::Reserved(_))) => standing.clone(),
                Some(Standing::Assigned(_)) | None => Standing::Wanting { told: false },
            }
        } else {
            let parts = networks.iter().flat_map(|network| self.range.touched(*network));
            Standing::Assigned(parts.collect())
        };
        self.put(name, uid, standing);
    }

    /// Forgets a node and frees what it held.
    pub(super) fn forget(&mut self, name: &str) {
        let Some(entry) = self.nodes.remove(name) else {
            return;
        };
        for part in entry.parts() {
            if let Some(count) = self.holders.get_mut(&part) {
                *count -= 1;
                if *count == 0 {
                    self.holders.remove(&part);
                }
            }
        }
    }

    /// Forgets all nodes but those named.
    pub(super) fn retain(&mut self, seen: &BTreeSet<String>) {
        let gone: Vec<String> = self
            .nodes
            .keys()
            .filter(|name| !seen.contains(*name))
            .cloned()
            .collect();
        for name in gone {
            self.forget(&name);
        }
    }

    /// The nodes that were told that no part is left.
    pub(super) fn disappointed(&self) -> impl Iterator<Item = &str> {
        self.nodes
            .iter()
            .filter(|(_, entry)| entry.standing == Standing::Wanting { told: true })
            .map(|(name, _)| name.as_str())
    }

    /// What is to be done for a node.
    pub(super) fn plan(&self, name: &str) -> Step {
        match self.nodes.get(name).map(|entry| &entry.standing) {
            None | Some(Standing::Assigned(_)) => Step::Nothing,
            Some(Standing::Reserved(part)) => self.assign(*part),
            Some(Standing::Wanting { told }) => match self.free() {
                Some(part) => self.assign(part),
                None if *told => Step::Nothing,
                None => Step::TellExhausted,
            },
        }
    }

    /// Counts on the step that [`plan`](Self::plan) named to be performed.
    pub(super) fn assume(&mut self, name: &str, step: Step) {
        let Some(uid) = self.nodes.get(name).map(|entry| entry.uid.clone()) else {
            return;
        };
        match step {
            Step::Nothing => {}
            Step::TellExhausted => self.put(name, &uid, Standing::Wanting { told: true }),
            Step::Assign(network) => {
                let part = self.range.touched(network).start;
                self.put(name, &uid, Standing::Reserved(part));
                self.next = (part + 1) % self.range.count();
            }
        }
    }

    fn assign(&self, part: u32) -> Step {
        self.range.part(part).map_or(Step::Nothing, Step::Assign)
    }

    fn free(&self) -> Option<u32> {
        let count = self.range.count();
        if self.holders.len() >= usize::try_from(count).unwrap_or(usize::MAX) {
            return None;
        }
        (self.next..count)
            .chain(0..self.next)
            .find(|part| !self.holders.contains_key(part))
    }

    fn put(&mut self, name: &str, uid: &str, standing: Standing) {
        self.forget(name);
        let entry = Entry {
            uid: uid.to_owned(),
            standing,
        };
        for part in entry.parts() {
            *self.holders.entry(part).or_default() += 1;
        }
        self.nodes.insert(name.to_owned(), entry);
    }
}

/// The networks in a node's object; what cannot be read is none, for the server validates.
fn networks(node: &Node) -> Vec<IpNet> {
    let Some(spec) = &node.spec else {
        return Vec::new();
    };
    let all = spec.pod_cidrs.iter().flatten().chain(&spec.pod_cidr);
    all.filter_map(|network| network.parse().ok()).collect()
}

#[cfg(test)]
mod tests;
