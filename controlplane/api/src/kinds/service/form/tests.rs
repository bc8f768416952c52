use serde_json::json;

use super::*;

fn stored() -> Value {
    json!({"spec": {
        "type": "NodePort", "externalTrafficPolicy": "Cluster", "selector": {"app": "web"},
        "clusterIP": "10.43.0.5", "clusterIPs": ["10.43.0.5"], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
        "ports": [
            {"name": "a", "port": 80, "protocol": "TCP", "nodePort": 30_001},
            {"name": "b", "port": 81, "protocol": "TCP", "nodePort": 30_002},
        ],
    }})
}

fn updated(change: impl FnOnce(&mut Value)) -> Value {
    let mut new = stored();
    change(&mut new["spec"]);
    update(&mut new, &stored());
    new["spec"].clone()
}

#[test]
fn an_old_client_that_leaves_out_what_was_given_changes_nothing() {
    let kept = updated(|spec| {
        for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            spec.as_object_mut().unwrap().remove(field);
        }
        for port in spec["ports"].as_array_mut().unwrap() {
            port.as_object_mut().unwrap().remove("nodePort");
        }
    });
    assert_eq!(kept, stored()["spec"]);
}

#[test]
fn a_node_port_stays_with_its_name_unless_another_port_took_it() {
    let spec = updated(|spec| {
        spec["ports"] = json!([
            {"name": "a", "port": 90, "protocol": "TCP"},
            {"name": "b", "port": 81, "protocol": "TCP"},
            {"name": "c", "port": 82, "protocol": "TCP", "nodePort": 30_002},
        ]);
    });
    assert_eq!(spec["ports"][0]["nodePort"], 30_001);
    assert_eq!(spec["ports"][1].get("nodePort"), None);
    assert_eq!(spec["ports"][2]["nodePort"], 30_002);
}

#[test]
fn a_type_without_node_ports_drops_those_of_before_and_keeps_what_the_client_wrote() {
    let dropped = updated(|spec| spec["type"] = json!("ClusterIP"));
    assert_eq!(dropped["ports"][0].get("nodePort"), None);
    assert_eq!(dropped.get("externalTrafficPolicy"), None);
    let meant = updated(|spec| {
        spec["type"] = json!("ClusterIP");
        spec["ports"][0]["nodePort"] = json!(30_003);
    });
    assert_eq!(meant["ports"][0]["nodePort"], 30_003);
}

#[test]
fn a_service_that_becomes_a_mere_name_has_no_address_left() {
    let name = updated(|spec| {
        spec["type"] = json!("ExternalName");
        spec["externalName"] = json!("example.com");
    });
    for field in [
        "clusterIP",
        "clusterIPs",
        "ipFamilies",
        "ipFamilyPolicy",
        "externalTrafficPolicy",
    ] {
        assert_eq!(name.get(field), None, "{field}");
    }
}

#[test]
fn either_spelling_of_the_address_changes_both() {
    let one = updated(|spec| spec["clusterIP"] = json!("10.43.0.6"));
    assert_eq!(one["clusterIPs"], json!(["10.43.0.6"]));
}

#[test]
fn families_follow_from_the_addresses_and_the_policy() {
    let created = |spec: Value| {
        let mut service = json!({ "spec": spec });
        create(&mut service);
        let spec = &service["spec"];
        (spec["ipFamilies"].clone(), spec["ipFamilyPolicy"].clone())
    };
    let selector = json!({"app": "web"});
    let single = (json!(["IPv4"]), json!("SingleStack"));
    assert_eq!(
        created(json!({"type": "ClusterIP", "selector": selector})),
        single
    );
    let headless = json!({"type": "ClusterIP", "clusterIP": "None", "selector": selector});
    assert_eq!(created(headless), single);
    assert_eq!(
        created(json!({"type": "ClusterIP", "clusterIP": "None"})),
        (json!(["IPv4", "IPv6"]), json!("RequireDualStack"))
    );
    let preferred = json!({"type": "ClusterIP", "selector": selector, "ipFamilyPolicy": "PreferDualStack"});
    assert_eq!(created(preferred), (json!(["IPv4"]), json!("PreferDualStack")));
}

#[test]
fn single_stack_gives_the_second_family_up() {
    let old = json!({"spec": {
        "type": "ClusterIP", "clusterIP": "None", "clusterIPs": ["None"],
        "ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "RequireDualStack",
    }});
    let mut new = old.clone();
    new["spec"]["ipFamilyPolicy"] = json!("SingleStack");
    update(&mut new, &old);
    assert_eq!(new["spec"]["ipFamilies"], json!(["IPv4"]));
}
