//! Which families of addresses a Service may ask this cluster for.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::{has_selector, is_headless, kind};
use crate::field::{FieldError, Path};
use crate::read;

/// The families of the cluster's service ranges, the default one first.
pub(crate) const CONFIGURED: [&str; 1] = ["IPv4"];

/// The family of an address.
pub(crate) fn family_of(address: &str) -> Option<&'static str> {
    let address: IpAddr = address.parse().ok()?;
    Some(if address.is_ipv4() { "IPv4" } else { "IPv6" })
}

/// What a Service asks for that this cluster does not have, or that its policy does not allow.
pub(super) fn errors(object: &Value) -> Vec<FieldError> {
    if kind(object) == "ExternalName" {
        return Vec::new();
    }
    let path = Path::new("spec");
    let (policy, policy_path) = (
        read::text(object, "spec.ipFamilyPolicy"),
        path.child("ipFamilyPolicy"),
    );
    let mut errors = too_many(object, policy, &policy_path);
    for (index, address) in read::texts(object, "spec.clusterIPs").into_iter().enumerate() {
        if let Some(family) = family_of(address).filter(|family| !CONFIGURED.contains(family)) {
            let all = json!(read::texts(object, "spec.clusterIPs"));
            let detail = format!("{family} is not configured on this cluster");
            errors.push(path.child("clusterIPs").index(index).invalid(all, detail));
        }
    }
    // Endpoints that someone else writes may be of any family.
    if is_headless(object) && !has_selector(object) {
        return errors;
    }
    if policy == "RequireDualStack" && CONFIGURED.len() < 2 {
        let detail = "this cluster is not configured for dual-stack services";
        errors.push(policy_path.invalid(policy, detail));
    }
    let families = read::texts(object, "spec.ipFamilies").into_iter().enumerate();
    errors.extend(
        families
            .filter(|(_, family)| matches!(*family, "IPv4" | "IPv6") && !CONFIGURED.contains(family))
            .map(|(index, family)| {
                let path = path.child("ipFamilies").index(index);
                path.invalid(family, "not configured on this cluster")
            }),
    );
    errors
}

fn too_many(object: &Value, policy: &str, path: &Path) -> Vec<FieldError> {
    let lists = ["clusterIPs", "ipFamilies"].into_iter();
    let doubled = lists.filter(|field| read::list(object, &format!("spec.{field}")).len() == 2);
    doubled
        .filter(|_| policy == "SingleStack")
        .map(|field| {
            let detail =
                format!("must be RequireDualStack or PreferDualStack when multiple {field} are specified");
            path.invalid(policy, detail)
        })
        .collect()
}
