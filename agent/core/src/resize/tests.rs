use serde_json::{Value, json};

use super::*;
use crate::requests::Amounts;

fn spec(containers: &Value) -> PodSpec {
    serde_json::from_value(json!({ "containers": containers })).unwrap()
}

fn one(cpu: &str, memory: &str) -> PodSpec {
    spec(&json!([{"name": "a", "resources": {"requests": {"cpu": cpu, "memory": memory}}}]))
}

fn node() -> Amounts {
    Amounts::from([("cpu".to_owned(), 2000), ("memory".to_owned(), 1 << 30)])
}

#[test]
fn equal_quantities_in_other_words_are_no_resize() {
    let held = allocation(&one("500m", "1Gi"));
    assert!(!asks_for_more_or_less(&one("0.5", "1024Mi"), &held));
    assert!(asks_for_more_or_less(&one("0.6", "1Gi"), &held));
    assert!(asks_for_more_or_less(&one("500m", "1Mi"), &held));
}

#[test]
fn init_containers_are_not_resized_and_sidecars_are() {
    let spec: PodSpec = serde_json::from_value(json!({
        "initContainers": [{"name": "once"}, {"name": "beside", "restartPolicy": "Always"}],
        "containers": [{"name": "a"}],
    }))
    .unwrap();
    let names: Vec<String> = allocation(&spec).into_keys().collect();
    assert_eq!(names, ["a", "beside"]);
}

#[test]
fn a_pod_has_what_it_is_promised_and_all_else_of_its_own() {
    let pod = Pod {
        spec: Some(one("2", "1Gi")),
        ..Pod::default()
    };
    let held = allocation(&one("1", "1Gi"));
    let seen = with_allocation(&pod, &held);
    assert_eq!(seen.spec.as_ref().map(allocation), Some(held));
}

#[test]
fn what_a_node_never_has_is_infeasible_and_what_others_hold_is_deferred() {
    let other = one("1500m", "1Mi");
    let asked = |cpu: &str, memory: &str| fit(&one(cpu, memory), &node(), [&other].into_iter());
    assert_eq!(asked("500m", "1Mi"), Ok(()));
    let later = asked("501m", "1Mi").unwrap_err();
    assert_eq!(later.reason, Reason::Deferred);
    assert_eq!(
        later.message,
        "Node didn't have enough resource: cpu, requested: 501, used: 1500, capacity: 2000"
    );
    let never = asked("1", "2Gi").unwrap_err();
    assert_eq!(never.reason, Reason::Infeasible);
    assert_eq!(
        never.message,
        "Node didn't have enough capacity: memory, requested: 2147483648, capacity: 1073741824"
    );
}

#[test]
fn who_asks_for_no_more_comes_first_then_priority_then_class_then_time() {
    let at = |seconds| jiff::Timestamp::from_second(seconds).unwrap();
    let important = PodSpec {
        priority: Some(1000),
        ..one("1", "1Mi")
    };
    let held = one("500m", "1Mi");
    let (shrinks, grows) = (
        turn(&one("100m", "1Mi"), &held, at(9)),
        turn(&one("1", "1Mi"), &held, at(1)),
    );
    let favoured = turn(&important, &held, at(5));
    assert!(shrinks < favoured && favoured < grows);
    assert!(grows < turn(&one("1", "1Mi"), &held, at(2)));
}
