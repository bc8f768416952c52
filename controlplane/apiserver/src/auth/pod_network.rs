//! Which network a node may give its own pods.
//!
//! The agent's key `pod_cidr` writes one into the node's object, where the control plane would give
//! one otherwise. Every other node routes it to this one, so a node that may write anything there
//! could take over any address of the cluster: of other nodes' pods, of the nodes themselves, of
//! what lies outside.

use std::collections::BTreeSet;

use controlplane_store::{Key, Range, Store};
use ipnet::IpNet;
use serde_json::Value;

/// The addresses of all pods, and what a node gets of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PodNetworks {
    /// Addresses of all pods.
    pub range: IpNet,
    /// Prefix length of a node's part.
    pub node_mask: u8,
}

impl PodNetworks {
    /// Whether `network` is one of the parts that the control plane itself would give.
    fn has_part(&self, network: IpNet) -> bool {
        self.range.contains(&network) && network.prefix_len() == self.node_mask && network == network.trunc()
    }

    /// Why a node may not take the networks that are new in `new`; `None` where it may. `others` are
    /// the networks of other nodes, looked up only where one is new.
    ///
    /// Two nodes that take one network at the same moment are both let in: the overlay then leaves
    /// the younger one out.
    pub(crate) fn refusal(
        &self,
        new: &Value,
        old: Option<&Value>,
        others: impl FnOnce() -> Vec<(String, IpNet)>,
    ) -> Option<String> {
        let had = old.map(texts).unwrap_or_default();
        let wanted: Vec<&str> = texts(new).difference(&had).copied().collect();
        if wanted.is_empty() {
            return None;
        }
        let others = others();
        wanted.into_iter().find_map(|text| self.refuse(text, &others))
    }

    fn refuse(&self, text: &str, others: &[(String, IpNet)]) -> Option<String> {
        let Self { range, node_mask } = self;
        let part = text.parse().ok().filter(|network| self.has_part(*network));
        let Some(network) = part else {
            return Some(format!(
                "may not take the pod network {text}: it is no /{node_mask} of the cluster's pod_cidr {range} \
                 (key pod_cidr of the agent)"
            ));
        };
        let (owner, other) = others
            .iter()
            .find(|(_, other)| other.contains(&network) || network.contains(other))?;
        Some(format!(
            "may not take the pod network {network}: node \"{owner}\" has {other} (key pod_cidr of the agent)"
        ))
    }
}

/// The networks of all nodes but `node`, with whose they are; what cannot be read is none.
pub(crate) fn of_others(store: &Store, node: &str) -> Vec<(String, IpNet)> {
    let all = store.list(&Range::prefix(format!("{}nodes/", Key::ROOT)));
    let entries = all.map(|listing| listing.entries).unwrap_or_default();
    let mut found = Vec::new();
    for entry in entries.iter().filter(|entry| entry.key.name() != node) {
        let object: Value = serde_json::from_slice(entry.value.bytes()).unwrap_or_default();
        let networks = texts(&object).into_iter().filter_map(|text| text.parse().ok());
        found.extend(networks.map(|network| (entry.key.name().to_owned(), network)));
    }
    found
}

/// What a node's object says of the networks of its pods.
fn texts(node: &Value) -> BTreeSet<&str> {
    let field = |name: &str| node.get("spec").and_then(|spec| spec.get(name));
    let list = field("podCIDRs").and_then(Value::as_array);
    let all = list.into_iter().flatten().chain(field("podCIDR"));
    all.filter_map(Value::as_str)
        .filter(|text| !text.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use ipnet::Ipv4Net;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn networks() -> PodNetworks {
        PodNetworks {
            range: "10.42.0.0/16".parse().unwrap(),
            node_mask: 24,
        }
    }

    fn node(network: &str) -> Value {
        json!({"spec": {"podCIDR": network, "podCIDRs": [network]}})
    }

    fn refusal(network: &str) -> Option<String> {
        let others = || vec![("b".to_owned(), "10.42.7.0/24".parse().unwrap())];
        networks().refusal(&node(network), None, others)
    }

    #[test]
    fn a_free_part_of_the_clusters_range_may_be_taken() {
        assert_eq!(refusal("10.42.6.0/24"), None);
        assert_eq!(networks().refusal(&json!({}), None, Vec::new), None);
    }

    #[test]
    fn anything_else_is_refused_with_what_is_wrong() {
        for network in [
            "10.43.0.0/24",
            "10.88.0.0/24",
            "10.42.6.0/25",
            "10.42.0.0/16",
            "10.42.6.9/24",
            "fd00::/24",
            "?",
        ] {
            let why = refusal(network).unwrap();
            let said = format!(
                "may not take the pod network {network}: it is no /24 of the cluster's pod_cidr 10.42.0.0/16"
            );
            assert!(why.starts_with(&said), "{why}");
        }
        let why = refusal("10.42.7.0/24").unwrap();
        assert!(why.contains("node \"b\" has 10.42.7.0/24"), "{why}");
    }

    #[test]
    fn each_of_several_networks_is_looked_at_and_only_new_ones() {
        let two = json!({"spec": {"podCIDRs": ["10.42.6.0/24", "fd00::/64"]}});
        assert!(
            networks()
                .refusal(&two, None, Vec::new)
                .unwrap()
                .contains("fd00::/64")
        );
        let split = json!({"spec": {"podCIDR": "192.0.2.0/24", "podCIDRs": ["10.42.6.0/24"]}});
        assert!(networks().refusal(&split, None, Vec::new).is_some());
        // What an administrator wrote is no longer the node's claim.
        let odd = node("192.0.2.0/24");
        assert_eq!(
            networks().refusal(&odd, Some(&odd), || panic!("nothing is new")),
            None
        );
    }

    proptest! {
        #[test]
        fn what_a_node_takes_holds_no_address_of_anybody_else(
            claim: u32, length in 0u8..=32, own in 0u8..=4, theirs in prop::collection::vec(0u8..=4, 0..3),
        ) {
            // Half of the claims are near what is allowed, since others would hardly ever be.
            let near = u32::from(Ipv4Addr::new(10, 42, own, 0));
            let claims = [
                Ipv4Net::new(claim.into(), length).unwrap(),
                Ipv4Net::new(near.into(), length.max(22)).unwrap(),
            ];
            let others: Vec<(String, IpNet)> = theirs
                .iter()
                .map(|third| ("b".to_owned(), format!("10.42.{third}.0/24").parse().unwrap()))
                .collect();
            for claim in claims {
                if networks().refusal(&node(&claim.to_string()), None, || others.clone()).is_none() {
                    let claim = IpNet::from(claim);
                    prop_assert!(networks().range.contains(&claim) && claim.prefix_len() == 24);
                    let apart = |other: &IpNet| !other.contains(&claim) && !claim.contains(other);
                    prop_assert!(others.iter().all(|(_, other)| apart(other)));
                }
            }
        }
    }
}
