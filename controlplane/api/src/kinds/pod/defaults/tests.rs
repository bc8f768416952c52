use serde_json::json;

use super::*;

#[test]
fn a_new_pod_gets_what_default_admission_gives() {
    let mut pod = json!({"spec": {"containers": [
        {"name": "a", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}},
        {"name": "b", "ports": [{"containerPort": 80}]},
    ]}});
    fill(&mut pod);
    assert_eq!(
        pod["spec"],
        json!({
            "containers": [
                {"name": "a", "resources": {
                    "limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m", "memory": "1Gi"}}},
                {"name": "b", "ports": [{"containerPort": 80}]},
            ],
            "tolerations": [
                {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
                {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
            ],
        })
    );
}

#[test]
fn what_a_pod_says_itself_is_left_alone() {
    let mut pod = json!({"spec": {
        "serviceAccount": "builder", "hostNetwork": true,
        "tolerations": [{"operator": "Exists"}],
        "containers": [{"ports": [{"containerPort": 80}, {"containerPort": 81, "hostPort": 8081}]}],
    }});
    fill(&mut pod);
    let spec = &pod["spec"];
    assert_eq!(spec["serviceAccountName"], "builder");
    assert_eq!(spec["tolerations"], json!([{"operator": "Exists"}]));
    assert_eq!(
        spec["containers"][0]["ports"],
        json!([{"containerPort": 80, "hostPort": 80}, {"containerPort": 81, "hostPort": 8081}])
    );
}

#[test]
fn an_update_that_leaves_the_additions_out_keeps_them() {
    let mut old = json!({"spec": {"containers": [], "priority": 0, "serviceAccountName": "default"}});
    fill(&mut old);
    let mut new = json!({"spec": {"containers": []}});
    fill_update(&mut new, &old);
    assert_eq!(new["spec"]["serviceAccountName"], "default");
    assert_eq!(new["spec"]["priority"], 0);
}
