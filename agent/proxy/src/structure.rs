//! Sets, maps and chains of the proxy: the fixed part of the table, and the slots that are in use.

use std::sync::Arc;

use cni_plugins_nft::{ChainSpec, FieldKind, Filled, Hook, Protocol, SetSpec, Structure, ValueKind};

use crate::config::Config;
use crate::family::{self, Family, Scope};
use crate::shape::{By, Pick, Shape};

/// Clients with affinity that are remembered; the next ones are served without.
const AFFINE_CLIENTS: u32 = 65_536;
/// `dstnat` in nft's words.
const DSTNAT: i32 = -100;
/// Before the plugins' masquerade chains at `srcnat`, which is 100.
const BEFORE_SRCNAT: i32 = 90;
/// `raw` in nft's words: before connection tracking.
const RAW: i32 = -300;

/// The structure for elements of `shape`.
pub(crate) fn structure(config: &Config, shape: &Shape) -> Structure {
    let mut structure = Structure::default();
    for family in &shape.families {
        sets(&mut structure, *family);
        dispatch(&mut structure, *family, config);
        leaving(&mut structure, *family, config);
    }
    for ((scope, family), count) in &shape.slots {
        for slot in 0..*count {
            add_slot(&mut structure, *scope, *family, slot);
        }
    }
    for pick in &shape.picks {
        chain(&mut structure, &pick.chain(), None, vec![pick_rule(*pick)]);
    }
    for (family, seconds) in &shape.periods {
        let rules = Protocol::ALL.map(|protocol| remember_rule(*family, protocol, *seconds));
        let name = family::remember(*family, *seconds);
        chain(&mut structure, &name, None, rules.to_vec());
    }
    for (family, sources) in &shape.sources {
        let rules = sources_rules(*family, sources);
        chain(&mut structure, &family::sources(*family, sources), None, rules);
    }
    shared(&mut structure);
    hooks(&mut structure, shape);
    structure
}

fn chain(structure: &mut Structure, name: &str, hook: Option<Hook>, rules: Vec<String>) {
    structure.chains.insert(name.into(), ChainSpec { hook, rules });
}

fn set(structure: &mut Structure, name: Arc<str>, key: Vec<FieldKind>, value: ValueKind) {
    let filled = Filled::ByChanges;
    structure.sets.insert(name, SetSpec { key, value, filled });
}

fn key(scope: Scope, family: Family) -> Vec<FieldKind> {
    match scope {
        Scope::Address => vec![family.addr(), FieldKind::Protocol, FieldKind::Port],
        Scope::Node => vec![FieldKind::Protocol, FieldKind::Port],
    }
}

fn endpoint(family: Family) -> ValueKind {
    ValueKind::Tuple(vec![family.addr(), FieldKind::Port])
}

fn sets(structure: &mut Structure, family: Family) {
    for scope in Scope::BOTH {
        let names = [
            scope.services(family),
            scope.local_services(family),
            scope.masquerade(family),
        ];
        for name in names {
            set(structure, name, key(scope, family), ValueKind::Verdict);
        }
    }
    let restricted = family::restricted(family);
    set(
        structure,
        restricted,
        key(Scope::Address, family),
        ValueKind::Verdict,
    );
    let addresses = [
        family::cluster_addresses(family),
        family::balancer_addresses(family),
        family::node_local(family),
    ];
    for name in addresses {
        set(structure, name, vec![family.addr()], ValueKind::Nothing);
    }
    let mut pair = key(Scope::Address, family);
    pair.push(family.addr());
    set(structure, family::hairpin(family), pair, ValueKind::Nothing);
    if family.remembers() {
        let (name, spec) = affinity_set(family);
        structure.sets.insert(name, spec);
        for scope in Scope::BOTH {
            let name = scope.affine(family);
            set(structure, name, key(scope, family), ValueKind::Verdict);
        }
    }
}

/// The map of clients and their endpoints.
pub(crate) fn affinity_set(family: Family) -> (Arc<str>, SetSpec) {
    let mut client = vec![family.addr()];
    client.extend(key(Scope::Address, family));
    let spec = SetSpec {
        key: client,
        value: endpoint(family),
        filled: Filled::ByPackets { size: AFFINE_CLIENTS },
    };
    (family::affinity(family), spec)
}

/// The fields of a packet that are looked up.
fn fields(scope: Scope, family: Family) -> String {
    let ip = family.ip();
    match scope {
        Scope::Address => format!("{ip} daddr . meta l4proto . th dport"),
        Scope::Node => "meta l4proto . th dport".to_owned(),
    }
}

/// The same fields as the client sent them, once the destination is changed.
fn original_fields(scope: Scope, family: Family) -> String {
    let ip = family.ip();
    match scope {
        Scope::Address => format!("ct original {ip} daddr . meta l4proto . ct original proto-dst"),
        Scope::Node => "meta l4proto . ct original proto-dst".to_owned(),
    }
}

/// The condition that a packet comes from outside of the pods; empty where no pod has an address.
fn outside(family: Family, config: &Config) -> String {
    let nets: Vec<_> = config
        .pod_ranges
        .iter()
        .filter(|net| Family::of_net(net) == family)
        .copied()
        .collect();
    // nft refuses prefixes in a set that contain each other.
    let nets: Vec<String> = ipnet::IpNet::aggregate(&nets)
        .iter()
        .map(ToString::to_string)
        .collect();
    if nets.is_empty() {
        return String::new();
    }
    format!("{} saddr != {{ {} }} ", family.ip(), nets.join(", "))
}

/// The chain that every new connection goes through.
fn dispatch(structure: &mut Structure, family: Family, config: &Config) {
    let ip = family.ip();
    let digit = family.digit();
    let from_outside = format!("{}fib saddr type != local ", outside(family, config));
    let lookup = |scope: Scope| {
        let (local, all) = (scope.local_services(family), scope.services(family));
        let fields = fields(scope, family);
        [
            format!("{from_outside}{fields} vmap @{local} comment \"externalTrafficPolicy: Local\""),
            format!("{fields} vmap @{all}"),
        ]
    };
    let mut rules = vec![
        format!("{ip} daddr @node-local{digit} return comment \"answered by the node itself\""),
        format!(
            "{} vmap @{} comment \"loadBalancerSourceRanges\"",
            fields(Scope::Address, family),
            family::restricted(family)
        ),
    ];
    if family.remembers() {
        let client = format!("{ip} saddr . {}", fields(Scope::Address, family));
        rules.push(format!(
            "meta l4proto {{ tcp, udp, sctp }} dnat {ip} to {client} map @affinity{digit} \
             comment \"sessionAffinity: the endpoint that this client had\""
        ));
    }
    rules.extend(lookup(Scope::Address));
    rules.extend([
        format!("{ip} daddr @cluster-addresses{digit} goto refuse comment \"no port of the service\""),
        format!(
            "{ip} daddr {} return comment \"node ports are not on loopback\"",
            family.loopback()
        ),
        "fib daddr type != local return".to_owned(),
    ]);
    rules.extend(lookup(Scope::Node));
    chain(structure, &family.name("dispatch"), None, rules);
}

/// The chains that a connection to a service goes through last, when its endpoint is known.
fn leaving(structure: &mut Structure, family: Family, config: &Config) {
    let (ip, digit) = (family.ip(), family.digit());
    let rules = vec![
        format!("ct original {ip} daddr @cluster-addresses{digit} goto leaving-cluster{digit}"),
        format!("ct original {ip} daddr @balancer-addresses{digit} goto leaving-balancer{digit}"),
        format!("goto leaving-node{digit}"),
    ];
    chain(structure, &family.name("leaving"), None, rules);
    let mut cluster = leaving_rules(Scope::Address, family);
    cluster.push(format!(
        "{}masquerade fully-random comment \"from outside of the pods\"",
        outside(family, config)
    ));
    chain(structure, &family.name("leaving-cluster"), None, cluster);
    for (stem, scope) in [
        ("leaving-balancer", Scope::Address),
        ("leaving-node", Scope::Node),
    ] {
        let mut rules = leaving_rules(scope, family);
        rules.extend(by_protocol(scope, family, &scope.masquerade(family)));
        chain(structure, &family.name(stem), None, rules);
    }
}

fn leaving_rules(scope: Scope, family: Family) -> Vec<String> {
    let (ip, digit) = (family.ip(), family.digit());
    let mut rules = Vec::new();
    if family.remembers() {
        rules.extend(by_protocol(scope, family, &scope.affine(family)));
    }
    rules.extend([
        "oifname \"lo\" return comment \"replies come back anyway\"".to_owned(),
        format!(
            "{ip} saddr . meta l4proto . th dport . {ip} daddr @hairpin{digit} masquerade fully-random \
             comment \"a pod that reaches itself\""
        ),
    ]);
    rules
}

/// A look-up for each protocol: nft knows the original port only where the protocol is known.
fn by_protocol(scope: Scope, family: Family, map: &str) -> Vec<String> {
    let fields = original_fields(scope, family);
    let rule = |protocol: Protocol| format!("meta l4proto {} {fields} vmap @{map}", protocol.name());
    Protocol::ALL.map(rule).to_vec()
}

fn remember_rule(family: Family, protocol: Protocol, seconds: u32) -> String {
    let (ip, digit, protocol) = (family.ip(), family.digit(), protocol.name());
    let client = format!(
        "ct original {ip} saddr . {}",
        original_fields(Scope::Address, family)
    );
    format!(
        "meta l4proto {protocol} update @affinity{digit} {{ {client} timeout {seconds}s : {ip} daddr . {protocol} dport }}"
    )
}

fn sources_rules(family: Family, sources: &[ipnet::IpNet]) -> Vec<String> {
    let ip = family.ip();
    let nets: Vec<String> = sources.iter().map(ToString::to_string).collect();
    // The node itself may, as it does at every load balancer.
    let mut rules = vec!["fib saddr type local return".to_owned()];
    if !nets.is_empty() {
        rules.push(format!("{ip} saddr {{ {} }} return", nets.join(", ")));
    }
    rules.push("drop".to_owned());
    rules
}

fn add_slot(structure: &mut Structure, scope: Scope, family: Family, slot: usize) {
    let map = scope.endpoints(family, slot);
    let (ip, fields) = (family.ip(), fields(scope, family));
    let rules = vec![
        format!("meta l4proto {{ tcp, udp, sctp }} dnat {ip} to {fields} map @{map}"),
        // Otherwise a packet that meets a change half-way would be tracked without its endpoint.
        "drop comment \"the endpoint has just gone; the client tries again\"".to_owned(),
    ];
    set(structure, map, key(scope, family), endpoint(family));
    chain(structure, &scope.slot(family, slot), None, rules);
}

fn pick_rule(pick: Pick) -> String {
    let Pick {
        scope,
        family,
        from,
        count,
        by,
    } = pick;
    let slots: Vec<String> = (0..count)
        .map(|n| format!("{n} : goto {}", scope.slot(family, from + n)))
        .collect();
    let number = match by {
        By::Chance => "numgen random".to_owned(),
        By::Client => format!("jhash {} saddr", family.ip()),
    };
    format!("{number} mod {count} vmap {{ {} }}", slots.join(", "))
}

fn shared(structure: &mut Structure) {
    let refuse = vec![
        "meta l4proto tcp reject with tcp reset".to_owned(),
        "reject with icmpx port-unreachable".to_owned(),
    ];
    chain(structure, family::REFUSE, None, refuse);
    let all = vec!["masquerade fully-random".to_owned()];
    chain(structure, family::MASQUERADE_ALL, None, all);
    let own = vec!["fib saddr type local masquerade fully-random".to_owned()];
    chain(structure, family::MASQUERADE_OWN, None, own);
}

fn hooks(structure: &mut Structure, shape: &Shape) {
    let jumps = |condition: &str, stem: &str| -> Vec<String> {
        let jump = |family: &Family| {
            let version = family.digit();
            format!("{condition}meta nfproto ipv{version} jump {stem}{version}")
        };
        shape.families.iter().map(jump).collect()
    };
    let hook = |kind, hook, priority| Some(Hook { kind, hook, priority });
    let nat = |at, priority| hook("nat", at, priority);
    let dispatch = jumps("", "dispatch");
    chain(
        structure,
        "nat-prerouting",
        nat("prerouting", DSTNAT),
        dispatch.clone(),
    );
    chain(structure, "nat-output", nat("output", DSTNAT), dispatch);
    let leaving = jumps("ct status dnat ", "leaving");
    chain(
        structure,
        "nat-postrouting",
        nat("postrouting", BEFORE_SRCNAT),
        leaving,
    );
    let martians = [
        "ip daddr 127.0.0.0/8",
        "ip saddr 127.0.0.0/8",
        "ip6 daddr ::1",
        "ip6 saddr ::1",
    ];
    let drops = martians.map(|what| format!("iifname != \"lo\" {what} drop comment \"CVE-2020-8558\""));
    chain(
        structure,
        "martians",
        hook("filter", "prerouting", RAW),
        drops.to_vec(),
    );
}
