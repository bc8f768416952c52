//! Rules for IPAddresses and ServiceCIDRs.

use ipnet::IpNet;
use serde_json::{Value, json};

use crate::field::{FieldError, Path};
use crate::names;
use crate::read;
use crate::resource::at;
use crate::validate::metadata::IMMUTABLE;
use crate::validate::{address, change, inner_form, naming};

/// What is wrong with an IPAddress.
pub(crate) fn address(object: &Value) -> Vec<FieldError> {
    let path = Path::new("spec.parentRef");
    let Some(parent) = at(object, "spec.parentRef").filter(|parent| !parent.is_null()) else {
        return vec![path.required("")];
    };
    let mut errors = naming::optional(names::dns_subdomain, parent, "group", &path);
    for field in ["resource", "name"] {
        let value = read::text(parent, field);
        errors.extend(naming::required(names::path_segment, value, &path.child(field)));
    }
    errors.extend(naming::optional(names::path_segment, parent, "namespace", &path));
    errors
}

/// What is wrong with an update of an IPAddress: it is somebody's until it is deleted.
pub(crate) fn address_update(new: &Value, old: &Value) -> Option<FieldError> {
    let parent = at(new, "spec.parentRef");
    change::differs(new, old, "spec.parentRef").then(|| {
        let error = Path::new("spec.parentRef").invalid(parent.cloned().unwrap_or_default(), IMMUTABLE);
        error.shown_as(inner_form::shown(parent, inner_form::PARENT))
    })
}

/// What is wrong with a ServiceCIDR.
pub(crate) fn range(object: &Value) -> Vec<FieldError> {
    let path = Path::new("spec.cidrs");
    let cidrs = read::texts(object, "spec.cidrs");
    match cidrs.len() {
        0 => return vec![path.required("at least one CIDR required")],
        1 | 2 => {}
        _ => {
            let shown = json!({"CIDRs": cidrs});
            return vec![path.invalid(shown, "may only hold up to 2 values")];
        }
    }
    let mut errors: Vec<FieldError> = cidrs
        .iter()
        .enumerate()
        .flat_map(|(index, cidr)| naming::broken(address::canonical_cidr, cidr, &path.index(index)))
        .collect();
    if let [first, second] = cidrs.as_slice()
        && family(first).is_some_and(|first| Some(first) == family(second))
    {
        let detail =
            "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
        errors.push(path.invalid(cidrs, detail));
    }
    errors
}

/// How long the addresses of a range are, where it is one.
fn family(cidr: &str) -> Option<u8> {
    let network = cidr.parse::<IpNet>().ok()?;
    Some(network.max_prefix_len())
}

/// What is wrong with an update of a ServiceCIDR: a second family may come, nothing else.
pub(crate) fn range_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let path = Path::new("spec.cidrs");
    let (after, before) = (read::texts(new, "spec.cidrs"), read::texts(old, "spec.cidrs"));
    let pairs = after.iter().zip(&before).enumerate();
    let mut errors: Vec<FieldError> = pairs
        .filter(|(_, (after, before))| after != before)
        .map(|(index, (after, _))| path.index(index).invalid(*after, IMMUTABLE))
        .collect();
    match (before.len(), after.len()) {
        (1, 2) => errors.extend(range(new)),
        (before, after) if before == after => {}
        _ => return vec![path.invalid(after, IMMUTABLE)],
    }
    errors
}
