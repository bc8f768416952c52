use serde_json::{Value, json};

use super::{GroupVersionDoc, ResourceDoc, SubresourceDoc, openapi_v2, openapi_v3, openapi_v3_index};

fn verbs(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

fn apps() -> GroupVersionDoc {
    let scale = SubresourceDoc {
        name: "scale".into(),
        group: "autoscaling".into(),
        version: "v1".into(),
        kind: "Scale".into(),
        verbs: verbs("get update patch"),
    };
    let deployments = ResourceDoc {
        shows_deleted: false,
        plural: "deployments".into(),
        kind: "Deployment".into(),
        namespaced: true,
        verbs: verbs("create delete deletecollection get list patch update watch"),
        subresources: vec![scale],
    };
    GroupVersionDoc {
        group: "apps".into(),
        version: "v1".into(),
        resources: vec![deployments],
    }
}

fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

const OBJECT: &str = "/paths/~1apis~1apps~1v1~1namespaces~1{namespace}~1deployments~1{name}";

/// What kubectl's `QueryParamVerifierV3` looks for before it applies anything.
#[test]
fn patch_takes_field_validation_and_names_its_kind() {
    let doc = openapi_v3(&apps());
    let patch = at(&doc, &format!("{OBJECT}/patch"));
    let kind = json!({ "group": "apps", "version": "v1", "kind": "Deployment" });
    assert_eq!(at(patch, "/x-kubernetes-group-version-kind"), &kind);
    assert_eq!(at(patch, "/operationId"), "patchAppsV1NamespacedDeployment");
    let names: Vec<&str> = at(patch, "/parameters")
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|p| p["name"].as_str())
        .collect();
    assert_eq!(names, ["dryRun", "fieldManager", "fieldValidation", "force"]);
}

#[test]
fn paths_follow_verbs_and_scope() {
    let doc = openapi_v3(&apps());
    let paths: Vec<&String> = at(&doc, "/paths").as_object().expect("paths").keys().collect();
    let expected = [
        "/apis/apps/v1/deployments",
        "/apis/apps/v1/namespaces/{namespace}/deployments",
        "/apis/apps/v1/namespaces/{namespace}/deployments/{name}",
        "/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale",
    ];
    let mut sorted = paths;
    sorted.sort();
    assert_eq!(sorted, expected);
    let scale = at(&doc, &format!("{OBJECT}~1scale"));
    assert_eq!(at(scale, "/put/x-kubernetes-group-version-kind/kind"), "Scale");
    assert_eq!(at(scale, "/post"), &Value::Null);
}

#[test]
fn components_are_closed_and_hold_no_more_than_is_reached() {
    let doc = openapi_v3(&apps());
    let components = at(&doc, "/components/schemas").as_object().expect("components");
    let text = doc.to_string();
    for reference in text
        .split("#/components/schemas/")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
    {
        assert!(
            components.contains_key(reference),
            "{reference} is referred to, not there"
        );
    }
    for name in [
        "api.apps.v1.DeploymentList",
        "api.autoscaling.v1.Scale",
        "api.core.v1.Container",
    ] {
        assert!(components.contains_key(&format!("io.k8s.{name}")), "{name}");
    }
    assert!(!components.contains_key("io.k8s.api.core.v1.Service"));
    assert!(components.contains_key("io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent"));
}

/// What kubectl's `PatchMetaFromOpenAPIV3` reads to compute the patch of `kubectl apply`.
#[test]
fn fields_carry_merge_keys_and_references_stand_in_all_of() {
    let doc = openapi_v3(&apps());
    let property = |kind: &str, field: &str| {
        at(
            &doc,
            &format!("/components/schemas/io.k8s.api.{kind}/properties/{field}"),
        )
        .clone()
    };
    let containers = property("core.v1.PodSpec", "containers");
    assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
    assert_eq!(containers["x-kubernetes-patch-strategy"], "merge");
    assert_eq!(containers["x-kubernetes-list-map-keys"], json!(["name"]));
    assert_eq!(
        property("core.v1.PodSpec", "volumes")["x-kubernetes-patch-strategy"],
        "merge,retainKeys"
    );
    let reference = json!([{ "$ref": "#/components/schemas/io.k8s.api.core.v1.PodTemplateSpec" }]);
    assert_eq!(property("apps.v1.DeploymentSpec", "template")["allOf"], reference);
    assert_eq!(property("core.v1.ContainerPort", "protocol")["default"], "TCP");
    assert_eq!(
        property("core.v1.Container", "ports")["x-kubernetes-list-map-keys"],
        json!(["containerPort", "protocol"])
    );
}

#[test]
fn the_index_names_each_document_with_its_hash() {
    let index = openapi_v3_index([("api/v1", "AA"), ("apis/apps/v1", "BB")]);
    let expected = json!({ "paths": {
        "api/v1": { "serverRelativeURL": "/openapi/v3/api/v1?hash=AA" },
        "apis/apps/v1": { "serverRelativeURL": "/openapi/v3/apis/apps/v1?hash=BB" },
    } });
    assert_eq!(index, expected);
}

#[test]
fn operations_are_named_as_upstream_names_them() {
    assert_eq!(
        super::paths::tag("rbac.authorization.k8s.io", "v1"),
        "rbacAuthorization_v1"
    );
    assert_eq!(super::paths::tag("", "v1"), "core_v1");
}

/// The names that the published specification has, by which generated clients call them.
#[test]
fn each_operation_has_the_id_of_the_published_specification() {
    let part = |name: &str, kind: &str, words: &str| SubresourceDoc {
        name: name.into(),
        group: String::new(),
        version: "v1".into(),
        kind: kind.into(),
        verbs: verbs(words),
    };
    let pods = ResourceDoc {
        shows_deleted: true,
        plural: "pods".into(),
        kind: "Pod".into(),
        namespaced: true,
        verbs: verbs("create delete deletecollection get list patch update watch"),
        subresources: vec![
            part("binding", "Binding", "create"),
            part("exec", "PodExecOptions", "create get"),
            part("log", "PodLogOptions", "get"),
            part("status", "Pod", "get patch update"),
        ],
    };
    let doc = openapi_v3(&GroupVersionDoc {
        group: String::new(),
        version: "v1".into(),
        resources: vec![pods],
    });
    let paths = at(&doc, "/paths").as_object().expect("paths");
    let operations = paths.values().filter_map(Value::as_object).flatten();
    let mut ids: Vec<&str> = operations
        .filter_map(|(_, operation)| operation["operationId"].as_str())
        .collect();
    ids.sort_unstable();
    let expected = [
        "connectCoreV1GetNamespacedPodExec",
        "connectCoreV1PostNamespacedPodExec",
        "createCoreV1NamespacedPod",
        "createCoreV1NamespacedPodBinding",
        "deleteCoreV1CollectionNamespacedPod",
        "deleteCoreV1NamespacedPod",
        "listCoreV1NamespacedPod",
        "listCoreV1PodForAllNamespaces",
        "patchCoreV1NamespacedPod",
        "patchCoreV1NamespacedPodStatus",
        "readCoreV1NamespacedPod",
        "readCoreV1NamespacedPodLog",
        "readCoreV1NamespacedPodStatus",
        "replaceCoreV1NamespacedPod",
        "replaceCoreV1NamespacedPodStatus",
    ];
    assert_eq!(ids, expected);
    let pod = "/paths/~1api~1v1~1namespaces~1{namespace}~1pods~1{name}";
    let exec = at(&doc, &format!("{pod}~1exec/get"));
    assert_eq!(exec["x-kubernetes-action"], "connect");
    assert_eq!(exec["parameters"][0]["name"], "command");
    let old = openapi_v2([&doc]);
    assert_eq!(
        at(&old, &format!("{pod}~1log/get"))["produces"],
        json!(["text/plain"])
    );
    assert_eq!(at(&old, &format!("{pod}/get"))["consumes"], json!(["*/*"]));
}

/// What kubectl's checks on its own side and generators of clients read.
#[test]
fn version_2_says_the_same_in_its_own_words() {
    let doc = openapi_v2([&openapi_v3(&apps())]);
    let item = "/paths/~1apis~1apps~1v1~1namespaces~1{namespace}~1deployments";
    let post = at(&doc, &format!("{item}/post"));
    let body = json!({ "name": "body", "in": "body", "required": true,
        "schema": { "$ref": "#/definitions/io.k8s.api.apps.v1.Deployment" } });
    assert_eq!(at(post, "/parameters/0"), &body);
    let dry_run = at(post, "/parameters/1");
    let words = ["name", "in", "type", "description"].map(|word| dry_run[word].as_str().unwrap_or_default());
    assert_eq!(&words[..3], ["dryRun", "query", "string"]);
    assert!(words[3].starts_with("With the value All"), "{dry_run}");
    assert_eq!(
        at(post, "/responses/201/schema/$ref"),
        "#/definitions/io.k8s.api.apps.v1.Deployment"
    );
    assert_eq!(at(post, "/x-kubernetes-group-version-kind/kind"), "Deployment");
    let patches = at(&doc, &format!("{OBJECT}/patch/consumes"));
    assert!(
        patches
            .as_array()
            .expect("media types")
            .contains(&json!("application/strategic-merge-patch+json"))
    );
    let spec = at(&doc, "/definitions/io.k8s.api.apps.v1.DeploymentSpec/properties");
    assert_eq!(
        at(spec, "/template/$ref"),
        "#/definitions/io.k8s.api.core.v1.PodTemplateSpec"
    );
    let text = doc.to_string();
    for absent in ["#/components", "oneOf", "allOf", "requestBody"] {
        assert!(!text.contains(absent), "{absent} is a word of version 3");
    }
}
