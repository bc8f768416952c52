//! Rules for the status of ResourceClaims: what was given, to whom, and how it does.

use std::collections::BTreeSet;

use serde_json::Value;

use super::claim::Requests;
use super::{binding_conditions, configuration, items, pool_name, raw, repeated, text_of};
use crate::field::{FieldError, Path, quote};
use crate::meta;
use crate::names;
use crate::read;
use crate::validate::{change, condition, naming, pod};

const MAX_CONSUMERS: usize = 256;
const MAX_RESULTS: usize = 32;
const MAX_CONFIG: usize = 64;
const MAX_CONDITIONS: usize = 8;
const MAX_DATA: usize = 10 * 1024;
const MAX_INTERFACE: usize = 256;
const MAX_HARDWARE: usize = 128;
const MAX_IPS: usize = 16;
const SOURCES: [&str; 2] = ["FromClaim", "FromClass"];

/// What is wrong with a write of a ResourceClaim's status.
pub(crate) fn update(new: &Value, old: &Value) -> Vec<FieldError> {
    let (status, path) = (new.get("status").unwrap_or(&Value::Null), Path::new("status"));
    let mut errors = items(status, "reservedFor", MAX_CONSUMERS, &path, consumer);
    let consumers = read::list(status, "reservedFor");
    if consumers.len() <= MAX_CONSUMERS {
        let uid = |consumer: &Value| read::text(consumer, "uid").to_owned();
        errors.extend(repeated(consumers, &path.child("reservedFor"), uid));
    }
    let given = results(status);
    let devices = read::list(status, "devices");
    for (index, device) in devices.iter().enumerate() {
        errors.extend(reported(device, &given, &path.child("devices").index(index)));
    }
    errors.extend(repeated(devices, &path.child("devices"), identity));
    errors.extend(reservation(new, old, &path.child("reservedFor")));
    let (before, after) = (
        read::present(old, "status.allocation"),
        read::present(new, "status.allocation"),
    );
    if before && after {
        errors.extend(change::immutable(new, old, "status.allocation"));
    } else if after {
        errors.extend(allocation(new, &path.child("allocation")));
    }
    errors
}

fn consumer(consumer: &Value, path: &Path) -> Vec<FieldError> {
    let fields = ["resource", "name", "uid"].into_iter();
    fields
        .filter(|field| read::text(consumer, field).is_empty())
        .map(|field| path.child(field).required(""))
        .collect()
}

/// Nobody gets what is not given yet, or is to be taken back.
fn reservation(new: &Value, old: &Value, path: &Path) -> Option<FieldError> {
    let consumers = read::list(new, "status.reservedFor");
    if consumers.is_empty() {
        return None;
    }
    if !read::present(new, "status.allocation") {
        return Some(path.forbidden("may not be specified when `allocated` is not set"));
    }
    let before = read::list(old, "status.reservedFor");
    let added = consumers.iter().any(|consumer| !before.contains(consumer));
    (meta::deletion_timestamp(new).is_some() && added).then(|| {
        path.forbidden(
            "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set",
        )
    })
}

/// A device as one text: driver, pool, device, and its share where it is shared.
fn identity(device: &Value) -> String {
    let part = |field| read::text(device, field);
    let share = match part("shareID") {
        "" => String::new(),
        share => format!("/{share}"),
    };
    format!("{}/{}/{}{share}", part("driver"), part("pool"), part("device"))
}

fn results(status: &Value) -> BTreeSet<String> {
    let results = read::list(status, "allocation.devices.results").iter();
    results.map(identity).collect()
}

fn device_names(device: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = naming::csi_driver(read::text(device, "driver"), &path.child("driver"));
    errors.extend(pool_name(read::text(device, "pool"), &path.child("pool")));
    let name = read::text(device, "device");
    errors.extend(naming::broken(names::dns_label, name, &path.child("device")));
    errors
}

/// A UID in its one form.
fn share(device: &Value, path: &Path) -> Option<FieldError> {
    let uid = device.get("shareID")?.as_str()?;
    let path = path.child("shareID");
    if let Some(why) = no_uid(uid) {
        return Some(path.invalid(uid, format!("error validating uid: {why}")));
    }
    (uid.len() != 36 || uid != uid.to_lowercase()).then(|| {
        path.invalid(
            uid,
            "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal \
             characters",
        )
    })
}

/// Why a text is no UID in any of the forms that are in use: plain, as a URN, in braces, and without hyphens.
fn no_uid(text: &str) -> Option<String> {
    let hexadecimal = |text: &str| text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    let plain = match text.len() {
        36 => text,
        45 => match text.split_at_checked(9) {
            Some((prefix, rest)) if prefix.eq_ignore_ascii_case("urn:uuid:") => rest,
            split => {
                let prefix = quote(split.map_or("", |(prefix, _)| prefix));
                return Some(format!("invalid urn prefix: {prefix}"));
            }
        },
        38 => match text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
            Some(inner) => inner,
            None => return Some("invalid bracketed UUID format".to_owned()),
        },
        32 if !text.contains('-') && hexadecimal(text) => return None,
        32 => return Some("invalid UUID format".to_owned()),
        length => return Some(format!("invalid UUID length: {length}")),
    };
    let groups: Vec<usize> = plain.split('-').map(str::len).collect();
    (groups != [8, 4, 4, 4, 12] || !hexadecimal(plain)).then(|| "invalid UUID format".to_owned())
}

/// What a driver reports of a device that was given.
fn reported(device: &Value, given: &BTreeSet<String>, path: &Path) -> Vec<FieldError> {
    let mut errors = device_names(device, path);
    errors.extend(share(device, path));
    let identity = identity(device);
    if !given.contains(&identity) {
        errors.push(path.invalid(identity, "must be an allocated device in the claim"));
    }
    let conditions = read::list(device, "conditions").len();
    if conditions > MAX_CONDITIONS {
        errors.push(path.child("conditions").too_many(conditions, MAX_CONDITIONS));
    }
    errors.extend(condition::all(device, &path.child("conditions")));
    if let Some(data) = device.get("data").filter(|data| !data.is_null()) {
        errors.extend(raw(data, MAX_DATA, &path.child("data")));
    }
    if let Some(network) = device.get("networkData").filter(|network| !network.is_null()) {
        errors.extend(network_data(network, &path.child("networkData")));
    }
    errors
}

fn network_data(network: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (field, max) in [
        ("interfaceName", MAX_INTERFACE),
        ("hardwareAddress", MAX_HARDWARE),
    ] {
        if read::text(network, field).len() > max {
            errors.push(path.child(field).too_long(max));
        }
    }
    errors.extend(items(network, "ips", MAX_IPS, path, |item, path| {
        interface_address(super::text(item), path).into_iter().collect()
    }));
    let addresses = read::list(network, "ips");
    if addresses.len() <= MAX_IPS {
        errors.extend(repeated(addresses, &path.child("ips"), text_of));
    }
    errors
}

/// An address with the length of its network's prefix.
fn interface_address(text: &str, path: &Path) -> Option<FieldError> {
    let parsed = text.parse::<ipnet::IpNet>().ok();
    let Some(address) = parsed.filter(|_| text.contains('/')) else {
        let rule = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)";
        return Some(path.invalid(text, rule));
    };
    let canonical = address.to_string();
    (canonical != text).then(|| path.invalid(text, format!("must be in canonical form (\"{canonical}\")")))
}

fn allocation(new: &Value, path: &Path) -> Vec<FieldError> {
    let requests = Requests::of(new, "spec.devices");
    let empty = Value::Null;
    let allocation = new.pointer("/status/allocation").unwrap_or(&empty);
    let devices = allocation.get("devices").unwrap_or(&empty);
    let at = path.child("devices");
    let mut errors = items(devices, "results", MAX_RESULTS, &at, |result, path| {
        let request = read::text(result, "request");
        let mut errors = requests.reference(request, &path.child("request"));
        errors.extend(device_names(result, path));
        errors.extend(binding_conditions(result, path));
        errors.extend(share(result, path));
        errors
    });
    errors.extend(items(devices, "config", MAX_CONFIG, &at, |config, path| {
        let source = read::text(config, "source");
        let at = path.child("source");
        let mut errors = match source {
            "" => vec![at.required("")],
            known if SOURCES.contains(&known) => Vec::new(),
            _ => vec![at.not_supported(source, &SOURCES)],
        };
        errors.extend(requests.references(config, path));
        errors.extend(configuration(config, path));
        errors
    }));
    if let Some(selector) = allocation
        .get("nodeSelector")
        .filter(|selector| !selector.is_null())
    {
        errors.extend(pod::node_selector(selector, &path.child("nodeSelector")));
    }
    errors
}
