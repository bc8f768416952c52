use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::rest::{self, Part};
use crate::selector::FieldSelector;
use crate::strategy::{Context, UserInfo};
use crate::table::{Include, table};

const NOW: &str = "2026-01-01T00:10:00Z";

fn find(group: &str, plural: &str) -> Resource {
    (**crate::builtin().find(group, "v1", plural).unwrap()).clone()
}

/// Headers of a kind's table, those shown only when wide in brackets.
fn headers(group: &str, plural: &str) -> String {
    let shown = find(group, plural).columns.into_iter().map(|column| {
        if column.priority == 0 {
            column.name.to_string()
        } else {
            format!("[{}]", column.name)
        }
    });
    shown.collect::<Vec<_>>().join(" | ")
}

fn cells(group: &str, plural: &str, object: Value) -> Value {
    let table = table(
        &find(group, plural),
        [&object],
        NOW.parse().unwrap(),
        Include::None,
    );
    table["rows"][0]["cells"].clone()
}

#[test]
fn every_kind_has_upstreams_columns() {
    for (group, plural, expected) in [
        ("", "namespaces", "Name | Status | Age"),
        (
            "",
            "pods",
            "Name | Ready | Status | Restarts | Age | [IP] | [Node] | [Nominated Node] | [Readiness Gates]",
        ),
        (
            "",
            "nodes",
            "Name | Status | Roles | Age | Version | [Internal-IP] | [External-IP] | [OS-Image] | [Kernel-Version] | \
             [Container-Runtime]",
        ),
        ("", "configmaps", "Name | Data | Age"),
        ("", "secrets", "Name | Type | Data | Age"),
        (
            "",
            "services",
            "Name | Type | Cluster-IP | External-IP | Port(s) | Age | [Selector]",
        ),
        ("", "endpoints", "Name | Endpoints | Age"),
        (
            "discovery.k8s.io",
            "endpointslices",
            "Name | AddressType | Ports | Endpoints | Age",
        ),
        (
            "",
            "events",
            "Last Seen | Type | Reason | Object | [Subobject] | [Source] | Message | [First Seen] | [Count] | [Name]",
        ),
        ("coordination.k8s.io", "leases", "Name | Holder | Age"),
        ("", "serviceaccounts", "Name | Secrets | Age"),
        (
            "certificates.k8s.io",
            "certificatesigningrequests",
            "Name | Age | SignerName | Requestor | RequestedDuration | Condition",
        ),
        (
            "apps",
            "deployments",
            "Name | Ready | Up-to-date | Available | Age | [Containers] | [Images] | [Selector]",
        ),
        (
            "apps",
            "replicasets",
            "Name | Desired | Current | Ready | Age | [Containers] | [Images] | [Selector]",
        ),
    ] {
        assert_eq!(headers(group, plural), expected, "{plural}");
    }
}

#[test]
fn names_of_kinds_are_unique_and_complete() {
    let mut seen = BTreeSet::new();
    for resource in builtin() {
        assert!(
            seen.insert((
                resource.group.clone(),
                resource.version.clone(),
                resource.plural.clone()
            )),
            "{}",
            resource.plural
        );
        assert_eq!(resource.list_kind, format!("{}List", resource.kind));
        // A name is one segment of a path at least.
        assert!(!resource.strategy.name_check()("a/b").is_empty());
    }
    let names = |group: &str, plural: &str| {
        let found = find(group, plural);
        let parts: Vec<String> = found
            .subresources
            .iter()
            .map(|part| part.name.to_string())
            .collect();
        parts.join(" ")
    };
    assert_eq!(
        names("", "pods"),
        "status binding eviction log ephemeralcontainers resize exec attach portforward proxy"
    );
    assert_eq!(names("", "namespaces"), "status finalize");
    assert_eq!(names("apps", "deployments"), "status scale");
    assert_eq!(
        names("certificates.k8s.io", "certificatesigningrequests"),
        "status approval"
    );
}

fn meta(name: &str) -> Value {
    json!({"name": name, "creationTimestamp": "2026-01-01T00:08:00Z"})
}

#[test]
fn nodes_show_readiness_roles_and_addresses() {
    let node = json!({
        "metadata": {"name": "n", "creationTimestamp": "2026-01-01T00:08:00Z",
            "labels": {"node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/control-plane": ""}},
        "spec": {"unschedulable": true},
        "status": {
            "conditions": [{"type": "Ready", "status": "Unknown"}],
            "addresses": [{"type": "InternalIP", "address": "10.1.0.2"}],
            "nodeInfo": {"kubeletVersion": "v1.36.0-floe", "osImage": "Debian", "containerRuntimeVersion": "crun://1.8"},
        },
    });
    assert_eq!(
        cells("", "nodes", node),
        json!([
            "n",
            "NotReady,SchedulingDisabled",
            "control-plane,worker",
            "2m",
            "v1.36.0-floe",
            "10.1.0.2",
            "<none>",
            "Debian",
            "<unknown>",
            "crun://1.8"
        ])
    );
    assert_eq!(cells("", "nodes", json!({"metadata": meta("n")}))[1], "Unknown");
}

#[test]
fn services_show_addresses_and_ports_by_type() {
    let service = |spec: Value| {
        let row = cells("", "services", json!({"metadata": meta("s"), "spec": spec}));
        (
            row[2].as_str().unwrap().to_owned(),
            row[3].as_str().unwrap().to_owned(),
            row[4].as_str().unwrap().to_owned(),
        )
    };
    let expect = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
    let ports = json!([{"port": 80, "protocol": "TCP"}, {"port": 53, "nodePort": 30053, "protocol": "UDP"}]);
    assert_eq!(
        service(json!({"type": "ClusterIP", "clusterIPs": ["10.43.0.1"], "ports": ports})),
        expect("10.43.0.1", "<none>", "80/TCP,53:30053/UDP")
    );
    assert_eq!(
        service(json!({"type": "LoadBalancer", "clusterIP": "None"})),
        expect("None", "<pending>", "<none>")
    );
    assert_eq!(
        service(json!({"type": "ExternalName", "externalName": "example.com"})),
        expect("<none>", "example.com", "<none>")
    );
}

#[test]
fn workloads_show_counts_and_templates() {
    let spec = json!({
        "replicas": 3, "selector": {"matchLabels": {"app": "web", "a": "b"}},
        "template": {"spec": {"containers": [{"name": "x", "image": "i:1"}, {"name": "y", "image": "i:2"}]}},
    });
    let object = json!({"metadata": meta("w"), "spec": spec, "status": {
        "replicas": 2, "readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 1}});
    assert_eq!(
        cells("apps", "deployments", object.clone()),
        json!(["w", "1/3", 2, 1, "2m", "x,y", "i:1,i:2", "a=b,app=web"])
    );
    assert_eq!(
        cells("apps", "replicasets", object),
        json!(["w", 3, 2, 1, "2m", "x,y", "i:1,i:2", "a=b,app=web"])
    );
}

#[test]
fn endpoints_show_the_first_three() {
    let addresses: Vec<Value> = (1..=4).map(|n| json!({"ip": format!("10.0.0.{n}")})).collect();
    let object =
        json!({"metadata": meta("e"), "subsets": [{"addresses": addresses, "ports": [{"port": 80}]}]});
    assert_eq!(
        cells("", "endpoints", object)[1],
        "10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 1 more..."
    );
    assert_eq!(
        cells("", "endpoints", json!({"metadata": meta("e")}))[1],
        "<none>"
    );
    let slice = json!({"metadata": meta("e"), "addressType": "IPv4", "ports": [{"port": 80}],
        "endpoints": [{"addresses": ["10.0.0.1"]}]});
    assert_eq!(
        cells("discovery.k8s.io", "endpointslices", slice),
        json!(["e", "IPv4", "80", "10.0.0.1", "2m"])
    );
}

#[test]
fn an_event_reads_the_same_in_both_groups() {
    let mut event = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": meta("e"), "eventTime": "2026-01-01T00:09:00.000000Z",
        "regarding": {"kind": "Pod", "name": "web", "fieldPath": "spec.containers{web}"}, "note": " started ",
        "reason": "Started", "type": "Normal", "reportingController": "floe", "reportingInstance": "n1", "action": "Start",
    });
    let original = event.clone();
    let resource = find("events.k8s.io", "events");
    resource.to_storage(&mut event);
    assert_eq!(event["apiVersion"], "v1");
    assert_eq!(
        cells("", "events", event.clone()),
        json!([
            "60s",
            "Normal",
            "Started",
            "pod/web",
            "spec.containers{web}",
            "floe, n1",
            "started",
            "60s",
            1,
            "e"
        ])
    );
    let selector = FieldSelector::parse("regarding.name=web,reportingController=floe,type!=Warning").unwrap();
    assert!(selector.check(&resource).is_ok());
    assert!(selector.matches(&resource, &event));
    resource.from_storage(&mut event);
    assert_eq!(event, original);
}

#[test]
fn a_repeated_event_shows_when_it_was_last_seen() {
    let event = json!({"metadata": meta("e"), "involvedObject": {"kind": "Node"}, "count": 4, "message": "m",
        "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:09:30Z",
        "source": {"component": "kubelet", "host": "a"}});
    assert_eq!(
        cells("", "events", event),
        json!(["30s", "", "", "node", "", "kubelet, a", "m", "10m", 4, "e"])
    );
}

#[test]
fn a_signing_request_shows_how_far_it_is() {
    let row = |status: Value| {
        let object = json!({"metadata": meta("c"), "spec": {"signerName": "kubernetes.io/kubelet-serving",
            "username": "system:node:a", "expirationSeconds": 3600}, "status": status});
        cells("certificates.k8s.io", "certificatesigningrequests", object)
    };
    assert_eq!(
        row(json!({})),
        json!([
            "c",
            "2m",
            "kubernetes.io/kubelet-serving",
            "system:node:a",
            "60m",
            "Pending"
        ])
    );
    let approved = json!([{"type": "Approved", "status": "True"}]);
    assert_eq!(
        row(json!({"conditions": approved, "certificate": "eA=="}))[5],
        "Approved,Issued"
    );
    assert_eq!(
        row(json!({"conditions": [{"type": "Denied"}, {"type": "Failed"}]}))[5],
        "Denied,Failed"
    );
}

#[test]
fn a_table_carries_as_much_of_its_objects_as_asked_for() {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta("c"), "data": {"k": "v"}});
    let included = |include| {
        table(&find("", "configmaps"), [&object], NOW.parse().unwrap(), include)["rows"][0]
            .get("object")
            .cloned()
    };
    assert_eq!(included(Include::None), None);
    assert_eq!(included(Include::Object), Some(object.clone()));
    let partial =
        json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": meta("c")});
    assert_eq!(included(Include::Metadata), Some(partial));
}

#[test]
fn only_selectable_fields_are_selected_by() {
    let check = |plural: &str, text: &str| {
        let selector = FieldSelector::parse(text).unwrap();
        selector
            .check(&find("", plural))
            .map_err(|error| error.to_string())
    };
    assert_eq!(
        check(
            "pods",
            "metadata.name=a,spec.nodeName=b,spec.hostNetwork=false,status.phase!=Running"
        ),
        Ok(())
    );
    assert_eq!(
        check("pods", "spec.foo=a"),
        Err("field label not supported: spec.foo".to_owned())
    );
    assert_eq!(
        check("configmaps", "data=a"),
        Err(
            "\"data\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
                .to_owned()
        )
    );
    let node = json!({"metadata": {"name": "n"}});
    assert!(
        FieldSelector::parse("spec.unschedulable=false")
            .unwrap()
            .matches(&find("", "nodes"), &node)
    );
}

fn context() -> Context {
    let user = UserInfo {
        username: "system:bootstrap:abcdef".to_owned(),
        groups: vec!["system:bootstrappers".to_owned()],
        ..UserInfo::default()
    };
    Context {
        now: NOW.parse().unwrap(),
        uid: "u".to_owned(),
        suffix: "x".to_owned(),
        user,
    }
}

#[test]
fn a_secrets_plain_strings_become_data() {
    let mut secret =
        json!({"metadata": {"name": "s"}, "data": {"a": "b2xk"}, "stringData": {"a": "new", "b": ""}});
    rest::prepare_create(&find("", "secrets"), &mut secret, "default", &context()).unwrap();
    assert_eq!(secret["data"], json!({"a": "bmV3", "b": ""}));
    assert_eq!(secret["type"], "Opaque");
    assert_eq!(secret.get("stringData"), None);
    let mut other = secret.clone();
    other["type"] = json!("kubernetes.io/ssh-auth");
    let error =
        rest::prepare_update(&find("", "secrets"), Part::Main, &mut other, &secret, &context()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Secret \"s\" is invalid: [type: Invalid value: \"kubernetes.io/ssh-auth\": field is immutable, \
         data[ssh-privatekey]: Required value]"
    );
}

const REQUEST: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlIWE1IOENBUUF3SFRFTk1Bc0dBMVVFQ2d3RVpHVjJjekVNTUFv\
                       R0ExVUVBd3dEWVc1dU1Ga3dFd1lIS29aSQp6ajBDQVFZSUtvWkl6ajBEQVFjRFFnQUVzUU15SVBNUmtsQ29QU2U2QTdHbjcyWlIr\
                       b1VlQldhaXJnQUtyWDNFCkRoOCtxNkdsVGk3RVlpSE9WUjdnMzNqcHgweG5lay9FL2xKNFhVTmY2YUZNTHFBQU1Bb0dDQ3FHU000\
                       OUJBTUMKQTBnQU1FVUNJSG5aYk1XMjNOSnRtN3F2dHZWRno1eGQ2YVFNNHU4Ym1VQVZyczdWZ3RyMkFpRUFreURJeXFsbwpRL29O\
                       UmV1czdudUY0V2ZWd2JSVHhwYUJHWUlZVWQvYi9Jbz0KLS0tLS1FTkQgQ0VSVElGSUNBVEUgUkVRVUVTVC0tLS0tCg==";

#[test]
fn a_signing_request_is_its_senders_and_decided_by_approval_alone() {
    let resource = find("certificates.k8s.io", "certificatesigningrequests");
    let mut request = json!({"metadata": {"name": "csr-1"}, "spec": {
        "request": REQUEST, "signerName": "kubernetes.io/kube-apiserver-client-kubelet", "usages": ["client auth"],
        "username": "admin", "groups": ["system:masters"]}, "status": {"certificate": "eA=="}});
    rest::prepare_create(&resource, &mut request, "", &context()).unwrap();
    assert_eq!(request["spec"]["username"], "system:bootstrap:abcdef");
    assert_eq!(request["spec"]["groups"], json!(["system:bootstrappers"]));
    assert_eq!(request["status"], json!({}));
    let mut approved = request.clone();
    approved["spec"]["usages"] = json!([]);
    approved["status"] =
        json!({"certificate": "eA==", "conditions": [{"type": "Approved", "status": "True"}]});
    rest::prepare_update(
        &resource,
        Part::Sub("approval"),
        &mut approved,
        &request,
        &context(),
    )
    .unwrap();
    assert_eq!(approved["spec"], request["spec"]);
    assert_eq!(
        approved["status"],
        json!({"conditions": [{"type": "Approved", "status": "True", "lastUpdateTime": NOW, "lastTransitionTime": NOW}]})
    );
    let mut plain = approved.clone();
    plain["status"] = json!({});
    rest::prepare_update(&resource, Part::Main, &mut plain, &approved, &context()).unwrap();
    assert_eq!(plain, approved);
}

#[test]
fn a_kind_made_at_run_time_is_served_like_a_built_in_one() {
    let mut registry = crate::builtin();
    let mut custom = find("", "configmaps");
    custom.group = format!("stable.{}", "example.com").into();
    custom.plural = "crontabs".to_owned().into();
    registry.register(custom);
    assert!(registry.find("stable.example.com", "v1", "crontabs").is_some());
    let groups: Vec<String> = registry.groups().into_iter().map(|group| group.name).collect();
    assert!(groups.contains(&"stable.example.com".to_owned()));
    assert!(registry.unregister("stable.example.com", "v1", "crontabs"));
}

/// What field selectors may name beside name and namespace, as upstream's `AddFieldLabelConversionFunc` lists it.
const SELECTABLE: [(&str, &str); 12] = [
    (
        "pods",
        "spec.hostNetwork spec.nodeName spec.restartPolicy spec.schedulerName spec.serviceAccountName \
         status.nominatedNodeName status.phase status.podIP status.podIPs",
    ),
    ("namespaces", "name status.phase"),
    ("nodes", "spec.unschedulable"),
    ("secrets", "type"),
    ("services", "spec.clusterIP spec.type"),
    ("replicationcontrollers", "status.replicas"),
    (
        "events",
        "involvedObject.apiVersion involvedObject.fieldPath involvedObject.kind involvedObject.name \
         involvedObject.namespace involvedObject.resourceVersion involvedObject.uid reason reportingComponent source type",
    ),
    (
        "events.events.k8s.io",
        "reason regarding.apiVersion regarding.fieldPath regarding.kind regarding.name regarding.namespace \
         regarding.resourceVersion regarding.uid reportingController type",
    ),
    ("replicasets.apps", "status.replicas"),
    ("jobs.batch", "status.successful"),
    (
        "certificatesigningrequests.certificates.k8s.io",
        "spec.signerName",
    ),
    ("resourceslices.resource.k8s.io", "spec.driver spec.nodeName"),
];

#[test]
fn field_selectors_name_what_they_name_in_kubernetes_and_nothing_else() {
    for resource in builtin() {
        let name = resource.qualified_name();
        let wanted = SELECTABLE
            .iter()
            .find(|(kind, _)| *kind == name)
            .map_or("", |(_, labels)| labels);
        let mut labels: Vec<&str> = resource.selectable.iter().map(|field| &*field.label).collect();
        labels.sort_unstable();
        assert_eq!(labels.join(" "), wanted, "{name}");
    }
}
