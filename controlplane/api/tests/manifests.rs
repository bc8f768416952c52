//! Ordinary manifests, with the defaults of the schema tables filled in, pass every rule here.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail the test that calls them"
)]

use controlplane_api::Resource;
use controlplane_api::rest::{self, Part};
use controlplane_api::strategy::{Context, UserInfo};
use serde_json::{Value, json};

fn context() -> Context {
    Context::new("2026-01-01T00:00:00Z".parse().unwrap(), UserInfo::default())
}

/// The object as the server would store it.
fn stored(group: &str, plural: &str, mut object: Value) -> (Resource, Value) {
    let registry = controlplane_api::builtin();
    let resource = (**registry.find(group, "v1", plural).unwrap()).clone();
    let table = controlplane_schema::builtin()
        .kind(group, "v1", &resource.kind)
        .unwrap();
    table.default(&mut object);
    let namespace = if resource.is_namespaced() { "default" } else { "" };
    if let Err(error) = rest::prepare_create(&resource, &mut object, namespace, &context()) {
        panic!("{error}: {object:#}");
    }
    (resource, object)
}

fn containers() -> Value {
    json!([{
        "name": "web", "image": "nginx:1.27",
        "ports": [{"containerPort": 80}],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
        "livenessProbe": {"httpGet": {"path": "/", "port": 80}, "initialDelaySeconds": 3},
        "readinessProbe": {"tcpSocket": {"port": 80}},
        "env": [{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "envFrom": [{"configMapRef": {"name": "settings"}}],
        "volumeMounts": [{"name": "page", "mountPath": "/usr/share/nginx/html"}, {"name": "tmp", "mountPath": "/tmp"}],
    }])
}

fn pod_spec() -> Value {
    json!({
        "initContainers": [{"name": "init", "image": "busybox", "command": ["true"]}],
        "containers": containers(),
        "volumes": [{"name": "page", "configMap": {"name": "page"}}, {"name": "tmp", "emptyDir": {}}],
    })
}

#[test]
fn ordinary_manifests_are_accepted() {
    for (group, plural, object) in [
        (
            "",
            "pods",
            json!({"metadata": {"name": "web"}, "spec": pod_spec()}),
        ),
        (
            "",
            "configmaps",
            json!({"metadata": {"name": "page"}, "data": {"index.html": "hello"}}),
        ),
        (
            "",
            "secrets",
            json!({"metadata": {"name": "s"}, "stringData": {"password": "x"}}),
        ),
        (
            "",
            "services",
            json!({"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}}),
        ),
        ("", "namespaces", json!({"metadata": {"name": "shop"}})),
        ("", "serviceaccounts", json!({"metadata": {"name": "default"}})),
        (
            "",
            "nodes",
            json!({"metadata": {"name": "a"}, "spec": {"podCIDR": "10.42.0.0/24", "podCIDRs": ["10.42.0.0/24"]}}),
        ),
        (
            "",
            "endpoints",
            json!({"metadata": {"name": "e"}, "subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 6443}]}]}),
        ),
        (
            "coordination.k8s.io",
            "leases",
            json!({"metadata": {"name": "a"}, "spec": {"holderIdentity": "a", "leaseDurationSeconds": 40}}),
        ),
        (
            "discovery.k8s.io",
            "endpointslices",
            json!({"metadata": {"name": "e"}, "addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 80}]}),
        ),
    ] {
        stored(group, plural, object);
    }
}

fn workload() -> Value {
    json!({"metadata": {"name": "web"}, "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": pod_spec()},
    }})
}

#[test]
fn a_stored_workload_applied_again_changes_nothing() {
    for plural in ["deployments", "replicasets"] {
        let (resource, old) = stored("apps", plural, workload());
        let mut again = old.clone();
        let table = controlplane_schema::builtin()
            .kind("apps", "v1", &resource.kind)
            .unwrap();
        table.default(&mut again);
        let warnings = rest::prepare_update(&resource, Part::Main, &mut again, &old, &context()).unwrap();
        assert_eq!(again, old);
        assert_eq!(warnings, Vec::<String>::new());
    }
}

#[test]
fn a_stored_pod_sent_again_changes_nothing_and_a_new_image_is_accepted() {
    let (resource, old) = stored(
        "",
        "pods",
        json!({"metadata": {"name": "web"}, "spec": pod_spec()}),
    );
    let mut again = old.clone();
    rest::prepare_update(&resource, Part::Main, &mut again, &old, &context()).unwrap();
    assert_eq!(again, old);
    again["spec"]["containers"][0]["image"] = json!("nginx:1.28");
    rest::prepare_update(&resource, Part::Main, &mut again, &old, &context()).unwrap();
    assert_eq!(again["metadata"]["generation"], 2);
}

#[test]
fn every_built_in_kind_has_a_schema_table() {
    for resource in controlplane_api::builtin().iter() {
        let table = controlplane_schema::builtin().kind(&resource.group, &resource.version, &resource.kind);
        assert!(table.is_some(), "{} {}", resource.api_version(), resource.kind);
    }
}

#[test]
fn what_every_cluster_starts_with_is_accepted_and_needs_no_defaults() {
    use controlplane_api::kinds::{flow_defaults, system_priority_classes};
    for object in [
        flow_defaults::mandatory_levels(),
        flow_defaults::suggested_levels(),
        flow_defaults::mandatory_schemas(),
        flow_defaults::suggested_schemas(),
    ]
    .concat()
    {
        let plural = match object["kind"].as_str() {
            Some("FlowSchema") => "flowschemas",
            _ => "prioritylevelconfigurations",
        };
        let (_, stored) = stored("flowcontrol.apiserver.k8s.io", plural, object.clone());
        assert_eq!(stored["spec"], object["spec"], "{}", object["metadata"]["name"]);
    }
    for class in system_priority_classes() {
        stored("scheduling.k8s.io", "priorityclasses", class);
    }
}
