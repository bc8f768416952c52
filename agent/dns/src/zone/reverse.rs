//! Names of addresses.

use std::net::IpAddr;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, Record, RecordType};
use ipnet::IpNet;

use super::answer::{Answer, Asked, Verdict, rotated};
use super::{Zone, records};

impl Zone {
    /// An address that the cluster knows, or that is of one of its ranges, is answered here;
    /// everything else is outside.
    pub(super) fn reverse(&self, asked: Asked<'_>) -> Verdict {
        let Ok(net) = asked.name.parse_arpa_name() else {
            return Verdict::Outside;
        };
        if net.prefix_len() != net.max_prefix_len() {
            return Verdict::Outside;
        }
        let address = net.addr();
        let names = self.names_of(address);
        let range = self.scope.ranges.iter().find(|range| range.contains(&address));
        if names.is_empty() && range.is_none() {
            return Verdict::Outside;
        }
        let zone = range.and_then(reverse_zone).unwrap_or_else(|| asked.name.clone());
        let code = if names.is_empty() {
            ResponseCode::NXDomain
        } else {
            ResponseCode::NoError
        };
        if names.is_empty() || !asked.wants(RecordType::PTR) {
            return Verdict::Answer(self.negative(code, &zone));
        }
        let all: Vec<Record> = names
            .into_iter()
            .map(|name| records::ptr(asked.name, name))
            .collect();
        Verdict::Answer(Answer {
            code,
            answers: rotated(all, asked.turn),
            ..Answer::default()
        })
    }

    fn names_of(&self, address: IpAddr) -> Vec<Name> {
        if let Some(service) = self.by_cluster_ip.get(&address) {
            return self.service_domain(service).into_iter().collect();
        }
        let mut names = Vec::new();
        for service in self.by_endpoint.get(&address).into_iter().flatten() {
            let (Some(entry), Some(domain)) = (self.entry(service), self.service_domain(service)) else {
                continue;
            };
            let all = entry
                .service
                .as_ref()
                .is_some_and(|service| service.publish_not_ready);
            for endpoint in entry.slices.values().flat_map(|slice| &slice.endpoints) {
                if endpoint.addresses.contains(&address) && (all || endpoint.ready) {
                    let label = endpoint.hostname.as_deref();
                    names.extend(label.and_then(|label| domain.prepend_label(label).ok()));
                }
            }
        }
        names.dedup();
        names
    }
}

/// The name above all reverse names of `range`, cut at the last whole label.
fn reverse_zone(range: &IpNet) -> Option<Name> {
    let whole = Name::from(range.network());
    let label_bits = if range.network().is_ipv4() { 8 } else { 4 };
    // The two labels `in-addr.arpa` or `ip6.arpa` come on top.
    let labels = usize::from(range.prefix_len() / label_bits) + 2;
    Some(whole.trim_to(labels))
}
