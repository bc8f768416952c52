//! What every request passes. Conformance: "API priority and fairness".

use http::HeaderName;

use super::*;

const AUDIT: HeaderName = HeaderName::from_static("audit-id");
const LEVELS: &str = "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations";
const SCHEMAS: &str = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas";

#[tokio::test]
async fn an_audit_id_is_echoed_and_made_where_there_is_none() {
    let api = Api::start().await;
    let given = api.send("GET", "/api", &[(AUDIT, "my-id")], Vec::new()).await;
    assert_eq!(given.headers[AUDIT], "my-id");
    let ids: Vec<_> = [api.get("/api").await, api.get("/api/v1/pods/none").await]
        .into_iter()
        .map(|answer| answer.headers[AUDIT].to_str().unwrap().to_owned())
        .collect();
    assert_ne!(ids[0], ids[1]);
    assert!(uuid::Uuid::parse_str(&ids[0]).is_ok(), "{ids:?}");
}

#[tokio::test]
async fn a_timeout_that_is_no_duration_is_a_400() {
    let api = Api::start().await;
    let answer = api.get(&format!("{PODS}?timeout=soon")).await;
    assert_eq!(answer.code, 400);
    assert_eq!(
        answer.body["message"],
        "invalid timeout specified in the request URL - time: invalid duration \"soon\""
    );
    assert_eq!(api.get(&format!("{PODS}?timeout=10s")).await.code, 200);
}

/// A body that never arrives holds a request up for as long as it may take.
async fn stuck(api: &Api, query: &str) -> (u16, Value, u64) {
    let endless = Body::from_stream(futures::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    let request = Request::builder()
        .method("POST")
        .uri(format!("{CONFIG_MAPS}{query}"));
    let begun = tokio::time::Instant::now();
    let Ok(response) = api.service.clone().call(request.body(endless).unwrap()).await;
    let code = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (
        code,
        serde_json::from_slice(&body).unwrap(),
        begun.elapsed().as_secs(),
    )
}

#[tokio::test]
async fn a_request_ends_after_a_minute_or_when_its_timeout_says_so() {
    let api = Api::start_paused().await;
    for (query, seconds) in [("", 60), ("?timeout=5s", 5), ("?timeout=10m", 60)] {
        let (code, body, took) = stuck(&api, query).await;
        assert_eq!((code, &body["reason"], took), (504, &json!("Timeout"), seconds));
    }
}

#[tokio::test]
async fn a_watch_outlives_the_timeout_of_requests() {
    let api = Api::start_paused().await;
    let mut events = api
        .watch(&format!("{CONFIG_MAPS}?watch=true&timeoutSeconds=300&timeout=1s"))
        .await;
    tokio::time::sleep(Duration::from_secs(200)).await;
    tokio::time::resume();
    api.post(CONFIG_MAPS, &config_map("late")).await;
    assert_eq!(events.words().await, "ADDED late");
}

/// A level of one seat and no queue for everybody who is called `crowd`.
async fn narrow(api: &Api) -> (String, String) {
    let level = json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "PriorityLevelConfiguration",
        "metadata": {"name": "narrow"},
        "spec": {"type": "Limited", "limited": {
            "nominalConcurrencyShares": 0, "borrowingLimitPercent": 0, "limitResponse": {"type": "Reject"},
        }},
    });
    let schema = json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema", "metadata": {"name": "crowd"},
        "spec": {
            "priorityLevelConfiguration": {"name": "narrow"}, "matchingPrecedence": 5,
            "distinguisherMethod": {"type": "ByUser"},
            "rules": [{
                "subjects": [{"kind": "User", "user": {"name": "system:kube-scheduler"}}],
                "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"]}],
            }],
        },
    });
    let level = api.post(LEVELS, &level).await;
    assert_eq!(level.code, 201, "{}", level.body);
    let schema = api.post(SCHEMAS, &schema).await;
    assert_eq!(schema.code, 201, "{}", schema.body);
    let uid = |answer: &Answer| answer.body["metadata"]["uid"].as_str().unwrap().to_owned();
    (uid(&schema), uid(&level))
}

/// Conformance: "API priority and fairness should support FlowSchema API operations" and "… should support
/// PriorityLevelConfiguration API operations": what is created decides from then on.
#[tokio::test]
async fn objects_of_priority_and_fairness_decide_who_is_turned_away() {
    let api = Api::start().await;
    api.server.follow_flow_control();
    let (schema, level) = narrow(&api).await;
    let crowd = api.as_user("system:kube-scheduler", "components");
    let classified = async {
        loop {
            let answer = crowd.get(CONFIG_MAPS).await;
            if answer.headers.get("x-kubernetes-pf-flowschema-uid") == Some(&schema.parse().unwrap()) {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    };
    let answer = tokio::time::timeout(Duration::from_secs(10), classified)
        .await
        .unwrap();
    assert_eq!(answer.code, 200);
    assert_eq!(answer.headers["x-kubernetes-pf-prioritylevel-uid"], level);
    let told = async {
        loop {
            let schema = api.get(&format!("{SCHEMAS}/crowd")).await.body;
            if let Some(condition) = schema.pointer("/status/conditions/0") {
                return condition.clone();
            }
            tokio::task::yield_now().await;
        }
    };
    let condition = tokio::time::timeout(Duration::from_secs(10), told).await.unwrap();
    assert_eq!(
        (&condition["type"], &condition["status"], &condition["reason"]),
        (&json!("Dangling"), &json!("False"), &json!("Found"))
    );
    let endless = Body::from_stream(futures::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    let request = Request::builder()
        .method("POST")
        .uri(CONFIG_MAPS)
        .body(endless)
        .unwrap();
    let mut service = crowd.service.clone();
    let holder = service.call(request);
    tokio::pin!(holder);
    assert!(futures::poll!(holder.as_mut()).is_pending());
    let refused = crowd.get(CONFIG_MAPS).await;
    assert_eq!(
        (refused.code, &refused.body["reason"]),
        (429, &json!("TooManyRequests"))
    );
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(refused.headers["x-kubernetes-pf-prioritylevel-uid"], level);
    let metrics = api.open("GET", "/metrics", &[], Vec::new()).await;
    let metrics = metrics.into_body().collect().await.unwrap().to_bytes();
    let rejected = "apiserver_flowcontrol_rejected_requests_total{priority_level=\"narrow\",flow_schema=\"crowd\",reason=\"queue-full\"} 1";
    assert!(String::from_utf8_lossy(&metrics).contains(rejected));
    // A watch only takes its place for as long as it begins, and others are not of this level.
    assert_eq!(api.get(CONFIG_MAPS).await.code, 200);
    api.server.drain().await;
}

#[tokio::test]
async fn what_every_cluster_has_of_priority_and_fairness_comes_back_when_it_is_deleted() {
    let api = Api::start().await;
    api.server.follow_flow_control();
    for path in [format!("{SCHEMAS}/catch-all"), format!("{LEVELS}/workload-low")] {
        let uid = api.get(&path).await.body["metadata"]["uid"].clone();
        assert_eq!(api.delete(&path).await.code, 200);
        let back = async {
            loop {
                let found = api.get(&path).await;
                if found.code == 200 && found.body["metadata"]["uid"] != uid {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), back).await.unwrap();
    }
    api.server.drain().await;
}

/// As upstream, whose routes know GET, POST, PUT, PATCH and DELETE alone.
#[tokio::test]
async fn methods_that_a_path_does_not_have_are_answered_with_405() {
    let api = Api::start().await;
    let table = [
        ("OPTIONS", CONFIG_MAPS),
        ("TRACE", CONFIG_MAPS),
        ("BREW", PODS),
        ("POST", "/version"),
        ("DELETE", "/apis"),
    ];
    for (method, path) in table {
        let answer = api.send(method, path, &[], Vec::new()).await;
        assert_eq!(answer.code, 405, "{method} {path}");
        assert_eq!(answer.body["reason"], "MethodNotAllowed", "{method} {path}");
    }
    let head = api.send("HEAD", CONFIG_MAPS, &[], Vec::new()).await;
    assert_eq!(head.code, 405);
    assert_eq!(api.send("HEAD", "/livez", &[], Vec::new()).await.code, 200);
}

#[tokio::test]
async fn a_server_that_stops_begins_no_watch_and_answers_what_is_short() {
    let api = Api::start().await;
    api.server.drain().await;
    let watch = api.get(&format!("{CONFIG_MAPS}?watch=true")).await;
    assert_eq!(
        (watch.code, &watch.headers["retry-after"]),
        (503, &"1".parse().unwrap())
    );
    assert_eq!(api.get(CONFIG_MAPS).await.code, 200);
}
