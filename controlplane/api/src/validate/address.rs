//! Addresses and ranges of addresses as text.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::field::{Path, quote};
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

/// What a text breaks of the rules for an IP address in a field that once took more: what is in `kept`, the
/// field's values before an update, need only be readable.
pub(crate) fn ip_or_kept(text: &str, kept: &[&str]) -> Vec<String> {
    if kept.contains(&text) && loose_ip(text).is_some() {
        return Vec::new();
    }
    ip(text)
}

/// As [`ip_or_kept`], for a range of addresses.
pub(crate) fn cidr_or_kept(text: &str, kept: &[&str]) -> Vec<String> {
    if kept.contains(&text) && without_zeros(text).parse::<IpNet>().is_ok() {
        return Vec::new();
    }
    cidr(text)
}

/// An address, with zeros before its numbers or without.
pub(crate) fn loose_ip(text: &str) -> Option<IpAddr> {
    without_zeros(text).parse().ok()
}

/// What a client is warned of about an address that is written as few do.
pub(crate) fn ip_warning(text: &str, path: &Path) -> Option<String> {
    let loose = loose_ip(text)?;
    let strict = text.parse::<IpAddr>().ok().filter(|address| !is_mapped(address));
    let shown = loose.to_canonical().to_string();
    match strict {
        None => Some(format!(
            "{path}: non-standard IP address {} will be considered invalid in a future Kubernetes release: use {}",
            quote(text),
            quote(&shown)
        )),
        Some(address) if address.is_ipv6() && address.to_string() != text => Some(format!(
            "{path}: IPv6 address {} should be in RFC 5952 canonical format ({})",
            quote(text),
            quote(&address.to_string())
        )),
        Some(_) => None,
    }
}

/// What a client is warned of about a range of addresses that is written as few do.
pub(crate) fn cidr_warnings(text: &str, path: &Path) -> Vec<String> {
    let Ok(network) = without_zeros(text).parse::<IpNet>() else {
        return Vec::new();
    };
    let (whole, text_shown) = (network.trunc(), quote(text));
    let mut warnings = Vec::new();
    if network.addr() != whole.addr() {
        let one = format!("{}/{}", network.addr(), network.max_prefix_len());
        warnings.push(format!(
            "{path}: CIDR value {text_shown} is ambiguous in this context (should be {} or {}?)",
            quote(&whole.to_string()),
            quote(&one)
        ));
    }
    if strictly(text).is_none() || is_mapped(&network.addr()) {
        warnings.push(format!(
            "{path}: non-standard CIDR value {text_shown} will be considered invalid in a future Kubernetes \
             release: use {}",
            quote(&whole.to_string())
        ));
    }
    if warnings.is_empty() && network.addr().is_ipv6() && network.to_string() != text {
        warnings.push(format!(
            "{path}: IPv6 CIDR value {text_shown} should be in RFC 5952 canonical format ({})",
            quote(&network.to_string())
        ));
    }
    warnings
}

fn is_mapped(address: &IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some())
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
    let rule = match strictly(text) {
        Some(network) if is_mapped(&network.addr()) => "must not have an IPv4-mapped IPv6 address",
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
