//! Ranges of addresses.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;

/// Why a range cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// The subnet leaves no room for a gateway and a container.
    #[error("subnet {0} is too small to give addresses from")]
    TooSmall(IpNet),
    /// The subnet has bits beyond its prefix.
    #[error("subnet {given} has bits set beyond its prefix; {meant} would be right")]
    HostBits {
        /// As configured.
        given: IpNet,
        /// As it was probably meant.
        meant: IpNet,
    },
    /// A bound or the gateway is not in the subnet.
    #[error("{what} {address} is not in subnet {subnet}")]
    Outside {
        /// Which of them.
        what: &'static str,
        /// The address.
        address: IpAddr,
        /// The subnet.
        subnet: IpNet,
    },
    /// The range ends before it begins.
    #[error("rangeStart {start} is behind rangeEnd {end}")]
    Reversed {
        /// First address.
        start: IpAddr,
        /// Last address.
        end: IpAddr,
    },
}

/// A range as the configuration has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RawRange {
    pub(crate) subnet: IpNet,
    #[serde(default)]
    pub(crate) range_start: Option<IpAddr>,
    #[serde(default)]
    pub(crate) range_end: Option<IpAddr>,
    #[serde(default)]
    pub(crate) gateway: Option<IpAddr>,
}

/// A checked range: bounds within the subnet, neither its network nor its broadcast address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    subnet: IpNet,
    start: IpAddr,
    end: IpAddr,
    gateway: IpAddr,
}

impl Range {
    pub(crate) fn check(raw: &RawRange) -> Result<Self, RangeError> {
        let subnet = raw.subnet;
        let bits = subnet.max_prefix_len();
        if bits.saturating_sub(subnet.prefix_len()) < 2 {
            return Err(RangeError::TooSmall(subnet));
        }
        if subnet.trunc() != subnet {
            return Err(RangeError::HostBits {
                given: subnet,
                meant: subnet.trunc(),
            });
        }
        let inside = |what, address: Option<IpAddr>, default: IpAddr| match address {
            Some(address) if !subnet.contains(&address) => Err(RangeError::Outside {
                what,
                address,
                subnet,
            }),
            Some(address) => Ok(address),
            None => Ok(default),
        };
        let first = offset(subnet.network(), 1);
        let last = if bits == 32 {
            before(subnet.broadcast())
        } else {
            subnet.broadcast()
        };
        let start = inside("rangeStart", raw.range_start, first)?.max(first);
        let end = inside("rangeEnd", raw.range_end, last)?.min(last);
        if start > end {
            return Err(RangeError::Reversed { start, end });
        }
        // The gateway may lie elsewhere, as upstream allows.
        let gateway = raw.gateway.unwrap_or(first);
        Ok(Self {
            subnet,
            start,
            end,
            gateway,
        })
    }

    /// The subnet.
    #[must_use]
    pub fn subnet(&self) -> IpNet {
        self.subnet
    }

    /// The gateway, which is never given away.
    #[must_use]
    pub fn gateway(&self) -> IpAddr {
        self.gateway
    }

    /// Whether `address` may be given from this range.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.start.is_ipv4() && (self.start..=self.end).contains(&address)
    }

    /// Every address that may be given, beginning behind `last` and wrapping around.
    pub fn candidates(&self, last: Option<IpAddr>) -> impl Iterator<Item = IpAddr> + '_ {
        let (start, end) = (number(self.start), number(self.end));
        let begin = last
            .filter(|ip| self.contains(*ip))
            .map_or(start, |ip| number(ip).saturating_add(1));
        let v4 = self.start.is_ipv4();
        (begin..=end)
            .chain(start..begin)
            .map(move |n| address(n, v4))
            .filter(|ip| *ip != self.gateway)
    }
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(ip.to_bits()),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

fn address(number: u128, v4: bool) -> IpAddr {
    match u32::try_from(number) {
        Ok(bits) if v4 => IpAddr::V4(bits.into()),
        _ => IpAddr::V6(number.into()),
    }
}

fn offset(ip: IpAddr, by: u128) -> IpAddr {
    address(number(ip).saturating_add(by), ip.is_ipv4())
}

fn before(ip: IpAddr) -> IpAddr {
    address(number(ip).saturating_sub(1), ip.is_ipv4())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(subnet: &str) -> Range {
        let raw = RawRange {
            subnet: subnet.parse().unwrap(),
            range_start: None,
            range_end: None,
            gateway: None,
        };
        Range::check(&raw).unwrap()
    }

    #[test]
    fn the_first_address_is_the_gateway_and_the_edges_are_not_given() {
        let all: Vec<String> = range("10.0.0.0/29")
            .candidates(None)
            .map(|ip| ip.to_string())
            .collect();
        assert_eq!(all, ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"]);
    }

    #[test]
    fn the_search_begins_behind_the_last_and_wraps() {
        let last = Some("10.0.0.5".parse().unwrap());
        let all: Vec<String> = range("10.0.0.0/29")
            .candidates(last)
            .map(|ip| ip.to_string())
            .collect();
        assert_eq!(all, ["10.0.0.6", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"]);
    }

    #[test]
    fn what_cannot_be_a_range_is_said() {
        let check = |subnet: &str, start: Option<&str>, end: Option<&str>| {
            let ip = |s: Option<&str>| s.map(|s| s.parse().unwrap());
            let raw = RawRange {
                subnet: subnet.parse().unwrap(),
                range_start: ip(start),
                range_end: ip(end),
                gateway: None,
            };
            Range::check(&raw).unwrap_err()
        };
        assert!(matches!(
            check("10.0.0.0/31", None, None),
            RangeError::TooSmall(_)
        ));
        assert!(matches!(
            check("10.0.0.5/24", None, None),
            RangeError::HostBits { .. }
        ));
        assert!(matches!(
            check("10.0.0.0/24", Some("10.0.1.1"), None),
            RangeError::Outside { .. }
        ));
        assert!(matches!(
            check("10.0.0.0/24", Some("10.0.0.9"), Some("10.0.0.8")),
            RangeError::Reversed { .. }
        ));
    }

    proptest! {
        #[test]
        fn candidates_are_each_address_once_wherever_the_search_begins(prefix in 22_u8..30, last in 0_u32..2048) {
            let range = range(&format!("10.8.0.0/{prefix}"));
            let plain: std::collections::BTreeSet<_> = range.candidates(None).collect();
            let last = IpAddr::V4((0x0a08_0000 + last).into());
            let turned: Vec<_> = range.candidates(Some(last)).collect();
            prop_assert_eq!(turned.len(), plain.len());
            prop_assert_eq!(turned.into_iter().collect::<std::collections::BTreeSet<_>>(), plain);
        }
    }
}
