use super::*;

#[tokio::test]
async fn a_list_is_paged_over_one_snapshot() {
    let api = Api::start().await;
    for name in ["a", "b", "c", "d", "e"] {
        api.post(CONFIG_MAPS, &config_map(name)).await;
    }
    let mut seen = Vec::new();
    let mut path = format!("{CONFIG_MAPS}?limit=2");
    loop {
        let page = api.get(&path).await.body;
        let names = page["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["metadata"]["name"].clone());
        seen.extend(names);
        api.delete(&format!("{CONFIG_MAPS}/e")).await;
        let Some(token) = page["metadata"]["continue"].as_str() else {
            break;
        };
        if seen.len() == 2 {
            assert_eq!(page["metadata"]["remainingItemCount"], 3);
        }
        path = format!("{CONFIG_MAPS}?limit=2&continue={token}");
    }
    assert_eq!(seen, ["a", "b", "c", "d", "e"]);
}

#[tokio::test]
async fn selectors_sift_lists_and_pages() {
    let api = Api::start().await;
    for name in ["a", "b", "c"] {
        api.post(CONFIG_MAPS, &config_map(name)).await;
    }
    let names = |answer: Answer| -> Vec<String> {
        let items = answer.body["items"].as_array().unwrap().clone();
        items
            .iter()
            .map(|item| item["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        names(
            api.get(&format!("{CONFIG_MAPS}?labelSelector=app%20in%20(a,c)"))
                .await
        ),
        ["a", "c"]
    );
    assert_eq!(
        names(
            api.get(&format!("{CONFIG_MAPS}?fieldSelector=metadata.name%3Db"))
                .await
        ),
        ["b"]
    );
    assert_eq!(
        names(
            api.get(&format!("{CONFIG_MAPS}?fieldSelector=metadata.name!%3Db"))
                .await
        ),
        ["a", "c"]
    );
    let page = api
        .get(&format!("{CONFIG_MAPS}?labelSelector=app!%3Db&limit=1"))
        .await;
    let token = page.body["metadata"]["continue"].as_str().unwrap().to_owned();
    let next = api
        .get(&format!(
            "{CONFIG_MAPS}?labelSelector=app!%3Db&limit=1&continue={token}"
        ))
        .await;
    assert_eq!(
        (names(page), names(next)),
        (vec!["a".to_owned()], vec!["c".to_owned()])
    );
    assert_eq!(
        api.get(&format!("{CONFIG_MAPS}?fieldSelector=data.k%3Dv"))
            .await
            .code,
        400
    );
}

#[tokio::test]
async fn pods_are_selected_by_node() {
    let api = Api::start().await;
    bound_pod(&api, "mine").await;
    api.post(PODS, &pod("unbound")).await;
    let listed = api
        .get("/api/v1/pods?fieldSelector=spec.nodeName%3Dn1")
        .await
        .body;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    assert_eq!(listed["items"][0]["metadata"]["name"], "mine");
}

#[tokio::test]
async fn tables_and_metadata_are_sent_to_those_who_ask() {
    let api = Api::start().await;
    api.post(PODS, &pod("p")).await;
    let table = api
        .get_as(
            PODS,
            "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
        )
        .await
        .body;
    assert_eq!(table["kind"], "Table");
    assert_eq!(table["rows"][0]["cells"][0], "p");
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let metadata = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    let list = api.get_as(PODS, metadata).await.body;
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert_eq!(list["items"][0].get("spec"), None);
}

#[tokio::test]
async fn a_kinds_order_and_its_rows_conditions_are_in_its_table() {
    const SCHEMAS: &str = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas";
    const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let api = Api::start().await;
    for (name, precedence) in [("a", 900), ("b", 800)] {
        let schema = json!({
            "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
            "kind": "FlowSchema",
            "metadata": {"name": name},
            "spec": {"matchingPrecedence": precedence, "priorityLevelConfiguration": {"name": "p"}},
        });
        assert_eq!(api.post(SCHEMAS, &schema).await.code, 201);
    }
    let rows = api.get_as(SCHEMAS, TABLE).await.body["rows"].take();
    let place = |name: &str| {
        let named = |row: &Value| row["cells"][0] == name;
        rows.as_array().unwrap().iter().position(named)
    };
    assert!(place("b") < place("a"));

    api.post(PODS, &pod("done")).await;
    let status = json!({"status": {"phase": "Succeeded"}});
    let patched = api
        .patch(&format!("{PODS}/done/status"), "merge-patch+json", &status)
        .await;
    assert_eq!(patched.code, 200);
    let table = api.get_as(PODS, TABLE).await.body;
    assert_eq!(table["rows"][0]["conditions"][0]["type"], "Completed");
}

#[tokio::test]
async fn versions_from_the_past_and_the_future_are_told_apart() {
    let api = Api::start().await;
    let first = api.post(CONFIG_MAPS, &config_map("a")).await.body;
    api.post(CONFIG_MAPS, &config_map("b")).await;
    let version = first["metadata"]["resourceVersion"].as_str().unwrap();
    let exact = api
        .get(&format!(
            "{CONFIG_MAPS}?resourceVersion={version}&resourceVersionMatch=Exact"
        ))
        .await;
    assert_eq!(exact.body["items"].as_array().unwrap().len(), 1);
    assert_eq!(exact.body["metadata"]["resourceVersion"], version);
    let newer = api
        .get(&format!(
            "{CONFIG_MAPS}?resourceVersion={version}&resourceVersionMatch=NotOlderThan"
        ))
        .await;
    assert_eq!(newer.body["items"].as_array().unwrap().len(), 2);
    let future = api.get(&format!("{CONFIG_MAPS}?resourceVersion=999999")).await;
    assert_eq!(
        (future.code, future.body["reason"].as_str()),
        (504, Some("Timeout"))
    );
    // client-go waits and tries again by this cause.
    assert_eq!(
        future.body["details"]["causes"][0]["reason"],
        "ResourceVersionTooLarge"
    );
    assert_eq!(future.headers["retry-after"], "1");
    let one = api.get(&format!("{CONFIG_MAPS}/a?resourceVersion=999999")).await;
    assert_eq!(one.code, 504);
    assert_eq!(
        api.get(&format!("{CONFIG_MAPS}/a?resourceVersion={version}"))
            .await
            .code,
        200
    );
}

#[tokio::test]
async fn large_lists_come_whole_and_compressed_where_asked() {
    let api = Api::start().await;
    for number in 0..40 {
        let mut object = config_map(&format!("m{number:02}"));
        object["data"]["k"] = json!("x".repeat(20_000));
        assert_eq!(api.post(CONFIG_MAPS, &object).await.code, 201);
    }
    let plain = api.get(CONFIG_MAPS).await.body;
    assert_eq!(plain["items"].as_array().unwrap().len(), 40);
    let response = api
        .open(
            "GET",
            CONFIG_MAPS,
            &[(http::header::ACCEPT_ENCODING, "gzip")],
            Vec::new(),
        )
        .await;
    assert_eq!(response.headers()["content-encoding"], "gzip");
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&bytes[..]), &mut text).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), plain);
}

#[tokio::test]
async fn discovery_names_every_kind_in_both_forms() {
    let api = Api::start().await;
    let core = api.get("/api/v1").await.body;
    let names: Vec<&str> = core["resources"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|r| r["name"].as_str())
        .collect();
    for name in ["pods", "pods/status", "pods/log", "namespaces", "configmaps"] {
        assert!(names.contains(&name), "{name}");
    }
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    let aggregated = api.get_as("/apis", accept).await;
    assert_eq!(aggregated.body["kind"], "APIGroupDiscoveryList");
    assert!(
        aggregated.headers["content-type"]
            .to_str()
            .unwrap()
            .contains("APIGroupDiscoveryList")
    );
    let etag = aggregated.headers["etag"].to_str().unwrap().to_owned();
    let again = api
        .send(
            "GET",
            "/apis",
            &[(ACCEPT, accept), (http::header::IF_NONE_MATCH, &etag)],
            Vec::new(),
        )
        .await;
    assert_eq!(again.code, 304);
    assert_eq!(
        api.get("/apis/apps").await.body["preferredVersion"]["version"],
        "v1"
    );
    assert_eq!(api.get("/apis/nope").await.code, 404);
}

#[tokio::test]
async fn openapi_documents_are_found_through_the_index_and_kept_by_hash() {
    let api = Api::start().await;
    let index = api.get("/openapi/v3").await.body;
    let url = index["paths"]["apis/apps/v1"]["serverRelativeURL"]
        .as_str()
        .unwrap()
        .to_owned();
    let document = api.get(&url).await;
    assert_eq!(document.code, 200);
    assert!(document.body["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"].is_object());
    assert!(
        document.headers["cache-control"]
            .to_str()
            .unwrap()
            .contains("immutable")
    );
}

#[tokio::test]
async fn who_uses_endpoints_is_told_what_takes_their_place() {
    let api = Api::start().await;
    let path = "/api/v1/namespaces/default/endpoints";
    for answer in [api.get(path).await, api.get(&format!("{path}/kubernetes")).await] {
        let warning = answer.headers["warning"].to_str().unwrap();
        assert!(
            warning.contains("use discovery.k8s.io/v1 EndpointSlice"),
            "{warning}"
        );
    }
    assert!(!api.get(PODS).await.headers.contains_key("warning"));
}

/// kubectl sees to a `List` by itself and reads the schemas in no other form.
#[tokio::test]
async fn openapi_version_2_is_one_document_in_json_or_protobuf() {
    let api = Api::start().await;
    let json = api.get("/openapi/v2").await;
    assert_eq!((json.code, &json.body["swagger"]), (200, &json!("2.0")));
    let kinds = &json.body["definitions"]["io.k8s.api.apps.v1.Deployment"]["x-kubernetes-group-version-kind"];
    assert_eq!(kinds[0]["kind"], "Deployment");
    let accept = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    let answer = api.get_as("/openapi/v2", accept).await;
    assert_eq!(answer.code, 200);
    assert_eq!(answer.headers["content-type"], controlplane_protobuf::OPENAPI_V2);
}

fn names(page: &Answer) -> Vec<String> {
    let items = page.body["items"].as_array().unwrap();
    let name = |item: &Value| item["metadata"]["name"].as_str().unwrap().to_owned();
    items.iter().map(name).collect()
}

/// Conformance: "Servers with support for API chunking should support continue listing from the last key if the original
/// version has been compacted away, though the list is inconsistent".
#[tokio::test]
async fn a_page_of_a_forgotten_snapshot_is_410_with_a_token_that_goes_on_over_the_newest_state() {
    let api = Api::forgetful().await;
    for name in ["a", "b", "d"] {
        api.post(CONFIG_MAPS, &config_map(name)).await;
    }
    let first = api.get(&format!("{CONFIG_MAPS}?limit=2")).await;
    assert_eq!(names(&first), ["a", "b"]);
    let token = first.body["metadata"]["continue"].as_str().unwrap();
    for name in ["c", "e"] {
        api.post(CONFIG_MAPS, &config_map(name)).await;
    }
    let gone = api.get(&format!("{CONFIG_MAPS}?limit=2&continue={token}")).await;
    assert_eq!((gone.code, &gone.body["reason"]), (410, &json!("Expired")));
    let token = gone.body["metadata"]["continue"].as_str().unwrap();
    let rest = api.get(&format!("{CONFIG_MAPS}?limit=2&continue={token}")).await;
    assert_eq!(names(&rest), ["c", "d"]);
    let token = rest.body["metadata"]["continue"].as_str().unwrap();
    let last = api.get(&format!("{CONFIG_MAPS}?limit=2&continue={token}")).await;
    assert_eq!(names(&last), ["e"]);
    let version = first.body["metadata"]["resourceVersion"].as_str().unwrap();
    let both = api
        .get(&format!(
            "{CONFIG_MAPS}?continue={token}&resourceVersion={version}"
        ))
        .await;
    assert_eq!(both.code, 400);
    let exact = format!("{CONFIG_MAPS}?resourceVersion={version}&resourceVersionMatch=Exact");
    let old = api.get(&exact).await;
    assert_eq!(old.code, 410);
    assert_eq!(
        old.body["message"],
        "The resourceVersion for the provided list is too old."
    );
}

#[tokio::test]
async fn a_continue_token_that_is_none_is_a_400_that_says_why() {
    let api = Api::start().await;
    for token in ["garbage", "%7B%7D", "eyJ2IjoidjkiLCJydiI6MX0"] {
        let answer = api.get(&format!("{CONFIG_MAPS}?limit=2&continue={token}")).await;
        assert_eq!((answer.code, &answer.body["reason"]), (400, &json!("BadRequest")));
        let message = answer.body["message"].as_str().unwrap();
        assert!(
            message.starts_with("invalid continue token: continue key is not valid"),
            "{message}"
        );
    }
}

async fn text(api: &Api, path: &str, headers: &[(http::HeaderName, &str)]) -> String {
    let response = api.open("GET", path, headers, Vec::new()).await;
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test]
async fn answers_are_indented_for_people_and_where_the_query_says_so() {
    let api = Api::start().await;
    api.post(CONFIG_MAPS, &config_map("a")).await;
    let path = format!("{CONFIG_MAPS}/a");
    let curl = [(http::header::USER_AGENT, "curl/8.5.0")];
    let indented = serde_json::to_string_pretty(&api.get(&path).await.body)
        .unwrap()
        .len();
    for (query, headers, is_indented) in [
        ("", &curl[..], true),
        ("?pretty=true", &[], true),
        ("?pretty=false", &curl, false),
        ("", &[], false),
    ] {
        let found = text(&api, &format!("{path}{query}"), headers).await;
        assert_eq!(
            found.contains("{\n  \"apiVersion\""),
            is_indented,
            "{query} {found}"
        );
        assert_eq!(found.len() == indented, is_indented, "{query}");
    }
    let list = text(&api, &format!("{CONFIG_MAPS}?pretty=1"), &[]).await;
    assert!(list.contains("\n  \"items\": [\n    {\n"), "{list}");
    let status = text(&api, &format!("{CONFIG_MAPS}/none?pretty=1"), &[]).await;
    assert!(status.contains("\n  \"metadata\": {},\n"), "{status}");
}

#[tokio::test]
async fn failures_come_in_yaml_to_those_who_read_yaml() {
    let api = Api::start().await;
    let found = text(
        &api,
        &format!("{CONFIG_MAPS}/none"),
        &[(ACCEPT, "application/yaml")],
    )
    .await;
    assert!(found.contains("reason: NotFound\n"), "{found}");
}

/// Rows of lists are made without the owners of fields, which rows of single objects have read with the rest.
#[tokio::test]
async fn a_row_of_a_list_is_the_row_of_the_object_alone_whatever_it_includes() {
    let api = Api::start().await;
    api.post(PODS, &pod("web")).await;
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
    for include in ["None", "Metadata", "Object"] {
        let query = format!("?includeObject={include}");
        let list = api.get_as(&format!("{PODS}{query}"), accept).await.body;
        let one = api.get_as(&format!("{PODS}/web{query}"), accept).await.body;
        assert!(
            one["rows"][0]["cells"]
                .as_array()
                .is_some_and(|cells| cells.len() > 5),
            "{include}"
        );
        assert_eq!(list["rows"], one["rows"], "{include}");
        let owners = &list["rows"][0]["object"]["metadata"]["managedFields"];
        assert_eq!(owners.is_array(), include != "None", "{include}");
    }
}
