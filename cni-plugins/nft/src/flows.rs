//! Tracked connections (conntrack) of UDP, which outlive a change of the rules.

use std::io;
use std::net::{IpAddr, SocketAddr};

use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use rustix::net::RecvFlags;

use crate::element::Protocol;
use crate::error::NftError;
use crate::socket::Socket;
use crate::wire::{Attributes, Body, Messages, NLMSG_ERROR, Writer, error_code};

const IPCTNL_MSG_CT_NEW: u16 = 1 << 8;
const IPCTNL_MSG_CT_GET: u16 = 1 << 8 | 1;
const IPCTNL_MSG_CT_DELETE: u16 = 1 << 8 | 2;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_ID: u16 = 12;
const CTA_ZONE: u16 = 18;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V4_DST: u16 = 2;
const CTA_IP_V6_SRC: u16 = 3;
const CTA_IP_V6_DST: u16 = 4;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_SRC_PORT: u16 = 2;
const CTA_PROTO_DST_PORT: u16 = 3;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const NLA_F_NESTED: u16 = 0x8000;

/// A UDP flow as the kernel tracks it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flow {
    /// Who began it.
    pub client: SocketAddr,
    /// Where the client sends.
    pub destination: SocketAddr,
    /// Who answers: the destination itself, or the endpoint that took its place.
    pub server: SocketAddr,
    /// The attributes that tell the kernel which flow is meant.
    identity: Vec<(u16, Vec<u8>)>,
}

impl Flow {
    /// A flow that no kernel knows, for tests.
    #[must_use]
    pub const fn new(client: SocketAddr, destination: SocketAddr, server: SocketAddr) -> Self {
        Self {
            client,
            destination,
            server,
            identity: Vec::new(),
        }
    }
}

/// The seam to connection tracking. Calls block.
pub trait Flows: Send {
    /// The addresses of this machine: what is sent there is answered, or redirected, here. Read anew at
    /// each call, as they come and go.
    ///
    /// # Errors
    ///
    /// When the kernel does not list them.
    fn local(&mut self) -> Result<Vec<IpAddr>, NftError>;

    /// Every tracked UDP flow.
    ///
    /// # Errors
    ///
    /// When the kernel does not list them.
    fn udp(&mut self) -> Result<Vec<Flow>, NftError>;

    /// Forgets `flow`, so that its next packet is looked at by the rules; harmless where it is gone.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    fn forget(&mut self, flow: &Flow) -> Result<(), NftError>;
}

/// Connection tracking of the network namespace in which this was made.
#[derive(Debug)]
pub struct KernelFlows(Socket);

impl KernelFlows {
    /// Opens it.
    ///
    /// # Errors
    ///
    /// When the kernel gives no socket.
    pub fn open() -> Result<Self, NftError> {
        Socket::open().map(Self).map_err(|source| NftError::Kernel {
            attempted: "open a netfilter socket".to_owned(),
            source,
        })
    }
}

impl Flows for KernelFlows {
    fn local(&mut self) -> Result<Vec<IpAddr>, NftError> {
        let listed = getifaddrs().map_err(|source| NftError::Kernel {
            attempted: "list this machine's addresses".to_owned(),
            source: source.into(),
        })?;
        let address = |interface: InterfaceAddress| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::from(v4.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::from(v6.ip())))
        };
        Ok(listed.filter_map(address).collect())
    }

    fn udp(&mut self) -> Result<Vec<Flow>, NftError> {
        let mut flows = Vec::new();
        for family in [AF_INET, AF_INET6] {
            let mut found = Vec::new();
            let listed = self.0.dump(
                IPCTNL_MSG_CT_GET,
                family,
                |_| {},
                |answer| match answer {
                    None => found.clear(),
                    Some(message) if message.kind == IPCTNL_MSG_CT_NEW => {
                        found.extend(read_flow(message.body));
                    }
                    Some(_) => {}
                },
            );
            listed.map_err(|source| NftError::Kernel {
                attempted: "list tracked connections".to_owned(),
                source,
            })?;
            flows.append(&mut found);
        }
        Ok(flows)
    }

    fn forget(&mut self, flow: &Flow) -> Result<(), NftError> {
        let sequence = self.0.next_sequence();
        let family = if flow.client.is_ipv4() { AF_INET } else { AF_INET6 };
        let mut writer = Writer::default();
        writer.message(
            IPCTNL_MSG_CT_DELETE,
            0,
            sequence,
            (family, 0),
            |body: &mut Body<'_>| {
                for (kind, value) in &flow.identity {
                    body.put(*kind, value);
                }
            },
        );
        writer.acknowledge_last();
        let mut attempt = || -> io::Result<i32> {
            self.0.send(writer.bytes())?;
            let answer = self.0.receive(RecvFlags::empty())?;
            let code = Messages(answer).find(|message| message.kind == NLMSG_ERROR);
            Ok(code.map_or(0, |message| error_code(message.body)))
        };
        let outcome = attempt().and_then(|code| match io::Error::from_raw_os_error(code) {
            error if code == 0 || error.kind() == io::ErrorKind::NotFound => Ok(()),
            error => Err(error),
        });
        outcome.map_err(|source| NftError::Kernel {
            attempted: format!("forget the flow from {} to {}", flow.client, flow.destination),
            source,
        })
    }
}

/// The flow in a message; `None` where it is not UDP.
fn read_flow(body: &[u8]) -> Option<Flow> {
    let all = Attributes::of(body);
    let (client, destination) = ends(all.nested(CTA_TUPLE_ORIG))?;
    let (server, _) = ends(all.nested(CTA_TUPLE_REPLY))?;
    let identity = [
        (CTA_TUPLE_ORIG, CTA_TUPLE_ORIG | NLA_F_NESTED),
        (CTA_ID, CTA_ID),
        (CTA_ZONE, CTA_ZONE),
    ];
    let identity = identity
        .into_iter()
        .filter_map(|(kind, written)| Some((written, all.find(kind)?.to_vec())));
    Some(Flow {
        client,
        destination,
        server,
        identity: identity.collect(),
    })
}

/// Source and destination of one direction of a UDP flow.
fn ends(tuple: Attributes<'_>) -> Option<(SocketAddr, SocketAddr)> {
    let (ip, transport) = (tuple.nested(CTA_TUPLE_IP), tuple.nested(CTA_TUPLE_PROTO));
    if transport.find(CTA_PROTO_NUM)?.first() != Some(&Protocol::Udp.number()) {
        return None;
    }
    let port = |kind| Some(u16::from_be_bytes(*transport.find(kind)?.first_chunk()?));
    let addr = |v4, v6| match ip.find(v4) {
        Some(octets) => Some(IpAddr::from(*octets.first_chunk::<4>()?)),
        None => Some(IpAddr::from(*ip.find(v6)?.first_chunk::<16>()?)),
    };
    let source = SocketAddr::new(addr(CTA_IP_V4_SRC, CTA_IP_V6_SRC)?, port(CTA_PROTO_SRC_PORT)?);
    let destination = SocketAddr::new(addr(CTA_IP_V4_DST, CTA_IP_V6_DST)?, port(CTA_PROTO_DST_PORT)?);
    Some((source, destination))
}

/// Tracked connections in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryFlows {
    /// The UDP flows.
    pub flows: Vec<Flow>,
    /// The machine's addresses.
    pub local: Vec<IpAddr>,
}

impl Flows for MemoryFlows {
    fn local(&mut self) -> Result<Vec<IpAddr>, NftError> {
        Ok(self.local.clone())
    }

    fn udp(&mut self) -> Result<Vec<Flow>, NftError> {
        Ok(self.flows.clone())
    }

    fn forget(&mut self, flow: &Flow) -> Result<(), NftError> {
        self.flows.retain(|known| known != flow);
        Ok(())
    }
}
