//! Answers in protobuf, which client-go asks for of every built-in kind.

use controlplane_protobuf::{MEDIA_TYPE, decode};

use super::*;

/// What client-go's typed clients and informers accept.
const CLIENT_GO: &str = "application/vnd.kubernetes.protobuf,application/json";

async fn raw(api: &Api, path: &str, accept: &str) -> (u16, String, Vec<u8>) {
    let response = api.open("GET", path, &[(ACCEPT, accept)], Vec::new()).await;
    let content_type = response.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
    let code = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (code, content_type, body.to_vec())
}

async fn read(api: &Api, path: &str, accept: &str) -> Value {
    let (code, content_type, body) = raw(api, path, accept).await;
    assert_eq!((code, content_type.as_str()), (200, MEDIA_TYPE), "{path}");
    decode(&body).unwrap()
}

/// Names of a list's items in order.
fn names(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let name = |item: &Value| item["metadata"]["name"].as_str().unwrap().to_owned();
    items.iter().map(name).collect()
}

#[tokio::test]
async fn every_built_in_kind_is_listed_in_protobuf_as_in_json() {
    let api = Api::start().await;
    api.post(PODS, &pod("p")).await;
    let registry = controlplane_api::builtin();
    let mut filled = 0;
    for resource in registry
        .iter()
        .filter(|resource| resource.allows(controlplane_api::Verb::List))
    {
        let root = if resource.group.is_empty() {
            "/api"
        } else {
            "/apis"
        };
        let path = format!("{root}/{}/{}", resource.api_version(), resource.plural);
        let (binary, text) = (read(&api, &path, CLIENT_GO).await, api.get(&path).await.body);
        assert_eq!(binary["kind"], *resource.list_kind);
        assert_eq!(names(&binary), names(&text), "{path}");
        assert_eq!(
            binary["metadata"]["resourceVersion"],
            text["metadata"]["resourceVersion"]
        );
        filled += usize::from(!names(&binary).is_empty());
        let metadata = format!("{MEDIA_TYPE};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1");
        let partial = read(&api, &path, &metadata).await;
        assert_eq!(partial["kind"], "PartialObjectMetadataList");
        assert_eq!(names(&partial), names(&text), "{path}");
    }
    assert!(filled > 8, "only {filled} kinds had objects to show");
}

#[tokio::test]
async fn an_object_in_protobuf_is_the_object_in_json() {
    let api = Api::start().await;
    let mut made = api.post(PODS, &pod("p")).await.body;
    // Go writes an empty object where nothing was set, and reads none as one.
    let resources = made["spec"]["containers"][0]
        .as_object_mut()
        .unwrap()
        .remove("resources");
    assert_eq!(resources, Some(json!({})));
    let read_back = read(&api, &format!("{PODS}/p"), CLIENT_GO).await;
    assert_eq!(read_back["spec"], made["spec"]);
    let namespace = read(&api, "/api/v1/namespaces/default", CLIENT_GO).await;
    assert_eq!(namespace, api.get("/api/v1/namespaces/default").await.body);
}

#[tokio::test]
async fn what_is_written_is_answered_in_protobuf_to_those_who_ask() {
    let api = Api::start().await;
    let kind = controlplane_protobuf::Kind::find("v1", "ConfigMap").unwrap();
    let mut body = Vec::new();
    kind.write(config_map("m").to_string().as_bytes(), &mut body)
        .unwrap();
    let headers = [(CONTENT_TYPE, MEDIA_TYPE), (ACCEPT, CLIENT_GO)];
    let response = api.open("POST", CONFIG_MAPS, &headers, body).await;
    assert_eq!(response.status(), 201);
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(decode(&bytes).unwrap()["data"], json!({"k": "v"}));
    // A failure is a Status in the same form.
    let (code, content_type, body) = raw(&api, &format!("{CONFIG_MAPS}/none"), CLIENT_GO).await;
    assert_eq!((code, content_type.as_str()), (404, MEDIA_TYPE));
    let status = decode(&body).unwrap();
    assert_eq!(
        (&status["kind"], &status["reason"]),
        (&json!("Status"), &json!("NotFound"))
    );
}

#[tokio::test]
async fn discovery_in_protobuf_names_groups_and_resources() {
    let api = Api::start().await;
    let groups = read(&api, "/apis", MEDIA_TYPE).await;
    assert_eq!(
        (&groups["kind"], &groups["groups"][0]["name"]),
        (
            &json!("APIGroupList"),
            &api.get("/apis").await.body["groups"][0]["name"]
        )
    );
    let resources = read(&api, "/apis/apps/v1", MEDIA_TYPE).await;
    let expected = api.get("/apis/apps/v1").await.body;
    assert_eq!(
        resources["resources"][0]["verbs"],
        expected["resources"][0]["verbs"]
    );
}

/// Frames of a watch: four bytes of length, a `WatchEvent` each.
async fn frames(api: &Api, path: &str, accept: &str, count: usize) -> Vec<(String, Value)> {
    let response = api.open("GET", path, &[(ACCEPT, accept)], Vec::new()).await;
    assert_eq!(
        response.headers()[CONTENT_TYPE],
        "application/vnd.kubernetes.protobuf;stream=watch"
    );
    let (mut body, mut bytes, mut found) = (response.into_body(), Vec::new(), Vec::new());
    while found.len() < count {
        let frame = tokio::time::timeout(Duration::from_secs(20), body.frame())
            .await
            .unwrap();
        bytes.extend_from_slice(&frame.unwrap().unwrap().into_data().unwrap());
        while bytes.len() >= 4 {
            let length = u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
            if bytes.len() < 4 + length {
                break;
            }
            let event: Vec<u8> = bytes.drain(..4 + length).skip(4).collect();
            let kind = String::from_utf8(event[2..2 + usize::from(event[1])].to_vec()).unwrap();
            let start = event.windows(4).position(|part| part == b"k8s\0").unwrap();
            found.push((kind, decode(&event[start..]).unwrap()));
        }
    }
    found
}

#[tokio::test]
async fn a_watch_in_protobuf_sends_frames_bookmarks_and_errors() {
    let api = Api::start().await;
    api.post(CONFIG_MAPS, &config_map("a")).await;
    let watch_list =
        "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let path = format!("{CONFIG_MAPS}?{watch_list}");
    let events = frames(&api, &path, CLIENT_GO, 2).await;
    assert_eq!(events[0].0, "ADDED");
    assert_eq!(events[0].1["metadata"]["name"], "a");
    let (kind, bookmark) = &events[1];
    assert_eq!(
        (kind.as_str(), &bookmark["kind"]),
        ("BOOKMARK", &json!("ConfigMap"))
    );
    assert_eq!(
        bookmark["metadata"]["annotations"]["k8s.io/initial-events-end"],
        "true"
    );

    let metadata = format!("{MEDIA_TYPE};as=PartialObjectMetadata;g=meta.k8s.io;v=v1");
    let events = frames(&api, &path, &metadata, 2).await;
    assert_eq!(events[0].1["kind"], "PartialObjectMetadata");

    let future = format!("{CONFIG_MAPS}?watch=true&resourceVersion=999999");
    let events = frames(&api, &future, CLIENT_GO, 1).await;
    assert_eq!(
        (events[0].0.as_str(), &events[0].1["code"]),
        ("ERROR", &json!(504))
    );
}

#[tokio::test]
async fn forms_that_are_not_served_are_refused_with_406_and_what_is_served() {
    let api = Api::start().await;
    let all = "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf";
    let events = "only the following media types are accepted: application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";
    let table = [
        (CONFIG_MAPS, "text/html", all),
        (
            CONFIG_MAPS,
            "application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1",
            all,
        ),
        (CONFIG_MAPS, "application/json;as=Table;g=meta.k8s.io;v=v9", all),
        ("/apis", "image/png", all),
    ];
    for (path, accept, message) in table {
        let answer = api.get_as(path, accept).await;
        assert_eq!(
            (answer.code, &answer.body["reason"]),
            (406, &json!("NotAcceptable")),
            "{accept}"
        );
        assert_eq!(answer.body["message"], message, "{accept}");
    }
    // YAML has no end between two objects; the refusal comes in it all the same.
    let watch = format!("{CONFIG_MAPS}?watch=true");
    let (code, content_type, body) = raw(&api, &watch, "application/yaml").await;
    assert_eq!((code, content_type.as_str()), (406, "application/yaml"));
    let body = String::from_utf8(body).unwrap();
    assert!(body.contains(events), "{body}");
}
