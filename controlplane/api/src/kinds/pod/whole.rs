//! What a pod asks for as a whole where it says only some of it: the rest comes from its containers.

use serde_json::{Map, Value};

use crate::admit::pod_resources::of_containers;
use crate::meta;
use crate::read;

/// Fills in limits of huge pages and requests of a pod that says anything of its own resources. Containers have theirs
/// by then.
pub(super) fn complete(pod: &mut Value) {
    let named = |pod: &Value, bound: &str| -> Map<String, Value> {
        let path = format!("spec.resources.{bound}");
        let found = read::map(pod, &path);
        found
            .map(|(name, amount)| (name.clone(), amount.clone()))
            .collect()
    };
    let (mut limits, mut requests) = (named(pod, "limits"), named(pod, "requests"));
    if limits.is_empty() && requests.is_empty() {
        return;
    }
    for (name, amount) in of_containers(pod, "limits") {
        if is_pages(&name) && !requests.contains_key(&name) {
            limits.entry(name).or_insert_with(|| amount.to_string().into());
        }
    }
    if !limits.is_empty() {
        for (name, amount) in of_containers(pod, "requests") {
            if is_shared(&name) {
                requests.entry(name).or_insert_with(|| amount.to_string().into());
            }
        }
        for (name, amount) in &limits {
            if is_shared(name) || is_pages(name) {
                requests.entry(name.clone()).or_insert_with(|| amount.clone());
            }
        }
    }
    let spec = meta::member_mut(pod, "spec");
    let own = meta::object_mut(meta::member_mut(spec, "resources"));
    for (bound, amounts) in [("limits", limits), ("requests", requests)] {
        if !amounts.is_empty() {
            own.insert(bound.to_owned(), amounts.into());
        }
    }
}

/// Whether more of the resource may be promised than there is.
fn is_shared(name: &str) -> bool {
    matches!(name, "cpu" | "memory")
}

fn is_pages(name: &str) -> bool {
    name.starts_with("hugepages-")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn completed(own: Value, container: Value) -> Value {
        let mut pod = json!({"spec": {"resources": own, "containers": [{"resources": container}]}});
        complete(&mut pod);
        pod["spec"]["resources"].clone()
    }

    #[test]
    fn requests_are_what_the_containers_ask_for_or_else_the_limits() {
        let found = completed(
            json!({"limits": {"cpu": "2", "memory": "1Gi"}}),
            json!({"requests": {"cpu": "500m"}}),
        );
        assert_eq!(found["requests"], json!({"cpu": "500m", "memory": "1Gi"}));
        assert_eq!(found["limits"], json!({"cpu": "2", "memory": "1Gi"}));
    }

    #[test]
    fn huge_pages_of_containers_limit_the_pod_unless_it_asks_for_some() {
        let pages = json!({"limits": {"hugepages-2Mi": "4Mi"}, "requests": {"hugepages-2Mi": "4Mi"}});
        let found = completed(json!({"requests": {"cpu": "1"}}), pages.clone());
        assert_eq!(found["limits"], json!({"hugepages-2Mi": "4Mi"}));
        assert_eq!(found["requests"], json!({"cpu": "1", "hugepages-2Mi": "4Mi"}));
        let asked = json!({"requests": {"cpu": "1", "hugepages-2Mi": "4Mi"}});
        assert_eq!(completed(asked.clone(), pages), asked);
    }

    #[test]
    fn a_pod_that_says_nothing_of_itself_stays_so() {
        for own in [json!({}), Value::Null] {
            assert_eq!(completed(own.clone(), json!({"requests": {"cpu": "1"}})), own);
        }
    }
}
