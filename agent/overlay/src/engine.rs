//! Compares what should be there with what is there, and changes that.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use cni_plugins_netlink::{Change, Links, NameTaken, NetlinkError, Site, apply, changes, overlap};
use ipnet::Ipv4Net;
use tracing::{info, warn};

use crate::facts::NodeFacts;
use crate::goal::{DEVICE, Goal, Own, Reason, Skipped, foreign, goal, mtu};

/// Changes that are spelled out in one line of the log.
const SPELLED_OUT: usize = 8;

/// Why a look is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The first, another try, or a precaution.
    Look,
    /// The API told something new.
    Api,
    /// Something changed on this machine.
    Kernel,
}

/// Where this node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Name of its Node object.
    pub name: String,
    /// Address at which other nodes reach it.
    pub node: Ipv4Addr,
    /// The network of its pods, where it is not the one of the Node object.
    pub subnet: Option<Ipv4Net>,
    /// Addresses of all pods.
    pub cluster: Ipv4Net,
    /// Names of links that are the pods' own.
    pub links: Vec<String>,
}

/// What came of a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// This node has no pod network yet: what is there stays.
    Waiting(String),
    /// This node's own part cannot be: what is there stays.
    Refused(String),
    /// Everything is as it should be.
    Ready {
        /// This node's place.
        site: Site,
        /// The largest packet of its pods.
        mtu: u32,
        /// What had to be changed.
        changed: Vec<Change>,
    },
}

/// The overlay of one node on some links.
#[derive(Debug)]
pub struct Engine<L> {
    links: L,
    place: Place,
    /// Left out at the last look: told once.
    skipped: BTreeSet<Skipped>,
}

impl<L: Links> Engine<L> {
    /// An overlay that has done nothing yet.
    pub const fn new(links: L, place: Place) -> Self {
        Self {
            links,
            place,
            skipped: BTreeSet::new(),
        }
    }

    /// The links it works on.
    pub const fn links(&self) -> &L {
        &self.links
    }

    /// Takes a look and makes what is there what it should be.
    ///
    /// # Errors
    ///
    /// When the kernel refuses; part of it may be done, and another look goes on from there.
    pub async fn look(
        &mut self,
        nodes: &BTreeMap<String, NodeFacts>,
        cause: Cause,
    ) -> Result<Outcome, NetlinkError> {
        let tables = self.links.tables().await?;
        let own = match self.own(nodes) {
            Ok(own) => own,
            Err(reason) => return Ok(Outcome::Waiting(format!("this node: {reason}"))),
        };
        let subnet = own.site.subnet;
        if let Some(why) = self.misplaced(subnet, nodes) {
            return Ok(Outcome::Refused(why));
        }
        let taken = foreign(&own, &tables);
        if let Some((net, link)) = taken.into_iter().find(|(net, _)| overlap(*net, subnet)) {
            return Ok(Outcome::Refused(in_use(subnet, net, &link)));
        }
        let goal = goal(&own, nodes, &tables);
        let changed = match changes(&goal.device, &goal.entries, &tables) {
            Ok(changed) => changed,
            Err(taken @ NameTaken { .. }) => return Ok(Outcome::Refused(taken.to_string())),
        };
        self.tell(&goal, &changed, cause);
        apply(&self.links, DEVICE, &changed).await?;
        Ok(Outcome::Ready {
            site: own.site,
            mtu: mtu(own.site.node, &tables),
            changed,
        })
    }

    /// Takes everything away, for a node whose network is another's.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub async fn withdraw(&mut self) -> Result<(), NetlinkError> {
        let tables = self.links.tables().await?;
        match tables.named(DEVICE).filter(|link| link.vxlan.is_some()) {
            Some(device) => self.links.delete(device.index).await,
            None => Ok(()),
        }
    }

    fn own(&self, nodes: &BTreeMap<String, NodeFacts>) -> Result<Own, Reason> {
        let subnet = match self.place.subnet {
            Some(subnet) => subnet,
            None => nodes.get(&self.place.name).ok_or(Reason::NoSubnet)?.subnet()?,
        };
        Ok(Own {
            name: self.place.name.clone(),
            site: Site {
                subnet,
                node: self.place.node,
            },
            cluster: self.place.cluster,
            links: self.place.links.clone(),
        })
    }

    /// Why other nodes would not send what is for `subnet` to this one.
    fn misplaced(&self, subnet: Ipv4Net, nodes: &BTreeMap<String, NodeFacts>) -> Option<String> {
        let Place { name, cluster, .. } = &self.place;
        if !cluster.contains(&subnet) {
            return Some(format!(
                "the pod network {subnet} of this node lies outside of the cluster's, {cluster}: the agents' key \
                 cluster_cidr must be the control plane's pod_cidr"
            ));
        }
        let given = nodes.get(name)?.subnet().ok()?;
        (given != subnet).then(|| {
            format!(
                "the key pod_cidr gives this node {subnet}, its Node object says {given}: drain the node and delete \
                 the object, so that it is made anew, or remove the key"
            )
        })
    }

    fn tell(&mut self, goal: &Goal, changed: &[Change], cause: Cause) {
        for skipped in goal.skipped.difference(&self.skipped) {
            // A node that has just come is told nothing of yet.
            match skipped.reason {
                Reason::NoSubnet | Reason::NoAddress => info!("{skipped}"),
                _ => warn!("{skipped}"),
            }
        }
        self.skipped.clone_from(&goal.skipped);
        if changed.is_empty() {
            return;
        }
        let shown: Vec<String> = changed
            .iter()
            .take(SPELLED_OUT)
            .map(ToString::to_string)
            .collect();
        let (changes, first) = (changed.len(), shown.join("; "));
        if cause == Cause::Kernel {
            warn!(changes, first, "overlay was changed by others and is repaired");
        } else {
            info!(changes, first, "overlay is programmed");
        }
    }
}

fn in_use(subnet: Ipv4Net, net: Ipv4Net, link: &str) -> String {
    format!(
        "the pod network {subnet} of this node overlaps {net}, which is in use on its link {link}: \
         choose another with the control plane's key pod_cidr, or free {net}"
    )
}

#[cfg(test)]
mod tests;
