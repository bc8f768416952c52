//! Quality of service: how a pod's containers ask for CPU and memory.

use serde_json::Value;

use crate::quantity::Quantity;
use crate::read;

/// `Guaranteed`, `Burstable` or `BestEffort`, by the requests and limits of every container.
#[must_use]
pub fn qos_class(pod: &Value) -> &'static str {
    let mut any = false;
    let mut all_equal = true;
    for list in ["spec.initContainers", "spec.containers"] {
        for container in read::list(pod, list) {
            for resource in ["cpu", "memory"] {
                let limit = amount(container, "limits", resource);
                let request = amount(container, "requests", resource).or(limit);
                any |= limit.is_some() || request.is_some();
                all_equal &= limit.is_some() && limit == request;
            }
        }
    }
    match (any, all_equal) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// What a container asks for, if it asks for any.
fn amount(container: &Value, bound: &str, resource: &str) -> Option<Quantity> {
    let value = container.get("resources")?.get(bound)?.get(resource)?;
    read_amount(value).filter(|amount| !amount.is_zero())
}

/// A quantity, which JSON may hold as text or number.
fn read_amount(value: &Value) -> Option<Quantity> {
    match value {
        Value::String(text) => Quantity::parse(text).ok(),
        Value::Number(number) => Quantity::parse(&number.to_string()).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_class_follows_requests_and_limits_of_every_container() {
        let both = json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1024Mi"}});
        let limits = json!({"limits": {"cpu": 1, "memory": "1Gi"}});
        let request = json!({"requests": {"cpu": "1"}});
        let zero = json!({"requests": {"cpu": "0"}});
        for (containers, class) in [
            (vec![json!({})], "BestEffort"),
            (vec![zero], "BestEffort"),
            (vec![both.clone()], "Guaranteed"),
            (vec![both.clone(), limits], "Guaranteed"),
            (vec![request], "Burstable"),
            (vec![both, json!({})], "Burstable"),
        ] {
            let containers: Vec<Value> = containers
                .into_iter()
                .map(|resources| json!({"resources": resources}))
                .collect();
            assert_eq!(qos_class(&json!({"spec": {"containers": containers}})), class);
        }
    }
}
