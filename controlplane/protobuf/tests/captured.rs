//! What kubectl 1.35 sends for its typed commands, byte for byte, is read as the JSON it stands for.

use controlplane_protobuf::decode;
use serde_json::{Value, json};

#[expect(
    clippy::unwrap_used,
    reason = "a fixture that is missing or unread fails the test"
)]
fn captured(name: &str) -> Value {
    let path = format!("{}/tests/captured/{name}.bin", env!("CARGO_MANIFEST_DIR"));
    decode(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn create_namespace() {
    let expected = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team-a"}});
    assert_eq!(captured("namespaces"), expected);
}

#[test]
fn create_configmap() {
    let expected = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "settings"}, "data": {"mode": "fast"},
    });
    assert_eq!(captured("configmaps"), expected);
}

#[test]
fn create_secret() {
    let expected = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "token"}, "data": {"key": "czNjcjN0"},
    });
    assert_eq!(captured("secrets"), expected);
}

#[test]
fn create_deployment() {
    let labels = json!({"app": "web"});
    let expected = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "labels": labels},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "nginx", "image": "nginx:1.27"}]},
            },
        },
    });
    assert_eq!(captured("deployments"), expected);
}

#[test]
fn create_service() {
    let expected = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "web", "labels": {"app": "web"}},
        "spec": {
            "type": "ClusterIP",
            "selector": {"app": "web"},
            "ports": [{"name": "80-8080", "protocol": "TCP", "port": 80, "targetPort": 8080}],
        },
    });
    assert_eq!(captured("services"), expected);
}

#[test]
fn create_serviceaccount() {
    let expected = json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "builder"},
    });
    assert_eq!(captured("serviceaccounts"), expected);
}
