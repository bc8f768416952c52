use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::request::path::ResourcePath;
use crate::request::query::Query;

/// A cluster in which pods called `mine` are on node `a` and use the Secret `used`.
#[derive(Debug)]
struct Fixed;

impl Facts for Fixed {
    fn is_on(&self, node: &str, _: &str, pod: &str) -> Option<bool> {
        (pod != "absent").then(|| node == "a" && pod == "mine")
    }

    fn refers(&self, node: &str, plural: &str, _: &str, name: &str) -> bool {
        node == "a" && plural == "secrets" && name == "used"
    }
}

fn asks(verb: &str, path: &str) -> bool {
    let uri: http::Uri = path.parse().unwrap();
    let user = UserInfo {
        username: "system:node:a".to_owned(),
        groups: vec!["system:nodes".to_owned()],
        ..UserInfo::default()
    };
    let parsed = ResourcePath::parse(uri.path()).unwrap();
    let attributes = Attributes::new(&user, verb, &parsed, &Query::parse(&uri).unwrap());
    allows(&Fixed, name(&user).unwrap(), &attributes)
}

#[test]
fn a_node_may_do_what_a_kubelet_does() {
    for (verb, path) in [
        ("create", "/api/v1/nodes"),
        ("get", "/api/v1/nodes/b"),
        ("list", "/api/v1/nodes"),
        ("patch", "/api/v1/nodes/a/status"),
        ("watch", "/api/v1/nodes?fieldSelector=metadata.name%3Da"),
        ("watch", "/api/v1/pods?fieldSelector=spec.nodeName%3Da"),
        ("get", "/api/v1/namespaces/x/pods/mine"),
        ("get", "/api/v1/namespaces/x/pods/absent"),
        ("patch", "/api/v1/namespaces/x/pods/mine/status"),
        ("delete", "/api/v1/namespaces/x/pods/mine"),
        ("create", "/api/v1/namespaces/x/pods/mine/eviction"),
        ("get", "/api/v1/namespaces/x/secrets/used"),
        (
            "watch",
            "/api/v1/namespaces/x/secrets?fieldSelector=metadata.name%3Dused",
        ),
        ("list", "/api/v1/services"),
        (
            "create",
            "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases",
        ),
        (
            "update",
            "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/a",
        ),
        (
            "create",
            "/apis/certificates.k8s.io/v1/certificatesigningrequests",
        ),
        ("create", "/api/v1/namespaces/x/events"),
    ] {
        assert!(asks(verb, path), "{verb} {path}");
    }
}

#[test]
fn a_node_may_not_reach_beyond_itself() {
    for (verb, path) in [
        ("delete", "/api/v1/nodes/a"),
        ("patch", "/api/v1/nodes/b/status"),
        ("list", "/api/v1/pods"),
        ("list", "/api/v1/pods?fieldSelector=spec.nodeName%3Db"),
        ("list", "/api/v1/pods?fieldSelector=spec.nodeName!%3Da"),
        ("create", "/api/v1/namespaces/x/pods"),
        ("update", "/api/v1/namespaces/x/pods/mine"),
        ("delete", "/api/v1/namespaces/x/pods/other"),
        (
            "deletecollection",
            "/api/v1/namespaces/x/pods?fieldSelector=spec.nodeName%3Da",
        ),
        ("create", "/api/v1/namespaces/x/pods/mine/exec"),
        ("create", "/api/v1/namespaces/x/pods/mine/binding"),
        ("get", "/api/v1/namespaces/x/secrets/unused"),
        ("list", "/api/v1/namespaces/x/secrets"),
        ("list", "/api/v1/secrets?fieldSelector=metadata.name%3Dused"),
        ("update", "/api/v1/namespaces/x/secrets/used"),
        (
            "update",
            "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/b",
        ),
        (
            "update",
            "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/a",
        ),
        (
            "update",
            "/apis/certificates.k8s.io/v1/certificatesigningrequests/a/approval",
        ),
        (
            "update",
            "/apis/certificates.k8s.io/v1/certificatesigningrequests/a/status",
        ),
        ("create", "/apis/apps/v1/namespaces/x/deployments"),
    ] {
        assert!(!asks(verb, path), "{verb} {path}");
    }
}

#[test]
fn references_are_found_in_volumes_and_environment_and_nowhere_else() {
    let spec = json!({
        "volumes": [{"name": "v", "secret": {"secretName": "in-volume"}}, {"projected": {"sources": [{"configMap": {"name": "in-projection"}}]}}],
        "imagePullSecrets": [{"name": "pull"}],
        "initContainers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "in-env", "key": "k"}}}]}],
        "containers": [{"name": "not-a-reference", "envFrom": [{"configMapRef": {"name": "from"}}]}],
    });
    let found = |plural: &str, name: &str| mentions(Some(&spec), plural, name);
    assert!(found("secrets", "in-volume") && found("secrets", "pull") && found("secrets", "in-env"));
    assert!(found("configmaps", "in-projection") && found("configmaps", "from"));
    for name in ["not-a-reference", "from", "in-projection", "v"] {
        assert!(!found("secrets", name), "{name}");
    }
}

proptest! {
    #[test]
    fn whatever_is_named_no_node_writes_another_nodes_things(
        verb in prop::sample::select(vec!["create", "update", "patch", "delete", "deletecollection"]),
        plural in prop::sample::select(vec!["nodes", "pods", "secrets", "configmaps", "services", "serviceaccounts", "namespaces"]),
        sub in prop::sample::select(vec!["", "/status", "/binding", "/eviction", "/exec", "/approval", "/scale", "/proxy"]),
        name in "[b-z][a-z]{0,4}",
    ) {
        let path = match plural {
            "nodes" | "namespaces" => format!("/api/v1/{plural}/{name}{sub}"),
            _ => format!("/api/v1/namespaces/x/{plural}/{name}{sub}"),
        };
        // A POST to a named node does not exist; the name in a body is checked by `restrict`.
        prop_assume!(!(plural == "nodes" && verb == "create" && sub.is_empty()));
        prop_assume!(name != "mine" && name != "absent");
        prop_assert!(!asks(verb, &path), "{} {}", verb, path);
    }
}
