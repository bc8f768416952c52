//! Rules for CertificateSigningRequests.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::names;
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
const MIN_SECONDS: i64 = 600;
const PEM_BEGIN: &str = "-----BEGIN CERTIFICATE REQUEST-----";
const PEM_END: &str = "-----END CERTIFICATE REQUEST-----";

/// What is wrong with a new request.
pub(crate) fn request(object: &Value) -> Vec<FieldError> {
    let spec = Path::new("spec");
    let mut errors = usages(object, &spec.child("usages"));
    let request = at(object, "spec.request").cloned().unwrap_or_default();
    if !is_pem_request(read::text(object, "spec.request")) {
        let rule = "unable to parse PEM block: PEM block type must be CERTIFICATE REQUEST";
        errors.push(spec.child("request").invalid(request, rule));
    }
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

fn is_pem_request(encoded: &str) -> bool {
    let text = STANDARD
        .decode(encoded)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    text.is_some_and(|text| {
        let text = text.trim();
        text.starts_with(PEM_BEGIN) && text.ends_with(PEM_END)
    })
}

fn usages(object: &Value, path: &Path) -> Vec<FieldError> {
    let usages = read::texts(object, "spec.usages");
    let mut errors = Vec::new();
    if usages.is_empty() {
        errors.push(path.required("usages are required"));
    }
    for (index, usage) in usages.iter().enumerate() {
        if !USAGES.contains(usage) {
            errors.push(path.index(index).not_supported(*usage, &USAGES));
        }
        if usages.iter().take(index).any(|before| before == usage) {
            errors.push(path.index(index).duplicate(*usage));
        }
    }
    errors
}

/// A signer is a DNS domain, a slash and a path of DNS labels.
fn signer_errors(signer: &str, path: &Path) -> Vec<FieldError> {
    if signer.is_empty() {
        return vec![path.required("")];
    }
    if signer == "kubernetes.io/legacy-unknown" {
        return vec![path.invalid(
            signer,
            "the legacy signerName is not allowed via this API version",
        )];
    }
    let Some((domain, name)) = signer.split_once('/').filter(|(_, name)| !name.is_empty()) else {
        let rule = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        return vec![path.invalid(signer, rule)];
    };
    let mut errors = Vec::new();
    errors.extend(
        names::dns_subdomain(domain)
            .into_iter()
            .map(|rule| path.invalid(domain, rule)),
    );
    if !domain.contains('.') {
        errors.push(path.invalid(
            domain,
            "should be a domain with at least two segments separated by dots",
        ));
    }
    let parts = name.split('.');
    errors.extend(
        parts
            .flat_map(names::dns_label)
            .map(|rule| path.invalid(name, rule)),
    );
    errors
}

const LASTING: [&str; 3] = ["Approved", "Denied", "Failed"];

/// What is wrong with a write through `/status`: the signer's certificate and `Failed`.
pub(crate) fn status_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = conditions(new, old);
    for kind in ["Approved", "Denied"] {
        if read::condition(new, kind).is_some() && read::condition(old, kind).is_none() {
            errors.push(
                Path::new("status.conditions")
                    .forbidden(format!("updates may not add a condition of type \"{kind}\"")),
            );
        }
    }
    let (before, after) = (
        read::text(old, "status.certificate"),
        read::text(new, "status.certificate"),
    );
    let path = Path::new("status.certificate");
    if !before.is_empty() && before != after {
        errors.push(path.forbidden("updates may not set or modify a certificate that was already issued"));
    } else if after != before && !is_pem_certificate(after) {
        errors.push(path.invalid("<certificate data>", "must contain one or more PEM blocks"));
    }
    errors
}

fn is_pem_certificate(encoded: &str) -> bool {
    let text = STANDARD
        .decode(encoded)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    text.is_some_and(|text| {
        text.contains("-----BEGIN CERTIFICATE-----") && text.contains("-----END CERTIFICATE-----")
    })
}

/// What is wrong with a write through `/approval`: `Approved` and `Denied`.
pub(crate) fn approval_update(new: &Value, old: &Value) -> Vec<FieldError> {
    conditions(new, old)
}

fn conditions(new: &Value, old: &Value) -> Vec<FieldError> {
    let root = Path::new("status.conditions");
    let mut errors = Vec::new();
    let list = read::list(new, "status.conditions");
    for (index, condition) in list.iter().enumerate() {
        let path = root.index(index);
        let kind = read::text(condition, "type");
        if kind.is_empty() {
            errors.push(path.child("type").required(""));
        }
        match read::text(condition, "status") {
            "" => errors.push(path.child("status").required("")),
            "True" => {}
            status if LASTING.contains(&kind) => {
                errors.push(path.child("status").not_supported(status, &["True"]))
            }
            "False" | "Unknown" => {}
            status => errors.push(
                path.child("status")
                    .not_supported(status, &["False", "True", "Unknown"]),
            ),
        }
        if list
            .iter()
            .take(index)
            .any(|before| read::text(before, "type") == kind)
        {
            errors.push(path.child("type").duplicate(kind));
        }
    }
    if read::condition(new, "Approved").is_some() && read::condition(new, "Denied").is_some() {
        errors.push(root.invalid("Denied", "Approved and Denied conditions are mutually exclusive"));
    }
    let gone = LASTING
        .iter()
        .filter(|kind| read::condition(old, kind).is_some() && read::condition(new, kind).is_none());
    errors.extend(
        gone.map(|kind| root.forbidden(format!("updates may not remove a condition of type \"{kind}\""))),
    );
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
