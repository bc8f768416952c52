//! `RuntimeClass`: what a pod's runtime class costs it, and where it may run.

use serde_json::Value;

use super::Refusal;
use super::pod_resources::amounts;
use crate::meta;
use crate::read;

const MISMATCH: &str = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";

/// Gives a pod its class's overhead, node selector and tolerations.
///
/// # Errors
///
/// Where the pod says something else.
pub fn give(class: &Value, pod: &mut Value) -> Result<(), Refusal> {
    if read::present(class, "overhead") {
        check_overhead(class, pod, read::present(pod, "spec.overhead"))?;
        let overhead = class.pointer("/overhead/podFixed").cloned().unwrap_or_default();
        let spec = meta::object_mut(meta::member_mut(pod, "spec"));
        spec.insert("overhead".to_owned(), overhead);
    }
    select(class, pod)?;
    let wanted = read::list(class, "scheduling.tolerations");
    let missing: Vec<Value> = wanted
        .iter()
        .filter(|toleration| !read::list(pod, "spec.tolerations").contains(toleration))
        .cloned()
        .collect();
    if !missing.is_empty() {
        let spec = meta::member_mut(pod, "spec");
        let list = meta::object_mut(spec)
            .entry("tolerations")
            .or_insert_with(|| Value::Array(Vec::new()));
        list.as_array_mut()
            .into_iter()
            .for_each(|list| list.extend_from_slice(&missing));
    }
    Ok(())
}

fn check_overhead(class: &Value, pod: &Value, given: bool) -> Result<(), Refusal> {
    let same = amounts(class, "overhead.podFixed") == amounts(pod, "spec.overhead");
    if given && !same {
        Err(MISMATCH.to_owned())
    } else {
        Ok(())
    }
}

fn select(class: &Value, pod: &mut Value) -> Result<(), Refusal> {
    for (key, value) in read::map(class, "scheduling.nodeSelector") {
        let spec = meta::object_mut(meta::member_mut(pod, "spec"));
        let selector = meta::object_mut(spec.entry("nodeSelector").or_insert(Value::Null));
        match selector.get(key) {
            Some(own) if own != value => {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                return Err(format!(
                    "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {}; pod.spec.nodeSelector[{key}] = {}",
                    text(value),
                    text(own)
                ));
            }
            Some(_) => {}
            None => drop(selector.insert(key.clone(), value.clone())),
        }
    }
    Ok(())
}

/// Checks that a pod's overhead is that of its class; without one it has none.
///
/// # Errors
///
/// Where it has another.
pub fn check(class: Option<&Value>, pod: &Value) -> Result<(), Refusal> {
    match class.filter(|class| read::present(class, "overhead")) {
        Some(class) => check_overhead(class, pod, true),
        None if read::present(pod, "spec.overhead") => Err(
            "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead".to_owned(),
        ),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_gets_its_classes_overhead_place_and_tolerations() {
        let toleration = json!({"key": "kata", "operator": "Exists"});
        let class = json!({
            "overhead": {"podFixed": {"cpu": "250m"}},
            "scheduling": {"nodeSelector": {"runtime": "kata"}, "tolerations": [toleration]},
        });
        let mut pod = json!({"spec": {"nodeSelector": {"zone": "a"}}});
        assert_eq!(give(&class, &mut pod), Ok(()));
        let wanted = json!({
            "nodeSelector": {"zone": "a", "runtime": "kata"}, "overhead": {"cpu": "250m"}, "tolerations": [toleration],
        });
        assert_eq!(pod["spec"], wanted);
        let once = pod.clone();
        assert_eq!((give(&class, &mut pod), &pod), (Ok(()), &once));
        assert_eq!(check(Some(&class), &pod), Ok(()));
    }

    #[test]
    fn a_pod_that_says_otherwise_is_refused() {
        let class = json!({"overhead": {"podFixed": {"cpu": "250m"}}, "scheduling": {"nodeSelector": {"runtime": "kata"}}});
        let mut pod = json!({"spec": {"overhead": {"cpu": "1"}}});
        assert_eq!(give(&class, &mut pod), Err(MISMATCH.to_owned()));
        let mut pod = json!({"spec": {"nodeSelector": {"runtime": "runc"}}});
        let why = "conflict: runtimeClass.scheduling.nodeSelector[runtime] = kata; pod.spec.nodeSelector[runtime] = runc";
        assert_eq!(give(&class, &mut pod), Err(why.to_owned()));
        let pod = json!({"spec": {"overhead": {"cpu": "1"}}});
        let why = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";
        assert_eq!(check(None, &pod), Err(why.to_owned()));
    }
}
