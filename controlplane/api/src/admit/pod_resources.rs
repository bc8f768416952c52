//! What a whole pod asks for and is limited to.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::quantity::Quantity;
use crate::read;
use crate::validate::resources::quantity;

/// Amounts by resource.
pub type Amounts = BTreeMap<String, Quantity>;

/// The map of amounts at a dotted path.
#[must_use]
pub fn amounts(object: &Value, path: &str) -> Amounts {
    let read = |(name, value): (&String, &Value)| Some((name.clone(), quantity(value)?));
    read::map(object, path).filter_map(read).collect()
}

/// Adds amounts to a sum.
pub fn add(sum: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        let held = sum.entry(name.clone()).or_insert(Quantity::ZERO);
        *held = held.plus(*amount);
    }
}

fn at_least(sum: &mut Amounts, least: &Amounts) {
    for (name, amount) in least {
        let held = sum.entry(name.clone()).or_insert(*amount);
        *held = (*held).max(*amount);
    }
}

/// What a pod needs at its busiest moment, by `bound` (`requests` or `limits`): its containers and sidecars together, or
/// one init container with the sidecars that start before it. What the pod says for itself counts instead; overhead is on
/// top.
#[must_use]
pub fn of_pod(pod: &Value, bound: &str) -> Amounts {
    let mut sum = of_containers(pod, bound);
    sum.extend(amounts(pod, &format!("spec.resources.{bound}")));
    for (name, amount) in amounts(pod, "spec.overhead") {
        // Where there is no limit, overhead makes none.
        if bound == "requests" || sum.get(&name).is_some_and(|limit| !limit.is_zero()) {
            add(&mut sum, &Amounts::from([(name, amount)]));
        }
    }
    sum
}

/// What its containers need by themselves.
#[must_use]
pub fn of_containers(pod: &Value, bound: &str) -> Amounts {
    let path = format!("resources.{bound}");
    let mut sum = Amounts::new();
    for container in read::list(pod, "spec.containers") {
        add(&mut sum, &amounts(container, &path));
    }
    let (mut sidecars, mut busiest) = (Amounts::new(), Amounts::new());
    for container in read::list(pod, "spec.initContainers") {
        let mut needed = amounts(container, &path);
        if read::text(container, "restartPolicy") == "Always" {
            add(&mut sum, &needed);
            add(&mut sidecars, &needed);
            needed.clone_from(&sidecars);
        } else {
            add(&mut needed, &sidecars);
        }
        at_least(&mut busiest, &needed);
    }
    at_least(&mut sum, &busiest);
    sum
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cpu(pod: &Value, bound: &str) -> String {
        of_pod(pod, bound)
            .get("cpu")
            .map(ToString::to_string)
            .unwrap_or_default()
    }

    fn container(cpu: &str) -> Value {
        json!({"resources": {"requests": {"cpu": cpu}, "limits": {"cpu": cpu}}})
    }

    fn sidecar(cpu: &str) -> Value {
        let mut container = container(cpu);
        container["restartPolicy"] = json!("Always");
        container
    }

    #[test]
    fn containers_and_sidecars_run_together_and_init_containers_one_by_one() {
        let mut pod = json!({"spec": {"containers": [container("1"), container("500m")]}});
        assert_eq!(cpu(&pod, "requests"), "1500m");
        pod["spec"]["initContainers"] = json!([container("2"), container("1")]);
        assert_eq!(cpu(&pod, "requests"), "2");
        pod["spec"]["initContainers"] = json!([sidecar("1"), container("2"), sidecar("1")]);
        assert_eq!(cpu(&pod, "requests"), "3500m");
        pod["spec"]["initContainers"] = json!([sidecar("1"), container("4")]);
        assert_eq!(cpu(&pod, "requests"), "5");
    }

    #[test]
    fn what_the_pod_says_itself_counts_and_overhead_is_on_top() {
        let mut pod =
            json!({"spec": {"containers": [container("1")], "resources": {"requests": {"cpu": "3"}}}});
        pod["spec"]["overhead"] = json!({"cpu": "100m", "memory": "1Mi"});
        assert_eq!(
            (cpu(&pod, "requests").as_str(), cpu(&pod, "limits").as_str()),
            ("3100m", "1100m")
        );
        assert_eq!(of_pod(&pod, "limits").get("memory"), None);
    }
}
