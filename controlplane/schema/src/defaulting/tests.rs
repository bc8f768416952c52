use proptest::prelude::*;
use serde_json::{Value, json};

use crate::builtin;
use crate::sample::object_of;

fn defaulted(group: &str, version: &str, kind: &str, mut object: Value) -> Value {
    builtin()
        .kind(group, version, kind)
        .expect("built-in kind")
        .default(&mut object);
    object
}

/// What `kubectl get pod -o yaml` shows of a pod of one line, status and names aside.
#[test]
fn a_minimal_pod_gets_what_kubernetes_gives_it() {
    let pod = json!({"metadata": {"name": "a"}, "spec": {"containers": [{"name": "a", "image": "nginx"}]}});
    let expected = json!({"metadata": {"name": "a"}, "spec": {
        "containers": [{"name": "a", "image": "nginx", "imagePullPolicy": "Always", "resources": {},
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}],
        "dnsPolicy": "ClusterFirst", "enableServiceLinks": true, "restartPolicy": "Always",
        "schedulerName": "default-scheduler", "securityContext": {}, "terminationGracePeriodSeconds": 30}, "status": {}});
    assert_eq!(defaulted("", "v1", "Pod", pod), expected);
}

/// Templates get no service links, no host ports and no requests from limits: only pods do.
#[test]
fn a_deployment_gets_what_kubernetes_gives_it() {
    let template = json!({"spec": {"hostNetwork": true, "containers": [
        {"name": "a", "image": "nginx:1", "ports": [{"containerPort": 80}], "resources": {"limits": {"cpu": "1"}}}]}});
    let expected = json!({"metadata": {}, "status": {}, "spec": {
        "replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
        "template": {"metadata": {}, "spec": {"hostNetwork": true, "dnsPolicy": "ClusterFirst", "restartPolicy": "Always",
            "schedulerName": "default-scheduler", "securityContext": {}, "terminationGracePeriodSeconds": 30,
            "containers": [{"name": "a", "image": "nginx:1", "imagePullPolicy": "IfNotPresent",
                "ports": [{"containerPort": 80, "protocol": "TCP"}], "resources": {"limits": {"cpu": "1"}},
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}]}}}});
    assert_eq!(
        defaulted(
            "apps",
            "v1",
            "Deployment",
            json!({"spec": {"template": template}})
        ),
        expected
    );
}

/// A field that is a struct in Go is there with its defaults, one that is a pointer is not.
#[test]
fn what_is_a_struct_in_go_is_there_with_its_defaults() {
    let driver = defaulted(
        "storage.k8s.io",
        "v1",
        "CSIDriver",
        json!({"metadata": {"name": "a"}}),
    );
    let expected = json!({"attachRequired": true, "podInfoOnMount": false, "fsGroupPolicy": "ReadWriteOnceWithFSType",
        "requiresRepublish": false, "seLinuxMount": false, "storageCapacity": false, "volumeLifecycleModes": ["Persistent"]});
    assert_eq!(driver["spec"], expected);
    let set = defaulted("apps", "v1", "StatefulSet", json!({}));
    let rolling = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0, "maxUnavailable": 1}});
    assert_eq!(set["spec"]["updateStrategy"], rolling);
    assert_eq!(set["spec"].get("selector"), None, "a pointer");
    let named = json!({"spec": {"updateStrategy": {"type": "RollingUpdate"}}});
    let set = defaulted("apps", "v1", "StatefulSet", named.clone());
    assert_eq!(set["spec"]["updateStrategy"], named["spec"]["updateStrategy"]);
}

#[test]
fn only_a_rolling_update_has_parameters() {
    let strategy = |strategy: Value| {
        let object = defaulted(
            "apps",
            "v1",
            "Deployment",
            json!({"spec": {"strategy": strategy}}),
        );
        object["spec"]["strategy"].clone()
    };
    assert_eq!(strategy(json!({"type": "Recreate"})), json!({"type": "Recreate"}));
    let partial = strategy(json!({"rollingUpdate": {"maxSurge": 1}}));
    assert_eq!(
        partial,
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": "25%"}})
    );
}

#[test]
fn the_pull_policy_follows_the_tag() {
    let table = [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.27", "IfNotPresent"),
        ("registry:5000/nginx", "Always"),
        ("registry:5000/nginx:1", "IfNotPresent"),
        ("nginx@sha256:0123", "IfNotPresent"),
        ("nginx:latest@sha256:0123", "Always"),
        ("", "IfNotPresent"),
    ];
    for (image, policy) in table {
        let pod = json!({"spec": {"containers": [{"image": image}], "initContainers": [{"image": image, "imagePullPolicy": "Never"}],
            "volumes": [{"name": "v", "image": {"reference": image}}]}});
        let spec = defaulted("", "v1", "Pod", pod)["spec"].clone();
        assert_eq!(spec["containers"][0]["imagePullPolicy"], policy, "{image}");
        assert_eq!(spec["initContainers"][0]["imagePullPolicy"], "Never", "{image}");
        assert_eq!(spec["volumes"][0]["image"]["pullPolicy"], policy, "{image}");
    }
}

#[test]
fn a_pod_requests_what_it_is_limited_to() {
    let resources = json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}});
    let pod = json!({"spec": {"containers": [{"resources": resources}], "initContainers": [{"resources": {"limits": {"cpu": "2"}}}]}});
    let spec = defaulted("", "v1", "Pod", pod)["spec"].clone();
    assert_eq!(
        spec["containers"][0]["resources"]["requests"],
        json!({"cpu": "500m", "memory": "1Gi"})
    );
    assert_eq!(
        spec["initContainers"][0]["resources"]["requests"],
        json!({"cpu": "2"})
    );
}

#[test]
fn host_ports_are_container_ports_in_the_hosts_network() {
    let ports = json!([{"containerPort": 80}, {"containerPort": 81, "hostPort": 8081}]);
    let port = |host_network: bool| {
        let pod = json!({"spec": {"hostNetwork": host_network, "containers": [{"ports": ports}]}});
        defaulted("", "v1", "Pod", pod)["spec"]["containers"][0]["ports"].clone()
    };
    let with_host = json!([{"containerPort": 80, "hostPort": 80, "protocol": "TCP"},
        {"containerPort": 81, "hostPort": 8081, "protocol": "TCP"}]);
    assert_eq!(port(true), with_host);
    assert_eq!(port(false)[0], json!({"containerPort": 80, "protocol": "TCP"}));
}

#[test]
fn probes_and_volumes_are_filled_in() {
    let pod = json!({"spec": {
        "containers": [{
            "livenessProbe": {"httpGet": {"port": 80}, "periodSeconds": 0, "timeoutSeconds": 5},
            "startupProbe": {"grpc": {"port": 1}},
            "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}],
        "volumes": [{"name": "a"}, {"name": "b", "configMap": {"name": "c"}}, {"name": "c", "hostPath": {"path": "/"}},
            {"name": "d", "secret": {"secretName": "s", "defaultMode": 0}},
            {"name": "e", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]}});
    let spec = defaulted("", "v1", "Pod", pod)["spec"].clone();
    let container = &spec["containers"][0];
    let expected = json!({"httpGet": {"path": "/", "port": 80, "scheme": "HTTP"}, "periodSeconds": 10, "timeoutSeconds": 5,
        "successThreshold": 1, "failureThreshold": 3});
    assert_eq!(container["livenessProbe"], expected);
    assert_eq!(
        container["startupProbe"]["grpc"],
        json!({"port": 1, "service": ""})
    );
    assert_eq!(container["env"][0]["valueFrom"]["fieldRef"]["apiVersion"], "v1");
    let volumes = json!([{"name": "a", "emptyDir": {}}, {"name": "b", "configMap": {"name": "c", "defaultMode": 420}},
        {"name": "c", "hostPath": {"path": "/", "type": ""}}, {"name": "d", "secret": {"secretName": "s", "defaultMode": 0}},
        {"name": "e", "projected": {"defaultMode": 420, "sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}]}}]);
    assert_eq!(spec["volumes"], volumes);
}

#[test]
fn services_follow_their_type() {
    let spec = |spec: Value| defaulted("", "v1", "Service", json!({"spec": spec}))["spec"].clone();
    let plain = spec(
        json!({"ports": [{"port": 80}, {"port": 81, "targetPort": "web"}, {"port": 82, "targetPort": 0}]}),
    );
    let expected = json!({"type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster", "ports": [
        {"port": 80, "protocol": "TCP", "targetPort": 80}, {"port": 81, "protocol": "TCP", "targetPort": "web"},
        {"port": 82, "protocol": "TCP", "targetPort": 82}]});
    assert_eq!(plain, expected);
    let balancer = spec(json!({"type": "LoadBalancer", "sessionAffinity": "ClientIP"}));
    let expected = json!({"type": "LoadBalancer", "sessionAffinity": "ClientIP", "internalTrafficPolicy": "Cluster",
        "externalTrafficPolicy": "Cluster", "allocateLoadBalancerNodePorts": true,
        "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}}});
    assert_eq!(balancer, expected);
    let external = spec(json!({"type": "ExternalName", "sessionAffinityConfig": {"clientIP": {}}}));
    assert_eq!(
        external,
        json!({"type": "ExternalName", "sessionAffinity": "None"})
    );
}

#[test]
fn a_namespace_is_labelled_with_its_name() {
    let named = defaulted(
        "",
        "v1",
        "Namespace",
        json!({"metadata": {"name": "a", "labels": {"b": "c"}}}),
    );
    assert_eq!(
        named["metadata"]["labels"],
        json!({"b": "c", "kubernetes.io/metadata.name": "a"})
    );
    assert_eq!(named["status"]["phase"], "Active");
    let nameless = defaulted("", "v1", "Namespace", json!({"metadata": {"generateName": "a-"}}));
    assert_eq!(nameless["metadata"], json!({"generateName": "a-"}));
}

#[test]
fn jobs_autoscalers_and_policies_follow_their_other_fields() {
    let job = |spec: Value| defaulted("batch", "v1", "Job", json!({"spec": spec}))["spec"].clone();
    let expected = json!({"completions": 1, "parallelism": 1, "backoffLimit": 6, "completionMode": "NonIndexed",
        "suspend": false, "manualSelector": false, "podReplacementPolicy": "TerminatingOrFailed"});
    let mut bare = job(json!({}));
    let template = bare.as_object_mut().and_then(|spec| spec.remove("template"));
    assert_eq!(template.expect("a struct")["spec"]["restartPolicy"], "Always");
    assert_eq!(bare, expected);
    assert_eq!(job(json!({"parallelism": 3})).get("completions"), None);
    assert_eq!(job(json!({"backoffLimitPerIndex": 1}))["backoffLimit"], i32::MAX);
    let policy = defaulted(
        "networking.k8s.io",
        "v1",
        "NetworkPolicy",
        json!({"spec": {"egress": [{}]}}),
    );
    assert_eq!(policy["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
    let scaler = defaulted(
        "autoscaling",
        "v2",
        "HorizontalPodAutoscaler",
        json!({"spec": {}}),
    );
    assert_eq!(
        scaler["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"],
        80
    );
    let labels = defaulted(
        "batch",
        "v1",
        "Job",
        json!({"spec": {"template": {"metadata": {"labels": {"a": "b"}}}}}),
    );
    assert_eq!(labels["metadata"]["labels"], json!({"a": "b"}));
}

#[test]
fn kinds_without_defaults_stay_as_they_are() {
    for (group, kind) in [
        ("coordination.k8s.io", "Lease"),
        ("certificates.k8s.io", "CertificateSigningRequest"),
        ("", "Node"),
    ] {
        let object = json!({"metadata": {"name": "a"}, "spec": {}});
        let mut found = defaulted(group, "v1", kind, object.clone());
        let status = found.as_object_mut().and_then(|found| found.remove("status"));
        assert!(status.is_none_or(|status| {
            status
                .as_object()
                .is_some_and(|status| !status.contains_key("phase"))
        }));
        assert_eq!(found, object, "{kind}");
    }
    assert_eq!(defaulted("", "v1", "Secret", json!({}))["type"], "Opaque");
}

proptest! {
    #[test]
    fn defaulting_twice_changes_nothing_more((kind, object) in object_of(&["Pod", "Deployment", "Service", "Job", "Namespace", "LimitRange"])) {
        let schema = kind.schema();
        let mut once = object;
        schema.prune(&mut once);
        schema.default(&mut once);
        let mut twice = once.clone();
        schema.default(&mut twice);
        prop_assert_eq!(&twice, &once);
        prop_assert_eq!(schema.unknown_fields(&once), Vec::<String>::new());
    }
}
