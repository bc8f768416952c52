//! The FlowSchemas and PriorityLevelConfigurations that every cluster starts with.
//!
//! The mandatory ones are always there and as they are; the suggested ones are made once and then the operator's.

use serde_json::{Value, json};

const API: &str = "flowcontrol.apiserver.k8s.io/v1";

fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": API, "kind": kind,
        "metadata": {"name": name, "annotations": {"apf.kubernetes.io/autoupdate-spec": "true"}},
        "spec": spec,
    })
}

/// The levels without which a server does not work.
#[must_use]
pub fn mandatory_levels() -> Vec<Value> {
    let shares = json!({"nominalConcurrencyShares": 0, "lendablePercent": 0});
    let rest =
        json!({"nominalConcurrencyShares": 5, "lendablePercent": 0, "limitResponse": {"type": "Reject"}});
    let kind = "PriorityLevelConfiguration";
    vec![
        object(kind, "exempt", json!({"type": "Exempt", "exempt": shares})),
        object(kind, "catch-all", json!({"type": "Limited", "limited": rest})),
    ]
}

/// The levels that upstream suggests: name, shares, percentage lent, queues, hand.
#[must_use]
pub fn suggested_levels() -> Vec<Value> {
    let levels = [
        ("system", 30, 33, 64, 6),
        ("node-high", 40, 25, 64, 6),
        ("leader-election", 10, 0, 16, 4),
        ("workload-high", 40, 50, 128, 6),
        ("workload-low", 100, 90, 128, 6),
        ("global-default", 20, 50, 128, 6),
    ];
    let level = |(name, shares, lent, queues, hand)| {
        let queuing = json!({"queues": queues, "handSize": hand, "queueLengthLimit": 50});
        let limited = json!({
            "nominalConcurrencyShares": shares, "lendablePercent": lent,
            "limitResponse": {"type": "Queue", "queuing": queuing},
        });
        object(
            "PriorityLevelConfiguration",
            name,
            json!({"type": "Limited", "limited": limited}),
        )
    };
    levels.into_iter().map(level).collect()
}

fn groups(names: &[&str]) -> Vec<Value> {
    let names = names.iter();
    names
        .map(|name| json!({"kind": "Group", "group": {"name": name}}))
        .collect()
}

fn users(names: &[&str]) -> Vec<Value> {
    let names = names.iter();
    names
        .map(|name| json!({"kind": "User", "user": {"name": name}}))
        .collect()
}

fn accounts(names: &[&str]) -> Vec<Value> {
    let account = |name: &&str| json!({"kind": "ServiceAccount", "serviceAccount": {"name": name, "namespace": "kube-system"}});
    names.iter().map(account).collect()
}

fn resources(verbs: &[&str], group: &str, names: &[&str], namespace: &str, cluster: bool) -> Value {
    let mut rule =
        json!({"verbs": verbs, "apiGroups": [group], "resources": names, "namespaces": [namespace]});
    if cluster && let Some(rule) = rule.as_object_mut() {
        rule.insert("clusterScope".to_owned(), true.into());
    }
    rule
}

fn schema(name: &str, level: &str, precedence: i64, method: &str, rule: Value) -> Value {
    let mut spec = json!({
        "priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence, "rules": [rule],
    });
    if !method.is_empty()
        && let Some(spec) = spec.as_object_mut()
    {
        spec.insert("distinguisherMethod".to_owned(), json!({"type": method}));
    }
    object("FlowSchema", name, spec)
}

/// Everything that these subjects ask.
fn all(subjects: &[Value]) -> Value {
    json!({
        "subjects": subjects,
        "resourceRules": [resources(&["*"], "*", &["*"], "*", true)],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    })
}

/// What these subjects ask of these resources.
fn some(subjects: &[Value], rules: &[Value]) -> Value {
    json!({"subjects": subjects, "resourceRules": rules})
}

const EVERYONE: [&str; 2] = ["system:unauthenticated", "system:authenticated"];

/// The schemas without which a server does not work.
#[must_use]
pub fn mandatory_schemas() -> Vec<Value> {
    vec![
        schema("exempt", "exempt", 1, "", all(&groups(&["system:masters"]))),
        schema(
            "catch-all",
            "catch-all",
            10_000,
            "ByUser",
            all(&groups(&EVERYONE)),
        ),
    ]
}

/// The schemas that upstream suggests.
#[must_use]
pub fn suggested_schemas() -> Vec<Value> {
    let nodes = groups(&["system:nodes"]);
    let manager = users(&["system:kube-controller-manager"]);
    let scheduler = users(&["system:kube-scheduler"]);
    let system_accounts = accounts(&["*"]);
    let probes = json!({
        "subjects": groups(&EVERYONE),
        "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}],
    });
    let mut schemas = elections(&manager, &scheduler);
    let node_rules = [
        resources(&["*"], "", &["nodes", "nodes/status"], "*", true),
        resources(&["*"], "coordination.k8s.io", &["leases"], "*", false),
    ];
    let ordinary = groups(&["system:serviceaccounts"]);
    schemas.extend([
        schema("probes", "exempt", 2, "", probes),
        schema("system-nodes", "system", 500, "ByUser", all(&nodes)),
        schema(
            "system-node-high",
            "node-high",
            400,
            "ByUser",
            some(&nodes, &node_rules),
        ),
        schema(
            "kube-controller-manager",
            "workload-high",
            800,
            "ByNamespace",
            all(&manager),
        ),
        schema(
            "kube-scheduler",
            "workload-high",
            800,
            "ByNamespace",
            all(&scheduler),
        ),
        schema(
            "kube-system-service-accounts",
            "workload-high",
            900,
            "ByNamespace",
            all(&system_accounts),
        ),
        schema("service-accounts", "workload-low", 9000, "ByUser", all(&ordinary)),
        schema(
            "global-default",
            "global-default",
            9900,
            "ByUser",
            all(&groups(&EVERYONE)),
        ),
    ]);
    schemas
}

/// Leaders keep their leases whatever else is asked; who only uses Endpoints does not pass as one.
fn elections(manager: &[Value], scheduler: &[Value]) -> Vec<Value> {
    let verbs = ["get", "create", "update"];
    let leases = resources(&verbs, "coordination.k8s.io", &["leases"], "*", false);
    let locks = resources(&verbs, "", &["endpoints", "configmaps"], "*", false);
    let endpoints = resources(&verbs, "", &["endpoints"], "*", false);
    let leaders = [manager, scheduler, &accounts(&["*"])].concat();
    let endpoint_users = accounts(&["endpoint-controller", "endpointslicemirroring-controller"]);
    let endpoint_users = [manager, &endpoint_users].concat();
    vec![
        schema(
            "system-leader-election",
            "leader-election",
            100,
            "ByUser",
            some(&leaders, std::slice::from_ref(&leases)),
        ),
        schema(
            "endpoint-controller",
            "workload-high",
            150,
            "ByUser",
            some(&endpoint_users, &[endpoints]),
        ),
        schema(
            "workload-leader-election",
            "leader-election",
            200,
            "ByUser",
            some(&accounts(&["*"]), &[locks, leases]),
        ),
    ]
}
