use serde_json::{Value, json};

use super::super::resource;
use crate::table::{Include, row};

const NOW: &str = "2026-01-01T00:10:00Z";

/// READY, STATUS, RESTARTS of a pod with these parts.
fn shown(pod: &Value) -> (String, String, String) {
    let row = row(&resource(), pod, NOW.parse().unwrap(), Include::None);
    let cell = |index: usize| row["cells"][index].as_str().unwrap().to_owned();
    (cell(1), cell(2), cell(3))
}

fn pod(phase: &str, containers: Value, statuses: Value) -> Value {
    json!({
        "metadata": {"name": "web", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"containers": containers},
        "status": {"phase": phase, "containerStatuses": statuses},
    })
}

fn names(count: usize) -> Value {
    (0..count)
        .map(|index| json!({"name": format!("c{index}")}))
        .collect::<Vec<_>>()
        .into()
}

fn running(ready: bool) -> Value {
    json!({"name": "c0", "ready": ready, "restartCount": 0, "state": {"running": {}}})
}

#[test]
fn ready_status_and_restarts_follow_the_containers() {
    let ended = |fields: Value| json!([{"name": "c0", "state": {"terminated": fields}}]);
    let waiting = |reason: &str| json!([{"name": "c0", "state": {"waiting": {"reason": reason}}}]);
    for (pod, expected) in [
        (pod("Pending", names(2), json!(null)), ("0/2", "Pending", "0")),
        (
            pod("Running", names(1), json!([running(true)])),
            ("1/1", "Running", "0"),
        ),
        (
            pod("Running", names(1), json!([running(false)])),
            ("0/1", "Running", "0"),
        ),
        (
            pod("Pending", names(1), waiting("ContainerCreating")),
            ("0/1", "ContainerCreating", "0"),
        ),
        (
            pod("Pending", names(1), waiting("ImagePullBackOff")),
            ("0/1", "ImagePullBackOff", "0"),
        ),
        (
            pod(
                "Succeeded",
                names(1),
                ended(json!({"reason": "Completed", "exitCode": 0})),
            ),
            ("0/1", "Completed", "0"),
        ),
        (
            pod(
                "Failed",
                names(1),
                ended(json!({"reason": "Error", "exitCode": 1})),
            ),
            ("0/1", "Error", "0"),
        ),
        (
            pod("Failed", names(1), ended(json!({"exitCode": 3}))),
            ("0/1", "ExitCode:3", "0"),
        ),
        (
            pod("Failed", names(1), ended(json!({"signal": 9, "exitCode": 137}))),
            ("0/1", "Signal:9", "0"),
        ),
        (
            pod(
                "Failed",
                names(1),
                ended(json!({"reason": "OOMKilled", "exitCode": 137})),
            ),
            ("0/1", "OOMKilled", "0"),
        ),
    ] {
        let (ready, status, restarts) = shown(&pod);
        assert_eq!((ready.as_str(), status.as_str(), restarts.as_str()), expected);
    }
}

#[test]
fn the_first_containers_reason_wins_and_a_running_one_outweighs_completion() {
    let done = json!({"name": "c1", "state": {"terminated": {"reason": "Completed", "exitCode": 0}}});
    let crashed = json!({"name": "c0", "state": {"waiting": {"reason": "CrashLoopBackOff"}}});
    assert_eq!(
        shown(&pod("Running", names(2), json!([crashed, done]))).1,
        "CrashLoopBackOff"
    );
    let mut mixed = pod("Running", names(2), json!([running(true), done]));
    assert_eq!(shown(&mixed).1, "NotReady");
    mixed["status"]["conditions"] = json!([{"type": "Ready", "status": "True"}]);
    assert_eq!(shown(&mixed), ("1/2".into(), "Running".into(), "0".into()));
}

#[test]
fn restarts_say_when_the_last_one_was() {
    let status = json!([{"name": "c0", "restartCount": 3, "ready": true, "state": {"running": {}},
        "lastState": {"terminated": {"finishedAt": "2026-01-01T00:05:00Z"}}}]);
    assert_eq!(shown(&pod("Running", names(1), status)).2, "3 (5m ago)");
    let unknown = json!([{"name": "c0", "restartCount": 3, "state": {"running": {}}}]);
    assert_eq!(shown(&pod("Running", names(1), unknown)).2, "3");
}

#[test]
fn init_containers_are_counted_until_they_are_done() {
    let init = |state: Value| json!({"name": "i1", "state": state, "restartCount": 2});
    let done = json!({"name": "i0", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}});
    let with = |state: Value| {
        let mut pod = pod(
            "Pending",
            names(1),
            json!([{"name": "c0", "state": {"waiting": {"reason": "PodInitializing"}}}]),
        );
        pod["spec"]["initContainers"] = json!([{"name": "i0"}, {"name": "i1"}]);
        pod["status"]["initContainerStatuses"] = json!([done, init(state)]);
        pod
    };
    for (state, expected) in [
        (json!({"running": {}}), ("0/1", "Init:1/2", "2")),
        (
            json!({"waiting": {"reason": "PodInitializing"}}),
            ("0/1", "Init:1/2", "2"),
        ),
        (
            json!({"waiting": {"reason": "CrashLoopBackOff"}}),
            ("0/1", "Init:CrashLoopBackOff", "2"),
        ),
        (
            json!({"terminated": {"exitCode": 1, "reason": "Error"}}),
            ("0/1", "Init:Error", "2"),
        ),
        (
            json!({"terminated": {"exitCode": 4}}),
            ("0/1", "Init:ExitCode:4", "2"),
        ),
        (
            json!({"terminated": {"exitCode": 137, "signal": 9}}),
            ("0/1", "Init:Signal:9", "2"),
        ),
        (
            json!({"terminated": {"exitCode": 0}}),
            ("0/1", "PodInitializing", "0"),
        ),
    ] {
        let (ready, status, restarts) = shown(&with(state));
        assert_eq!((ready.as_str(), status.as_str(), restarts.as_str()), expected);
    }
}

#[test]
fn sidecars_count_beside_containers() {
    let mut pod = pod("Running", names(1), json!([running(true)]));
    pod["spec"]["initContainers"] = json!([{"name": "proxy", "restartPolicy": "Always"}]);
    pod["status"]["initContainerStatuses"] = json!([{"name": "proxy", "started": true, "ready": true, "restartCount": 1, "state": {"running": {}}}]);
    assert_eq!(shown(&pod), ("2/2".into(), "Running".into(), "1".into()));
}

#[test]
fn deletion_gates_and_the_pods_own_reason_come_first() {
    let mut deleted = pod("Running", names(1), json!([running(true)]));
    deleted["metadata"]["deletionTimestamp"] = json!(NOW);
    assert_eq!(shown(&deleted).1, "Terminating");
    deleted["status"]["reason"] = json!("NodeLost");
    assert_eq!(shown(&deleted).1, "Unknown");
    let mut ended = pod("Succeeded", names(1), json!(null));
    ended["metadata"]["deletionTimestamp"] = json!(NOW);
    assert_eq!(shown(&ended).1, "Succeeded");
    let mut evicted = pod("Failed", names(1), json!(null));
    evicted["status"]["reason"] = json!("Evicted");
    assert_eq!(shown(&evicted).1, "Evicted");
    let mut gated = pod("Pending", names(1), json!(null));
    gated["status"]["conditions"] =
        json!([{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]);
    assert_eq!(shown(&gated).1, "SchedulingGated");
}

#[test]
fn wide_columns_show_where_a_pod_is() {
    let mut pod = pod("Running", names(1), json!([running(true)]));
    let cells = |pod: &Value| row(&resource(), pod, NOW.parse().unwrap(), Include::None)["cells"].clone();
    assert_eq!(
        cells(&pod),
        json!([
            "web", "1/1", "Running", "0", "10m", "<none>", "<none>", "<none>", "<none>"
        ])
    );
    pod["spec"]["nodeName"] = json!("a");
    pod["spec"]["readinessGates"] = json!([{"conditionType": "x"}, {"conditionType": "y"}]);
    pod["status"]["podIPs"] = json!([{"ip": "10.42.0.7"}]);
    pod["status"]["conditions"] = json!([{"type": "y", "status": "True"}]);
    assert_eq!(
        cells(&pod),
        json!([
            "web",
            "1/1",
            "Running",
            "0",
            "10m",
            "10.42.0.7",
            "a",
            "<none>",
            "1/2"
        ])
    );
}
