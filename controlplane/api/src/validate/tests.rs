use serde_json::{Value, json};

use super::*;
use crate::field::FieldError;

/// Puts `value` at a JSON pointer, making what is missing on the way; one past a list's end appends.
pub(super) fn set(object: &mut Value, pointer: &str, value: Value) {
    let mut place = object;
    for part in pointer.split('/').skip(1) {
        place = match (place, part.parse::<usize>()) {
            (Value::Array(list), Ok(index)) => {
                if index == list.len() {
                    list.push(Value::Null);
                }
                &mut list[index]
            }
            (place, _) => crate::meta::member_mut(place, part),
        };
    }
    *place = value;
}

pub(super) fn lines(errors: impl IntoIterator<Item = FieldError>) -> Vec<String> {
    errors.into_iter().map(|error| error.to_string()).collect()
}

fn deployment() -> Value {
    json!({"spec": {
        "replicas": 1,
        "selector": {"matchLabels": {"app": "web"}},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
        "progressDeadlineSeconds": 600,
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {
                "restartPolicy": "Always", "dnsPolicy": "ClusterFirst",
                "containers": [{"name": "web", "image": "nginx", "imagePullPolicy": "Always", "terminationMessagePolicy": "File"}],
            },
        },
    }})
}

#[test]
fn mistakes_in_deployments_are_named() {
    assert_eq!(workload::deployment(&deployment()), []);
    for (pointer, value, message) in [
        (
            "/spec/template/metadata/labels",
            json!({"app": "db"}),
            "spec.template.metadata.labels: Invalid value: {\"app\":\"db\"}: `selector` does not match template `labels`",
        ),
        (
            "/spec/replicas",
            json!(-1),
            "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            "/spec/strategy/rollingUpdate",
            json!({"maxSurge": 0, "maxUnavailable": "0%"}),
            "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"0%\": may not be 0 when `maxSurge` is 0",
        ),
        (
            "/spec/strategy/type",
            json!("Recreate"),
            "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
        ),
        (
            "/spec/template/spec/restartPolicy",
            json!("Never"),
            "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"",
        ),
        (
            "/spec/template/spec/containers/0/image",
            json!(""),
            "spec.template.spec.containers[0].image: Required value",
        ),
        (
            "/spec/minReadySeconds",
            json!(600),
            "spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds",
        ),
    ] {
        let mut object = deployment();
        set(&mut object, pointer, value);
        assert_eq!(lines(workload::deployment(&object)), [message], "{pointer}");
    }
}

#[test]
fn a_selector_never_changes() {
    let mut new = deployment();
    set(&mut new, "/spec/selector/matchLabels/app", json!("db"));
    assert_eq!(
        lines(workload::selector_changed(&new, &deployment())),
        ["spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"db\"}}: field is immutable"]
    );
}

#[test]
fn mistakes_in_config_maps_and_secrets_are_named() {
    assert_eq!(
        lines(data::config_map(&json!({"data": {"a b": "x"}}))),
        [
            "data[a b]: Invalid value: \"a b\": a valid config key must consist of alphanumeric characters, '-', '_' or \
          '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
        ]
    );
    assert_eq!(
        lines(data::config_map(
            &json!({"data": {"a": "x"}, "binaryData": {"a": "eA=="}})
        )),
        ["data[a]: Invalid value: \"a\": duplicate of key present in binaryData"]
    );
    assert_eq!(
        lines(data::config_map(
            &json!({"data": {"a": "x".repeat(1024 * 1024 + 1)}})
        )),
        [": Too long: may not be more than 1048576 bytes"]
    );
    assert_eq!(
        lines(data::secret(
            &json!({"type": "kubernetes.io/tls", "data": {"tls.crt": "eA=="}})
        )),
        ["data[tls.key]: Required value"]
    );
    let frozen = json!({"immutable": true, "data": {"a": "x"}});
    assert_eq!(
        lines(data::frozen(&json!({"data": {"a": "y"}}), &frozen, &["data"])),
        [
            "immutable: Forbidden: field is immutable when `immutable` is set",
            "data: Forbidden: field is immutable when `immutable` is set",
        ]
    );
}

#[test]
fn endpoints_may_not_point_at_the_node_itself() {
    for (address, rule) in [
        (
            "127.0.0.1",
            "may not be in the loopback range (127.0.0.0/8, ::1/128)",
        ),
        (
            "169.254.169.254",
            "may not be in the link-local range (169.254.0.0/16, fe80::/10)",
        ),
        (
            "224.0.0.1",
            "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)",
        ),
        ("0.0.0.0", "may not be unspecified (0.0.0.0)"),
    ] {
        let object = json!({"subsets": [{"addresses": [{"ip": address}], "ports": [{"port": 80, "protocol": "TCP"}]}]});
        let message = format!("subsets[0].addresses[0].ip: Invalid value: \"{address}\": {rule}");
        assert_eq!(lines(endpoints::subsets(&object, None)), [message]);
        let slice = json!({"addressType": "IPv4", "endpoints": [{"addresses": [address]}], "ports": []});
        let message = format!("endpoints[0].addresses[0]: Invalid value: \"{address}\": {rule}");
        assert_eq!(lines(endpoints::slice(&slice, None)), [message]);
    }
}

#[test]
fn mistakes_in_endpoint_slices_are_named() {
    let slice = json!({
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.42.0.2"], "hostname": "web-0", "nodeName": "a", "hints": {"forZones": [{"name": "x"}]}}],
        "ports": [{"name": "http", "port": 80, "protocol": "TCP", "appProtocol": "kubernetes.io/h2c"}],
    });
    assert_eq!(endpoints::slice(&slice, None), []);
    for (pointer, value, message) in [
        ("/addressType", json!(""), "addressType: Required value"),
        (
            "/endpoints/0/addresses",
            json!([]),
            "endpoints[0].addresses: Required value: must contain at least 1 address",
        ),
        (
            "/endpoints/0/addresses/0",
            json!("fd00::1"),
            "endpoints[0].addresses: Invalid value: \"fd00::1\": must be an IPv4 address",
        ),
        (
            "/endpoints/0/hints/forZones/1",
            json!({"name": "x"}),
            "endpoints[0].hints.forZones[1].name: Duplicate value: \"x\"",
        ),
        (
            "/ports/1",
            json!({"name": "http", "protocol": "UDP"}),
            "ports[1].name: Duplicate value: \"http\"",
        ),
    ] {
        let mut bad = slice.clone();
        set(&mut bad, pointer, value);
        assert_eq!(lines(endpoints::slice(&bad, None)), [message], "{pointer}");
    }
    let mut named = slice.clone();
    set(&mut named, "/endpoints/0/hostname", json!("Web"));
    assert!(
        lines(endpoints::slice(&named, None))[0].starts_with("endpoints[0].hostname: Invalid value: \"Web\"")
    );
    assert_eq!(
        endpoints::slice(&named, Some(&named)),
        [],
        "what is there may stay"
    );
}

#[test]
fn a_certificate_once_issued_and_a_decision_once_made_stay() {
    let condition = |kind: &str| json!({"type": kind, "status": "True"});
    let old = json!({"status": {"certificate": "b2xk", "conditions": [condition("Approved")]}});
    let new = json!({"status": {"certificate": "bmV3", "conditions": [condition("Denied")]}});
    assert_eq!(
        lines(signing::status_update(&new, &old)),
        [
            "status.conditions: Forbidden: updates may not remove a condition of type \"Approved\"",
            "status.conditions: Forbidden: updates may not add a condition of type \"Denied\"",
            "status.certificate: Forbidden: updates may not modify existing certificate content",
        ]
    );
    let both = json!({"status": {"conditions": [condition("Approved"), condition("Denied")]}});
    assert_eq!(
        lines(signing::approval_update(&both, &json!({}))),
        [
            "status.conditions[1].type: Invalid value: \"Denied\": Approved and Denied conditions are mutually exclusive"
        ]
    );
}

#[test]
fn mistakes_in_signing_requests_are_named() {
    let request = json!({"spec": {"request": "eA==", "signerName": "kubelet", "usages": ["client auth", "x"], "expirationSeconds": 5}});
    let found = lines(signing::request(&request));
    assert_eq!(
        found[0],
        "spec.request: Invalid value: \"eA==\": PEM block type must be CERTIFICATE REQUEST"
    );
    assert!(found[1].starts_with("spec.usages[1]: Unsupported value: \"x\": supported values: \"any\","));
    assert_eq!(
        found[2..],
        [
            "spec.signerName: Invalid value: \"kubelet\": must be a fully qualified domain and path of the form \
             'example.com/signer-name'",
            "spec.expirationSeconds: Invalid value: 5: may not specify a duration less than 600 seconds (10 minutes)",
        ]
    );
}

#[test]
fn mistakes_in_nodes_are_named() {
    let node = json!({"spec": {
        "unschedulable": true,
        "taints": [{"key": "a", "value": "b", "effect": "NoSchedule"}, {"key": "a", "effect": "NoExecute"}],
    }, "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]}});
    assert_eq!(node::node(&node, None), []);
    for (pointer, value, message) in [
        (
            "/spec/taints/0/effect",
            json!(""),
            "metadata.taints[0].effect: Required value",
        ),
        (
            "/spec/taints/0/effect",
            json!("Never"),
            "metadata.taints[0].effect: Unsupported value: \"Never\": supported values: \"NoSchedule\", \
             \"PreferNoSchedule\", \"NoExecute\"",
        ),
        (
            "/spec/taints/1",
            json!({"key": "a", "effect": "NoSchedule"}),
            "metadata.taints[1]: Duplicate value: {\"Key\":\"a\",\"Value\":\"\",\"Effect\":\"NoSchedule\",\"TimeAdded\":null}: taints must be unique by key \
             and effect pair",
        ),
        (
            "/spec/podCIDRs",
            json!(["10.42.0.0/24", "10.42.1.0/24"]),
            "spec.podCIDRs: Invalid value: [\"10.42.0.0/24\",\"10.42.1.0/24\"]: may specify no more than one CIDR for each IP \
             family",
        ),
    ] {
        let mut bad = node.clone();
        set(&mut bad, pointer, value);
        let errors = node::node(&bad, None);
        assert_eq!(lines(errors), [message], "{pointer}");
    }
}

#[test]
fn a_node_keeps_its_pod_network_and_provider_for_life() {
    let twice = json!({"status": {"addresses": [
        {"type": "InternalIP", "address": "10.0.0.1"}, {"type": "InternalIP", "address": "10.0.0.1"},
    ]}});
    assert_eq!(
        lines(node::update(&twice, &json!({}))),
        ["status.addresses[1]: Duplicate value: {\"Type\":\"InternalIP\",\"Address\":\"10.0.0.1\"}"]
    );
    let old =
        json!({"spec": {"podCIDR": "10.42.0.0/24", "podCIDRs": ["10.42.0.0/24"], "providerID": "x://1"}});
    let fresh = json!({"spec": {}});
    assert_eq!(node::update(&old, &fresh), []);
    assert_eq!(node::update(&old, &old), []);
    assert_eq!(
        lines(node::update(&fresh, &old)),
        [
            "spec.podCIDRs: Forbidden: node updates may not change podCIDR except from \"\" to valid",
            "spec.providerID: Forbidden: node updates may not change providerID except from \"\" to valid",
        ]
    );
}
