//! `fieldRef`: the pod's own facts.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{EnvError, Sources};

/// The value of `path` for a variable or a downward API file.
///
/// # Errors
///
/// [`EnvError::Field`] where no such path may be named.
pub fn field_value(path: &str, sources: &Sources<'_>) -> Result<String, EnvError> {
    let meta = &sources.pod.metadata;
    let spec = sources.pod.spec.as_ref();
    if let Some(value) = subscript(path, "metadata.labels", meta.labels.as_ref()) {
        return Ok(value);
    }
    if let Some(value) = subscript(path, "metadata.annotations", meta.annotations.as_ref()) {
        return Ok(value);
    }
    let value = match path {
        "metadata.name" => meta.name.clone(),
        "metadata.namespace" => meta.namespace.clone(),
        "metadata.uid" => meta.uid.clone(),
        "metadata.labels" => Some(lines(meta.labels.as_ref())),
        "metadata.annotations" => Some(lines(meta.annotations.as_ref())),
        "spec.nodeName" => spec.and_then(|spec| spec.node_name.clone()),
        "spec.serviceAccountName" => spec.and_then(|spec| spec.service_account_name.clone()),
        "status.hostIP" => sources.host_ips.first().map(ToString::to_string),
        "status.hostIPs" => Some(joined(sources.host_ips)),
        "status.podIP" => sources.pod_ips.first().map(ToString::to_string),
        "status.podIPs" => Some(joined(sources.pod_ips)),
        _ => return Err(EnvError::Field(path.to_owned())),
    };
    Ok(value.unwrap_or_default())
}

/// `metadata.labels['key']`: the value, empty where the key is absent.
fn subscript(path: &str, field: &str, map: Option<&BTreeMap<String, String>>) -> Option<String> {
    let key = path.strip_prefix(field)?.strip_prefix("['")?.strip_suffix("']")?;
    Some(map.and_then(|map| map.get(key)).cloned().unwrap_or_default())
}

/// `key="value"` lines in order, as the downward API writes maps.
fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let line = |(key, value): (&String, &String)| format!("{key}={value:?}");
    map.into_iter().flatten().map(line).collect::<Vec<_>>().join("\n")
}

fn joined(ips: &[IpAddr]) -> String {
    ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
