//! `/metrics`: what upstream's dashboards and alerts read.

use super::*;

/// The value of a series: its name and a part of its labels.
fn value(text: &str, name: &str, labels: &[&str]) -> f64 {
    let is_wanted = |line: &&str| {
        let rest = line.strip_prefix(name).unwrap_or_default();
        rest.starts_with(['{', ' ']) && labels.iter().all(|label| rest.contains(label))
    };
    let found = text.lines().filter(is_wanted);
    found
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum()
}

async fn exposition(api: &Api) -> String {
    let response = api.open("GET", "/metrics", &[], Vec::new()).await;
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test]
async fn requests_are_counted_by_what_they_ask_and_how_they_are_answered() {
    let api = Api::start().await;
    let eve = api.as_user("eve", "dev");
    api.post(PODS, &pod("p")).await;
    api.post(&format!("{PODS}?dryRun=All"), &pod("q")).await;
    api.get(PODS).await;
    api.get(&format!("{PODS}/p/status")).await;
    api.get("/api/v1/pods/").await;
    api.get("/apis/nobody.example/v1/things/x").await;
    eve.get(PODS).await;
    let mut events = api.watch(&format!("{PODS}?watch=true")).await;
    assert_eq!(events.words().await, "ADDED p");
    let text = exposition(&api).await;
    let total = |labels: &[&str]| value(&text, "apiserver_request_total", labels);
    let pods = "resource=\"pods\"";
    let named = |verb| format!("verb=\"{verb}\"");
    assert_eq!(
        total(&[pods, &named("POST"), "code=\"201\"", "dry_run=\"\""]),
        1.0
    );
    assert_eq!(total(&[pods, &named("POST"), "dry_run=\"All\""]), 1.0);
    assert_eq!(
        total(&[pods, &named("LIST"), "scope=\"namespace\"", "code=\"200\""]),
        1.0
    );
    assert_eq!(total(&[pods, &named("LIST"), "scope=\"cluster\""]), 1.0);
    assert_eq!(total(&[pods, &named("LIST"), "code=\"403\""]), 1.0);
    assert_eq!(total(&[pods, &named("GET"), "subresource=\"status\""]), 1.0);
    assert_eq!(total(&[pods, &named("WATCH")]), 1.0);
    // Names that clients make up are no labels.
    assert!(
        !text.contains("nobody.example") && !text.contains("\"things\""),
        "{text}"
    );
    let took = value(
        &text,
        "apiserver_request_duration_seconds_count",
        &[pods, &named("LIST")],
    );
    assert_eq!(took, 3.0);
    let name = "apiserver_request_sli_duration_seconds_count";
    assert_eq!(value(&text, name, &[pods, &named("LIST")]), 3.0);
    assert!(value(&text, "apiserver_response_sizes_sum", &[pods, &named("LIST")]) > 1000.0);
    assert_eq!(value(&text, "apiserver_watch_events_total", &[pods]), 1.0);
    // The one that asks for the numbers.
    assert_eq!(
        value(&text, "apiserver_current_inflight_requests", &["readOnly"]),
        1.0
    );
    assert_eq!(
        value(&text, "apiserver_longrunning_requests", &[pods, &named("WATCH")]),
        1.0
    );
    drop(events);
    let text = exposition(&api).await;
    assert_eq!(value(&text, "apiserver_longrunning_requests", &[pods]), 0.0);
}

#[tokio::test]
async fn stored_objects_and_what_priority_and_fairness_lets_in_are_told() {
    let api = Api::start().await;
    for name in ["a", "b"] {
        api.post(CONFIG_MAPS, &config_map(name)).await;
    }
    api.as_user("system:kube-scheduler", "components")
        .get(CONFIG_MAPS)
        .await;
    let text = exposition(&api).await;
    assert_eq!(
        value(&text, "apiserver_storage_objects", &["resource=\"configmaps\""]),
        2.0
    );
    assert!(
        value(
            &text,
            "apiserver_storage_objects",
            &["resource=\"flowschemas.flowcontrol.apiserver.k8s.io\""]
        ) > 5.0
    );
    let schema = [
        "priority_level=\"workload-high\"",
        "flow_schema=\"kube-scheduler\"",
    ];
    for (name, expected) in [
        ("apiserver_flowcontrol_dispatched_requests_total", 1.0),
        ("apiserver_flowcontrol_request_wait_duration_seconds_count", 1.0),
        ("apiserver_flowcontrol_request_execution_seconds_count", 1.0),
    ] {
        assert_eq!(value(&text, name, &schema), expected, "{name}");
    }
    let level = ["priority_level=\"workload-low\""];
    assert_eq!(
        value(&text, "apiserver_flowcontrol_nominal_limit_seats", &level),
        245.0
    );
    for name in ["executing_requests", "inqueue_requests", "executing_seats"] {
        let name = format!("apiserver_flowcontrol_current_{name}");
        assert!(
            text.contains(&format!("{name}{{priority_level=\"workload-low\"}} 0")),
            "{name}"
        );
    }
}

#[tokio::test]
async fn requests_that_run_out_of_time_are_counted_as_terminated() {
    let api = Api::start().await;
    let endless = Body::from_stream(futures::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    let request = Request::builder()
        .method("POST")
        .uri(format!("{CONFIG_MAPS}?timeout=10ms"));
    let Ok(response) = api.service.clone().call(request.body(endless).unwrap()).await;
    assert_eq!(response.status(), 504);
    let text = exposition(&api).await;
    let labels = ["resource=\"configmaps\"", "verb=\"POST\"", "code=\"504\""];
    assert_eq!(value(&text, "apiserver_request_terminations_total", &labels), 1.0);
}
