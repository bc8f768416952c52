use serde_json::json;

use super::*;
use crate::validate::tests::{lines, set};

fn a_service() -> Value {
    json!({"spec": {
        "type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster",
        "clusterIP": "10.43.0.5", "clusterIPs": ["10.43.0.5"], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
        "selector": {"app": "web"},
        "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 80}],
    }})
}

fn a_node_port() -> Value {
    let mut object = a_service();
    set(&mut object, "/spec/type", json!("NodePort"));
    set(&mut object, "/spec/externalTrafficPolicy", json!("Cluster"));
    set(&mut object, "/spec/ports/0/nodePort", json!(30_080));
    object
}

fn a_load_balancer() -> Value {
    let mut object = a_node_port();
    set(&mut object, "/spec/type", json!("LoadBalancer"));
    set(&mut object, "/spec/allocateLoadBalancerNodePorts", json!(true));
    object
}

fn a_name() -> Value {
    json!({"spec": {"type": "ExternalName", "externalName": "db.example.com.", "sessionAffinity": "None"}})
}

/// Checks that `valid` is valid, and that each change makes exactly the mistake it names.
#[track_caller]
fn mistakes(valid: &Value, changes: &[(&str, Value, &str)]) {
    assert_eq!(create(valid), []);
    for (pointer, value, message) in changes {
        let mut object = valid.clone();
        set(&mut object, pointer, value.clone());
        assert_eq!(lines(create(&object)), [*message], "{pointer}");
    }
}

#[test]
fn mistakes_in_ports_are_named() {
    mistakes(
        &a_service(),
        &[
            ("/spec/ports", json!([]), "spec.ports: Required value"),
            (
                "/spec/ports/0/port",
                json!(0),
                "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
            ),
            (
                "/spec/ports/0/targetPort",
                json!("80"),
                "spec.ports[0].targetPort: Invalid value: \"80\": must contain at least one letter (a-z)",
            ),
            (
                "/spec/ports/0/protocol",
                json!("ICMP"),
                "spec.ports[0].protocol: Unsupported value: \"ICMP\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
            ),
            (
                "/spec/ports/0/nodePort",
                json!(30_000),
                "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
            ),
            (
                "/spec/ports/1",
                json!({"port": 81, "protocol": "TCP"}),
                "spec.ports[1].name: Required value",
            ),
            (
                "/spec/ports/1",
                json!({"name": "http", "port": 81, "protocol": "TCP"}),
                "spec.ports[1].name: Duplicate value: \"http\"",
            ),
            (
                "/spec/ports/1",
                json!({"name": "b", "port": 80, "protocol": "TCP"}),
                "spec.ports[1]: Duplicate value: {\"Name\":\"\",\"Protocol\":\"TCP\",\"AppProtocol\":null,\"Port\":80,\"TargetPort\":0,\"NodePort\":0}",
            ),
        ],
    );
}

#[test]
fn a_port_may_be_opened_once_for_each_protocol() {
    let mut both = a_node_port();
    let udp = json!({"name": "udp", "port": 80, "protocol": "UDP", "nodePort": 30_080});
    set(&mut both, "/spec/ports/1", udp);
    assert_eq!(create(&both), []);
    let twice = json!({"name": "b", "port": 81, "protocol": "TCP", "nodePort": 30_080});
    mistakes(
        &a_node_port(),
        &[(
            "/spec/ports/1",
            twice,
            "spec.ports[1].nodePort: Duplicate value: 30080",
        )],
    );
}

#[test]
fn mistakes_in_addresses_are_named() {
    mistakes(
        &a_service(),
        &[
            (
                "/spec/clusterIPs",
                json!(["10.43.0.6"]),
                "spec.clusterIPs: Invalid value: [\"10.43.0.6\"]: first value must match `clusterIP`",
            ),
            (
                "/spec/clusterIP",
                json!(""),
                "spec.clusterIPs: Invalid value: [\"10.43.0.5\"]: must be empty when `clusterIP` is not specified",
            ),
            ("/spec/clusterIPs", json!([]), "spec.clusterIPs: Required value"),
            (
                "/spec/ipFamilies/0",
                json!("IPv5"),
                "spec.ipFamilies[0]: Unsupported value: \"IPv5\": supported values: \"IPv4\", \"IPv6\"",
            ),
            (
                "/spec/ipFamilyPolicy",
                json!("RequireDualStack"),
                "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": this cluster is not configured for dual-stack \
                 services",
            ),
        ],
    );
}

#[test]
fn an_address_must_be_one_and_of_a_family_that_the_cluster_has() {
    let with = |ips: Value, families: Value| {
        let mut object = a_service();
        set(&mut object, "/spec/clusterIP", ips[0].clone());
        set(&mut object, "/spec/clusterIPs", ips);
        set(&mut object, "/spec/ipFamilies", families);
        lines(create(&object))
    };
    assert_eq!(
        with(json!(["x"]), json!(["IPv4"])),
        [
            "spec.clusterIPs[0]: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
        ]
    );
    assert_eq!(
        with(json!(["fd00::5"]), json!(["IPv4"])),
        [
            "spec.clusterIPs[0]: Invalid value: \"fd00::5\": expected an IPv4 value as indicated by `ipFamilies[0]`",
        ]
    );
    assert_eq!(
        with(json!(["10.43.0.5"]), json!(["IPv4", "IPv6"])),
        [
            "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be RequireDualStack or PreferDualStack when multiple \
             ipFamilies are specified",
            "spec.ipFamilies[1]: Invalid value: \"IPv6\": not configured on this cluster",
        ]
    );
    assert_eq!(
        with(json!(["None", "10.43.0.5"]), json!(["IPv4"]))[0],
        "spec.clusterIPs: Invalid value: [\"None\",\"10.43.0.5\"]: 'None' must be the first and only value"
    );
}

#[test]
fn mistakes_in_affinity_are_named() {
    let mut sticky = a_service();
    set(&mut sticky, "/spec/sessionAffinity", json!("ClientIP"));
    set(
        &mut sticky,
        "/spec/sessionAffinityConfig",
        json!({"clientIP": {"timeoutSeconds": 86_400}}),
    );
    mistakes(
        &sticky,
        &[
            (
                "/spec/sessionAffinityConfig",
                json!(null),
                "spec.sessionAffinityConfig: Required value: when session affinity type is ClientIP",
            ),
            (
                "/spec/sessionAffinityConfig/clientIP/timeoutSeconds",
                json!(86_401),
                "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 86401: must be greater than 0 and less \
                 than 86400",
            ),
            (
                "/spec/sessionAffinity",
                json!("None"),
                "spec.sessionAffinityConfig: Forbidden: must not be set when session affinity is None",
            ),
            (
                "/spec/sessionAffinity",
                json!("Cookie"),
                "spec.sessionAffinity: Unsupported value: \"Cookie\": supported values: \"ClientIP\", \"None\"",
            ),
        ],
    );
}

#[test]
fn mistakes_in_traffic_policies_are_named() {
    mistakes(
        &a_service(),
        &[
            (
                "/spec/externalTrafficPolicy",
                json!("Local"),
                "spec.externalTrafficPolicy: Invalid value: \"Local\": may only be set for externally-accessible services",
            ),
            (
                "/spec/internalTrafficPolicy",
                json!("Global"),
                "spec.internalTrafficPolicy: Unsupported value: \"Global\": supported values: \"Cluster\", \"Local\"",
            ),
            (
                "/spec/healthCheckNodePort",
                json!(30_000),
                "spec.healthCheckNodePort: Invalid value: 30000: may only be set when `type` is 'LoadBalancer' and \
                 `externalTrafficPolicy` is 'Local'",
            ),
            (
                "/spec/loadBalancerSourceRanges",
                json!(["10.0.0.0/8"]),
                "spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'",
            ),
            (
                "/spec/trafficDistribution",
                json!("Nearest"),
                "spec.trafficDistribution: Unsupported value: \"Nearest\": supported values: \"PreferClose\", \
                 \"PreferSameZone\", \"PreferSameNode\"",
            ),
        ],
    );
    mistakes(
        &a_node_port(),
        &[(
            "/spec/externalTrafficPolicy",
            json!(""),
            "spec.externalTrafficPolicy: Required value",
        )],
    );
}

#[test]
fn mistakes_in_load_balancers_are_named() {
    mistakes(
        &a_load_balancer(),
        &[
            (
                "/spec/externalIPs",
                json!(["127.0.0.1"]),
                "spec.externalIPs[0]: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
            ),
            (
                "/spec/loadBalancerSourceRanges",
                json!(["10.0.0.0"]),
                "spec.LoadBalancerSourceRanges[0]: Invalid value: \"10.0.0.0\": must be a valid CIDR value, (e.g. \
                 10.9.8.0/24 or 2001:db8::/64)",
            ),
        ],
    );
}

#[test]
fn a_mere_name_has_nothing_else() {
    mistakes(
        &a_name(),
        &[
            (
                "/spec/externalName",
                json!(""),
                "spec.externalName: Required value",
            ),
            (
                "/spec/clusterIPs",
                json!(["None"]),
                "spec.clusterIPs: Forbidden: may not be set for ExternalName services",
            ),
            (
                "/spec/ipFamilyPolicy",
                json!("SingleStack"),
                "spec.ipFamilyPolicy: Forbidden: may not be set for ExternalName services",
            ),
        ],
    );
}

#[test]
fn a_headless_service_needs_no_ports_and_opens_none() {
    let mut headless = a_service();
    set(&mut headless, "/spec/clusterIP", json!("None"));
    set(&mut headless, "/spec/clusterIPs", json!(["None"]));
    set(&mut headless, "/spec/ports", json!([]));
    assert_eq!(create(&headless), []);
    set(&mut headless, "/spec/type", json!("NodePort"));
    set(&mut headless, "/spec/externalTrafficPolicy", json!("Cluster"));
    assert_eq!(
        lines(create(&headless)),
        ["spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services"]
    );
}

#[test]
fn what_a_service_keeps_for_life_is_named() {
    let old = a_service();
    let changed = |pointer: &str, value: Value| {
        let mut new = old.clone();
        set(&mut new, pointer, value);
        lines(update(&new, &old))
    };
    assert_eq!(
        changed("/spec/clusterIPs", json!(["10.43.0.6"])),
        ["spec.clusterIPs[0]: Invalid value: [\"10.43.0.6\"]: may not change once set"]
    );
    assert_eq!(
        changed("/spec/clusterIPs", json!([])),
        ["spec.clusterIPs[0]: Invalid value: []: primary clusterIP can not be unset"]
    );
    assert_eq!(
        changed("/spec/ipFamilies", json!(["IPv6"])),
        ["spec.ipFamilies[0]: Invalid value: [\"IPv6\"]: may not change once set"]
    );
    assert_eq!(update(&a_name(), &old), [], "a mere name gives its address back");
    assert_eq!(
        update(&old, &a_name()),
        [],
        "and gets one when it is none any more"
    );
}

#[test]
fn only_load_balancers_report_where_they_are_reached() {
    let ingress = json!([{"ip": "192.0.2.1", "ipMode": "VIP"}]);
    let mut object = a_load_balancer();
    set(&mut object, "/status/loadBalancer/ingress", ingress.clone());
    assert_eq!(status(&object, &object), []);
    set(
        &mut object,
        "/status/loadBalancer/ingress/0/hostname",
        json!("192.0.2.1"),
    );
    assert_eq!(
        lines(status(&object, &object)),
        [
            "status.loadBalancer.ingress[0].hostname: Invalid value: \"192.0.2.1\": must be a DNS name, not an IP address"
        ]
    );
    let mut plain = a_service();
    set(&mut plain, "/status/loadBalancer/ingress", ingress);
    assert_eq!(
        lines(status(&plain, &plain)),
        ["status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is 'LoadBalancer'"]
    );
}

#[test]
fn fields_without_effect_are_warned_of() {
    let mut headless = a_service();
    set(&mut headless, "/spec/clusterIP", json!("None"));
    set(&mut headless, "/spec/sessionAffinity", json!("ClientIP"));
    assert_eq!(
        warnings(&headless),
        ["spec.SessionAffinity is ignored for headless services"]
    );
    assert!(warnings(&a_service()).is_empty());
}
