//! How a webhook is reached.

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::names;
use crate::read;

/// What is wrong with the way to a webhook: a URL or a Service.
pub(super) fn config(hook: &Value, path: &Path) -> Vec<FieldError> {
    let path = path.child("clientConfig");
    let part = |field: &str| {
        hook.get("clientConfig")
            .and_then(|config| config.get(field))
            .filter(|part| !part.is_null())
    };
    match (part("url"), part("service")) {
        (Some(url), None) => self::url(url.as_str().unwrap_or_default(), &path.child("url")),
        (None, Some(service)) => self::service(service, &path.child("service")),
        _ => vec![path.required("exactly one of url or service is required")],
    }
}

fn url(text: &str, path: &Path) -> Vec<FieldError> {
    const FORM: &str = "; desired format: https://host[/path]";
    let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
    let (text, query) = text.split_once('?').unwrap_or((text, ""));
    let (scheme, rest) = text.split_once(':').unwrap_or(("", text));
    let authority = rest
        .strip_prefix("//")
        .map(|rest| rest.split('/').next().unwrap_or_default());
    let authority = authority.unwrap_or_default();
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    let mut errors = Vec::new();
    if scheme != "https" {
        errors.push(path.invalid(scheme, format!("'https' is the only allowed URL scheme{FORM}")));
    }
    if host.is_empty() {
        errors.push(path.invalid(host, format!("host must be specified{FORM}")));
    }
    if let Some(user) = user {
        errors.push(path.invalid(user, "user information is not permitted in the URL"));
    }
    if !fragment.is_empty() {
        errors.push(path.invalid(fragment, "fragments are not permitted in the URL"));
    }
    if !query.is_empty() {
        errors.push(path.invalid(query, "query parameters are not permitted in the URL"));
    }
    errors
}

fn service(service: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for field in ["name", "namespace"] {
        if read::text(service, field).is_empty() {
            errors.push(path.child(field).required(format!("service {field} is required")));
        }
    }
    let port = read::count(service, "port");
    let rules = names::port_number(port);
    if !rules.is_empty() {
        let detail = format!("port is not valid: {}", rules.join(", "));
        errors.push(path.child("port").invalid(port, detail));
    }
    errors.extend(url_path(read::text(service, "path"), &path.child("path")));
    errors
}

fn url_path(text: &str, path: &Path) -> Vec<FieldError> {
    if matches!(text, "" | "/") {
        return Vec::new();
    }
    if text == "//" {
        return vec![path.invalid(text, "segment[0] may not be empty")];
    }
    let mut errors = Vec::new();
    let mut rest = text.chars();
    if rest.next() != Some('/') {
        errors.push(path.invalid(text, "must start with a '/'"));
    }
    // Upstream drops the first character, whatever it is.
    let rest = rest.as_str();
    let segments = rest.strip_suffix('/').unwrap_or(rest).split('/');
    for (index, segment) in segments.enumerate() {
        if segment.is_empty() {
            errors.push(path.invalid(text, format!("segment[{index}] may not be empty")));
            continue;
        }
        let rules = names::dns_subdomain(segment).into_iter();
        errors.extend(rules.map(|rule| path.invalid(text, format!("segment[{index}]: {rule}"))));
    }
    errors
}
