//! The limits that a resize gives to units that run.

use agent_core::resize::{Allocation, resizable, with_allocation};
use agent_systemd::{Limits, UnitName};
use k8s_openapi::api::core::v1::Pod;

use super::limits;
use crate::{BundleError, slice_name, unit_name};

/// Which units get which limits, in this order, so that `containers` of `pod` have what is `promised` instead of what
/// they were given (`applied`). They are those of units that are made anew.
///
/// Where the pod's whole grows it does so before its parts, and where it shrinks after them: no part is ever larger than
/// the whole.
///
/// # Errors
///
/// Where the pod's names hold what Kubernetes forbids.
pub fn resized_units(
    pod: &Pod,
    applied: &Allocation,
    promised: &Allocation,
    containers: &[String],
) -> Result<Vec<(UnitName, Limits)>, BundleError> {
    let mut has = applied.clone();
    let wanted = promised.iter().filter(|(name, _)| containers.contains(name));
    has.extend(wanted.map(|(name, resources)| (name.clone(), resources.clone())));
    let (before, after) = (with_allocation(pod, applied), with_allocation(pod, &has));
    let (small, whole) = (limits::pod(&before), limits::pod(&after));
    let slice = slice_name(pod)?;
    let mut units = vec![(slice.as_unit().clone(), wider(&small, &whole))];
    for container in after.spec.iter().flat_map(resizable) {
        if containers.contains(&container.name) {
            let limits = limits::container(container.resources.as_ref());
            units.push((unit_name(pod, &container.name)?, limits));
        }
    }
    units.push((slice.as_unit().clone(), whole));
    units.dedup();
    Ok(units)
}

/// Limits that hold neither of two sets back.
fn wider(one: &Limits, other: &Limits) -> Limits {
    Limits {
        cpu_weight: one.cpu_weight.max(other.cpu_weight),
        // No limit is the widest.
        cpu_quota_per_sec: one
            .cpu_quota_per_sec
            .zip(other.cpu_quota_per_sec)
            .map(|(a, b)| a.max(b)),
        memory_max: one.memory_max.zip(other.memory_max).map(|(a, b)| a.max(b)),
        memory_low: one.memory_low.max(other.memory_low),
        tasks_max: other.tasks_max,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(resources: &[Value]) -> Pod {
        let named = resources.iter().enumerate();
        let containers: Vec<Value> = named
            .map(|(k, resources)| json!({"name": format!("c{k}"), "resources": resources}))
            .collect();
        serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "default", "uid": "1a2b3c4d-0000"},
            "spec": {"containers": containers},
        }))
        .unwrap()
    }

    fn limited(memory: &str) -> Value {
        json!({"limits": {"memory": memory, "cpu": "1"}, "requests": {"memory": memory, "cpu": "1"}})
    }

    fn memory(before: &[Value], after: &[Value]) -> Vec<(String, Option<u64>)> {
        let allocation = |pod: &Pod| agent_core::resize::allocation(pod.spec.as_ref().unwrap());
        let (before, after) = (pod(before), pod(after));
        let names = ["c0".to_owned()];
        let units = resized_units(&after, &allocation(&before), &allocation(&after), &names).unwrap();
        let short = |name: &UnitName| {
            if name.as_str().ends_with(".slice") {
                "slice"
            } else {
                "c0"
            }
        };
        units
            .iter()
            .map(|(name, limits)| (short(name).to_owned(), limits.memory_max.map(|bytes| bytes >> 20)))
            .collect()
    }

    fn row(unit: &str, mebibytes: u64) -> (String, Option<u64>) {
        (unit.to_owned(), Some(mebibytes))
    }

    #[test]
    fn the_whole_grows_before_its_parts_and_shrinks_after_them() {
        let (small, large) = (limited("1Mi"), limited("4Mi"));
        assert_eq!(
            memory(&[small.clone(), small.clone()], &[large.clone(), small.clone()]),
            [row("slice", 5), row("c0", 4), row("slice", 5)]
        );
        assert_eq!(
            memory(&[large, small.clone()], &[small.clone(), small]),
            [row("slice", 5), row("c0", 1), row("slice", 2)]
        );
    }

    #[test]
    fn a_container_gets_what_one_that_is_made_anew_has() {
        let after = pod(&[limited("4Mi")]);
        let promised = agent_core::resize::allocation(after.spec.as_ref().unwrap());
        let units = resized_units(&after, &Allocation::new(), &promised, &["c0".to_owned()]).unwrap();
        let own = units.iter().find(|(name, _)| name.as_str().ends_with(".service"));
        let container = &after.spec.as_ref().unwrap().containers[0];
        let made = limits::container(container.resources.as_ref());
        assert_eq!(own.map(|(_, limits)| limits), Some(&made));
    }

    #[test]
    fn a_pod_that_is_not_limited_as_a_whole_stays_so() {
        let free = json!({});
        let units = memory(&[limited("1Mi"), free.clone()], &[limited("2Mi"), free]);
        assert_eq!(
            units,
            [
                ("slice".to_owned(), None),
                row("c0", 2),
                ("slice".to_owned(), None)
            ]
        );
    }
}
