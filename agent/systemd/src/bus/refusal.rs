//! What the errors of systemd mean.

use zbus::DBusError as _;

use crate::properties::Property;

/// Properties that one version of systemd or one host may refuse and a container can do without.
const OPTIONAL: [&str; 10] = [
    "MemoryMax",
    "MemoryLow",
    "CPUWeight",
    "CPUQuotaPerSecUSec",
    "TasksMax",
    "OOMPolicy",
    "OOMScoreAdjust",
    "LogExtraFields",
    "LogRateLimitBurst",
    "LogRateLimitIntervalUSec",
];

/// Refusals the caller acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    Exists,
    NotFound,
}

/// What an error's name means.
pub(super) fn known(name: &str) -> Option<Known> {
    match name {
        "org.freedesktop.systemd1.UnitExists" => Some(Known::Exists),
        "org.freedesktop.systemd1.NoSuchUnit"
        | "org.freedesktop.systemd1.NoSuchProcess"
        | "org.freedesktop.systemd1.UnitInactive" => Some(Known::NotFound),
        _ => None,
    }
}

/// Name and text of an error reply; `None` where it is no reply.
pub(super) fn name_and_text(error: &zbus::Error) -> Option<(String, String)> {
    match error {
        zbus::Error::MethodError(name, text, _) => Some((name.to_string(), text.clone().unwrap_or_default())),
        zbus::Error::FDO(fdo) => Some((
            fdo.name().to_string(),
            fdo.description().unwrap_or_default().to_owned(),
        )),
        _ => None,
    }
}

/// Drops the property that a refusal names, where it is one to do without. False: nothing dropped.
pub(super) fn drop_refused(properties: &mut Vec<Property>, name: &str, detail: &str) -> bool {
    let about_properties = [
        "PropertyReadOnly",
        "UnknownProperty",
        "InvalidArgs",
        "NotSupported",
    ]
    .iter()
    .any(|end| name.ends_with(end));
    let word = |property: &str| {
        detail
            .split(|c: char| !c.is_ascii_alphanumeric())
            .any(|w| w == property)
    };
    let before = properties.len();
    if about_properties {
        properties.retain(|(property, _)| !(OPTIONAL.contains(property) && word(property)));
    }
    properties.len() < before
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties;

    fn with_memory_max() -> Vec<Property> {
        vec![("MemoryMax", 1_u64.into()), ("Slice", "floe.slice".into())] as Vec<properties::Property>
    }

    #[test]
    fn a_limit_that_is_refused_is_dropped() {
        let mut properties = with_memory_max();
        let name = "org.freedesktop.DBus.Error.PropertyReadOnly";
        assert!(drop_refused(
            &mut properties,
            name,
            "Cannot set property MemoryMax, or unknown property."
        ));
        assert_eq!(properties.len(), 1);
    }

    #[test]
    fn what_a_container_cannot_do_without_stays() {
        let mut properties = with_memory_max();
        let name = "org.freedesktop.DBus.Error.PropertyReadOnly";
        assert!(!drop_refused(
            &mut properties,
            name,
            "Cannot set property Slice, or unknown property."
        ));
        assert!(!drop_refused(
            &mut properties,
            "org.freedesktop.DBus.Error.AccessDenied",
            "MemoryMax"
        ));
        assert_eq!(properties.len(), 2);
    }
}
