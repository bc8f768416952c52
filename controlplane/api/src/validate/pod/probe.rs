//! Rules for probes and lifecycle hooks.

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::names;
use crate::read;
use crate::validate::number;

const HANDLERS: [&str; 5] = ["exec", "httpGet", "tcpSocket", "grpc", "sleep"];

/// What is wrong with the probes and hooks of a container.
pub(super) fn all(container: &Value, grace: Option<i64>, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for hook in ["postStart", "preStop"] {
        if let Some(handler) = container
            .get("lifecycle")
            .and_then(|hooks| hooks.get(hook))
            .filter(|h| !h.is_null())
        {
            errors.extend(handlers(
                handler,
                &["exec", "httpGet", "tcpSocket", "sleep"],
                grace,
                &path.child("lifecycle").child(hook),
            ));
        }
    }
    for kind in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.get(kind).filter(|probe| !probe.is_null()) {
            errors.extend(one(probe, kind, &path.child(kind)));
        }
    }
    errors
}

fn one(probe: &Value, kind: &str, path: &Path) -> Vec<FieldError> {
    let mut errors = handlers(probe, &["exec", "httpGet", "tcpSocket", "grpc"], None, path);
    for field in [
        "initialDelaySeconds",
        "timeoutSeconds",
        "periodSeconds",
        "successThreshold",
        "failureThreshold",
    ] {
        errors.extend(number::non_negative(probe, field, path));
    }
    let grace = read::integer(probe, "terminationGracePeriodSeconds");
    let grace_path = path.child("terminationGracePeriodSeconds");
    if let Some(seconds) = grace.filter(|seconds| *seconds <= 0) {
        errors.push(grace_path.invalid(seconds, "must be greater than 0"));
    }
    if let Some(seconds) = grace.filter(|_| kind == "readinessProbe") {
        errors.push(grace_path.invalid(seconds, "must not be set for readinessProbes"));
    }
    let successes = read::integer(probe, "successThreshold").unwrap_or(1);
    if kind != "readinessProbe" && successes != 1 {
        errors.push(path.child("successThreshold").invalid(successes, "must be 1"));
    }
    errors
}

/// A probe or hook does exactly one thing, of `known` ones.
fn handlers(object: &Value, known: &[&str], grace: Option<i64>, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut count = 0;
    for kind in HANDLERS.into_iter().filter(|kind| known.contains(kind)) {
        let Some(handler) = object.get(kind).filter(|handler| !handler.is_null()) else {
            continue;
        };
        let path = path.child(kind);
        count += 1;
        if count > 1 {
            errors.push(path.forbidden("may not specify more than 1 handler type"));
            continue;
        }
        errors.extend(match kind {
            "exec" => exec(handler, &path),
            "httpGet" => http_get(handler, &path),
            "sleep" => sleep(handler, grace, &path).into_iter().collect(),
            _ => port(handler, &path),
        });
    }
    if count == 0 {
        errors.push(path.required("must specify a handler type"));
    }
    errors
}

/// A pause is no longer than the pod's grace.
fn sleep(handler: &Value, grace: Option<i64>, path: &Path) -> Option<FieldError> {
    let (seconds, grace) = (read::count(handler, "seconds"), grace?);
    let detail = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
    (!(0..=grace).contains(&seconds)).then(|| path.invalid(seconds, detail))
}

fn exec(handler: &Value, path: &Path) -> Vec<FieldError> {
    let empty = read::list(handler, "command").is_empty();
    if empty {
        vec![path.child("command").required("")]
    } else {
        Vec::new()
    }
}

fn http_get(handler: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if read::text(handler, "path").is_empty() {
        errors.push(path.child("path").required(""));
    }
    errors.extend(port(handler, path));
    let scheme = read::text(handler, "scheme");
    if !matches!(scheme, "HTTP" | "HTTPS") {
        errors.push(path.child("scheme").not_supported(scheme, &["HTTP", "HTTPS"]));
    }
    // Upstream's path leaves index and member out.
    for header in read::list(handler, "httpHeaders") {
        let name = read::text(header, "name");
        if !is_header_name(name) {
            let detail = "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', \
                          regex used for validation is '[-A-Za-z0-9]+')";
            errors.push(path.child("httpHeaders").invalid(name, detail));
        }
    }
    errors
}

fn is_header_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// A port by number or by name.
fn port(handler: &Value, path: &Path) -> Vec<FieldError> {
    let path = path.child("port");
    match handler.get("port") {
        Some(Value::String(name)) => names::port_name(name)
            .into_iter()
            .map(|rule| path.invalid(name.as_str(), rule))
            .collect(),
        other => {
            let number = other.and_then(Value::as_i64).unwrap_or_default();
            names::port_number(number)
                .into_iter()
                .map(|rule| path.invalid(number, rule))
                .collect()
        }
    }
}
