//! What a client is told of a Service that is allowed, and not what it seems.

use serde_json::Value;

use super::{OLD_TOPOLOGY, TOPOLOGY, kind};
use crate::field::Path;
use crate::read;
use crate::validate::address::{cidr_warnings, ip_warning};

/// What the client should be told of a Service.
pub(crate) fn warnings(object: &Value) -> Vec<String> {
    let path = Path::new("spec");
    let mut warnings = Vec::new();
    if crate::meta::annotations(object).contains_key(OLD_TOPOLOGY) {
        warnings.push(format!(
            "annotation {OLD_TOPOLOGY} is deprecated, please use {TOPOLOGY} instead"
        ));
    }
    let ips = |field: &str| -> Vec<String> {
        let texts = read::texts(object, &format!("spec.{field}"))
            .into_iter()
            .enumerate();
        let warning = |(index, text): (usize, &str)| ip_warning(text, &path.child(field).index(index));
        texts.filter_map(warning).collect()
    };
    warnings.extend(ips("clusterIPs"));
    warnings.extend(headless(object));
    warnings.extend(ips("externalIPs"));
    let named = kind(object) == "ExternalName";
    let external = !read::list(object, "spec.externalIPs").is_empty();
    if external && !named && !is_headless(object) {
        warnings.push("spec.externalIPs is deprecated".to_owned());
    }
    warnings.extend(ip_warning(
        read::text(object, "spec.loadBalancerIP"),
        &path.child("loadBalancerIP"),
    ));
    let ranges = read::texts(object, "spec.loadBalancerSourceRanges").into_iter();
    warnings.extend(ranges.enumerate().flat_map(|(index, range)| {
        cidr_warnings(range, &path.child("loadBalancerSourceRanges").index(index))
    }));
    warnings.extend(by_type(object, named, external));
    warnings
}

fn is_headless(object: &Value) -> bool {
    kind(object) == "ClusterIP" && read::text(object, "spec.clusterIP") == "None"
}

fn headless(object: &Value) -> Vec<String> {
    if !is_headless(object) {
        return Vec::new();
    }
    let ignored = [
        (
            "loadBalancerIP",
            !read::text(object, "spec.loadBalancerIP").is_empty(),
        ),
        ("externalIPs", !read::list(object, "spec.externalIPs").is_empty()),
        (
            "SessionAffinity",
            read::text(object, "spec.sessionAffinity") != "None",
        ),
    ];
    let ignored = ignored.iter().filter(|(_, given)| *given);
    ignored
        .map(|(field, _)| format!("spec.{field} is ignored for headless services"))
        .collect()
}

fn by_type(object: &Value, named: bool, external: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut warn = |applies: bool, text: &str| warnings.extend(applies.then(|| text.to_owned()));
    warn(
        named && external,
        "spec.externalIPs is ignored when spec.type is \"ExternalName\"",
    );
    warn(
        !named && !read::text(object, "spec.externalName").is_empty(),
        "spec.externalName is ignored when spec.type is not \"ExternalName\"",
    );
    warn(
        read::text(object, "spec.trafficDistribution") == "PreferClose",
        "spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"",
    );
    warnings
}
