//! UDP flows that the kernel still sends to where a port led before: upstream forgets them, too.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use cni_plugins_nft::{Change, Element, ElementKey, Field, Flow, Flows, NftError, Protocol, Tuple, Value};

use crate::structure::Family;

/// A UDP port of the node, on one address or on all.
type Target = (Option<IpAddr>, u16);

/// Where UDP ports that changed lead now; nowhere where they are no host ports any more.
pub(crate) type Changed = BTreeMap<(Family, Target), Option<SocketAddr>>;

/// The UDP ports among `changes`.
pub(crate) fn changed(changes: &[Change]) -> Changed {
    let mut changed = Changed::new();
    for change in changes {
        let Some(target) = target(change.key()) else {
            continue;
        };
        let now = match change {
            Change::Add(element) => leads_to(element),
            Change::Remove(_) => None,
        };
        // What is replaced is removed first.
        changed.insert(target, now);
    }
    changed
}

fn target(key: &ElementKey) -> Option<(Family, Target)> {
    let named = |family: &Family| [family.ports(), family.address_ports()].contains(&key.set);
    let family = Family::BOTH.into_iter().find(named)?;
    match *key.key.0.as_slice() {
        [Field::Protocol(Protocol::Udp), Field::Port(port)] => Some((family, (None, port))),
        [
            Field::Addr(addr),
            Field::Protocol(Protocol::Udp),
            Field::Port(port),
        ] => Some((family, (Some(addr), port))),
        _ => None,
    }
}

fn leads_to(element: &Element) -> Option<SocketAddr> {
    let Value::Tuple(Tuple(fields)) = &element.value else {
        return None;
    };
    match *fields.as_slice() {
        [Field::Addr(addr), Field::Port(port)] => Some(SocketAddr::new(addr, port)),
        _ => None,
    }
}

/// Makes the kernel forget the flows to `changed` ports that go elsewhere than those lead now.
///
/// # Errors
///
/// When the kernel does not list or does not forget.
pub(crate) fn forget(changed: &Changed, flows: &mut impl Flows) -> Result<usize, NftError> {
    if changed.is_empty() {
        return Ok(0);
    }
    let local = flows.local()?;
    let mut count = 0;
    for flow in flows.udp()?.iter().filter(|flow| is_stale(flow, changed, &local)) {
        flows.forget(flow)?;
        count += 1;
    }
    Ok(count)
}

fn is_stale(flow: &Flow, changed: &Changed, local: &[IpAddr]) -> bool {
    let (to, port) = (flow.destination.ip(), flow.destination.port());
    let family = Family::of(to);
    let here = local.contains(&to);
    let own = changed.get(&(family, (Some(to), port)));
    let now = own.or_else(|| changed.get(&(family, (None, port))).filter(|_| here));
    now.is_some_and(|now| *now != Some(flow.server))
}

#[cfg(test)]
mod tests {
    use cni_plugins_nft::MemoryFlows;

    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn element(key: Vec<Field>, set: std::sync::Arc<str>, to: &str) -> Element {
        let to = at(to);
        Element {
            key: ElementKey { set, key: Tuple(key) },
            value: Value::Tuple(Tuple(vec![Field::Addr(to.ip()), Field::Port(to.port())])),
            comment: "a eth0".into(),
        }
    }

    fn ports(protocol: Protocol, to: &str) -> Element {
        let key = vec![Field::Protocol(protocol), Field::Port(53)];
        element(key, Family::V4.ports(), to)
    }

    fn left(changes: &[Change]) -> Vec<Flow> {
        let flow = |to: &str, server: &str| Flow::new(at("192.0.2.9:4000"), at(to), at(server));
        let mut flows = MemoryFlows {
            flows: vec![
                flow("192.0.2.1:53", "10.42.0.2:5353"),
                flow("192.0.2.1:53", "10.42.0.3:5353"),
                flow("127.0.0.1:53", "127.0.0.1:53"),
                flow("198.51.100.1:53", "198.51.100.1:53"),
                flow("192.0.2.1:54", "10.42.0.2:5353"),
            ],
            local: vec![
                "192.0.2.1".parse().unwrap(),
                "127.0.0.1".parse::<IpAddr>().unwrap(),
            ],
        };
        forget(&changed(changes), &mut flows).unwrap();
        flows.flows
    }

    #[test]
    fn flows_to_a_new_port_are_forgotten_unless_they_go_where_it_leads() {
        let kept = left(&[Change::Add(ports(Protocol::Udp, "10.42.0.3:5353"))]);
        let servers: Vec<String> = kept.iter().map(|flow| flow.server.to_string()).collect();
        assert_eq!(servers, ["10.42.0.3:5353", "198.51.100.1:53", "10.42.0.2:5353"]);
    }

    #[test]
    fn flows_to_a_port_that_went_are_forgotten_whatever_they_lead_to() {
        let gone = ports(Protocol::Udp, "10.42.0.3:5353");
        assert_eq!(left(&[Change::Remove(gone.key.clone())]).len(), 2);
        assert_eq!(
            left(&[Change::Remove(gone.key.clone()), Change::Add(gone)]).len(),
            3
        );
        assert_eq!(
            left(&[Change::Add(ports(Protocol::Tcp, "10.42.0.3:5353"))]).len(),
            5
        );
    }

    #[test]
    fn a_port_of_one_address_concerns_that_address_alone() {
        let addr = |text: &str| {
            vec![
                Field::Addr(text.parse().unwrap()),
                Field::Protocol(Protocol::Udp),
                Field::Port(53),
            ]
        };
        let on = |text: &str| element(addr(text), Family::V4.address_ports(), "10.42.0.9:53");
        assert_eq!(left(&[Change::Add(on("127.0.0.1"))]).len(), 4);
        assert_eq!(left(&[Change::Add(on("192.0.2.7"))]).len(), 5);
    }
}
