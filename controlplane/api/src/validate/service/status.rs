//! The status that a load balancer's controller writes.

use std::net::IpAddr;

use serde_json::Value;

use super::kind;
use crate::field::{FieldError, Path};
use crate::names;
use crate::read;
use crate::validate::address;

const MODES: [&str; 2] = ["Proxy", "VIP"];

/// What is wrong with a Service's status.
pub(crate) fn status(object: &Value, old: &Value) -> Vec<FieldError> {
    let path = Path::new("status.loadBalancer.ingress");
    let ingress = read::list(object, path.as_str());
    if kind(object) != "LoadBalancer" && !ingress.is_empty() {
        return vec![path.forbidden("may only be used when `spec.type` is 'LoadBalancer'")];
    }
    let kept: Vec<&str> = read::list(old, path.as_str())
        .iter()
        .map(|point| read::text(point, "ip"))
        .collect();
    let points = ingress.iter().enumerate();
    points
        .flat_map(|(index, point)| entry(point, &kept, &path.index(index)))
        .collect()
}

fn entry(point: &Value, kept: &[&str], path: &Path) -> Vec<FieldError> {
    let (ip, host, mode) = (
        read::text(point, "ip"),
        read::text(point, "hostname"),
        read::text(point, "ipMode"),
    );
    let mut errors = Vec::new();
    if !ip.is_empty() {
        let rules = address::ip_or_kept(ip, kept).into_iter();
        errors.extend(rules.map(|rule| path.child("ip").invalid(ip, rule)));
    }
    let path_of_mode = path.child("ipMode");
    match (mode, ip) {
        ("", "") => {}
        ("", _) => errors.push(path_of_mode.required("must be specified when `ip` is set")),
        (_, "") => errors.push(path_of_mode.forbidden("may not be specified when `ip` is not set")),
        (mode, _) if MODES.contains(&mode) => {}
        (mode, _) => errors.push(path_of_mode.not_supported(mode, &MODES)),
    }
    if !host.is_empty() {
        let path = path.child("hostname");
        errors.extend(
            names::dns_subdomain(host)
                .into_iter()
                .map(|rule| path.invalid(host, rule)),
        );
        if host.parse::<IpAddr>().is_ok() {
            errors.push(path.invalid(host, "must be a DNS name, not an IP address"));
        }
    }
    errors
}
