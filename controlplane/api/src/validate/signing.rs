//! Rules for CertificateSigningRequests.

mod x509;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value;

use crate::field::{FieldError, Path, quote};
use crate::names::{self, NameCheck};
use crate::read;
use crate::resource::at;
use crate::time;

const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];
/// A domain, a slash, a label, a dot and a domain.
const MAX_SIGNER: usize = 571;
const MIN_SECONDS: i64 = 600;

/// What is wrong with a new request.
pub(crate) fn request(object: &Value) -> Vec<FieldError> {
    let spec = Path::new("spec");
    let mut errors = Vec::new();
    let request = at(object, "spec.request").cloned().unwrap_or_default();
    let fault = x509::request_fault(&decoded(read::text(object, "spec.request")));
    errors.extend(fault.map(|fault| spec.child("request").invalid(request, fault)));
    errors.extend(usages(object, &spec.child("usages")));
    let signer = read::text(object, "spec.signerName");
    errors.extend(signer_errors(signer, &spec.child("signerName")));
    if let Some(seconds) =
        read::integer(object, "spec.expirationSeconds").filter(|seconds| *seconds < MIN_SECONDS)
    {
        errors.push(spec.child("expirationSeconds").invalid(
            seconds,
            "may not specify a duration less than 600 seconds (10 minutes)",
        ));
    }
    errors
}

fn decoded(encoded: &str) -> Vec<u8> {
    STANDARD.decode(encoded).unwrap_or_default()
}

fn usages(object: &Value, path: &Path) -> Vec<FieldError> {
    let usages = read::texts(object, "spec.usages");
    let mut errors = Vec::new();
    if usages.is_empty() {
        errors.push(path.required(""));
    }
    for (index, usage) in usages.iter().enumerate() {
        if !USAGES.contains(usage) {
            errors.push(path.index(index).not_supported(*usage, &USAGES));
        }
    }
    for (index, usage) in usages.iter().enumerate() {
        if usages.iter().take(index).any(|before| before == usage) {
            errors.push(path.index(index).duplicate(*usage));
        }
    }
    errors
}

/// A signer is a DNS domain, a slash and a path of DNS labels.
pub(crate) fn signer_errors(signer: &str, path: &Path) -> Vec<FieldError> {
    if signer.is_empty() {
        return vec![path.required("")];
    }
    if signer == "kubernetes.io/legacy-unknown" {
        return vec![path.invalid(
            signer,
            "the legacy signerName is not allowed via this API version",
        )];
    }
    let [domain, name] = signer.split('/').collect::<Vec<_>>()[..] else {
        let rule = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        return vec![path.invalid(signer, rule)];
    };
    let mut errors = Vec::new();
    if domain.len() > names::SUBDOMAIN_MAX {
        errors.push(path.too_long(names::SUBDOMAIN_MAX));
    }
    errors.extend(labels(domain, names::dns_label, path));
    if !domain.contains('.') {
        errors.push(path.invalid(
            domain,
            "should be a domain with at least two segments separated by dots",
        ));
    }
    errors.extend(labels(name, names::dns_subdomain, path));
    if signer.len() > MAX_SIGNER {
        errors.push(path.too_long(MAX_SIGNER));
    }
    errors
}

/// What is wrong with the first bad one of the parts that dots divide.
fn labels(text: &str, rule: NameCheck, path: &Path) -> Vec<FieldError> {
    let parts = text.split('.').map(|label| (label, rule(label)));
    let bad = parts.filter(|(_, rules)| !rules.is_empty()).take(1);
    bad.flat_map(|(label, rules)| {
        let label = quote(label);
        let details = rules
            .into_iter()
            .map(move |rule| format!("validating label {label}: {rule}"));
        details
            .map(|detail| path.invalid(text, detail))
            .collect::<Vec<_>>()
    })
    .collect()
}

const LASTING: [&str; 3] = ["Approved", "Denied", "Failed"];

/// What is wrong with a write through `/status`: the signer's certificate and `Failed`.
pub(crate) fn status_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = conditions(new);
    let (before, after) = (
        read::text(old, "status.certificate"),
        read::text(new, "status.certificate"),
    );
    let path = Path::new("status.certificate");
    // What was stored under older rules is not held against a change of it.
    let strict = before.is_empty() || x509::certificates_fault(&decoded(before)).is_none();
    if before != after && !after.is_empty() && strict {
        let fault = x509::certificates_fault(&decoded(after));
        errors.extend(fault.map(|rule| path.invalid("<certificate data>", rule)));
    }
    errors.extend(removed(new, old));
    errors.extend(approved(new, old));
    if !before.is_empty() && before != after {
        errors.push(path.forbidden("updates may not modify existing certificate content"));
    }
    errors
}

/// What is wrong with a write through `/approval`: `Approved` and `Denied`.
pub(crate) fn approval_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = conditions(new);
    errors.extend(removed(new, old));
    errors
}

fn conditions(new: &Value) -> Vec<FieldError> {
    const OPPOSITES: [&str; 2] = ["Approved", "Denied"];
    let root = Path::new("status.conditions");
    let mut errors = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for (index, condition) in read::list(new, "status.conditions").iter().enumerate() {
        let path = root.index(index);
        let kind = read::text(condition, "type");
        if kind.is_empty() {
            errors.push(path.child("type").required(""));
        }
        let allowed: &[&str] = if LASTING.contains(&kind) {
            &["True"]
        } else {
            &["False", "True", "Unknown"]
        };
        match read::text(condition, "status") {
            "" => errors.push(path.child("status").required("")),
            status if !allowed.contains(&status) => {
                errors.push(path.child("status").not_supported(status, allowed));
            }
            _ => {}
        }
        let opposite = OPPOSITES
            .iter()
            .any(|other| *other != kind && seen.contains(other));
        if OPPOSITES.contains(&kind) && opposite {
            let detail = "Approved and Denied conditions are mutually exclusive";
            errors.push(path.child("type").invalid(kind, detail));
        }
        if seen.contains(&kind) {
            errors.push(path.child("type").duplicate(kind));
        }
        seen.push(kind);
    }
    errors
}

/// What was decided stays decided.
fn removed(new: &Value, old: &Value) -> Vec<FieldError> {
    let gone = LASTING
        .iter()
        .filter(|kind| read::condition(old, kind).is_some() && read::condition(new, kind).is_none());
    gone.map(|kind| {
        let detail = format!("updates may not remove a condition of type \"{kind}\"");
        Path::new("status.conditions").forbidden(detail)
    })
    .collect()
}

/// Only `/approval` approves and denies.
fn approved(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for kind in ["Approved", "Denied"] {
        let word = match (read::condition(new, kind), read::condition(old, kind)) {
            (Some(_), None) => "add",
            (Some(new), Some(old)) if new != old => "modify",
            _ => continue,
        };
        let detail = format!("updates may not {word} a condition of type \"{kind}\"");
        errors.push(Path::new("status.conditions").forbidden(detail));
    }
    errors
}

/// Fills in the times of conditions: of the last update where one is missing, and of the last
/// transition, which moves only with the status.
pub(crate) fn stamp(new: &mut Value, old: &Value, now: Timestamp) {
    let list = new
        .get_mut("status")
        .and_then(|status| status.get_mut("conditions"))
        .and_then(Value::as_array_mut);
    for condition in list.into_iter().flatten() {
        let before = read::condition(old, read::text(condition, "type"));
        let same = before.filter(|before| before.get("status") == condition.get("status"));
        let since = same.and_then(|before| before.get("lastTransitionTime")).cloned();
        let stamped = Value::from(time::format(now));
        let map = crate::meta::object_mut(condition);
        fill(map, "lastUpdateTime", stamped.clone());
        fill(map, "lastTransitionTime", since.unwrap_or(stamped));
    }
}

fn fill(map: &mut serde_json::Map<String, Value>, field: &str, value: Value) {
    if map.get(field).is_none_or(Value::is_null) {
        map.insert(field.to_owned(), value);
    }
}
