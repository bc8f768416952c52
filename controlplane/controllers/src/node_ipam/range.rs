//! The cluster's pod range, divided into parts of one size.

use std::net::IpAddr;
use std::ops::Range;

use ipnet::IpNet;

/// Parts a range may be divided into at most, as upstream: two to this power.
const MAX_BITS: u8 = 16;

/// A range of pod addresses of which every node gets one part.
///
/// Invariants: a part is no larger than the range, and there are at most 65 536 of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PodRange {
    range: IpNet,
    size: u8,
}

/// Why a range cannot be divided so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PodRangeError {
    /// A part would be larger than the whole, or smaller than one address.
    #[error("a mask of {size} bits does not divide {range}: choose one from {} to {}", range.prefix_len(), range.max_prefix_len())]
    Mask {
        /// The range.
        range: IpNet,
        /// Bits of a part's mask.
        size: u8,
    },
    /// More parts than can be kept count of.
    #[error("a mask of {size} bits divides {range} into more than 65536 parts: choose one of {} bits at most", range.prefix_len() + MAX_BITS)]
    TooMany {
        /// The range.
        range: IpNet,
        /// Bits of a part's mask.
        size: u8,
    },
}

impl PodRange {
    /// Divides `range` into parts whose masks have `size` bits.
    ///
    /// # Errors
    ///
    /// Where that is impossible or too many.
    pub fn new(range: IpNet, size: u8) -> Result<Self, PodRangeError> {
        let range = range.trunc();
        if size < range.prefix_len() || size > range.max_prefix_len() {
            return Err(PodRangeError::Mask { range, size });
        }
        if size - range.prefix_len() > MAX_BITS {
            return Err(PodRangeError::TooMany { range, size });
        }
        Ok(Self { range, size })
    }

    /// How many parts there are.
    pub(super) fn count(&self) -> u32 {
        1 << (self.size - self.range.prefix_len())
    }

    /// The part of this number.
    pub(super) fn part(&self, number: u32) -> Option<IpNet> {
        if number >= self.count() {
            return None;
        }
        let start = bits(self.range.network()) + (u128::from(number) << self.part_bits());
        IpNet::new(self.address(start)?, self.size).ok()
    }

    /// The numbers of the parts that `cidr` shares addresses with; none where it lies outside.
    pub(super) fn touched(&self, cidr: IpNet) -> Range<u32> {
        let apart = !self.range.contains(&cidr) && !cidr.contains(&self.range);
        if apart {
            return 0..0;
        }
        let base = bits(self.range.network());
        let number = |address: IpAddr| {
            let part = bits(address).saturating_sub(base) >> self.part_bits();
            u32::try_from(part).unwrap_or(u32::MAX).min(self.count() - 1)
        };
        number(cidr.network())..number(cidr.broadcast()) + 1
    }

    /// Bits that tell the addresses of one part apart.
    fn part_bits(&self) -> u8 {
        self.range.max_prefix_len() - self.size
    }

    fn address(&self, bits: u128) -> Option<IpAddr> {
        Some(match self.range {
            IpNet::V4(_) => IpAddr::V4(u32::try_from(bits).ok()?.into()),
            IpNet::V6(_) => IpAddr::V6(bits.into()),
        })
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(cidr: &str, size: u8) -> PodRange {
        PodRange::new(cidr.parse().unwrap(), size).unwrap()
    }

    #[test]
    fn parts_follow_one_another_in_both_families() {
        let four = range("10.42.0.0/16", 24);
        assert_eq!(four.count(), 256);
        assert_eq!(four.part(0), "10.42.0.0/24".parse().ok());
        assert_eq!(four.part(255), "10.42.255.0/24".parse().ok());
        assert_eq!(four.part(256), None);
        let six = range("fd00:42::/48", 64);
        assert_eq!(six.count(), 65_536);
        assert_eq!(six.part(1), "fd00:42:0:1::/64".parse().ok());
    }

    #[test]
    fn a_network_touches_the_parts_it_overlaps_and_no_others() {
        let four = range("10.42.0.0/16", 24);
        let touched = |cidr: &str| four.touched(cidr.parse().unwrap());
        assert_eq!(touched("10.42.3.0/24"), 3..4);
        assert_eq!(touched("10.42.3.128/25"), 3..4);
        assert_eq!(touched("10.42.4.0/23"), 4..6);
        assert_eq!(touched("10.0.0.0/8"), 0..256);
        assert!(touched("10.43.0.0/24").is_empty());
        assert!(touched("fd00::/64").is_empty());
    }

    #[test]
    fn an_impossible_mask_is_refused_with_what_would_do() {
        let refusal = |size| {
            PodRange::new("10.42.0.0/16".parse().unwrap(), size)
                .unwrap_err()
                .to_string()
        };
        assert!(
            refusal(15).contains("choose one from 16 to 32"),
            "{}",
            refusal(15)
        );
        assert!(refusal(33).contains("10.42.0.0/16"));
        let wide = PodRange::new("10.0.0.0/8".parse().unwrap(), 25).unwrap_err();
        assert!(wide.to_string().contains("24 bits at most"), "{wide}");
    }
}
