//! `clusterIP`, `clusterIPs`, `ipFamilies` and `ipFamilyPolicy`, which belong together.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::{Need, choice, is_headless, kind};
use crate::field::{FieldError, Path};
use crate::read;
use crate::validate::address;

const FAMILIES: [&str; 2] = ["IPv4", "IPv6"];
const POLICIES: [&str; 3] = ["PreferDualStack", "RequireDualStack", "SingleStack"];

/// What is wrong with the fields that say which addresses a Service has.
pub(crate) fn related(object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    // Of these fields, a Service that is a mere name has none, which is checked with its name.
    if kind(object) == "ExternalName" {
        return Vec::new();
    }
    let path = Path::new("spec");
    let ips = path.child("clusterIPs");
    let mut errors: Vec<FieldError> = in_step(object, &ips).into_iter().collect();
    errors.extend(families(object, &path.child("ipFamilies")));
    errors.extend(choice(object, "ipFamilyPolicy", &POLICIES, Need::Optional));
    let malformed = malformed(object, old, &ips);
    let sound = malformed.is_empty();
    errors.extend(malformed);
    let all = read::texts(object, "spec.clusterIPs");
    if all.len() > 2 {
        errors.push(ips.invalid(json!(all), "may only hold up to 2 values"));
    }
    if sound {
        errors.extend(one_each(object, &ips));
        errors.extend(of_family(object, &ips));
    }
    errors
}

/// `clusterIP` repeats the first of `clusterIPs`.
fn in_step(object: &Value, path: &Path) -> Option<FieldError> {
    let all = read::texts(object, "spec.clusterIPs");
    match (read::text(object, "spec.clusterIP"), all.first()) {
        ("", None) => None,
        ("", Some(_)) => Some(path.invalid(json!(all), "must be empty when `clusterIP` is not specified")),
        (_, None) => Some(path.required("")),
        (one, Some(first)) if one == *first => None,
        (_, Some(_)) => Some(path.invalid(json!(all), "first value must match `clusterIP`")),
    }
}

fn families(object: &Value, path: &Path) -> Vec<FieldError> {
    let families = read::texts(object, "spec.ipFamilies");
    let mut errors = Vec::new();
    for (index, family) in families.iter().enumerate() {
        let path = path.index(index);
        if !FAMILIES.contains(family) {
            errors.push(path.not_supported(*family, &FAMILIES));
        }
        if families.iter().take(index).any(|before| before == family) {
            errors.push(path.duplicate(*family));
        }
    }
    errors
}

fn malformed(object: &Value, old: Option<&Value>, path: &Path) -> Vec<FieldError> {
    let kept = old
        .map(|old| read::texts(old, "spec.clusterIPs"))
        .unwrap_or_default();
    let all = read::texts(object, "spec.clusterIPs");
    let mut errors = Vec::new();
    for (index, ip) in all.iter().enumerate() {
        if index == 0 && *ip == "None" {
            if all.len() > 1 {
                errors.push(path.invalid(json!(all), "'None' must be the first and only value"));
            }
            continue;
        }
        let rules = address::ip_or_kept(ip, &kept).into_iter();
        errors.extend(rules.map(|rule| path.index(index).invalid(*ip, rule)));
    }
    errors
}

fn one_each(object: &Value, path: &Path) -> Vec<FieldError> {
    let all = read::texts(object, "spec.clusterIPs");
    let mut errors = Vec::new();
    let v6 = |ip: &&str| ip.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6());
    let dual = all.iter().any(v6) && !all.iter().all(v6);
    if all.len() > 1 && !dual {
        errors.push(path.invalid(json!(all), "may specify no more than one IP for each IP family"));
    }
    errors
}

fn of_family(object: &Value, path: &Path) -> Vec<FieldError> {
    if is_headless(object) {
        return Vec::new();
    }
    let ips = read::texts(object, "spec.clusterIPs");
    let pairs = ips.into_iter().zip(read::texts(object, "spec.ipFamilies"));
    let wrong = pairs.enumerate().filter(|(_, (ip, family))| {
        let v6 = ip.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6());
        FAMILIES.contains(family) && v6 != (*family == "IPv6")
    });
    wrong
        .map(|(index, (ip, family))| {
            let detail = format!("expected an {family} value as indicated by `ipFamilies[{index}]`");
            path.index(index).invalid(ip, detail)
        })
        .collect()
}
