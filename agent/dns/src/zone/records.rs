//! Records of the zone.

use std::net::IpAddr;

use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record};

use super::TTL;

/// The version of the schema: Kubernetes DNS specification, 2.2.
const SCHEMA_VERSION: &str = "1.1.0";
/// How long the schema's version may be kept, as in the specification's example.
const VERSION_TTL: u32 = 28_800;

pub(super) fn address(owner: &Name, address: IpAddr) -> Record {
    let data = match address {
        IpAddr::V4(v4) => RData::A(A(v4)),
        IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
    };
    Record::from_rdata(owner.clone(), TTL, data)
}

pub(super) fn srv(owner: &Name, weight: u16, port: u16, target: Name) -> Record {
    Record::from_rdata(owner.clone(), TTL, RData::SRV(SRV::new(0, weight, port, target)))
}

pub(super) fn ptr(owner: &Name, target: Name) -> Record {
    Record::from_rdata(owner.clone(), TTL, RData::PTR(PTR(target)))
}

pub(super) fn cname(owner: &Name, target: Name) -> Record {
    Record::from_rdata(owner.clone(), TTL, RData::CNAME(CNAME(target)))
}

pub(super) fn version(owner: &Name) -> Record {
    let text = TXT::new(vec![SCHEMA_VERSION.to_owned()]);
    Record::from_rdata(owner.clone(), VERSION_TTL, RData::TXT(text))
}

pub(super) fn ns(zone: &Name) -> Option<Record> {
    Some(Record::from_rdata(
        zone.clone(),
        TTL,
        RData::NS(NS(server(zone)?)),
    ))
}

/// The SOA of `zone`, which is the cluster's domain or the reverse name of one of its ranges.
pub(super) fn soa(zone: &Name, domain: &Name, serial: u32) -> Option<Record> {
    let mailbox = domain.prepend_label("hostmaster").ok()?;
    let data = SOA::new(server(domain)?, mailbox, serial, 7200, 1800, 86_400, TTL);
    Some(Record::from_rdata(zone.clone(), TTL, RData::SOA(data)))
}

/// The name of the name server in the zone.
pub(super) fn server(domain: &Name) -> Option<Name> {
    domain.prepend_label("dns").ok()?.prepend_label("ns").ok()
}
