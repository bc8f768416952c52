use serde_json::{Value, json};

use super::*;

fn full() -> Value {
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "annotations": {"team": "a"}},
        "spec": {
            "minReplicas": 1, "maxReplicas": 5,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "metrics": [
                {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}},
                {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}}},
                {"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "a",
                    "target": {"type": "Utilization", "averageUtilization": 50}}},
                {"type": "Pods", "pods": {"metric": {"name": "hits", "selector": {"matchLabels": {"a": "b"}}},
                    "target": {"type": "AverageValue", "averageValue": "1k"}}},
                {"type": "Object", "object": {"describedObject": {"kind": "Service", "name": "s"}, "metric": {"name": "hits"},
                    "target": {"type": "Value", "value": "2k"}}},
                {"type": "Object", "object": {"describedObject": {"kind": "Service", "name": "s"}, "metric": {"name": "hits"},
                    "target": {"type": "AverageValue", "averageValue": "30"}}},
                {"type": "External", "external": {"metric": {"name": "queue"},
                    "target": {"type": "AverageValue", "averageValue": "30"}}},
            ],
            "behavior": {
                "scaleUp": {"selectPolicy": "Max", "stabilizationWindowSeconds": 0,
                    "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}]},
            },
        },
        "status": {
            "currentReplicas": 2, "desiredReplicas": 3,
            "conditions": [{"type": "AbleToScale", "status": "True"}],
            "currentMetrics": [
                {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 12, "averageValue": "30m"}}},
            ],
        },
    })
}

#[test]
fn what_v1_cannot_say_survives_it_in_annotations() {
    let mut object = full();
    v1().from_storage(&mut object);
    assert_eq!(object["apiVersion"], "autoscaling/v1");
    assert_eq!(object["spec"]["targetCPUUtilizationPercentage"], 60);
    assert_eq!(object["spec"].get("metrics"), None);
    assert_eq!(object["status"]["currentCPUUtilizationPercentage"], 12);
    assert_eq!(object["metadata"]["annotations"].as_object().unwrap().len(), 5);
    v1().to_storage(&mut object);
    let mut expected = full();
    // The share of CPU, which v1 has a field for, comes behind the others.
    expected["spec"]["metrics"].as_array_mut().unwrap().rotate_left(1);
    assert_eq!(object, expected);
}

#[test]
fn annotations_have_upstreams_form() {
    let mut object = full();
    v1().from_storage(&mut object);
    let told = |name: &str| {
        object["metadata"]["annotations"][name]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        told(annotations::BEHAVIOR),
        concat!(
            r#"{"ScaleUp":{"StabilizationWindowSeconds":0,"SelectPolicy":"Max","#,
            r#""Policies":[{"Type":"Pods","Value":4,"PeriodSeconds":15}],"Tolerance":null},"ScaleDown":null}"#
        )
    );
    assert_eq!(
        told(annotations::CURRENT),
        r#"[{"type":"Resource","resource":{"name":"cpu","currentAverageUtilization":12,"currentAverageValue":"30m"}}]"#
    );
    let metrics: Value = serde_json::from_str(&told(annotations::METRICS)).unwrap();
    assert_eq!(
        metrics[0],
        json!({"type": "Resource", "resource": {"name": "memory", "targetAverageValue": "1Gi"}})
    );
    assert_eq!(
        metrics[5],
        json!({"type": "External", "external": {"metricName": "queue", "targetAverageValue": "30"}})
    );
}

#[test]
fn a_v1_object_without_a_target_holds_eighty_percent() {
    let mut object =
        json!({"apiVersion": "autoscaling/v1", "metadata": {"name": "web"}, "spec": {"maxReplicas": 3}});
    v1().to_storage(&mut object);
    assert_eq!(
        object["spec"]["metrics"],
        json!([{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}])
    );
}

#[test]
fn targets_are_shown_with_where_they_stand() {
    assert_eq!(
        targets::shown(&full()),
        "cpu: 12%/60%, memory: <unknown>/1Gi + 5 more..."
    );
}
