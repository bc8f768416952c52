//! Where a Service's traffic may come from and go to.

use serde_json::Value;

use super::{Need, choice, kind};
use crate::field::{FieldError, Path};
use crate::names;
use crate::read;
use crate::validate::{address, naming};

const TRAFFIC: [&str; 2] = ["Cluster", "Local"];
const DISTRIBUTIONS: [&str; 3] = ["PreferClose", "PreferSameZone", "PreferSameNode"];
const BALANCED_ONLY: &str = "may only be used when `type` is 'LoadBalancer'";

/// What is wrong with the fields that only load balancers have.
pub(super) fn load_balancer(object: &Value, old: Option<&Value>, path: &Path) -> Vec<FieldError> {
    let balanced = kind(object) == "LoadBalancer";
    let mut errors = source_ranges(object, old, &path.child("LoadBalancerSourceRanges"));
    let allocate = path.child("allocateLoadBalancerNodePorts");
    match (read::present(object, allocate.as_str()), balanced) {
        (true, false) => errors.push(allocate.forbidden(BALANCED_ONLY)),
        // Upstream's path.
        (false, true) => errors.push(Path::new("allocateLoadBalancerNodePorts").required("")),
        (true, true) | (false, false) => {}
    }
    errors.extend(class(object));
    errors
}

/// What is wrong with the class of load balancers.
pub(super) fn class(object: &Value) -> Vec<FieldError> {
    let path = Path::new("spec.loadBalancerClass");
    match (read::present(object, path.as_str()), kind(object)) {
        (false, _) => Vec::new(),
        (true, "LoadBalancer") => {
            naming::broken(names::qualified_name, read::text(object, path.as_str()), &path)
        }
        (true, _) => vec![path.forbidden(BALANCED_ONLY)],
    }
}

/// The annotation that named ranges before there was a field.
const OLD_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";

fn source_ranges(object: &Value, old: Option<&Value>, path: &Path) -> Vec<FieldError> {
    const FIELD: &str = "spec.loadBalancerSourceRanges";
    let ranges = read::texts(object, FIELD);
    let annotations = crate::meta::annotations(object);
    let annotated = annotations.get(OLD_RANGES);
    if ranges.is_empty() && annotated.is_none() {
        return Vec::new();
    }
    let path = match ranges.is_empty() {
        true => Path::new("metadata.annotations").key(OLD_RANGES),
        false => path.clone(),
    };
    let mut errors = Vec::new();
    if kind(object) != "LoadBalancer" {
        errors.push(path.forbidden(BALANCED_ONLY));
    }
    // Blanks around a range were always let through.
    let kept = old.map(|old| read::texts(old, FIELD)).unwrap_or_default();
    for (index, range) in ranges.iter().enumerate() {
        let rule = |range: &str| address::cidr_or_kept(range, &kept);
        let rules = rule(range.trim()).into_iter();
        errors.extend(rules.map(|rule| path.index(index).invalid(range.trim(), rule)));
    }
    let written = annotated.map(|text| text.trim()).unwrap_or_default();
    let before = old.map(crate::meta::annotations).unwrap_or_default();
    let same = before.get(OLD_RANGES) == annotated;
    let listed = written
        .split(',')
        .map(str::trim)
        .filter(|_| ranges.is_empty() && !written.is_empty());
    for range in listed {
        let kept: &[&str] = if same { &[range] } else { &[] };
        let rules = address::cidr_or_kept(range, kept).into_iter();
        errors.extend(rules.map(|rule| path.invalid(range, rule)));
    }
    errors
}

/// What is wrong with the traffic policies.
pub(super) fn traffic(object: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = external(object, path);
    errors.extend(health_check(object, &path.child("healthCheckNodePort")));
    let need = match kind(object) {
        "ClusterIP" | "LoadBalancer" | "NodePort" => Need::Required,
        _ => Need::Optional,
    };
    errors.extend(choice(object, "internalTrafficPolicy", &TRAFFIC, need));
    errors.extend(choice(
        object,
        "trafficDistribution",
        &DISTRIBUTIONS,
        Need::Optional,
    ));
    errors
}

/// Whether a Service is reached from outside the cluster, so that it has a policy for that.
pub(crate) fn is_external(object: &Value) -> bool {
    match kind(object) {
        "LoadBalancer" | "NodePort" => true,
        "ClusterIP" => !read::list(object, "spec.externalIPs").is_empty(),
        _ => false,
    }
}

fn external(object: &Value, path: &Path) -> Vec<FieldError> {
    let policy = read::text(object, "spec.externalTrafficPolicy");
    if is_external(object) {
        let wrong = choice(object, "externalTrafficPolicy", &TRAFFIC, Need::Required);
        return wrong.into_iter().collect();
    }
    match policy {
        "" => Vec::new(),
        policy => {
            let detail = "may only be set for externally-accessible services";
            vec![path.child("externalTrafficPolicy").invalid(policy, detail)]
        }
    }
}

/// Whether load balancers ask each node by a port of its own if it has endpoints.
pub(crate) fn is_health_checked(object: &Value) -> bool {
    kind(object) == "LoadBalancer" && read::text(object, "spec.externalTrafficPolicy") == "Local"
}

/// A port that is needed and absent is given later.
fn health_check(object: &Value, path: &Path) -> Vec<FieldError> {
    let port = read::count(object, "spec.healthCheckNodePort");
    match (port, is_health_checked(object)) {
        (0, _) => Vec::new(),
        (port, true) => {
            let rules = names::port_number(port).into_iter();
            rules.map(|rule| path.invalid(port, rule)).collect()
        }
        (port, false) => {
            let detail =
                "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
            vec![path.invalid(port, detail)]
        }
    }
}
