//! `LimitRanger`: what the limits of a namespace give to a pod's containers, and what they refuse.

use serde_json::{Value, json};

use super::Refusal;
use super::pod_resources::{self, Amounts, amounts};
use crate::meta;
use crate::quantity::Quantity;
use crate::read;

/// Says in a pod what it was given.
const ANNOTATION: &str = "kubernetes.io/limit-ranger";
/// Both lists of containers that ask for resources, and what their members are called.
const LISTS: [(&str, &str); 2] = [("containers", "container"), ("initContainers", "init container")];

/// The items of a limit range that are for `kind`: `Container`, `Pod` or `PersistentVolumeClaim`.
fn items<'a>(range: &'a Value, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    read::list(range, "spec.limits")
        .iter()
        .filter(move |item| read::text(item, "type") == kind)
}

/// Gives each container of a pod the limits and requests that it leaves open.
pub fn give(range: &Value, pod: &mut Value) {
    let (mut limits, mut requests) = (Amounts::new(), Amounts::new());
    for item in items(range, "Container") {
        limits.extend(amounts(item, "default"));
        requests.extend(amounts(item, "defaultRequest"));
    }
    let mut said = Vec::new();
    for (list, what) in LISTS {
        let containers = pod
            .pointer_mut(&format!("/spec/{list}"))
            .and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let name = read::text(container, "name").to_owned();
            for (bound, word, given) in [("requests", "request", &requests), ("limits", "limit", &limits)] {
                let set = fill(container, bound, given);
                if !set.is_empty() {
                    said.push(format!("{} {word} for {what} {name}", set.join(", ")));
                }
            }
        }
    }
    if !said.is_empty() {
        let annotations = meta::metadata_mut(pod)
            .entry("annotations")
            .or_insert_with(|| json!({}));
        let text = format!("LimitRanger plugin set: {}", said.join("; "));
        meta::object_mut(annotations).insert(ANNOTATION.to_owned(), text.into());
    }
}

/// Sets what a container leaves open of one bound; answers with the names.
fn fill(container: &mut Value, bound: &str, given: &Amounts) -> Vec<String> {
    let mut set = Vec::new();
    for (name, amount) in given {
        let resources = meta::object_mut(meta::member_mut(container, "resources"));
        let held = meta::object_mut(resources.entry(bound).or_insert_with(|| json!({})));
        if !held.contains_key(name) {
            held.insert(name.clone(), amount.to_string().into());
            set.push(name.clone());
        }
    }
    set
}

/// Checks a pod against the limits of its namespace.
///
/// # Errors
///
/// Every limit that it breaks.
pub fn check_pod(range: &Value, pod: &Value) -> Result<(), Refusal> {
    let mut refusals = Vec::new();
    for item in read::list(range, "spec.limits") {
        match read::text(item, "type") {
            "Container" => {
                for (list, _) in LISTS {
                    for container in read::list(pod, &format!("spec.{list}")) {
                        let asked = amounts(container, "resources.requests");
                        refusals.extend(broken(item, &asked, &amounts(container, "resources.limits")));
                    }
                }
            }
            "Pod" => {
                let asked = pod_resources::of_pod(pod, "requests");
                refusals.extend(broken(item, &asked, &pod_resources::of_pod(pod, "limits")));
            }
            _ => {}
        }
    }
    joined(refusals)
}

/// Checks a claim against the limits of its namespace.
///
/// # Errors
///
/// Every limit that it breaks.
pub fn check_claim(range: &Value, claim: &Value) -> Result<(), Refusal> {
    let asked = amounts(claim, "spec.resources.requests");
    let mut refusals = Vec::new();
    for item in items(range, "PersistentVolumeClaim") {
        let rules = [("min", too_little as Rule), ("max", too_much_asked)];
        refusals.extend(by_rules(item, &rules, &asked, &Amounts::new()));
    }
    joined(refusals)
}

fn joined(mut refusals: Vec<String>) -> Result<(), Refusal> {
    match refusals.len() {
        0 => Ok(()),
        1 => Err(refusals.remove(0)),
        _ => Err(format!("[{}]", refusals.join(", "))),
    }
}

/// One rule about one resource: what it is called, the item's bound, what is asked for, and the limit.
type Rule = fn(&Bound<'_>, Option<Quantity>, Option<Quantity>) -> Option<String>;

struct Bound<'a> {
    kind: &'a str,
    resource: &'a str,
    amount: Quantity,
}

fn broken(item: &Value, asked: &Amounts, limited: &Amounts) -> Vec<String> {
    let rules = [
        ("min", too_little as Rule),
        ("max", too_much),
        ("maxLimitRequestRatio", too_far_apart),
    ];
    by_rules(item, &rules, asked, limited)
}

fn by_rules(item: &Value, rules: &[(&str, Rule)], asked: &Amounts, limited: &Amounts) -> Vec<String> {
    let mut refusals = Vec::new();
    for (field, rule) in rules {
        for (resource, amount) in amounts(item, field) {
            let bound = Bound {
                kind: read::text(item, "type"),
                resource: &resource,
                amount,
            };
            refusals.extend(rule(
                &bound,
                asked.get(&resource).copied(),
                limited.get(&resource).copied(),
            ));
        }
    }
    refusals
}

impl Bound<'_> {
    fn says(&self, which: &str, then: &str) -> String {
        let Self {
            kind,
            resource,
            amount,
        } = self;
        format!("{which} {resource} usage per {kind} is {amount}{then}")
    }
}

fn too_little(bound: &Bound<'_>, asked: Option<Quantity>, limit: Option<Quantity>) -> Option<String> {
    let says = |then: &str| Some(bound.says("minimum", then));
    let Some(asked) = asked else {
        return says(".  No request is specified");
    };
    if asked < bound.amount {
        return says(&format!(", but request is {asked}"));
    }
    let limit = limit.filter(|limit| *limit < bound.amount)?;
    says(&format!(", but limit is {limit}"))
}

fn too_much(bound: &Bound<'_>, asked: Option<Quantity>, limit: Option<Quantity>) -> Option<String> {
    let says = |then: &str| Some(bound.says("maximum", then));
    let Some(limit) = limit else {
        return says(".  No limit is specified");
    };
    if limit > bound.amount {
        return says(&format!(", but limit is {limit}"));
    }
    let asked = asked.filter(|asked| *asked > bound.amount)?;
    says(&format!(", but request is {asked}"))
}

fn too_much_asked(bound: &Bound<'_>, asked: Option<Quantity>, _: Option<Quantity>) -> Option<String> {
    let says = |then: &str| Some(bound.says("maximum", then));
    let Some(asked) = asked else {
        return says(".  No request is specified");
    };
    (asked > bound.amount).then(|| bound.says("maximum", &format!(", but request is {asked}")))
}

fn too_far_apart(bound: &Bound<'_>, asked: Option<Quantity>, limit: Option<Quantity>) -> Option<String> {
    let Bound {
        kind,
        resource,
        amount,
    } = bound;
    let says = |then: &str| {
        Some(format!(
            "{resource} max limit to request ratio per {kind} is {amount}, but {then}"
        ))
    };
    let Some(asked) = asked.filter(|asked| !asked.is_zero()) else {
        return says("no request is specified or request is 0");
    };
    let Some(limit) = limit.filter(|limit| !limit.is_zero()) else {
        return says("no limit is specified or limit is 0");
    };
    let ratio = limit.as_f64() / asked.as_f64();
    (ratio > amount.as_f64()).then(|| says(&format!("provided ratio is {ratio:.6}")))?
}

#[cfg(test)]
mod tests;
