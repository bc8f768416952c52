//! What the zone answers.

use std::collections::BTreeSet;
use std::net::IpAddr;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, Record, RecordType};

use super::facts::{self, Port, Reach, ServiceFacts};
use super::question::{PortName, ServiceName, Wanted};
use super::{Entry, Zone, records};

/// Records in an answer at most, so that no question costs more. Fewer may fit into a message.
pub(super) const MOST_RECORDS: usize = 1000;

/// What the zone says to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The name is not the cluster's.
    Outside,
    /// It is.
    Answer(Answer),
}

/// The sections of an authoritative answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// `NOERROR` or `NXDOMAIN`.
    pub code: ResponseCode,
    /// Answers to the question.
    pub answers: Vec<Record>,
    /// The SOA, where there is no answer.
    pub authorities: Vec<Record>,
    /// Addresses of the names in the answers.
    pub additionals: Vec<Record>,
    /// The name that an alias leads to and whose records were asked for.
    pub chase: Option<Name>,
}

/// A question in the zone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) name: &'a Name,
    pub(super) kind: RecordType,
    /// Where a list of equals begins.
    pub(super) turn: usize,
}

impl Asked<'_> {
    /// Whether records of `kind` answer it. `ANY` gets what is at hand: RFC 8482, 4.1.
    pub(super) fn wants(&self, kind: RecordType) -> bool {
        self.kind == kind || self.kind == RecordType::ANY
    }

    fn wants_address(&self, address: IpAddr) -> bool {
        self.wants(if address.is_ipv4() {
            RecordType::A
        } else {
            RecordType::AAAA
        })
    }
}

/// What is at a name: `None` where the name does not exist.
type Found = Option<Records>;

#[derive(Debug, Default)]
struct Records {
    answers: Vec<Record>,
    additionals: Vec<Record>,
    chase: Option<Name>,
}

impl From<Vec<Record>> for Records {
    fn from(answers: Vec<Record>) -> Self {
        Self {
            answers,
            ..Self::default()
        }
    }
}

/// An endpoint that is published under `label`.
#[derive(Debug, Clone)]
struct Live<'a> {
    label: String,
    address: IpAddr,
    ports: &'a [Port],
}

impl Zone {
    /// What the zone says to a question for `kind` records of `name`. `turn` says which of several
    /// equal records comes first: it moves from question to question.
    #[must_use]
    pub fn answer(&self, name: &Name, kind: RecordType, turn: usize) -> Verdict {
        let asked = Asked { name, kind, turn };
        if !self.scope.domain.zone_of(name) {
            return self.reverse(asked);
        }
        let found = self.wanted(name).and_then(|wanted| self.find(asked, &wanted));
        Verdict::Answer(match found {
            Some(found) => self.finish(found),
            None => self.negative(ResponseCode::NXDomain, &self.scope.domain),
        })
    }

    /// The labels below the domain, read. `None` for labels that no name of the cluster has.
    fn wanted(&self, name: &Name) -> Option<Wanted> {
        // Not `num_labels`, which leaves out a leading `*`: RFC 4034, 3.1.3.
        let below = name.iter().len().checked_sub(self.scope.domain.iter().len())?;
        let mut labels = Vec::with_capacity(below);
        for label in name.iter().take(below) {
            labels.push(std::str::from_utf8(label).ok()?.to_ascii_lowercase());
        }
        let reversed: Vec<&str> = labels.iter().rev().map(String::as_str).collect();
        Some(Wanted::read(&reversed))
    }

    fn finish(&self, found: Records) -> Answer {
        if found.answers.is_empty() {
            return self.negative(ResponseCode::NoError, &self.scope.domain);
        }
        Answer {
            code: ResponseCode::NoError,
            answers: found.answers,
            authorities: Vec::new(),
            additionals: found.additionals,
            chase: found.chase,
        }
    }

    /// An answer without records: RFC 2308, 2.
    pub(super) fn negative(&self, code: ResponseCode, zone: &Name) -> Answer {
        Answer {
            code,
            authorities: records::soa(zone, &self.scope.domain, self.serial)
                .into_iter()
                .collect(),
            ..Answer::default()
        }
    }

    fn find(&self, asked: Asked<'_>, wanted: &Wanted) -> Found {
        match wanted {
            Wanted::Apex => Some(self.apex(asked).into()),
            Wanted::Version => {
                let text = asked.wants(RecordType::TXT).then(|| records::version(asked.name));
                Some(text.into_iter().collect::<Vec<_>>().into())
            }
            Wanted::Server => Some(addresses(asked, [self.scope.server]).into()),
            Wanted::Above => Some(Records::default()),
            Wanted::Namespace(namespace) => self.namespaces.get(namespace).map(|_| Records::default()),
            Wanted::Pod { namespace, label } => self.pod(asked, namespace, label),
            Wanted::Service(name) => self.service(asked, name, None),
            Wanted::Port(name, port) => self.service(asked, name, Some(port)),
            Wanted::Protocol(name, protocol) => self.protocol(name, protocol),
            Wanted::Endpoint(name, label) => self.endpoint(asked, name, label),
            Wanted::Nothing => None,
        }
    }

    fn apex(&self, asked: Asked<'_>) -> Vec<Record> {
        let domain = &self.scope.domain;
        let soa = asked
            .wants(RecordType::SOA)
            .then(|| records::soa(domain, domain, self.serial));
        let ns = asked.wants(RecordType::NS).then(|| records::ns(domain));
        [soa, ns].into_iter().flatten().flatten().collect()
    }

    /// As `CoreDNS` with `pods insecure`: the address is read out of the name.
    fn pod(&self, asked: Asked<'_>, namespace: &str, label: &str) -> Found {
        self.namespaces.get(namespace)?;
        Some(addresses(asked, [facts::undashed(label)?]).into())
    }

    /// The records of a Service, or of one of its ports.
    fn service(&self, asked: Asked<'_>, name: &ServiceName, port: Option<&PortName>) -> Found {
        let entry = self.entry(name)?;
        let service = entry.service.as_ref()?;
        match &service.reach {
            Reach::External(target) if port.is_none() => external(asked, target),
            Reach::External(_) => None,
            Reach::Headless => self.headless(asked, name, entry, port),
            Reach::Addresses(ips) => {
                let ports = matching(&service.ports, port);
                if port.is_some() && ports.is_empty() {
                    return None;
                }
                let mut found: Records = addresses(asked, ips.iter().copied()).into();
                if asked.wants(RecordType::SRV) {
                    let target = self.service_domain(name)?;
                    // Without a port all are meant, with a name or not, as in `CoreDNS`.
                    found.answers.extend(
                        ports
                            .iter()
                            .map(|port| records::srv(asked.name, 100, port.number, target.clone())),
                    );
                    found.additionals = ips.iter().map(|ip| records::address(&target, *ip)).collect();
                }
                Some(found)
            }
        }
    }

    fn headless(
        &self,
        asked: Asked<'_>,
        name: &ServiceName,
        entry: &Entry,
        port: Option<&PortName>,
    ) -> Found {
        let mut live = published(entry);
        live.retain(|endpoint| port.is_none() || !matching(endpoint.ports, port).is_empty());
        if live.is_empty() {
            return None;
        }
        let ips: BTreeSet<IpAddr> = live.iter().map(|endpoint| endpoint.address).collect();
        let mut found: Records = addresses(asked, ips).into();
        if asked.wants(RecordType::SRV) {
            self.endpoint_srv(asked, name, &live, port, &mut found)?;
        }
        Some(found)
    }

    /// A record of each endpoint's host name and port, and the addresses of the host names.
    fn endpoint_srv(
        &self,
        asked: Asked<'_>,
        name: &ServiceName,
        live: &[Live<'_>],
        port: Option<&PortName>,
        found: &mut Records,
    ) -> Option<()> {
        let pairs: BTreeSet<(&str, u16)> = live
            .iter()
            .flat_map(|one| {
                matching(one.ports, port)
                    .into_iter()
                    .map(|port| (one.label.as_str(), port.number))
            })
            .collect();
        let domain = self.service_domain(name)?;
        let weight = weight(pairs.len());
        let srv = pairs.iter().filter_map(|(label, port)| {
            let target = domain.prepend_label(*label).ok()?;
            Some(records::srv(asked.name, weight, *port, target))
        });
        found.answers.extend(rotated(srv.collect(), asked.turn));
        let hosts: BTreeSet<(&str, IpAddr)> =
            live.iter().map(|one| (one.label.as_str(), one.address)).collect();
        let additional = hosts.into_iter().filter_map(|(label, address)| {
            let owner = domain.prepend_label(label).ok()?;
            Some(records::address(&owner, address))
        });
        found.additionals = additional.take(MOST_RECORDS).collect();
        Some(())
    }

    /// An endpoint by its host name: of any Service that has endpoints, not only a headless one.
    fn endpoint(&self, asked: Asked<'_>, name: &ServiceName, label: &str) -> Found {
        let mut live = published(self.entry(name)?);
        live.retain(|endpoint| endpoint.label == label);
        if live.is_empty() {
            return None;
        }
        let ips: BTreeSet<IpAddr> = live.iter().map(|endpoint| endpoint.address).collect();
        let mut found: Records = addresses(asked, ips).into();
        if asked.wants(RecordType::SRV) {
            self.endpoint_srv(asked, name, &live, None, &mut found)?;
        }
        Some(found)
    }

    /// There is nothing at `_tcp.<service>`, but the name exists where a port's name is below it.
    fn protocol(&self, name: &ServiceName, protocol: &str) -> Found {
        let entry = self.entry(name)?;
        let service = entry.service.as_ref()?;
        let live = published(entry);
        let of_endpoints = live.iter().flat_map(|endpoint| endpoint.ports);
        let has = |port: &Port| port.protocol == protocol && !port.name.is_empty();
        let any = match service.reach {
            Reach::Addresses(_) => service.ports.iter().any(has),
            Reach::Headless => of_endpoints.into_iter().any(has),
            Reach::External(_) => false,
        };
        any.then(Records::default)
    }

    /// `<service>.<ns>.svc.<zone>`.
    pub(super) fn service_domain(&self, name: &ServiceName) -> Option<Name> {
        let services = self.scope.domain.prepend_label("svc").ok()?;
        let namespace = services.prepend_label(name.namespace.as_str()).ok()?;
        namespace.prepend_label(name.name.as_str()).ok()
    }
}

/// An alias to `target`. A name that reads as an address is none: Service, `externalName`.
fn external(asked: Asked<'_>, target: &str) -> Found {
    if target.parse::<IpAddr>().is_ok() {
        return None;
    }
    let mut name = Name::from_ascii(target).ok()?;
    name.set_fqdn(true);
    let asks_alias = asked.wants(RecordType::CNAME);
    Some(Records {
        answers: vec![records::cname(asked.name, name.clone())],
        additionals: Vec::new(),
        chase: (!asks_alias).then_some(name),
    })
}

/// The endpoints under which the Service is published.
fn published(entry: &Entry) -> Vec<Live<'_>> {
    let all = entry
        .service
        .as_ref()
        .is_some_and(|service: &ServiceFacts| service.publish_not_ready);
    let mut live = Vec::new();
    for slice in entry.slices.values() {
        for endpoint in slice.endpoints.iter().filter(|endpoint| all || endpoint.ready) {
            live.extend(endpoint.addresses.iter().map(|address| Live {
                label: endpoint.label(*address),
                address: *address,
                ports: &slice.ports,
            }));
        }
    }
    live
}

fn matching<'a>(ports: &'a [Port], wanted: Option<&PortName>) -> Vec<&'a Port> {
    let fits = |port: &&Port| {
        wanted.is_none_or(|wanted| port.name == wanted.name && port.protocol == wanted.protocol)
    };
    ports.iter().filter(fits).collect()
}

fn addresses(asked: Asked<'_>, ips: impl IntoIterator<Item = IpAddr>) -> Vec<Record> {
    let wanted = ips.into_iter().filter(|ip| asked.wants_address(*ip));
    let all: Vec<Record> = wanted.map(|ip| records::address(asked.name, ip)).collect();
    rotated(all, asked.turn)
}

/// Begins with another record at each turn, and keeps no more than fit.
pub(super) fn rotated(mut records: Vec<Record>, turn: usize) -> Vec<Record> {
    if let Some(first) = turn.checked_rem(records.len()) {
        records.rotate_left(first);
    }
    records.truncate(MOST_RECORDS);
    records
}

fn weight(equals: usize) -> u16 {
    let share = 100_usize.checked_div(equals).unwrap_or(100).max(1);
    u16::try_from(share).unwrap_or(1)
}
