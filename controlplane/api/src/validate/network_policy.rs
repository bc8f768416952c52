//! Rules for NetworkPolicies.

use ipnet::IpNet;
use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::names;
use crate::read;
use crate::resource::at;
use crate::validate::{address, naming, workload};

const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];
const TYPES: [&str; 2] = ["Ingress", "Egress"];
const SIDES: [(&str, &str); 2] = [("ingress", "from"), ("egress", "to")];

/// What an update may leave as it is.
struct Kept<'a> {
    ranges: Vec<&'a str>,
    labels: workload::LabelValues,
}

/// What is wrong with a NetworkPolicy; ranges that `old` has may stay as they are.
pub(crate) fn policy(object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let path = Path::new("spec");
    let kept = Kept {
        ranges: old.map(ranges).unwrap_or_default(),
        labels: workload::values_after(old.and_then(|old| at(old, "spec.podSelector"))),
    };
    let mut errors = selector(object, "spec.podSelector", &kept, &path.child("podSelector"));
    for (side, peers) in SIDES {
        for (index, rule) in read::list(object, &format!("spec.{side}")).iter().enumerate() {
            let path = path.child(side).index(index);
            for (index, found) in read::list(rule, "ports").iter().enumerate() {
                errors.extend(port(found, &path.child("ports").index(index)));
            }
            for (index, found) in read::list(rule, peers).iter().enumerate() {
                errors.extend(peer(found, &kept, &path.child(peers).index(index)));
            }
        }
    }
    errors.extend(types(object, &path.child("policyTypes")));
    errors
}

fn types(object: &Value, path: &Path) -> Vec<FieldError> {
    let types = read::texts(object, "spec.policyTypes");
    if types.len() > TYPES.len() {
        return vec![path.invalid(types, "may not specify more than two policyTypes")];
    }
    let wrong = types
        .iter()
        .enumerate()
        .filter(|(_, found)| !TYPES.contains(found));
    wrong
        .map(|(index, found)| path.index(index).not_supported(*found, &TYPES))
        .collect()
}

fn selector(object: &Value, field: &str, kept: &Kept<'_>, path: &Path) -> Vec<FieldError> {
    at(object, field)
        .map(|selector| workload::selector_errors(selector, kept.labels, path))
        .unwrap_or_default()
}

fn port(port: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors: Vec<FieldError> = naming::choice(port, "protocol", &PROTOCOLS, path)
        .into_iter()
        .collect();
    let end = read::integer(port, "endPort");
    let (at, end_at) = (path.child("port"), path.child("endPort"));
    match port.get("port") {
        None | Some(Value::Null) => errors
            .extend(end.map(|end| end_at.invalid(end, "may not be specified when `port` is not specified"))),
        Some(Value::String(name)) => {
            let detail = "may not be specified when `port` is non-numeric";
            errors.extend(end.map(|end| end_at.invalid(end, detail)));
            errors.extend(naming::broken(names::port_name, name, &at));
        }
        Some(number) => {
            let number = number.as_i64().unwrap_or_default();
            let rules = names::port_number(number).into_iter();
            errors.extend(rules.map(|rule| at.invalid(number, rule)));
            if let Some(end) = end {
                if end < number {
                    // Upstream shows the first port here.
                    errors.push(end_at.invalid(number, "must be greater than or equal to `port`"));
                }
                let rules = names::port_number(end).into_iter();
                errors.extend(rules.map(|rule| end_at.invalid(end, rule)));
            }
        }
    }
    errors
}

fn peer(peer: &Value, kept: &Kept<'_>, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut selectors = false;
    for field in ["podSelector", "namespaceSelector"] {
        selectors |= read::present(peer, field);
        errors.extend(selector(peer, field, kept, &path.child(field)));
    }
    match peer.get("ipBlock").filter(|block| !block.is_null()) {
        Some(found) => {
            errors.extend(block(found, &kept.ranges, &path.child("ipBlock")));
            if selectors {
                errors.push(path.forbidden("may not specify both ipBlock and another peer"));
            }
        }
        None if !selectors => errors.push(path.required("must specify a peer")),
        None => {}
    }
    errors
}

fn block(block: &Value, known: &[&str], path: &Path) -> Vec<FieldError> {
    let cidr = read::text(block, "cidr");
    if cidr.is_empty() {
        return vec![path.child("cidr").required("")];
    }
    let mut errors = range(cidr, known, &path.child("cidr"));
    let Ok(whole) = cidr.parse::<IpNet>() else {
        return errors;
    };
    for (index, except) in read::texts(block, "except").into_iter().enumerate() {
        let path = path.child("except").index(index);
        errors.extend(range(except, known, &path));
        let Ok(part) = except.parse::<IpNet>() else {
            continue;
        };
        if !whole.contains(&part.addr()) || whole.prefix_len() >= part.prefix_len() {
            errors.push(path.invalid(except, "must be a strict subset of `cidr`"));
        }
    }
    errors
}

fn range(cidr: &str, known: &[&str], path: &Path) -> Vec<FieldError> {
    if known.contains(&cidr) {
        Vec::new()
    } else {
        naming::broken(address::cidr, cidr, path)
    }
}

/// Every block of addresses of a policy, with its path.
fn blocks(object: &Value) -> Vec<(Path, &Value)> {
    let mut found = Vec::new();
    for (side, peers) in SIDES {
        for (index, rule) in read::list(object, &format!("spec.{side}")).iter().enumerate() {
            let path = Path::new("spec").child(side).index(index).child(peers);
            for (index, peer) in read::list(rule, peers).iter().enumerate() {
                let block = peer.get("ipBlock").filter(|block| !block.is_null());
                found.extend(block.map(|block| (path.index(index).child("ipBlock"), block)));
            }
        }
    }
    found
}

fn ranges(object: &Value) -> Vec<&str> {
    let blocks = blocks(object).into_iter();
    blocks
        .flat_map(|(_, block)| {
            let mut ranges = read::texts(block, "except");
            ranges.push(read::text(block, "cidr"));
            ranges
        })
        .collect()
}

/// Warnings about ranges of addresses that are written in an unusual way.
pub(crate) fn warnings(object: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    for (path, block) in blocks(object) {
        warnings.extend(address::cidr_warnings(
            read::text(block, "cidr"),
            &path.child("cidr"),
        ));
        for (index, except) in read::texts(block, "except").into_iter().enumerate() {
            warnings.extend(address::cidr_warnings(except, &path.child("except").index(index)));
        }
    }
    warnings
}
