//! What a call changes: a pure function of the table's elements and of what is wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use cni_plugins_nft::{Change, Element, ElementKey, Field, MAX_COMMENT, Tuple, Value, comment, fnv1a};

use crate::settings::{Mapping, Masquerade, Settings};
use crate::structure::Family;

/// The longest owner that is written as it is, so that something follows it in a comment.
const MAX_OWNER: usize = MAX_COMMENT - 27;

/// Whose an element is: a container's interface. The table is its network's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Owner(String);

impl Owner {
    pub(crate) fn new(container_id: &str, ifname: &str) -> Self {
        let text = format!("{container_id} {ifname}");
        if text.len() <= MAX_OWNER {
            return Self(text);
        }
        // A comment that was cut off would tell two owners no more apart.
        Self(format!("{:016x} {ifname}", fnv1a(container_id.as_bytes())))
    }

    fn comment(&self, serves: &str) -> Arc<str> {
        if serves.is_empty() {
            return comment(&self.0);
        }
        comment(&format!("{} {serves}", self.0))
    }

    /// The owner in an element's comment: its first two words.
    pub(crate) fn of(element: &Element) -> Self {
        let mut words = element.comment.splitn(3, ' ');
        let (container_id, ifname) = (words.next(), words.next());
        Self(format!(
            "{} {}",
            container_id.unwrap_or_default(),
            ifname.unwrap_or_default()
        ))
    }
}

/// The elements of a container with `addresses`. `serves` says in words what it is.
pub(crate) fn elements(
    owner: &Owner,
    serves: &str,
    settings: &Settings,
    addresses: &[IpAddr],
) -> Vec<Element> {
    let mut wanted = BTreeMap::new();
    let comment = owner.comment(serves);
    for family in Family::BOTH {
        let Some(pod) = addresses.iter().find(|addr| Family::of(**addr) == family) else {
            continue;
        };
        for mapping in &settings.mappings {
            let Some(key) = key(family, mapping) else { continue };
            let to = Tuple(vec![Field::Addr(*pod), Field::Port(mapping.container_port)]);
            // Of two mappings of one port the first has it.
            wanted.entry(key).or_insert(Value::Tuple(to));
            if settings.masquerade != Masquerade::Nobody {
                let twice = Tuple(vec![Field::Addr(*pod); 2]);
                let key = ElementKey {
                    set: family.pods(),
                    key: twice,
                };
                wanted.entry(key).or_insert(Value::Nothing);
            }
        }
    }
    let element = |(key, value)| Element {
        key,
        value,
        comment: Arc::clone(&comment),
    };
    wanted.into_iter().map(element).collect()
}

/// Where a mapping is looked up; nowhere where its address is of another family.
fn key(family: Family, mapping: &Mapping) -> Option<ElementKey> {
    let rest = [Field::Protocol(mapping.protocol), Field::Port(mapping.host_port)];
    if mapping.host_ip.is_some_and(|addr| Family::of(addr) != family) {
        return None;
    }
    Some(match mapping.host_ip.filter(|addr| !addr.is_unspecified()) {
        None => ElementKey {
            set: family.ports(),
            key: Tuple(rest.to_vec()),
        },
        Some(addr) => ElementKey {
            set: family.address_ports(),
            key: Tuple(std::iter::once(Field::Addr(addr)).chain(rest).collect()),
        },
    })
}

/// The changes after which `owner` has `wanted` and nothing else. A key that another holds is taken over:
/// the most recent container has it, as upstream.
pub(crate) fn changes(found: &[Element], owner: &Owner, wanted: &[Element]) -> Vec<Change> {
    let there: BTreeMap<&ElementKey, &Element> =
        found.iter().map(|element| (&element.key, element)).collect();
    let kept: BTreeSet<&ElementKey> = wanted.iter().map(|element| &element.key).collect();
    let own = found.iter().filter(|element| Owner::of(element) == *owner);
    let gone = own.filter(|element| !kept.contains(&element.key));
    let mut changes: Vec<Change> = gone.map(|element| Change::Remove(element.key.clone())).collect();
    for element in wanted {
        match there.get(&element.key) {
            Some(same) if *same == element => {}
            Some(other) => {
                changes.push(Change::Remove(other.key.clone()));
                changes.push(Change::Add(element.clone()));
            }
            None => changes.push(Change::Add(element.clone())),
        }
    }
    changes
}

/// The changes after which no owner has anything but those in `valid`.
pub(crate) fn sweep(found: &[Element], valid: &BTreeSet<Owner>) -> Vec<Change> {
    let stale = found
        .iter()
        .filter(|element| !valid.contains(&Owner::of(element)));
    stale.map(|element| Change::Remove(element.key.clone())).collect()
}

/// The changes that bring back what is missing of `wanted`; of several that want one key the first has
/// it, and nothing that is there is touched: whoever put it there may be newer than what is known here.
pub(crate) fn missing(found: &[Element], wanted: Vec<Element>) -> Vec<Change> {
    let mut there: BTreeSet<ElementKey> = found.iter().map(|element| element.key.clone()).collect();
    let fresh = wanted
        .into_iter()
        .filter(|element| there.insert(element.key.clone()));
    fresh.map(Change::Add).collect()
}

#[cfg(test)]
mod tests;
