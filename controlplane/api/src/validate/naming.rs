//! Names inside objects: of other objects, groups, drivers, paths.

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::names::{self, NameCheck};
use crate::read;

/// What a name breaks of a rule.
pub(crate) fn broken(rule: NameCheck, name: &str, path: &Path) -> Vec<FieldError> {
    rule(name)
        .into_iter()
        .map(|rule| path.invalid(name, rule))
        .collect()
}

/// What is wrong with a name that must be there.
pub(crate) fn required(rule: NameCheck, name: &str, path: &Path) -> Vec<FieldError> {
    if name.is_empty() {
        vec![path.required("")]
    } else {
        broken(rule, name, path)
    }
}

/// What is wrong with the name at the member `field`, if there is one.
pub(crate) fn optional(rule: NameCheck, object: &Value, field: &str, path: &Path) -> Vec<FieldError> {
    match read::text(object, field) {
        "" => Vec::new(),
        name => broken(rule, name, &path.child(field)),
    }
}

/// What is wrong with a text, where it is there, that must be one of `known`.
pub(crate) fn choice(object: &Value, field: &str, known: &[&str], path: &Path) -> Option<FieldError> {
    let value = read::text(object, field);
    (read::present(object, field) && !known.contains(&value))
        .then(|| path.child(field).not_supported(value, known))
}

const PATH_FMT: &str = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+";

/// What is wrong with a path that a domain stands before, such as `example.com/ingress-controller`.
pub(crate) fn domain_path(text: &str, path: &Path) -> Vec<FieldError> {
    let parts = text
        .split_once('/')
        .filter(|(host, rest)| !host.is_empty() && !rest.is_empty());
    let Some((host, rest)) = parts else {
        let rule = "must be a domain-prefixed path (such as \"acme.io/foo\")";
        return vec![path.invalid(text, rule)];
    };
    let mut errors = broken(names::dns_subdomain, host, path);
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&byte);
    if !rest.bytes().all(allowed) {
        errors.push(path.invalid(
            rest,
            format!("Invalid path (regex used for validation is '{PATH_FMT}')"),
        ));
    }
    errors
}

/// A subdomain whose first label is `*`: what a TLS certificate may be for.
pub(crate) fn wildcard_subdomain(value: &str) -> Vec<String> {
    let rest = value.strip_prefix("*.").unwrap_or_default();
    let mut rules = Vec::new();
    if value.len() > names::SUBDOMAIN_MAX {
        rules.push(format!(
            "must be no more than {} characters",
            names::SUBDOMAIN_MAX
        ));
    }
    if names::dns_subdomain(rest).is_empty() {
        return rules;
    }
    rules.push(
        "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of \
         lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', \
         regex used for validation is '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
            .to_owned(),
    );
    rules
}

/// What is wrong with the name of a CSI driver.
pub(crate) fn csi_driver(name: &str, path: &Path) -> Vec<FieldError> {
    if name.is_empty() {
        let mut errors = vec![path.required("")];
        errors.extend(broken(names::dns_subdomain, name, path));
        return errors;
    }
    let mut errors = Vec::new();
    if name.len() > names::LABEL_MAX {
        errors.push(path.too_long(names::LABEL_MAX));
    }
    let rules = names::dns_subdomain(&name.to_lowercase()).into_iter();
    errors.extend(rules.map(|rule| path.invalid(name, rule)));
    errors
}

const LABEL_WITH_UNDERSCORE: &str = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?";

/// A domain to search in, whose labels may begin with an underscore and have some inside.
pub(crate) fn search_domain(value: &str) -> Vec<String> {
    let is_label = |label: &str| {
        let label = label.strip_prefix('_').unwrap_or(label).as_bytes();
        let plain =
            |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        let inside = |byte: &u8| plain(Some(byte)) || matches!(byte, b'-' | b'_');
        plain(label.first()) && plain(label.last()) && label.iter().all(inside)
    };
    let mut rules = Vec::new();
    if value.len() > names::SUBDOMAIN_MAX {
        rules.push(format!(
            "must be no more than {} characters",
            names::SUBDOMAIN_MAX
        ));
    }
    if !value.split('.').all(is_label) {
        rules.push(format!(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must \
             start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
             '{LABEL_WITH_UNDERSCORE}(\\.{LABEL_WITH_UNDERSCORE})*')"
        ));
    }
    rules
}
