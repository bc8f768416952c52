//! What people read with `sqlite3`, in any copy.

mod support;

use controlplane_store::State;
use serde_json::json;
use support::{Bench, delete, object, put, rows};

#[test]
fn objects_are_shown_with_where_they_belong_and_who_wrote_them() {
    let mut bench = Bench::new();
    let web =
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "a"}});
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {}});
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "admin"}});
    bench.commit("alice", vec![put("apps/deployments/a/web", &web)]);
    bench.commit("", vec![put("nodes/n1", &node)]);
    bench.commit(
        "bob",
        vec![put("rbac.authorization.k8s.io/clusterroles/admin", &role)],
    );
    let copy = bench.beside("copy.db");
    bench.state.snapshot(&copy).unwrap();
    let found = rows(
        &copy,
        "SELECT kind, api_version, api_group, resource, namespace, name, revision, time, actor FROM objects ORDER BY revision",
    );
    assert_eq!(
        found,
        [
            "Deployment|apps/v1|apps|deployments|a|web|2|2023-11-14T22:13:20Z|alice",
            "Node|v1||nodes|-|n1|3|2023-11-14T22:13:20Z|-",
            "ClusterRole|rbac.authorization.k8s.io/v1|rbac.authorization.k8s.io|clusterroles|-|admin|4|2023-11-14T22:13:20Z|bob",
        ]
    );
    let versions = rows(
        &copy,
        "SELECT value FROM objects WHERE name IN ('web', 'n1') ORDER BY revision",
    );
    assert!(
        versions[0].contains(r#""metadata":{"resourceVersion":"2","name":"web""#),
        "{}",
        versions[0]
    );
    assert!(
        versions[1].contains(r#""metadata":{"resourceVersion":"3"}"#),
        "{}",
        versions[1]
    );
    let counted = rows(
        &copy,
        "SELECT count(*) FROM objects WHERE value ->> '$.metadata.resourceVersion' = revision",
    );
    assert_eq!(counted, ["3"]);
}

#[test]
fn history_shows_every_change_with_its_actor() {
    let mut bench = Bench::new();
    let at = |text: &str| put("configmaps/a/one", &object("ConfigMap", "a", "one", text));
    bench.commit("alice", vec![at("1")]);
    bench.now += 60;
    bench.commit("bob", vec![at("2")]);
    bench.commit("carol", vec![delete("configmaps/a/one")]);
    bench.commit("", vec![at("3")]);
    let copy = bench.beside("copy.db");
    bench.state.snapshot(&copy).unwrap();
    let found = rows(
        &copy,
        "SELECT revision, op, previous_revision, time, actor, value ->> '$.data.text' FROM history
            WHERE resource = 'configmaps' AND namespace = 'a' AND name = 'one' ORDER BY revision",
    );
    assert_eq!(
        found,
        [
            "2|create|-|2023-11-14T22:13:20Z|alice|1",
            "3|update|2|2023-11-14T22:14:20Z|bob|2",
            "4|delete|3|2023-11-14T22:14:20Z|carol|-",
            "5|create|-|2023-11-14T22:14:20Z|-|3",
        ]
    );
}

#[test]
fn events_have_columns_of_their_own() {
    let mut bench = Bench::new();
    let event = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "web.1", "namespace": "a", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "type": "Warning", "reason": "BackOff", "message": "again", "count": 7, "firstTimestamp": null,
        "lastTimestamp": "2026-01-02T00:00:00Z", "source": {"component": "floe-agent"}, "reportingComponent": "",
        "involvedObject": {"kind": "Pod", "namespace": "a", "name": "web"},
    });
    bench.commit(
        "n1",
        vec![put("events/a/web.1", &event), put("eventsx/a/b", &event)],
    );
    let copy = bench.beside("copy.db");
    bench.state.snapshot(&copy).unwrap();
    assert_eq!(
        rows(
            &copy,
            "SELECT last_seen, first_seen, count, type, reason, namespace, object_kind, object_name, message, source FROM events"
        ),
        ["2026-01-02T00:00:00Z|2026-01-01T00:00:00Z|7|Warning|BackOff|a|Pod|web|again|floe-agent"]
    );
}
