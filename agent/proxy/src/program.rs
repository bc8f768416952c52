//! The elements of one service: a pure function of the service, its slices and the node.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use cni_plugins_nft::{Element, ElementKey, Field, Tuple, Value, Verdict, comment};
use ipnet::IpNet;

use crate::config::Config;
use crate::family::{self, Family, Scope};
use crate::reach::{Reach, reach};
use crate::service::{Port, Service, TrafficPolicy};
use crate::shape::{By, Pick, Shape};
use crate::slice::Slice;

/// What one service needs.
#[derive(Debug, Default)]
pub(crate) struct Program {
    pub(crate) elements: Vec<Element>,
    pub(crate) shape: Shape,
    comment: Arc<str>,
}

/// What a key stands for.
#[derive(Debug, Clone, Copy)]
enum Access {
    Cluster(IpAddr),
    Balancer(IpAddr),
    Node(Family, u16),
}

/// The elements of `service` on the node of `config`.
pub(crate) fn program(service: &Service, slices: &[&Slice], config: &Config) -> Program {
    let mut program = Program::default();
    for port in &service.ports {
        program.comment = comment(&label(service, port));
        for family in families(service) {
            let reach = reach(slices.iter().copied(), port, family, &config.node_name);
            program.port(service, port, family, &reach, config);
        }
    }
    program.comment = comment(&service.name.to_string());
    for addr in proxied(&service.cluster_ips, config) {
        program.address(family::cluster_addresses(Family::of(addr)), addr);
    }
    for addr in proxied(&service.balancer_ips, config) {
        program.address(family::balancer_addresses(Family::of(addr)), addr);
    }
    // Two ports can lead to the same place.
    program.elements.sort();
    program.elements.dedup_by(|a, b| a.key == b.key);
    program
}

/// The elements of the node itself.
pub(crate) fn node(config: &Config) -> Program {
    let mut program = Program {
        comment: comment("answered by the node itself"),
        ..Program::default()
    };
    program.shape.families.insert(Family::V4);
    program
        .shape
        .families
        .extend(config.pod_ranges.iter().map(Family::of_net));
    for addr in &config.node_local {
        program.shape.families.insert(Family::of(*addr));
        program.address(family::node_local(Family::of(*addr)), *addr);
    }
    program.elements.sort();
    program.elements.dedup();
    program
}

fn label(service: &Service, port: &Port) -> String {
    if port.name.is_empty() {
        format!("{}:{}", service.name, port.port)
    } else {
        format!("{}:{}", service.name, port.name)
    }
}

fn families(service: &Service) -> Vec<Family> {
    let addrs = service.cluster_ips.iter().chain(&service.balancer_ips);
    let mut families: Vec<Family> = addrs.map(|addr| Family::of(*addr)).collect();
    families.sort();
    families.dedup();
    families
}

fn proxied<'a>(addrs: &'a [IpAddr], config: &'a Config) -> impl Iterator<Item = IpAddr> + 'a {
    addrs
        .iter()
        .copied()
        .filter(|addr| !config.node_local.contains(addr))
}

impl Program {
    fn port(&mut self, service: &Service, port: &Port, family: Family, reach: &Reach, config: &Config) {
        self.shape.families.insert(family);
        let here = |addr: &IpAddr| Family::of(*addr) == family;
        for addr in proxied(&service.cluster_ips, config).filter(here) {
            self.access(Access::Cluster(addr), service, port, reach);
        }
        for addr in proxied(&service.balancer_ips, config).filter(here) {
            self.access(Access::Balancer(addr), service, port, reach);
        }
        // A node port is served in the families of the cluster addresses.
        if let Some(number) = port.node_port
            && service.cluster_ips.iter().any(here)
        {
            self.access(Access::Node(family, number), service, port, reach);
        }
        for endpoint in &reach.near {
            let addr = Field::Addr(endpoint.ip());
            let key = vec![
                addr,
                Field::Protocol(port.protocol),
                Field::Port(endpoint.port()),
                addr,
            ];
            self.add(family::hairpin(family), key, Value::Nothing);
        }
    }

    /// One way to reach a port.
    fn access(&mut self, access: Access, service: &Service, port: &Port, reach: &Reach) {
        let (scope, family, key) = access.key(port);
        let policy = access.policy(service);
        let only_local = policy == TrafficPolicy::Local;
        // Local endpoints come first, so that most often both choices are made from the same slots.
        let inside = matches!(access, Access::Cluster(_)) && only_local;
        let everywhere = if inside { &reach.local } else { &reach.cluster };
        let layout = Layout::new(everywhere, if only_local { &reach.local } else { &[] });
        for (slot, endpoint) in layout.slots.iter().enumerate() {
            let to = Tuple(vec![Field::Addr(endpoint.ip()), Field::Port(endpoint.port())]);
            self.add(scope.endpoints(family, slot), key.clone(), Value::Tuple(to));
        }
        let any = !reach.cluster.is_empty();
        let by = by(service, family);
        let verdict = self.choice((scope, family, by), layout.everywhere, any);
        self.add(scope.services(family), key.clone(), Value::Verdict(verdict));
        if !matches!(access, Access::Cluster(_)) {
            if only_local && any {
                let verdict = self.choice((scope, family, by), layout.local, any);
                self.add(scope.local_services(family), key.clone(), Value::Verdict(verdict));
            }
            let chain = if only_local {
                family::MASQUERADE_OWN
            } else {
                family::MASQUERADE_ALL
            };
            let verdict = Verdict::Goto(chain.into());
            self.add(scope.masquerade(family), key.clone(), Value::Verdict(verdict));
        }
        if matches!(access, Access::Balancer(_)) && !service.balancer_sources.is_empty() {
            self.restrict(family, &service.balancer_sources, &key);
        }
        if let Some(seconds) = service.affinity
            && by == By::Chance
            && !layout.slots.is_empty()
        {
            self.shape.periods.insert((family, seconds));
            let verdict = Verdict::Jump(family::remember(family, seconds));
            self.add(scope.affine(family), key, Value::Verdict(verdict));
        }
    }

    /// Lets only `sources` use `key`.
    fn restrict(&mut self, family: Family, sources: &[IpNet], key: &[Field]) {
        let sources: Vec<IpNet> = sources
            .iter()
            .filter(|net| Family::of_net(net) == family)
            .copied()
            .collect();
        if sources.iter().any(|net| net.prefix_len() == 0) {
            return;
        }
        let verdict = Verdict::Jump(family::sources(family, &sources));
        self.shape.sources.insert((family, sources));
        self.add(family::restricted(family), key.to_vec(), Value::Verdict(verdict));
    }

    /// Where packets go that may reach the slots `from..from + count`.
    fn choice(
        &mut self,
        (scope, family, by): (Scope, Family, By),
        (from, count): (usize, usize),
        any: bool,
    ) -> Verdict {
        if count > 0 {
            let pick = Pick {
                scope,
                family,
                from,
                count,
                by,
            };
            self.shape.add_pick(pick);
            return Verdict::Goto(pick.chain());
        }
        // As upstream: an endpoint elsewhere that the policy forbids is no refusal but silence.
        if any {
            Verdict::Drop
        } else {
            Verdict::Goto(family::REFUSE.into())
        }
    }

    fn address(&mut self, set: Arc<str>, addr: IpAddr) {
        self.add(set, vec![Field::Addr(addr)], Value::Nothing);
    }

    fn add(&mut self, set: Arc<str>, key: Vec<Field>, value: Value) {
        self.elements.push(Element {
            key: ElementKey { set, key: Tuple(key) },
            value,
            comment: Arc::clone(&self.comment),
        });
    }
}

impl Access {
    fn key(self, port: &Port) -> (Scope, Family, Vec<Field>) {
        let protocol = Field::Protocol(port.protocol);
        match self {
            Self::Cluster(addr) | Self::Balancer(addr) => (
                Scope::Address,
                Family::of(addr),
                vec![Field::Addr(addr), protocol, Field::Port(port.port)],
            ),
            Self::Node(family, number) => (Scope::Node, family, vec![protocol, Field::Port(number)]),
        }
    }

    const fn policy(self, service: &Service) -> TrafficPolicy {
        match self {
            Self::Cluster(_) => service.internal,
            Self::Balancer(_) | Self::Node(..) => service.external,
        }
    }
}

/// How an endpoint is chosen.
fn by(service: &Service, family: Family) -> By {
    if service.affinity.is_some() && !family.remembers() {
        By::Client
    } else {
        By::Chance
    }
}

/// Endpoints in slots, such that two sets of them are neighbours each.
struct Layout {
    slots: Vec<SocketAddr>,
    everywhere: (usize, usize),
    local: (usize, usize),
}

impl Layout {
    fn new(everywhere: &[SocketAddr], local: &[SocketAddr]) -> Self {
        if local.iter().all(|endpoint| everywhere.contains(endpoint)) {
            let others = everywhere.iter().filter(|endpoint| !local.contains(endpoint));
            return Self {
                slots: local.iter().chain(others).copied().collect(),
                everywhere: (0, everywhere.len()),
                local: (0, local.len()),
            };
        }
        // Here all end already, elsewhere some are ready.
        Self {
            slots: everywhere.iter().chain(local).copied().collect(),
            everywhere: (0, everywhere.len()),
            local: (everywhere.len(), local.len()),
        }
    }
}
