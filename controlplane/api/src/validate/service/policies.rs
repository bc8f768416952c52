//! Where a Service's traffic may come from and go to.

use ipnet::IpNet;
use serde_json::Value;

use super::{Need, choice, kind};
use crate::field::{FieldError, Path};
use crate::names;
use crate::read;
use crate::validate::endpoints;

const TRAFFIC: [&str; 2] = ["Cluster", "Local"];
const DISTRIBUTIONS: [&str; 3] = ["PreferClose", "PreferSameZone", "PreferSameNode"];
const BALANCED_ONLY: &str = "may only be used when `type` is 'LoadBalancer'";

/// What is wrong with the fields that only load balancers have.
pub(super) fn load_balancer(object: &Value, path: &Path) -> Vec<FieldError> {
    let balanced = kind(object) == "LoadBalancer";
    let mut errors = source_ranges(object, balanced, &path.child("LoadBalancerSourceRanges"));
    let allocate = path.child("allocateLoadBalancerNodePorts");
    match (read::present(object, allocate.as_str()), balanced) {
        (true, false) => errors.push(allocate.forbidden(BALANCED_ONLY)),
        (false, true) => errors.push(allocate.required("field is required when `type` is 'LoadBalancer'")),
        (true, true) | (false, false) => {}
    }
    let class = path.child("loadBalancerClass");
    if !read::present(object, class.as_str()) {
        return errors;
    }
    if balanced {
        let name = read::text(object, class.as_str());
        let rules = names::qualified_name(name).into_iter();
        errors.extend(rules.map(|rule| class.invalid(name, rule)));
    } else {
        errors.push(class.forbidden(BALANCED_ONLY));
    }
    errors
}

/// The annotation that named ranges before there was a field.
const OLD_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";

fn source_ranges(object: &Value, balanced: bool, path: &Path) -> Vec<FieldError> {
    let ranges = read::texts(object, "spec.loadBalancerSourceRanges");
    let mut errors = Vec::new();
    let annotations = crate::meta::annotations(object);
    let Some(old) = annotations.get(OLD_RANGES).filter(|_| ranges.is_empty()) else {
        if !ranges.is_empty() && !balanced {
            errors.push(path.forbidden(BALANCED_ONLY));
        }
        for (index, range) in ranges.into_iter().enumerate() {
            errors.extend(range_error(range, &path.index(index)));
        }
        return errors;
    };
    let path = Path::new("metadata.annotations").key(OLD_RANGES);
    if !balanced {
        errors.push(path.forbidden(BALANCED_ONLY));
    }
    let ranges = old.split(',').filter(|_| !old.trim().is_empty());
    errors.extend(ranges.filter_map(|range| range_error(range, &path)));
    errors
}

/// Blanks around a range were always let through.
fn range_error(range: &str, path: &Path) -> Option<FieldError> {
    let range = range.trim();
    range
        .parse::<IpNet>()
        .is_err()
        .then(|| path.invalid(range, endpoints::CIDR_RULE))
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
