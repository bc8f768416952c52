//! What is written is what is read: encoded and decoded again, an object is as before.

use controlplane_protobuf::{Kind, decode, write_watch_event};
use serde_json::{Value, json};

#[expect(clippy::unwrap_used, reason = "an object that is not written fails the test")]
fn around(object: &Value) -> Value {
    let text = |name: &str| object[name].as_str().unwrap_or_default().to_owned();
    let kind = Kind::find(&text("apiVersion"), &text("kind")).unwrap();
    let mut out = Vec::new();
    kind.write(object.to_string().as_bytes(), &mut out).unwrap();
    decode(&out).unwrap()
}

fn pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "web", "namespace": "default", "uid": "u", "resourceVersion": "7", "generation": 3,
            "creationTimestamp": "2026-01-02T03:04:05Z", "labels": {"app": "web", "tier": "ü"},
            "finalizers": ["a", "b"],
            "managedFields": [{
                "manager": "m", "operation": "Apply", "apiVersion": "v1", "time": "2026-01-02T03:04:05Z",
                "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {".": {}}}}},
            }],
        },
        "spec": {
            "containers": [{
                "name": "c", "image": "nginx", "args": ["-v", ""],
                "ports": [{"containerPort": 80, "protocol": "TCP"}],
                "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}},
                "livenessProbe": {"httpGet": {"port": "web", "path": "/"}, "periodSeconds": 10},
                "readinessProbe": {"tcpSocket": {"port": 80}},
                "securityContext": {"runAsUser": 0, "runAsNonRoot": false},
            }],
            "volumes": [
                {"name": "v", "emptyDir": {}},
                {"name": "s", "secret": {"secretName": "s", "defaultMode": 420}},
            ],
            "tolerations": [{"key": "k", "operator": "Exists", "tolerationSeconds": -1}],
            "terminationGracePeriodSeconds": 0,
        },
        "status": {"phase": "Running", "startTime": "1969-12-31T23:59:59Z"},
    })
}

#[test]
fn an_object_is_the_same_after_being_written_and_read() {
    let objects = [
        pod(),
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"k": "/w==", "e": ""}}),
        json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "n1"},
            "spec": {"holderIdentity": "n1", "renewTime": "2026-01-02T03:04:05.000006Z", "leaseDurationSeconds": 40},
        }),
        json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
            "status": {"authenticated": true, "user": {"username": "u", "extra": {"k": ["a", "b"]}}},
        }),
        json!({
            "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
            "metadata": {"name": "x", "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}]},
        }),
        json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404}),
    ];
    for object in objects {
        assert_eq!(around(&object), object);
    }
}

#[test]
fn what_the_table_does_not_know_and_what_is_null_is_left_out() {
    let mut odd = pod();
    odd["metadata"]["deletionTimestamp"] = Value::Null;
    odd["spec"]["future"] = json!({"a": [1, {"b": null}]});
    odd["metadata"]["creationTimestamp"] = Value::Null;
    let mut expected = pod();
    if let Some(metadata) = expected["metadata"].as_object_mut() {
        metadata.remove("creationTimestamp");
    }
    assert_eq!(around(&odd), expected);
}

#[test]
fn a_field_of_another_type_is_an_error_that_names_the_kind() {
    let kind = Kind::find("v1", "Pod").unwrap();
    for text in [
        r#"{"spec": []}"#,
        r#"{"metadata": {"name": 5}}"#,
        r#"{"spec": {"hostNetwork": "yes"}}"#,
        r#"{"metadata": {"creationTimestamp": "yesterday"}}"#,
        r#"{"metadata": "#,
    ] {
        let error = kind.write(text.as_bytes(), &mut Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "write a Pod of v1 as protobuf", "{text}");
    }
}

/// The list is put together from its head and its items, as a server sends it.
#[test]
fn a_list_is_its_head_and_its_items_one_after_the_other() {
    let (list, item) = (
        Kind::find("v1", "PodList").unwrap(),
        Kind::find("v1", "Pod").unwrap(),
    );
    let mut message = Vec::new();
    list.write_message(
        br#"{"metadata": {"resourceVersion": "9", "remainingItemCount": 0}}"#,
        &mut message,
    )
    .unwrap();
    for name in ["a", "b"] {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}});
        item.write_item(pod.to_string().as_bytes(), &mut message).unwrap();
    }
    let body = [list.envelope(message.len()), message].concat();
    let expected = json!({
        "apiVersion": "v1", "kind": "PodList", "metadata": {"resourceVersion": "9", "remainingItemCount": 0},
        "items": [{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}],
    });
    assert_eq!(decode(&body).unwrap(), expected);
}

/// As client-go reads it: four bytes of length, then field 1 the type, field 2 the object in field 1.
#[test]
fn an_event_of_a_watch_is_a_frame_that_holds_a_whole_body() {
    let kind = Kind::find("v1", "ConfigMap").unwrap();
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}});
    let mut frame = Vec::new();
    write_watch_event("ADDED", &mut frame, |out| {
        kind.write(map.to_string().as_bytes(), out)
    })
    .unwrap();
    let length = u32::from_be_bytes(frame[..4].try_into().unwrap());
    assert_eq!(usize::try_from(length).unwrap(), frame.len() - 4);
    assert_eq!(&frame[4..11], b"\x0a\x05ADDED");
    let (outer, inner) = (usize::from(frame[12]), usize::from(frame[14]));
    assert_eq!((frame[11], frame[13], outer), (0x12, 0x0a, inner + 2));
    assert_eq!(decode(&frame[15..]).unwrap(), map);
    let before = frame.clone();
    assert!(write_watch_event("ADDED", &mut frame, |_| Err(())).is_err());
    assert_eq!(frame, before);
}
