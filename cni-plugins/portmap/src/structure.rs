//! The table of a network's host ports: maps, and the chains that look them up.

use std::net::IpAddr;
use std::sync::Arc;

use cni_plugins_nft::{ChainSpec, FieldKind, Filled, Hook, SetSpec, Structure, ValueKind, fnv1a};

use crate::settings::{Masquerade, Settings};

/// Behind the service proxy's chains (`dstnat`, -100): where a Service has the same port of the node, it
/// has it, as upstream.
const BEHIND_SERVICES: i32 = -95;
/// Before the masquerading of networks (`srcnat`, 100).
const BEFORE_SRCNAT: i32 = 95;
/// `raw` in nft's words: before connection tracking.
const RAW: i32 = -300;

/// The table, of the family `inet`, that holds the host ports of `network`.
#[must_use]
pub fn table_name(network: &str) -> String {
    format!("hostports-{network}")
}

/// An address family, and the names it gives to maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    pub(crate) const fn of(addr: IpAddr) -> Self {
        match addr {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    fn name(self, stem: &str) -> Arc<str> {
        let digit = match self {
            Self::V4 => '4',
            Self::V6 => '6',
        };
        format!("{stem}{digit}").into()
    }

    /// The map of ports on every address of the node.
    pub(crate) fn ports(self) -> Arc<str> {
        self.name("ports")
    }

    /// The map of ports on one address of the node.
    pub(crate) fn address_ports(self) -> Arc<str> {
        self.name("address-ports")
    }

    /// The containers that have host ports: each address twice, as source and destination of what a
    /// container sends to itself.
    pub(crate) fn pods(self) -> Arc<str> {
        self.name("pods")
    }

    const fn ip(self) -> &'static str {
        match self {
            Self::V4 => "ip",
            Self::V6 => "ip6",
        }
    }

    const fn addr(self) -> FieldKind {
        match self {
            Self::V4 => FieldKind::Addr4,
            Self::V6 => FieldKind::Addr6,
        }
    }
}

/// The maps by name.
pub(crate) fn sets() -> impl Iterator<Item = (Arc<str>, SetSpec)> {
    use FieldKind::{Port, Protocol};
    Family::BOTH.into_iter().flat_map(|family| {
        let addr = family.addr();
        let set = |key: &[FieldKind], value| SetSpec {
            key: key.to_vec(),
            value,
            filled: Filled::ByChanges,
        };
        let to = || ValueKind::Tuple(vec![addr, Port]);
        [
            (family.ports(), set(&[Protocol, Port], to())),
            (family.address_ports(), set(&[addr, Protocol, Port], to())),
            (family.pods(), set(&[addr, addr], ValueKind::Nothing)),
        ]
    })
}

/// All of the table but the elements.
pub(crate) fn structure(settings: &Settings) -> Structure {
    let mut structure = Structure::default();
    structure.sets.extend(sets());
    let mut chain = |name: &str, hook: Option<Hook>, rules: Vec<String>| {
        let rules = rules.into_iter().map(|rule| marked(&rule)).collect();
        structure.chains.insert(name.into(), ChainSpec { hook, rules });
    };
    let hook = |kind, hook, priority| Some(Hook { kind, hook, priority });
    for family in Family::BOTH {
        chain(&family.name("to-pods"), None, to_pods(family));
    }
    for at in ["prerouting", "output"] {
        chain(at, hook("nat", at, BEHIND_SERVICES), entrances(settings));
    }
    let masquerades = Family::BOTH
        .into_iter()
        .flat_map(|family| masquerades(family, settings));
    chain(
        "postrouting",
        hook("nat", "postrouting", BEFORE_SRCNAT),
        masquerades.collect(),
    );
    chain("martians", hook("filter", "prerouting", RAW), martians());
    structure
}

/// The comments of a chain's rules, in their order.
pub(crate) fn comments(chain: &ChainSpec) -> Vec<String> {
    let comment = |rule: &String| {
        rule.rsplit_once(" comment ")
            .map(|(_, comment)| comment.trim_matches('"').to_owned())
    };
    chain.rules.iter().filter_map(comment).collect()
}

/// The rule with a comment by which it is known again, whatever its settings.
fn marked(rule: &str) -> String {
    format!("{rule} comment \"portmap {:016x}\"", fnv1a(rule.as_bytes()))
}

/// New connections to any address of the node. What only passes through is left alone (CVE-2025-67499),
/// also where a container asks for an address that is not the node's.
fn entrances(settings: &Settings) -> Vec<String> {
    let four = &settings.conditions4;
    let six = &settings.conditions6;
    vec![
        format!("meta nfproto ipv4 fib daddr type local {four} jump to-pods4"),
        // No kernel forwards what comes from ::1.
        format!("meta nfproto ipv6 fib daddr type local ip6 daddr != ::1 {six} jump to-pods6"),
    ]
}

fn to_pods(family: Family) -> Vec<String> {
    let ip = family.ip();
    let protocols = "meta l4proto { tcp, udp, sctp }";
    let to = |fields: &str, map: &str| format!("{protocols} dnat {ip} to {fields} map @{map}");
    vec![
        to(
            &format!("{ip} daddr . meta l4proto . th dport"),
            &family.address_ports(),
        ),
        to("meta l4proto . th dport", &family.ports()),
    ]
}

fn masquerades(family: Family, settings: &Settings) -> Vec<String> {
    let (ip, pods) = (family.ip(), family.pods());
    let known = |source: &str| format!("ct status dnat {source}{ip} daddr . {ip} daddr @{pods} masquerade");
    match (settings.masquerade, family) {
        (Masquerade::Nobody, _) => Vec::new(),
        (Masquerade::All, _) => vec![known("")],
        (Masquerade::Needed, family) => {
            let own = format!("ct status dnat {ip} saddr . {ip} daddr @{pods} masquerade");
            let loopback = (family == Family::V4).then(|| known("ip saddr 127.0.0.0/8 "));
            std::iter::once(own).chain(loopback).collect()
        }
    }
}

/// What others send to loopback, or from there: `route_localnet` alone would let it in (CVE-2020-8558).
fn martians() -> Vec<String> {
    ["daddr", "saddr"]
        .map(|end| format!("iifname != \"lo\" ip {end} 127.0.0.0/8 drop"))
        .to_vec()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::settings::tests::call;

    fn of(config: serde_json::Value) -> Structure {
        structure(&Settings::read(&call(config)).unwrap())
    }

    #[test]
    fn every_rule_is_known_by_a_comment_and_other_settings_give_another() {
        let usual = of(json!({}));
        for (name, chain) in &usual.chains {
            assert_eq!(comments(chain).len(), chain.rules.len(), "{name}");
        }
        let other = of(json!({"conditionsV4": ["ip", "daddr", "!=", "10.43.0.10"]}));
        assert_ne!(
            comments(&usual.chains["prerouting"]),
            comments(&other.chains["prerouting"])
        );
        assert!(other.chains["output"].rules[0].starts_with(
            "meta nfproto ipv4 fib daddr type local ip daddr != 10.43.0.10 jump to-pods4 comment"
        ));
    }

    #[test]
    fn masquerading_is_as_the_settings_say() {
        let rules = |config| of(config).chains["postrouting"].rules.clone();
        assert!(rules(json!({"snat": false})).is_empty());
        assert_eq!(rules(json!({"masqAll": true})).len(), 2);
        assert_eq!(rules(json!({})).len(), 3);
    }
}
