use serde_json::{Value, json};

use crate::{ProblemKind, builtin};

fn details(group: &str, kind: &str, object: &Value) -> Vec<String> {
    let schema = builtin().kind(group, "v1", kind).expect("built-in kind");
    schema
        .check(object)
        .into_iter()
        .map(|problem| problem.detail)
        .collect()
}

/// Messages as kubectl shows them from a real API server.
#[test]
fn wrong_types_are_told_in_upstreams_words() {
    let table = [
        (
            "apps",
            "Deployment",
            json!({"spec": {"replicas": "two"}}),
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            "apps",
            "Deployment",
            json!({"spec": {"template": {"spec": {"containers": [{"env": [{"name": "A", "value": 1}]}]}}}}),
            "json: cannot unmarshal number into Go struct field EnvVar.spec.template.spec.containers.env.value of type string",
        ),
        (
            "",
            "Pod",
            json!({"spec": {"containers": {"name": "a"}}}),
            "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
        ),
        (
            "",
            "Pod",
            json!({"metadata": {"labels": {"a": 1}}}),
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        (
            "",
            "Pod",
            json!({"metadata": {"labels": ["a"]}}),
            "json: cannot unmarshal array into Go struct field ObjectMeta.metadata.labels of type map[string]string",
        ),
        (
            "",
            "Pod",
            json!({"spec": "none"}),
            "json: cannot unmarshal string into Go struct field Pod.spec of type v1.PodSpec",
        ),
        (
            "",
            "Pod",
            json!({"spec": {"containers": [{"ports": [{"containerPort": 80.5}]}]}}),
            "json: cannot unmarshal number 80.5 into Go struct field ContainerPort.spec.containers.ports.containerPort of type int32",
        ),
        (
            "",
            "Pod",
            json!([]),
            "json: cannot unmarshal array into Go value of type v1.Pod",
        ),
        (
            "",
            "ConfigMap",
            json!({"data": {"a": true}}),
            "json: cannot unmarshal bool into Go struct field ConfigMap.data of type string",
        ),
    ];
    for (group, kind, object, expected) in table {
        assert_eq!(details(group, kind, &object), [expected], "{object}");
    }
}

#[test]
fn wrong_formats_are_told_in_upstreams_words() {
    let table = [
        (
            "",
            "Secret",
            json!({"data": {"a": "not base64!"}}),
            "illegal base64 data at input byte 3",
        ),
        (
            "",
            "Pod",
            json!({"spec": {"containers": [{"resources": {"limits": {"cpu": "lots"}}}]}}),
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
    ];
    for (group, kind, object, expected) in table {
        assert_eq!(details(group, kind, &object), [expected], "{object}");
    }
}

#[test]
fn what_a_decoder_takes_is_no_problem() {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "creationTimestamp": null},
        "spec": {"unknown": 1, "containers": [{"name": "a", "image": null, "ports": null,
            "resources": {"limits": {"cpu": 1, "memory": "64Mi"}},
            "livenessProbe": {"httpGet": {"port": "web"}}, "readinessProbe": {"tcpSocket": {"port": 80}}}]}});
    assert_eq!(details("", "Pod", &pod), Vec::<String>::new());
    assert_eq!(details("", "Pod", &Value::Null), Vec::<String>::new());
}

#[test]
fn paths_carry_indices_and_kinds_are_told_apart() {
    let schema = builtin().kind("", "v1", "Pod").expect("Pod");
    let pod = json!({"spec": {"containers": [{}, {"env": [{"name": 1}]}], "terminationGracePeriodSeconds": true},
        "metadata": {"creationTimestamp": "yesterday"}});
    let mut found: Vec<_> = schema
        .check(&pod)
        .into_iter()
        .map(|problem| (problem.path, problem.kind))
        .collect();
    found.sort_by(|one, other| one.0.cmp(&other.0));
    let expected = [
        ("metadata.creationTimestamp", ProblemKind::WrongFormat),
        ("spec.containers[1].env[0].name", ProblemKind::WrongType),
        ("spec.terminationGracePeriodSeconds", ProblemKind::WrongType),
    ];
    assert_eq!(found, expected.map(|(path, kind)| (path.to_owned(), kind)));
}

#[test]
fn a_flood_of_problems_is_cut_at_a_hundred() {
    let schema = builtin().kind("", "v1", "Pod").expect("Pod");
    let pod = json!({"metadata": {"finalizers": vec![1; 5000]}, "spec": {"containers": vec![json!({"a": 1}); 5000]}});
    assert_eq!(schema.check(&pod).len(), 100);
    assert_eq!(schema.missing(&pod).len(), 100);
    assert_eq!(schema.unknown_fields(&pod).len(), 100);
}

#[test]
fn required_fields_are_missed_outside_status() {
    let schema = builtin().kind("apps", "v1", "Deployment").expect("Deployment");
    let object = json!({"spec": {"selector": null, "template": {"spec": {"containers": [{"ports": [{}]}]}}},
        "status": {"conditions": [{}]}});
    let found: Vec<String> = schema
        .missing(&object)
        .into_iter()
        .map(|problem| problem.path)
        .collect();
    let expected = [
        "spec.selector",
        "spec.template.spec.containers[0].name",
        "spec.template.spec.containers[0].ports[0].containerPort",
    ];
    let mut found = found;
    found.sort();
    assert_eq!(found, expected);
}
