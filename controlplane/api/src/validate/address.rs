//! Addresses and ranges of addresses as text.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::field::Path;
use crate::validate::endpoints::{CIDR_RULE, IP_RULE};

/// Upstream's words for a name that is an address.
pub(crate) const NO_ADDRESS: &str = "must be a DNS name, not an IP address";

/// What a text breaks of the rules for an IP address that is the only way to write it.
pub(crate) fn canonical_ip(text: &str) -> Vec<String> {
    let strict = ip(text);
    match text.parse::<IpAddr>() {
        Ok(address) if strict.is_empty() && address.to_string() != text => {
            vec![format!("must be in canonical form (\"{address}\")")]
        }
        _ => strict,
    }
}

/// What a text breaks of the rules for an IP address.
pub(crate) fn ip(text: &str) -> Vec<String> {
    let rule = match text.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) if address.to_ipv4_mapped().is_some() => {
            "must not be an IPv4-mapped IPv6 address"
        }
        Ok(_) => return Vec::new(),
        Err(_) if without_zeros(text).parse::<IpAddr>().is_ok() => "must not have leading 0s",
        Err(_) => IP_RULE,
    };
    vec![rule.to_owned()]
}

/// What a client is warned of about an address that an older form of the rules let in, or that is spelled oddly.
pub(crate) fn warning(text: &str, path: &Path) -> Option<String> {
    let plain = without_zeros(text).parse::<IpAddr>().ok()?;
    let mapped = match plain {
        IpAddr::V6(address) => address.to_ipv4_mapped().map(IpAddr::V4),
        IpAddr::V4(_) => None,
    };
    if mapped.is_some() || text.parse::<IpAddr>().is_err() {
        let shown = mapped.unwrap_or(plain);
        return Some(format!(
            "{path}: non-standard IP address \"{text}\" will be considered invalid in a future Kubernetes release: use \"{shown}\""
        ));
    }
    (plain.is_ipv6() && plain.to_string() != text).then(|| {
        format!("{path}: IPv6 address \"{text}\" should be in RFC 5952 canonical format (\"{plain}\")")
    })
}

/// What a text breaks of the rules for a range of addresses that is the only way to write it.
pub(crate) fn canonical_cidr(text: &str) -> Vec<String> {
    let strict = cidr(text);
    match text.parse::<IpNet>() {
        Ok(network) if strict.is_empty() && network.to_string() != text => {
            vec![format!("must be in canonical form (\"{network}\")")]
        }
        _ => strict,
    }
}

/// What a text breaks of the rules for a range of addresses.
pub(crate) fn cidr(text: &str) -> Vec<String> {
    let mapped = |network: &IpNet| match network.addr() {
        IpAddr::V6(address) => address.to_ipv4_mapped().is_some(),
        IpAddr::V4(_) => false,
    };
    let rule = match strictly(text) {
        Some(network) if mapped(&network) => "must not have an IPv4-mapped IPv6 address",
        Some(network) if network.addr() != network.network() => {
            "must not have bits set beyond the prefix length"
        }
        Some(_) => return Vec::new(),
        None if without_zeros(text).parse::<IpNet>().is_ok() => {
            "must not have leading 0s in IP or prefix length"
        }
        None => CIDR_RULE,
    };
    vec![rule.to_owned()]
}

/// A range, if no number in it has a zero before it.
fn strictly(text: &str) -> Option<IpNet> {
    let (address, length) = text.split_once('/')?;
    let zero = length.len() > 1 && length.starts_with('0');
    // The parser of ranges is content with zeros; that of addresses is not.
    let address = address.parse().ok().filter(|_| !zero)?;
    IpNet::new(address, length.parse().ok()?).ok()
}

/// The text without the zeros before its decimal numbers, which old parsers skip.
fn without_zeros(text: &str) -> String {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let plain = |number: &str| match number.trim_start_matches('0') {
        "" if !number.is_empty() => "0".to_owned(),
        rest => rest.to_owned(),
    };
    let address = if address.contains(':') {
        address.to_owned()
    } else {
        address.split('.').map(plain).collect::<Vec<_>>().join(".")
    };
    match length {
        Some(length) => format!("{address}/{}", plain(length)),
        None => address,
    }
}
