use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn pod(spec: Value) -> Pod {
    let mut spec = spec;
    let containers = spec.as_object_mut().unwrap();
    containers.entry("containers").or_insert(json!([{"name": "c"}]));
    serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap()
}

fn asking(cpu: &str, memory: &str) -> Pod {
    let requests = json!({"requests": {"cpu": cpu, "memory": memory}});
    pod(json!({"containers": [{"name": "c", "resources": requests}]}))
}

struct Node {
    labels: BTreeMap<String, String>,
    taints: Vec<Taint>,
    allocatable: Amounts,
}

impl Node {
    fn new() -> Self {
        let pair = |name: &str, amount: u64| (name.to_owned(), amount);
        Self {
            labels: BTreeMap::from([
                ("disk".to_owned(), "ssd".to_owned()),
                ("size".to_owned(), "7".to_owned()),
            ]),
            taints: Vec::new(),
            allocatable: Amounts::from([pair("cpu", 2000), pair("memory", 1 << 30), pair("pods", 3)]),
        }
    }

    fn says(&self, pod: &Pod, others: &[Pod]) -> Option<(String, String)> {
        let facts = NodeFacts {
            name: "n",
            labels: &self.labels,
            taints: &self.taints,
            allocatable: &self.allocatable,
        };
        let refused = admit(pod, &facts, others.iter()).err()?;
        Some((refused.reason, refused.message))
    }

    fn reason(&self, spec: Value) -> Option<String> {
        self.says(&pod(spec), &[]).map(|(reason, _)| reason)
    }
}

#[test]
fn what_the_node_cannot_promise_any_more_is_named_with_the_numbers() {
    let node = Node::new();
    let others = [asking("1500m", "1Mi")];
    assert_eq!(node.says(&asking("500m", "1Mi"), &others), None);
    let (reason, message) = node.says(&asking("501m", "1Mi"), &others).unwrap();
    assert_eq!(reason, "OutOfcpu");
    assert_eq!(
        message,
        "Node didn't have enough resource: cpu, requested: 501, used: 1500, capacity: 2000"
    );
    assert_eq!(node.says(&asking("1m", "2Gi"), &[]).unwrap().0, "OutOfmemory");
}

#[test]
fn a_full_node_takes_no_more_pods_even_if_they_ask_for_nothing() {
    let node = Node::new();
    let empty = || pod(json!({}));
    assert_eq!(node.says(&empty(), &[empty(), empty()]), None);
    let (reason, message) = node.says(&empty(), &[empty(), empty(), empty()]).unwrap();
    assert_eq!(reason, "OutOfpods");
    assert_eq!(
        message,
        "Node didn't have enough resource: pods, requested: 1, used: 3, capacity: 3"
    );
}

#[test]
fn a_resource_that_the_node_does_not_know_is_left_to_whoever_brings_it() {
    let requests = json!({"requests": {"example.com/thing": "1"}});
    assert_eq!(
        Node::new().reason(json!({"containers": [{"name": "c", "resources": requests}]})),
        None
    );
}

#[test]
fn a_node_selector_and_required_affinity_must_match() {
    let node = Node::new();
    assert_eq!(node.reason(json!({"nodeSelector": {"disk": "ssd"}})), None);
    let refused = node
        .says(&pod(json!({"nodeSelector": {"disk": "tape"}})), &[])
        .unwrap();
    assert_eq!(refused.0, "NodeAffinity");
    assert_eq!(
        refused.1,
        "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
    );
    let required = |terms: Value| {
        let required = json!({"nodeSelectorTerms": terms});
        node.reason(json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}}))
    };
    let wish = |key: &str, operator: &str, values: &[&str]| json!([{"key": key, "operator": operator, "values": values}]);
    for (expressions, fits) in [
        (wish("disk", "In", &["ssd", "tape"]), true),
        (wish("disk", "NotIn", &["ssd"]), false),
        (wish("other", "NotIn", &["x"]), true),
        (wish("disk", "Exists", &[]), true),
        (wish("disk", "DoesNotExist", &[]), false),
        (wish("size", "Gt", &["6"]), true),
        (wish("size", "Lt", &["7"]), false),
        (wish("disk", "Gt", &["6"]), false),
    ] {
        let reason = required(json!([{"matchExpressions": expressions}]));
        assert_eq!(reason.is_none(), fits, "{expressions}");
    }
    assert_eq!(
        required(json!([{"matchFields": wish("metadata.name", "In", &["n"])}])),
        None
    );
    assert!(
        required(json!([{}])).is_some(),
        "a term without requirements matches nothing"
    );
    let either = json!([{"matchFields": wish("metadata.name", "In", &["m"])}, {"matchExpressions": wish("disk", "Exists", &[])}]);
    assert_eq!(required(either), None);
}

#[test]
fn a_port_of_the_node_is_given_once() {
    let node = Node::new();
    let with_port = |port: Value| pod(json!({"containers": [{"name": "c", "ports": [port]}]}));
    let holder = [with_port(json!({"containerPort": 80, "hostPort": 8080}))];
    let reason = |port: Value| node.says(&with_port(port), &holder).map(|(reason, _)| reason);
    assert_eq!(
        reason(json!({"containerPort": 1, "hostPort": 8080})),
        Some("NodePorts".to_owned())
    );
    assert_eq!(
        reason(json!({"containerPort": 1, "hostPort": 8080, "hostIP": "10.0.0.1"})),
        Some("NodePorts".to_owned())
    );
    assert_eq!(
        reason(json!({"containerPort": 1, "hostPort": 8080, "protocol": "UDP"})),
        None
    );
    assert_eq!(reason(json!({"containerPort": 8080})), None);
}

#[test]
fn another_operating_system_an_unsafe_sysctl_and_a_taint_that_evicts_are_refused() {
    let mut node = Node::new();
    assert_eq!(
        node.reason(json!({"os": {"name": "windows"}})),
        Some("PodOSNotSupported".to_owned())
    );
    let selector = json!({"nodeSelector": {"kubernetes.io/os": "windows"}});
    assert_eq!(
        node.reason(selector),
        Some("PodOSSelectorNodeLabelDoesNotMatch".to_owned())
    );
    let sysctl = |name: &str| json!({"securityContext": {"sysctls": [{"name": name, "value": "1"}]}});
    assert_eq!(
        node.reason(sysctl("kernel.msgmax")),
        Some("SysctlForbidden".to_owned())
    );
    assert_eq!(node.reason(sysctl("net/ipv4/tcp_syncookies")), None);
    node.taints = vec![Taint {
        key: "gone".to_owned(),
        effect: "NoExecute".to_owned(),
        ..Taint::default()
    }];
    assert_eq!(node.reason(json!({})), Some("TaintToleration".to_owned()));
    let tolerations = json!({"tolerations": [{"key": "gone", "operator": "Exists"}]});
    assert_eq!(node.reason(tolerations), None);
}

#[test]
fn a_pod_bound_to_another_node_is_refused() {
    assert_eq!(
        Node::new().reason(json!({"nodeName": "m"})),
        Some("NodeName".to_owned())
    );
    assert_eq!(Node::new().reason(json!({"nodeName": "n"})), None);
}

proptest! {
    #[test]
    fn admitted_pods_never_ask_for_more_than_there_is(cpus in prop::collection::vec(0_u64..1500, 1..12)) {
        let mut node = Node::new();
        node.allocatable.insert("pods".to_owned(), 100);
        let mut taken: Vec<Pod> = Vec::new();
        for cpu in cpus {
            let pod = asking(&format!("{cpu}m"), "0");
            if node.says(&pod, &taken).is_none() {
                taken.push(pod);
            }
        }
        let used: u64 = taken.iter().filter_map(|pod| requests(pod.spec.as_ref()?).get("cpu").copied()).sum();
        prop_assert!(used <= 2000);
    }
}
