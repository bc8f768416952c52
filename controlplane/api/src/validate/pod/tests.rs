use serde_json::{Value, json};

use super::*;

fn container() -> Value {
    json!({
        "name": "web", "image": "nginx", "imagePullPolicy": "Always", "terminationMessagePolicy": "File",
        "resources": {},
    })
}

fn valid() -> Value {
    json!({
        "metadata": {"name": "web"},
        "spec": {"containers": [container()], "restartPolicy": "Always", "dnsPolicy": "ClusterFirst"},
    })
}

/// The messages for a valid pod in which the value at `pointer` is `value`.
fn with(pointer: &str, value: Value) -> Vec<String> {
    let mut pod = valid();
    crate::validate::tests::set(&mut pod, pointer, value);
    create(&pod).iter().map(ToString::to_string).collect()
}

#[test]
fn a_plain_pod_is_valid() {
    assert_eq!(create(&valid()), []);
    assert_eq!(
        with("/spec/activeDeadlineSeconds", json!(1)),
        Vec::<String>::new()
    );
}

#[test]
fn mistakes_in_containers_are_named() {
    for (pointer, value, message) in [
        ("/spec/containers", json!([]), "spec.containers: Required value"),
        (
            "/spec/containers/0/name",
            json!(""),
            "spec.containers[0].name: Required value",
        ),
        (
            "/spec/containers/0/image",
            json!(""),
            "spec.containers[0].image: Required value",
        ),
        (
            "/spec/containers/0/image",
            json!(" nginx"),
            "spec.containers[0].image: Invalid value: \" nginx\": must not have leading or trailing whitespace",
        ),
        (
            "/spec/containers/0/name",
            json!("Web"),
            "spec.containers[0].name: Invalid value: \"Web\": a lowercase RFC 1123 label must consist of lower case \
             alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  \
             or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
        ),
        (
            "/spec/containers/1",
            container(),
            "spec.containers[1].name: Duplicate value: \"web\"",
        ),
        (
            "/spec/initContainers",
            json!([container()]),
            "spec.initContainers[0].name: Duplicate value: \"web\"",
        ),
    ] {
        assert_eq!(with(pointer, value), [message], "{pointer}");
    }
}

#[test]
fn mistakes_in_ports_and_policies_of_containers_are_named() {
    for (pointer, value, message) in [
        (
            "/spec/containers/0/imagePullPolicy",
            json!("x"),
            "spec.containers[0].imagePullPolicy: Unsupported value: \"x\": supported values: \"Always\", \
             \"IfNotPresent\", \"Never\"",
        ),
        (
            "/spec/containers/0/ports",
            json!([{"containerPort": 70000, "protocol": "TCP"}]),
            "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
        ),
        (
            "/spec/containers/0/ports",
            json!([{"protocol": "TCP"}]),
            "spec.containers[0].ports[0].containerPort: Required value",
        ),
        (
            "/spec/containers/0/ports",
            json!([{"containerPort": 80, "protocol": "ICMP"}]),
            "spec.containers[0].ports[0].protocol: Unsupported value: \"ICMP\": supported values: \"SCTP\", \"TCP\", \
             \"UDP\"",
        ),
        (
            "/spec/ephemeralContainers",
            json!([{"name": "dbg", "image": "x", "imagePullPolicy": "Always", "terminationMessagePolicy": "File"}]),
            "spec.ephemeralContainers: Forbidden: cannot be set on create",
        ),
    ] {
        assert_eq!(with(pointer, value), [message], "{pointer}");
    }
}

#[test]
fn mistakes_in_resources_are_named() {
    let at = "/spec/containers/0/resources";
    for (resources, message) in [
        (
            json!({"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}),
            "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
        ),
        (
            json!({"requests": {"cpu": "-1"}}),
            "spec.containers[0].resources.requests[cpu]: Invalid value: \"-1\": must be greater than or equal to 0",
        ),
        (
            json!({"requests": {"example.com/gpu": "1"}}),
            "spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources",
        ),
    ] {
        assert_eq!(with(at, resources), [message]);
    }
    assert_eq!(
        with(
            at,
            json!({"requests": {"memory": "64Mi"}, "limits": {"memory": "0.0625Gi"}})
        ),
        Vec::<String>::new()
    );
}

#[test]
fn mistakes_in_the_environment_are_named() {
    let env = |variable: Value| with("/spec/containers/0/env", json!([variable]));
    for (variable, message) in [
        (
            json!({"value": "x"}),
            "spec.containers[0].env[0].name: Required value",
        ),
        (
            json!({"name": "a=b"}),
            "spec.containers[0].env[0].name: Invalid value: \"a=b\": a valid environment variable name must consist \
             only of printable ASCII characters other than '='",
        ),
        (
            json!({"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.foo"}}}),
            "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: \"spec.foo\": error converting \
             fieldPath: field label not supported: spec.foo",
        ),
        (
            json!({"name": "A", "value": "b", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}),
            "spec.containers[0].env[0].valueFrom: Invalid value: \"\": may not be specified when `value` is not empty",
        ),
        (
            json!({"name": "A", "valueFrom": {"configMapKeyRef": {"name": "s"}}}),
            "spec.containers[0].env[0].valueFrom.configMapKeyRef.key: Required value",
        ),
    ] {
        assert_eq!(env(variable), [message]);
    }
    assert_eq!(
        with("/spec/containers/0/envFrom", json!([{"prefix": "A_"}])),
        [
            "spec.containers[0].envFrom: Invalid value: \"\": must specify one of: `configMapRef` or `secretRef`"
        ]
    );
    assert_eq!(
        env(json!({"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}})),
        Vec::<String>::new()
    );
}

#[test]
fn mistakes_in_volumes_and_mounts_are_named() {
    for (pointer, value, message) in [
        (
            "/spec/volumes",
            json!([{"name": "a"}]),
            "spec.volumes[0]: Required value: must specify a volume type",
        ),
        (
            "/spec/volumes",
            json!([{"name": "a", "emptyDir": {}, "hostPath": {"path": "/x"}}]),
            "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
        ),
        (
            "/spec/volumes",
            json!([{"name": "a", "emptyDir": {}}, {"name": "a", "emptyDir": {}}]),
            "spec.volumes[1].name: Duplicate value: \"a\"",
        ),
        (
            "/spec/volumes",
            json!([{"name": "a", "hostPath": {"path": "/x/../y"}}]),
            "spec.volumes[0].hostPath.path: Invalid value: \"/x/../y\": must not contain '..'",
        ),
        (
            "/spec/volumes",
            json!([{"name": "a", "secret": {"secretName": "s", "items": [{"key": "k", "path": "/etc/x"}]}}]),
            "spec.volumes[0].secret.items[0].path: Invalid value: \"/etc/x\": must be a relative path",
        ),
        (
            "/spec/containers/0/volumeMounts",
            json!([{"name": "data", "mountPath": "/data"}]),
            "spec.containers[0].volumeMounts[0].name: Not found: \"data\"",
        ),
    ] {
        assert_eq!(with(pointer, value), [message], "{pointer}");
    }
}

#[test]
fn mounts_stay_inside_their_volume_and_apart_from_each_other() {
    let mut pod = valid();
    pod["spec"]["volumes"] = json!([{"name": "data", "emptyDir": {}}]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([
        {"name": "data", "mountPath": "/a"},
        {"name": "data", "mountPath": "/a", "subPath": "../b"},
        {"name": "data", "mountPath": "/c", "mountPropagation": "Bidirectional"},
    ]);
    let messages: Vec<String> = create(&pod).iter().map(ToString::to_string).collect();
    assert_eq!(
        messages,
        [
            "spec.containers[0].volumeMounts[1].mountPath: Invalid value: \"/a\": must be unique",
            "spec.containers[0].volumeMounts.subPath: Invalid value: \"../b\": must not contain '..'",
            "spec.containers[0].volumeMounts.mountPropagation: Forbidden: Bidirectional mount propagation is \
             available only to privileged containers",
        ]
    );
}

#[test]
fn mistakes_in_probes_are_named() {
    for (kind, probe, message) in [
        (
            "livenessProbe",
            json!({}),
            "livenessProbe: Required value: must specify a handler type",
        ),
        (
            "livenessProbe",
            json!({"exec": {"command": ["x"]}, "tcpSocket": {"port": 1}}),
            "livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type",
        ),
        (
            "livenessProbe",
            json!({"exec": {"command": ["x"]}, "successThreshold": 2}),
            "livenessProbe.successThreshold: Invalid value: 2: must be 1",
        ),
        (
            "readinessProbe",
            json!({"exec": {"command": ["x"]}, "periodSeconds": -1}),
            "readinessProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            "startupProbe",
            json!({"httpGet": {"path": "/", "port": 0, "scheme": "HTTP"}}),
            "startupProbe.httpGet.port: Invalid value: 0: must be between 1 and 65535, inclusive",
        ),
        (
            "startupProbe",
            json!({"exec": {"command": []}}),
            "startupProbe.exec.command: Required value",
        ),
    ] {
        let expected = format!("spec.containers[0].{message}");
        assert_eq!(with(&format!("/spec/containers/0/{kind}"), probe), [expected]);
    }
}

#[test]
fn security_is_checked_in_every_list_of_containers() {
    let escalating = json!({"allowPrivilegeEscalation": false, "privileged": true});
    let empty_profile = json!({"seccompProfile": {"type": "Localhost"}});
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for context in [&escalating, &empty_profile] {
            let mut pod = valid();
            let mut bad = container();
            bad["name"] = json!("bad");
            bad["securityContext"] = context.clone();
            let mut all = pod["spec"][list].as_array().cloned().unwrap_or_default();
            all.push(bad);
            pod["spec"][list] = all.into();
            let found = super::pod(&pod).iter().any(|error| {
                error.path.contains(&format!("{list}[")) && error.path.contains("securityContext")
            });
            assert!(found, "{list}: {context}");
        }
    }
}

#[test]
fn an_empty_or_escaping_profile_and_a_bad_sysctl_are_refused() {
    for (context, message) in [
        (
            json!({"seccompProfile": {"type": "Localhost", "localhostProfile": ""}}),
            "spec.securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is \
             Localhost",
        ),
        (
            json!({"seccompProfile": {"type": "Localhost", "localhostProfile": "a/../../b"}}),
            "spec.securityContext.seccompProfile.localhostProfile: Invalid value: \"a/../../b\": must not contain '..'",
        ),
        (
            json!({"sysctls": [{"name": "kernel.shm_rmid_forced+x", "value": "1"}]}),
            "spec.securityContext.sysctls[0].name: Invalid value: \"kernel.shm_rmid_forced+x\": must have at most 253 \
             characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$",
        ),
        (
            json!({"runAsUser": -1}),
            "spec.securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive",
        ),
    ] {
        assert_eq!(with("/spec/securityContext", context), [message]);
    }
}

#[test]
fn mistakes_in_the_spec_are_named() {
    for (pointer, value, message) in [
        (
            "/spec/restartPolicy",
            json!("x"),
            "spec.restartPolicy: Unsupported value: \"x\": supported values: \"Always\", \"OnFailure\", \"Never\"",
        ),
        (
            "/spec/activeDeadlineSeconds",
            json!(0),
            "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive",
        ),
        (
            "/spec/dnsPolicy",
            json!("None"),
            "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None",
        ),
        (
            "/spec/tolerations",
            json!([{"operator": "Equal"}]),
            "spec.tolerations[0].operator: Invalid value: \"Equal\": operator must be Exists when `key` is empty, which \
             means \"match all values and all keys\"",
        ),
        (
            "/spec/topologySpreadConstraints",
            json!([{"maxSkew": 0, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]),
            "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
        ),
        (
            "/spec/initContainers",
            json!([{"name": "i", "image": "x", "imagePullPolicy": "Always", "terminationMessagePolicy": "File",
                "livenessProbe": {"exec": {"command": ["x"]}}}]),
            "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without \
             restartPolicy=Always",
        ),
    ] {
        assert_eq!(with(pointer, value), [message], "{pointer}");
    }
}

#[test]
fn an_update_may_change_images_and_add_tolerations() {
    let old = valid();
    let mut new = old.clone();
    new["spec"]["containers"][0]["image"] = json!("nginx:2");
    new["spec"]["tolerations"] = json!([{"key": "a", "operator": "Exists"}]);
    new["spec"]["activeDeadlineSeconds"] = json!(60);
    assert_eq!(update(&new, &old), []);
}

#[test]
fn an_update_may_change_nothing_else() {
    let mut old = valid();
    old["spec"]["tolerations"] = json!([{"key": "a", "operator": "Exists"}]);
    let change = |pointer: &str, value: Value| {
        let mut new = old.clone();
        crate::validate::tests::set(&mut new, pointer, value);
        update(&new, &old)
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        change("/spec/nodeName", json!("a")),
        ["spec: Forbidden: pod updates may not change fields other than \
          `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` \
          (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it \
          was previously negative)\n+spec.nodeName: \"a\""]
    );
    assert_eq!(
        change(
            "/spec/containers/1",
            json!({"name": "b", "image": "b", "imagePullPolicy": "Always", "terminationMessagePolicy": "File"})
        ),
        ["spec.containers: Forbidden: pod updates may not add or remove containers"]
    );
    assert_eq!(
        change("/spec/tolerations", json!([])),
        ["spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"]
    );
}

#[test]
fn a_container_that_ended_for_good_stays_ended() {
    let status = |state: Value| json!([{"name": "web", "state": state}]);
    let mut old = valid();
    old["spec"]["restartPolicy"] = json!("Never");
    old["status"] = json!({"containerStatuses": status(json!({"terminated": {"exitCode": 1}}))});
    let mut new = old.clone();
    new["status"]["containerStatuses"] = status(json!({"running": {}}));
    assert_eq!(
        status_update(&new, &old)
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        ["status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"]
    );
    new["spec"]["restartPolicy"] = json!("OnFailure");
    assert_eq!(status_update(&new, &old), []);
}

#[test]
fn what_is_legal_and_hardly_meant_is_warned_of() {
    let mut pod = valid();
    pod["metadata"]["name"] = json!("web.1");
    pod["spec"]["nodeSelector"] = json!({"beta.kubernetes.io/os": "linux"});
    pod["spec"]["containers"][0]["env"] = json!([{"name": "A"}, {"name": "A"}]);
    pod["spec"]["containers"][0]["resources"] = json!({"requests": {"memory": "128m"}});
    assert_eq!(
        warnings::of_pod(&pod, None),
        [
            "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label \
             is recommended: [must not contain dots]",
            "spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \"kubernetes.io/os\" instead",
            "spec.containers[0].resources.requests[memory]: fractional byte value \"128m\" is invalid, must be an \
             integer",
            "spec.containers[0].env[1]: hides previous definition of \"A\", which may be dropped when using apply",
        ]
    );
    assert!(warnings::of_pod(&pod, Some(&pod)).is_empty());
}
