//! From what is there to what should be.

use std::collections::BTreeSet;
use std::fmt;

use super::entry::{Entry, Key};
use super::{Links, Tables};
use crate::error::NetlinkError;
use crate::vxlan::Vxlan;

/// A link has the device's name and is something else altogether; nobody but its owner may delete it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("link {name} is a {kind} and no VXLAN device; rename or delete it")]
pub struct NameTaken {
    /// The name.
    pub name: String,
    /// What the link is.
    pub kind: String,
}

/// One call on the kernel. Each can be repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Deletes a device that cannot be made right.
    Delete {
        /// Its index.
        index: u32,
        /// What is wrong with it.
        why: String,
    },
    /// Makes the device.
    Make(Vxlan),
    /// Brings the device up with this MTU.
    Raise {
        /// The MTU.
        mtu: u32,
    },
    /// Adds or replaces an entry.
    Set(Entry),
    /// Takes an entry away.
    Unset(Entry),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delete { why, .. } => write!(f, "delete the device: {why}"),
            Self::Make(device) => write!(f, "make {} with MTU {}", device.name, device.mtu),
            Self::Raise { mtu } => write!(f, "bring the device up with MTU {mtu}"),
            Self::Set(entry) => write!(f, "set {entry}"),
            Self::Unset(entry) => write!(f, "take away {entry}"),
        }
    }
}

/// The changes after which `device` is there and has exactly `wanted`.
///
/// As long as the device itself can stay, no entry that is there and wanted is touched, and an entry
/// that is wanted otherwise is replaced, never missing in between. Stale routes go first, since they
/// may cover others; then what is new in the order of [`Entry`]: a route comes when what it leads to
/// is there.
///
/// # Errors
///
/// When the device's name is taken by a link of another kind.
pub fn changes(device: &Vxlan, wanted: &BTreeSet<Entry>, tables: &Tables) -> Result<Vec<Change>, NameTaken> {
    let mut steps = Vec::new();
    let mut there = BTreeSet::new();
    match tables.named(&device.name) {
        None => steps.push(Change::Make(device.clone())),
        Some(link) if link.vxlan.is_none() => {
            return Err(NameTaken {
                name: link.name.clone(),
                kind: link.kind_or_physical().to_owned(),
            });
        }
        Some(link) => match device.mismatch(link) {
            Some(why) => {
                let index = link.index;
                steps.extend([Change::Delete { index, why }, Change::Make(device.clone())]);
            }
            None => {
                there = tables.of(link.index).copied().collect();
                if !link.up || link.mtu != device.mtu {
                    steps.push(Change::Raise { mtu: device.mtu });
                }
            }
        },
    }
    steps.extend(entries(wanted, &there));
    Ok(steps)
}

fn entries(wanted: &BTreeSet<Entry>, there: &BTreeSet<Entry>) -> Vec<Change> {
    let missing: Vec<Entry> = wanted.difference(there).copied().collect();
    let replaced: BTreeSet<Key> = missing.iter().map(Entry::key).collect();
    let stale = there
        .difference(wanted)
        .filter(|entry| !replaced.contains(&entry.key()));
    let (routes, others): (Vec<Entry>, Vec<Entry>) =
        stale.partition(|entry| matches!(entry, Entry::Route { .. }));
    let unset = |entries: Vec<Entry>| entries.into_iter().map(Change::Unset);
    unset(routes)
        .chain(missing.into_iter().map(Change::Set))
        .chain(unset(others))
        .collect()
}

/// Performs `steps` in order, which are for the device `name`.
///
/// # Errors
///
/// At the first that the kernel refuses; those before it are done.
pub async fn apply(links: &impl Links, name: &str, steps: &[Change]) -> Result<(), NetlinkError> {
    let mut known = None;
    for step in steps {
        if let Change::Make(device) = step {
            known = Some(links.make(device).await?);
            continue;
        }
        if let Change::Delete { index, .. } = step {
            links.delete(*index).await?;
            continue;
        }
        let index = match known {
            Some(index) => index,
            None => find(links, name).await?,
        };
        known = Some(index);
        match step {
            Change::Raise { mtu } => links.raise(index, *mtu).await?,
            Change::Set(entry) => links.set(index, entry).await?,
            Change::Unset(entry) => links.unset(index, entry).await?,
            Change::Make(_) | Change::Delete { .. } => {}
        }
    }
    Ok(())
}

async fn find(links: &impl Links, name: &str) -> Result<u32, NetlinkError> {
    let found = links.tables().await?.named(name).map(|link| link.index);
    found.ok_or_else(|| NetlinkError::absent(format!("find the device {name}")))
}
