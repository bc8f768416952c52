//! Who owns whom, and what follows from it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// The finalizer by which an owner waits for its dependents.
pub(super) const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer by which an owner lets its dependents go first.
pub(super) const ORPHAN: &str = "orphan";

/// A UID.
pub(super) type Uid = String;

/// Where an object is found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// API group; versions of a kind hold the same objects.
    pub(super) group: String,
    pub(super) kind: String,
    /// Empty for objects of the cluster.
    pub(super) namespace: String,
    pub(super) name: String,
}

/// A reference to an owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) uid: Uid,
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) name: String,
    /// Whether an owner that is deleted in the foreground waits for this dependent.
    pub(super) blocks: bool,
}

/// An object as far as ownership goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) owners: Vec<Owner>,
    pub(super) deleting: bool,
    pub(super) finalizers: Vec<String>,
}

impl Owner {
    /// Where the owner is, if it is in `namespace`.
    fn place(&self, namespace: &str) -> Place {
        let group = self.api_version.split_once('/').map_or("", |(group, _)| group);
        Place {
            group: group.to_owned(),
            kind: self.kind.clone(),
            namespace: namespace.to_owned(),
            name: self.name.clone(),
        }
    }
}

impl Node {
    /// Reads an object's metadata.
    pub(super) fn read(group: &str, kind: &str, meta: &ObjectMeta) -> Self {
        let owners = meta.owner_references.iter().flatten().map(|owner| Owner {
            uid: owner.uid.clone(),
            api_version: owner.api_version.clone(),
            kind: owner.kind.clone(),
            name: owner.name.clone(),
            blocks: owner.block_owner_deletion == Some(true),
        });
        Self {
            place: Place {
                group: group.to_owned(),
                kind: kind.to_owned(),
                namespace: meta.namespace.clone().unwrap_or_default(),
                name: meta.name.clone().unwrap_or_default(),
            },
            owners: owners.collect(),
            deleting: meta.deletion_timestamp.is_some(),
            finalizers: meta.finalizers.clone().unwrap_or_default(),
        }
    }

    fn has(&self, finalizer: &str) -> bool {
        self.finalizers.iter().any(|found| found == finalizer)
    }

    fn awaits_dependents(&self) -> bool {
        self.deleting && self.has(FOREGROUND)
    }
}

/// How an object is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    /// It goes, its dependents follow.
    Background,
    /// Its dependents go first.
    Foreground,
    /// Its dependents stay.
    Orphan,
}

/// One thing to do for one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Ask the server whether the owner of this UID exists at this place.
    Verify(Uid, Place),
    /// Stop holding up the owners: they wait for this object, and it waits for them.
    Unblock,
    /// Delete the object.
    Delete(Policy),
    /// Take the references to these owners out of the object of this UID.
    Unlink(Uid, Vec<Uid>),
    /// Take a finalizer off the object.
    Release(&'static str),
}

/// What is known of an owner.
enum Standing {
    Lives,
    AwaitsDependents,
    Absent,
    Unknown(Place),
}

/// All objects by UID, with edges from owners to dependents.
#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: BTreeMap<Uid, Node>,
    dependents: BTreeMap<Uid, BTreeSet<Uid>>,
    /// Owners that are not where they were said to be.
    absent: BTreeSet<(Uid, Place)>,
    /// Objects for which something may have to be done.
    dirty: BTreeSet<Uid>,
}

/// Absent owners remembered; beyond it all are asked for again.
const ABSENT_CAPACITY: usize = 16_384;

impl Graph {
    /// Adds or renews an object.
    pub(super) fn put(&mut self, uid: &str, node: Node) {
        if self.nodes.get(uid) == Some(&node) {
            return;
        }
        self.unlink(uid);
        for owner in &node.owners {
            self.dependents
                .entry(owner.uid.clone())
                .or_default()
                .insert(uid.to_owned());
        }
        self.absent.remove(&(uid.to_owned(), node.place.clone()));
        let awaits = node.awaits_dependents();
        self.nodes.insert(uid.to_owned(), node);
        self.dirty.insert(uid.to_owned());
        if awaits {
            self.mark_dependents(uid);
        }
    }

    /// Removes an object: its dependents may be garbage now, and its owners need wait no longer.
    pub(super) fn remove(&mut self, uid: &str) {
        self.unlink(uid);
        if let Some(node) = self.nodes.remove(uid) {
            self.remember_absent(uid, node.place);
            self.mark_dependents(uid);
        }
        self.dirty.remove(uid);
    }

    /// Removes the objects of a kind that a complete list did not have.
    pub(super) fn retain(&mut self, group: &str, kind: &str, seen: &BTreeSet<Uid>) {
        let gone: Vec<Uid> = self
            .nodes
            .iter()
            .filter(|(uid, node)| {
                node.place.group == group && node.place.kind == kind && !seen.contains(*uid)
            })
            .map(|(uid, _)| uid.clone())
            .collect();
        for uid in gone {
            self.remove(&uid);
        }
    }

    /// Notes that the server knows no owner of this UID at this place.
    pub(super) fn remember_absent(&mut self, uid: &str, place: Place) {
        if self.absent.len() >= ABSENT_CAPACITY {
            self.absent.clear();
        }
        self.absent.insert((uid.to_owned(), place));
    }

    /// Asks for an object to be looked at again.
    pub(super) fn mark(&mut self, uid: &str) {
        if self.nodes.contains_key(uid) {
            self.dirty.insert(uid.to_owned());
        }
    }

    /// The next object to look at.
    pub(super) fn next_dirty(&mut self) -> Option<Uid> {
        self.dirty.pop_first()
    }

    /// The object of this UID.
    pub(super) fn get(&self, uid: &str) -> Option<&Node> {
        self.nodes.get(uid)
    }

    /// What is to be done about one object now.
    pub(super) fn plan(&self, uid: &str) -> Vec<Step> {
        let Some(node) = self.nodes.get(uid) else {
            return Vec::new();
        };
        if node.deleting {
            return self.plan_deleting(uid, node);
        }
        self.plan_dependent(uid, node)
    }

    fn plan_deleting(&self, uid: &str, node: &Node) -> Vec<Step> {
        let dependents = || self.dependents.get(uid).into_iter().flatten();
        if node.has(ORPHAN) {
            let freed = dependents().map(|one| Step::Unlink(one.clone(), vec![uid.to_owned()]));
            return freed.chain([Step::Release(ORPHAN)]).collect();
        }
        let blocked = || {
            dependents()
                .filter_map(|dependent| self.nodes.get(dependent))
                .flat_map(|dependent| &dependent.owners)
                .any(|owner| owner.uid == uid && owner.blocks)
        };
        if node.has(FOREGROUND) && !blocked() {
            return vec![Step::Release(FOREGROUND)];
        }
        Vec::new()
    }

    fn plan_dependent(&self, uid: &str, node: &Node) -> Vec<Step> {
        let mut lives = false;
        let mut awaited = false;
        let mut dispensable = Vec::new();
        let mut unknown = Vec::new();
        for owner in &node.owners {
            match self.standing(node, owner) {
                Standing::Lives => lives = true,
                Standing::AwaitsDependents => {
                    awaited = true;
                    dispensable.push(owner.uid.clone());
                }
                Standing::Absent => dispensable.push(owner.uid.clone()),
                Standing::Unknown(place) => unknown.push(Step::Verify(owner.uid.clone(), place)),
            }
        }
        match (lives, unknown.is_empty(), dispensable.is_empty()) {
            (_, false, _) => unknown,
            (_, true, true) => Vec::new(),
            (true, true, false) => vec![Step::Unlink(uid.to_owned(), dispensable)],
            (false, true, false) => self.delete(uid, node, awaited),
        }
    }

    fn delete(&self, uid: &str, node: &Node, awaited: bool) -> Vec<Step> {
        let policy = self.policy(uid, node, awaited);
        let mut dependents = self.dependents.get(uid).into_iter().flatten();
        // A circle: what hangs on this object waits for it, and it would wait for that in turn.
        let circle = awaited
            && policy == Policy::Foreground
            && dependents.any(|one| self.nodes.get(one).is_some_and(Node::awaits_dependents));
        let unblock = circle.then_some(Step::Unblock);
        unblock.into_iter().chain([Step::Delete(policy)]).collect()
    }

    fn policy(&self, uid: &str, node: &Node, awaited: bool) -> Policy {
        let has_dependents = self.dependents.get(uid).is_some_and(|all| !all.is_empty());
        if node.has(ORPHAN) {
            Policy::Orphan
        } else if node.has(FOREGROUND) || (awaited && has_dependents) {
            Policy::Foreground
        } else {
            Policy::Background
        }
    }

    fn standing(&self, dependent: &Node, owner: &Owner) -> Standing {
        // An owner is in the same namespace or in none.
        let own = owner.place(&dependent.place.namespace);
        let clusters = owner.place("");
        match self.nodes.get(&owner.uid) {
            Some(found) if found.place == own || found.place == clusters => {
                if found.awaits_dependents() {
                    Standing::AwaitsDependents
                } else {
                    Standing::Lives
                }
            }
            _ => {
                let is_absent = |place: &Place| self.absent.contains(&(owner.uid.clone(), place.clone()));
                if is_absent(&own) || is_absent(&clusters) {
                    Standing::Absent
                } else {
                    Standing::Unknown(own)
                }
            }
        }
    }

    fn mark_dependents(&mut self, uid: &str) {
        for dependent in self.dependents.get(uid).into_iter().flatten() {
            if self.nodes.contains_key(dependent) {
                self.dirty.insert(dependent.clone());
            }
        }
    }

    /// Takes the edges to an object's owners out; an owner that waits is looked at again.
    fn unlink(&mut self, uid: &str) {
        let Some(node) = self.nodes.get(uid) else {
            return;
        };
        for owner in &node.owners {
            if let Some(dependents) = self.dependents.get_mut(&owner.uid) {
                dependents.remove(uid);
                if dependents.is_empty() {
                    self.dependents.remove(&owner.uid);
                }
            }
            if self.nodes.get(&owner.uid).is_some_and(|owner| owner.deleting) {
                self.dirty.insert(owner.uid.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests;
