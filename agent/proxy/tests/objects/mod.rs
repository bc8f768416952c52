//! Services and slices as the API writes them.

use agent_proxy::{Service, Slice};
use serde_json::{Value, json};

/// A service in `default` with a cluster address and one TCP port 80, and `more` in its spec.
pub(crate) fn service(name: &str, ip: &str, more: &Value) -> Service {
    let mut spec = json!({
        "type": "ClusterIP",
        "clusterIP": ip,
        "clusterIPs": [ip],
        "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}],
    });
    merge(&mut spec, more);
    let object = json!({"metadata": {"namespace": "default", "name": name}, "spec": spec});
    Service::read(&serde_json::from_value(object).unwrap()).unwrap()
}

/// A slice of `service` whose port `http` is 8080; endpoints are address, node, and `ready`, `ending` or `not`.
pub(crate) fn slice(service: &str, endpoints: &[(&str, &str, &str)]) -> Slice {
    slice_of(service, "http", "TCP", 8080, endpoints)
}

/// A slice with one port.
pub(crate) fn slice_of(
    service: &str,
    port: &str,
    protocol: &str,
    number: u16,
    endpoints: &[(&str, &str, &str)],
) -> Slice {
    let endpoint = |(addr, node, state): &(&str, &str, &str)| {
        let conditions = json!({
            "ready": *state == "ready",
            "serving": *state != "not",
            "terminating": *state == "ending",
        });
        json!({"addresses": [addr], "nodeName": node, "conditions": conditions})
    };
    let object = json!({
        "metadata": {
            "namespace": "default",
            "name": format!("{service}-{port}-x"),
            "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": if endpoints.iter().any(|(addr, ..)| addr.contains(':')) { "IPv6" } else { "IPv4" },
        "ports": [{"name": port, "protocol": protocol, "port": number}],
        "endpoints": endpoints.iter().map(endpoint).collect::<Vec<_>>(),
    });
    Slice::read(&serde_json::from_value(object).unwrap()).unwrap()
}

fn merge(into: &mut Value, more: &Value) {
    for (key, value) in more.as_object().unwrap() {
        into[key] = value.clone();
    }
}
