//! Rules for the devices that a pod claims.

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::names;
use crate::read;
use crate::validate::inner_form::formed;
use crate::validate::inner_form::of_core::RESOURCE_CLAIM;
use crate::validate::naming;

const KINDS: [&str; 2] = ["resourceClaimName", "resourceClaimTemplateName"];

/// What is wrong with `resourceClaims` of a pod's spec.
pub(super) fn all(spec: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for (index, claim) in read::list(spec, "resourceClaims").iter().enumerate() {
        let path = path.index(index);
        match read::text(claim, "name") {
            name if !name.is_empty() && seen.contains(&name) => {
                errors.push(path.child("name").duplicate(name))
            }
            name => {
                errors.extend(naming::required(names::dns_label, name, &path.child("name")));
                seen.push(name);
            }
        }
        let given: Vec<&str> = KINDS
            .into_iter()
            .filter(|kind| read::present(claim, kind))
            .collect();
        let detail = match given.len() {
            0 => Some("must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"),
            1 => None,
            _ => Some("at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"),
        };
        errors.extend(detail.map(|detail| formed(path.invalid(claim.clone(), detail), RESOURCE_CLAIM)));
        for kind in given {
            errors.extend(naming::broken(
                names::dns_subdomain,
                read::text(claim, kind),
                &path.child(kind),
            ));
        }
    }
    errors
}

/// What is wrong with the claims that a container uses: each names one of the pod's, and no device twice.
pub(super) fn used(container: &Value, spec: &Value, path: &Path) -> Vec<FieldError> {
    let mut known: Vec<&str> = read::list(spec, "resourceClaims")
        .iter()
        .map(|claim| read::text(claim, "name"))
        .collect();
    known.retain(|name| !name.is_empty());
    known.sort_unstable();
    known.dedup();
    let used = read::list(container, "resources.claims");
    let mut errors = Vec::new();
    for (index, claim) in used.iter().enumerate() {
        let path = path.index(index);
        let (name, request) = (read::text(claim, "name"), read::text(claim, "request"));
        if name.is_empty() {
            errors.push(path.required(""));
            continue;
        }
        errors.extend(naming::optional(names::dns_label, claim, "request", &path));
        let earlier = used
            .iter()
            .take(index)
            .filter(|other| read::text(other, "name") == name);
        let mut earlier = earlier.map(|other| read::text(other, "request"));
        if let Some(other) = earlier.find(|other| other.is_empty() || request.is_empty() || *other == request)
        {
            let both = !other.is_empty() && !request.is_empty();
            errors.push(path.duplicate(if both {
                format!("{name}/{request}")
            } else {
                name.to_owned()
            }));
        }
        if !known.contains(&name) {
            let mut error = path.not_found(name);
            let names = if known.is_empty() {
                " which is empty".to_owned()
            } else {
                format!(": {}", known.join(", "))
            };
            error.detail = format!("must be one of the names in pod.spec.resourceClaims{names}");
            errors.push(error);
        }
    }
    errors
}
