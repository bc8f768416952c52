//! Bodies and patches that are none: the code, the reason and the words that upstream has for them.

use super::*;

const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

/// Code, reason and message of a refusal.
fn said(answer: &Answer) -> (u16, &str, &str) {
    let text = |field: &str| answer.body[field].as_str().unwrap_or_default();
    (answer.code, text("reason"), text("message"))
}

async fn create(api: &Api, path: &str, media_type: &str, body: impl AsRef<[u8]>) -> Answer {
    api.send(
        "POST",
        path,
        &[(CONTENT_TYPE, media_type)],
        body.as_ref().to_vec(),
    )
    .await
}

#[tokio::test]
async fn a_body_that_is_no_object_is_a_bad_request_that_shows_how_it_begins() {
    let api = Api::start().await;
    let unrecognized = "the object provided is unrecognized (must be of type ConfigMap): ";
    let table = [
        (
            JSON,
            "",
            "couldn't get version/kind; json parse error: unexpected end of JSON input (<empty>)",
        ),
        (
            JSON,
            "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{",
            "couldn't get version/kind; json parse error: unexpected end of JSON input ({\"apiVersion\":\"v1\",\"kind\":\"Con ...)",
        ),
        (
            JSON,
            "[1]",
            "couldn't get version/kind; json parse error: json: cannot unmarshal array into Go value of type struct { APIVersion \
             string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" } (5b315d)",
        ),
        (
            PROTOBUF,
            "{}",
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0] ({})",
        ),
    ];
    for (media_type, body, why) in table {
        let refused = create(&api, CONFIG_MAPS, media_type, body).await;
        assert_eq!(
            said(&refused),
            (400, "BadRequest", &*format!("{unrecognized}{why}")),
            "{body}"
        );
    }
    let syntax = create(&api, CONFIG_MAPS, YAML, "a: [1\nb").await;
    assert!(
        said(&syntax).2.starts_with(&format!("{unrecognized}yaml: ")),
        "{}",
        syntax.body
    );
    let truncated = create(
        &api,
        CONFIG_MAPS,
        PROTOBUF,
        b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09Config",
    )
    .await;
    assert_eq!(said(&truncated).0, 400, "{}", truncated.body);
}

#[tokio::test]
async fn an_object_of_another_kind_or_version_is_a_bad_request_that_names_both() {
    let api = Api::start().await;
    let object = |version: &str, kind: &str| {
        json!({"apiVersion": version, "kind": kind, "metadata": {"name": "a"}}).to_string()
    };
    let table = [
        (
            CONFIG_MAPS,
            object("v1", "Secret"),
            "Secret in version \"v1\" cannot be handled as a ConfigMap: converting (v1.Secret) to (core.ConfigMap): unknown conversion",
        ),
        (
            DEPLOYMENTS,
            object("v1", "Secret"),
            "Secret in version \"v1\" cannot be handled as a Deployment: converting (v1.Secret) to (apps.Deployment): unknown \
             conversion",
        ),
        (
            CONFIG_MAPS,
            object("v7", "ConfigMap"),
            "ConfigMap in version \"v7\" cannot be handled as a ConfigMap: no kind \"ConfigMap\" is registered for version \"v7\" in \
             scheme \"pkg/api/legacyscheme/scheme.go:30\"",
        ),
        (
            "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers",
            object("autoscaling/v2", "HorizontalPodAutoscaler"),
            "the API version in the data (autoscaling/v2) does not match the expected API version (autoscaling/v1)",
        ),
    ];
    for (path, body, message) in table {
        let refused = create(&api, path, JSON, &body).await;
        assert_eq!(said(&refused), (400, "BadRequest", message));
    }
}

#[tokio::test]
async fn a_field_of_another_type_is_a_bad_request_in_the_decoders_words() {
    let api = Api::start().await;
    let typed = json!({"metadata": {"name": "a"}, "spec": {"replicas": "two"}});
    let refused = create(&api, DEPLOYMENTS, JSON, typed.to_string()).await;
    assert_eq!(
        said(&refused),
        (
            400,
            "BadRequest",
            "Deployment in version \"v1\" cannot be handled as a Deployment: json: cannot unmarshal string into Go struct field \
             DeploymentSpec.spec.replicas of type int32"
        )
    );
    let twice = br#"{"metadata":{"name":"a","name":"b"},"data":{},"dta":{}}"#;
    let refused = create(
        &api,
        &format!("{CONFIG_MAPS}?fieldValidation=Strict"),
        JSON,
        twice,
    )
    .await;
    assert_eq!(
        said(&refused),
        (
            400,
            "BadRequest",
            "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: duplicate field \
             \"metadata.name\", unknown field \"dta\""
        )
    );
}

/// A Deployment with members that come twice, by line, and some that it does not have.
const TWICE: &str = "apiVersion: apps/v1
kind: Deployment
metadata:
  name: first
  name: web
  unknownMeta: metaVal
spec:
  unknown1: val1
  unknownDupe: valDupe
  unknownDupe: valDupe2
  paused: true
  paused: false
  selector: {matchLabels: {app: nginx}}
  template:
    metadata: {labels: {app: nginx}}
    spec:
      containers:
      - name: nginx
        image: nginx:latest
        unknownNested: val1
        imagePullPolicy: Always
        imagePullPolicy: Never
";

#[tokio::test]
async fn what_comes_twice_in_yaml_is_told_by_line() {
    let api = Api::start().await;
    let strict = create(
        &api,
        &format!("{DEPLOYMENTS}?fieldValidation=Strict"),
        YAML,
        TWICE,
    )
    .await;
    assert_eq!(
        said(&strict),
        (
            400,
            "BadRequest",
            "Deployment in version \"v1\" cannot be handled as a Deployment: strict decoding error: yaml: unmarshal errors:\n  \
             line 5: key \"name\" already set in map\n  line 10: key \"unknownDupe\" already set in map\n  \
             line 12: key \"paused\" already set in map\n  line 22: key \"imagePullPolicy\" already set in map, \
             unknown field \"metadata.unknownMeta\", unknown field \"spec.template.spec.containers[0].unknownNested\", \
             unknown field \"spec.unknown1\", unknown field \"spec.unknownDupe\""
        )
    );
    let warned = create(&api, DEPLOYMENTS, YAML, TWICE).await;
    let warnings: Vec<&str> = warned
        .headers
        .get_all("warning")
        .iter()
        .map(|warning| warning.to_str().unwrap())
        .collect();
    assert_eq!(
        (warned.code, &*warnings),
        (
            201,
            &[
                r#"299 - "line 5: key \"name\" already set in map""#,
                r#"299 - "line 10: key \"unknownDupe\" already set in map""#,
                r#"299 - "line 12: key \"paused\" already set in map""#,
                r#"299 - "line 22: key \"imagePullPolicy\" already set in map""#,
                r#"299 - "unknown field \"metadata.unknownMeta\"""#,
                r#"299 - "unknown field \"spec.template.spec.containers[0].unknownNested\"""#,
                r#"299 - "unknown field \"spec.unknown1\"""#,
                r#"299 - "unknown field \"spec.unknownDupe\"""#,
            ][..]
        )
    );
    assert_eq!(warned.body["metadata"]["name"], "web");
    let apply = format!("{CONFIG_MAPS}/a?fieldManager=m&fieldValidation=Strict");
    let body = "apiVersion: v1\nkind: ConfigMap\ndata:\n  a: x\n  a: z\n";
    let applied = api
        .send(
            "PATCH",
            &apply,
            &[(CONTENT_TYPE, "application/apply-patch+yaml")],
            body.into(),
        )
        .await;
    assert_eq!(
        said(&applied).2,
        "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n  line 5: key \"a\" already set \
         in map"
    );
}

#[tokio::test]
async fn a_field_that_is_unknown_and_comes_twice_is_told_as_unknown_only() {
    let api = Api::start().await;
    let body = r#"{"metadata":{"name":"a"},"dta":{"x":1,"x":2},"dta":{}}"#;
    let refused = create(&api, &format!("{CONFIG_MAPS}?fieldValidation=Strict"), JSON, body).await;
    assert!(
        said(&refused)
            .2
            .ends_with(": strict decoding error: unknown field \"dta\""),
        "{}",
        refused.body
    );
}

#[tokio::test]
async fn yaml_means_what_it_means_to_kubectl() {
    let api = Api::start().await;
    let body = "metadata:\n  name: a\n  labels: &l {x: \"1\"}\n  annotations: {<<: *l}\nimmutable: yes\ndata: {on: \"0644\"}\n";
    let made = create(&api, CONFIG_MAPS, YAML, body).await;
    assert_eq!(made.code, 201, "{}", made.body);
    assert_eq!(made.body["immutable"], true);
    assert_eq!(made.body["metadata"]["annotations"], json!({"x": "1"}));
    assert_eq!(made.body["data"], json!({"true": "0644"}));
    let pod = "metadata: {name: p}\nspec:\n  containers: [{name: c, image: i}]\n  volumes:\n  - name: v\n    \
               configMap: {name: a, defaultMode: 0640}\n";
    let made = create(&api, PODS, YAML, pod).await;
    assert_eq!(
        made.body["spec"]["volumes"][0]["configMap"]["defaultMode"], 0o640,
        "{}",
        made.body
    );
    let shown = api
        .open("GET", &format!("{CONFIG_MAPS}/a"), &[(ACCEPT, YAML)], Vec::new())
        .await;
    let shown = shown.into_body().collect().await.unwrap().to_bytes();
    let shown = String::from_utf8(shown.to_vec()).unwrap();
    assert!(
        shown.contains("data:\n  \"true\": \"0644\"\nimmutable: true\n"),
        "{shown}"
    );
}

#[tokio::test]
async fn what_is_too_large_or_too_deep_is_refused_whatever_its_form() {
    let api = Api::start().await;
    let too_large = (413, "RequestEntityTooLarge");
    let long = create(&api, CONFIG_MAPS, JSON, vec![b' '; (3 << 20) + 1]).await;
    assert_eq!(
        said(&long),
        (
            too_large.0,
            too_large.1,
            "Request entity is too large: limit is 3145728"
        )
    );
    let bomb = format!(
        "a: &a {}\nb: [{}]\n",
        "x".repeat(1 << 20),
        vec!["*a"; 100_000].join(",")
    );
    let bomb = create(&api, CONFIG_MAPS, YAML, bomb).await;
    assert_eq!((said(&bomb).0, said(&bomb).1), too_large, "{}", bomb.body);
    let small = format!("[{}]", vec!["{\"a\":0}"; 390_000].join(","));
    let small = create(&api, CONFIG_MAPS, JSON, small).await;
    assert_eq!((said(&small).0, said(&small).1), too_large, "{}", small.body);
    for open in ["[", "{\"a\":"] {
        let deep = create(&api, CONFIG_MAPS, JSON, open.repeat(100_000)).await;
        assert_eq!(
            (said(&deep).0, said(&deep).1),
            (400, "BadRequest"),
            "{}",
            deep.body
        );
    }
    let deep = create(&api, CONFIG_MAPS, YAML, "[".repeat(100_000)).await;
    assert_eq!(said(&deep).0, 400, "{}", deep.body);
}

#[tokio::test]
async fn a_media_type_that_is_not_read_is_refused_with_those_that_are() {
    let api = Api::start().await;
    let refused = create(&api, CONFIG_MAPS, "text/plain", "{}").await;
    assert_eq!(
        said(&refused),
        (
            415,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: application/json, \
             application/yaml, application/vnd.kubernetes.protobuf"
        )
    );
    api.post(CONFIG_MAPS, &config_map("a")).await;
    let refused = api.patch(&format!("{CONFIG_MAPS}/a"), "json", &json!({})).await;
    assert_eq!(
        said(&refused),
        (
            415,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, \
             application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml"
        )
    );
    let compressed = [(CONTENT_TYPE, JSON), (http::header::CONTENT_ENCODING, "gzip")];
    let refused = api.send("POST", CONFIG_MAPS, &compressed, b"{}".to_vec()).await;
    assert_eq!(refused.code, 415);
}

#[tokio::test]
async fn a_patch_that_does_not_fit_is_refused_as_upstream_refuses_it() {
    let api = Api::start().await;
    let mut object = config_map("a");
    object["metadata"] = json!({"name": "a"});
    api.post(CONFIG_MAPS, &object).await;
    let path = format!("{CONFIG_MAPS}/a");
    let unprocessable = (
        422,
        "Invalid",
        "the server rejected our request due to an error in our request",
    );
    for patch in [
        json!([{"op": "test", "path": "/data/k", "value": "other"}]),
        json!([{"op": "remove", "path": "/data/none"}]),
        json!([{"op": "add", "path": "/none/none", "value": 1}]),
    ] {
        let refused = api.patch(&path, "json-patch+json", &patch).await;
        assert_eq!(said(&refused), unprocessable, "{patch}");
    }
    let bad = [
        (
            "json-patch+json",
            json!({}),
            "error decoding patch: it must be a list of operations",
        ),
        (
            "merge-patch+json",
            json!([]),
            "error decoding patch: it must be a JSON object",
        ),
        (
            "strategic-merge-patch+json",
            json!({"metadata": {"$retainKeys": "a"}}),
            "invalid patch format of retainKeys",
        ),
    ];
    for (kind, patch, message) in bad {
        let refused = api.patch(&path, kind, &patch).await;
        assert_eq!(said(&refused), (400, "BadRequest", message), "{patch}");
    }
    let many = vec![json!({"op": "test", "path": "/x", "value": null}); 10_001];
    let refused = api.patch(&path, "json-patch+json", &many.into()).await;
    assert_eq!(
        said(&refused),
        (
            413,
            "RequestEntityTooLarge",
            "Request entity is too large: The allowed maximum operations in a JSON patch is 10000, got 10001"
        )
    );
}

/// A Deployment to patch; its path.
async fn deployed(api: &Api) -> String {
    let template =
        json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let deployment = json!({"metadata": {"name": "web"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}});
    assert_eq!(api.post(DEPLOYMENTS, &deployment).await.code, 201);
    format!("{DEPLOYMENTS}/web")
}

#[tokio::test]
async fn what_a_patch_makes_and_cannot_be_is_invalid_and_shown() {
    let api = Api::start().await;
    let path = deployed(&api).await;
    let typed = api
        .patch(
            &path,
            "strategic-merge-patch+json",
            &json!({"spec": {"replicas": "two"}}),
        )
        .await;
    assert_eq!(
        said(&typed),
        (
            422,
            "Invalid",
            " \"\" is invalid: patch: Invalid value: \"map[spec:map[replicas:two]]\": json: cannot unmarshal string into Go struct \
             field DeploymentSpec.spec.replicas of type int32"
        )
    );
    let typed = api
        .patch(&path, "merge-patch+json", &json!({"spec": {"replicas": "two"}}))
        .await;
    let (code, reason, message) = said(&typed);
    assert_eq!((code, reason), (422, "Invalid"));
    assert!(
        message.starts_with(" \"\" is invalid: patch: Invalid value: \"{"),
        "{message}"
    );
    assert!(
        message.ends_with("DeploymentSpec.spec.replicas of type int32"),
        "{message}"
    );
    let strict = format!("{path}?fieldValidation=Strict");
    let unknown = api
        .patch(
            &strict,
            "strategic-merge-patch+json",
            &json!({"spec": {"foo": 1}}),
        )
        .await;
    assert_eq!(
        said(&unknown),
        (
            422,
            "Invalid",
            " \"\" is invalid: patch: Invalid value: \"map[spec:map[foo:1]]\": strict decoding error: unknown field \"spec.foo\""
        )
    );
}

#[tokio::test]
async fn a_list_that_cannot_be_merged_is_an_error_without_a_reason() {
    let api = Api::start().await;
    let path = deployed(&api).await;
    let unkeyed = json!({"spec": {"template": {"spec": {"containers": [{"image": "x"}]}}}});
    let unkeyed = api.patch(&path, "strategic-merge-patch+json", &unkeyed).await;
    assert_eq!(
        said(&unkeyed),
        (
            500,
            "",
            "map: map[image:x] does not contain declared merge key: name"
        )
    );
    let order = json!({"spec": {"template": {"spec": {"containers": [{"name": "c"}, {"name": "d"}],
        "$setElementOrder/containers": [{"name": "d"}, {"name": "c"}]}}}});
    let order = api.patch(&path, "strategic-merge-patch+json", &order).await;
    assert_eq!(
        said(&order),
        (
            500,
            "",
            "The order in patch list:\n[map[name:c] map[name:d]]\n doesn't match $setElementOrder list:\n[map[name:d] map[name:c]]\n"
        )
    );
}

#[tokio::test]
async fn the_kind_of_an_object_is_no_part_that_a_patch_changes() {
    let api = Api::start().await;
    api.post(CONFIG_MAPS, &config_map("a")).await;
    let path = format!("{CONFIG_MAPS}/a");
    let renamed = api
        .patch(&path, "strategic-merge-patch+json", &json!({"kind": "Secret"}))
        .await;
    assert_eq!((renamed.code, &renamed.body["kind"]), (200, &json!("ConfigMap")));
    let renamed = api
        .patch(&path, "merge-patch+json", &json!({"kind": "Secret"}))
        .await;
    assert_eq!(said(&renamed).0, 422, "{}", renamed.body);
}
