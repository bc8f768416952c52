use serde_json::json;

use super::*;

const LATEST: Version = Version::Latest;

fn says(level: Level, pod: &Value) -> String {
    violations(
        Standard {
            level,
            version: LATEST,
        },
        pod,
    )
    .map(|found| found.details)
    .unwrap_or_default()
}

fn with(context: Value) -> Value {
    json!({"spec": {"containers": [{"name": "c", "securityContext": context}]}})
}

fn hardened() -> Value {
    json!({"spec": {
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "c", "securityContext": {
            "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
        }}],
    }})
}

#[test]
fn an_ordinary_pod_keeps_to_baseline_and_a_hardened_one_to_restricted() {
    assert_eq!(says(Level::Baseline, &with(json!({}))), "");
    assert_eq!(says(Level::Restricted, &hardened()), "");
    assert_eq!(
        says(Level::Restricted, &with(json!({}))),
        "allowPrivilegeEscalation != false (container \"c\" must set securityContext.allowPrivilegeEscalation=false), \
         unrestricted capabilities (container \"c\" must set securityContext.capabilities.drop=[\"ALL\"]), runAsNonRoot \
         != true (pod or container \"c\" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container \
         \"c\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")"
    );
}

#[test]
fn baseline_names_each_way_to_the_host() {
    let container = |container: Value| json!({"spec": {"containers": [container]}});
    for (pod, wanted) in [
        (
            json!({"spec": {"hostNetwork": true, "hostPID": true}}),
            "host namespaces (hostNetwork=true, hostPID=true)",
        ),
        (
            json!({"spec": {"volumes": [{"name": "a", "hostPath": {"path": "/"}}, {"name": "b", "hostPath": {"path": "/b"}}]}}),
            "hostPath volumes (volumes \"a\", \"b\")",
        ),
        (
            container(
                json!({"name": "c", "ports": [{"hostPort": 80}, {"hostPort": 81}, {"containerPort": 82}]}),
            ),
            "hostPort (container \"c\" uses hostPorts 80, 81)",
        ),
        (
            container(json!({"name": "c", "livenessProbe": {"httpGet": {"host": "10.0.0.1"}}})),
            "probe or lifecycle host (container \"c\" uses probe or lifecycle host \"10.0.0.1\")",
        ),
        (
            with(json!({"privileged": true})),
            "privileged (container \"c\" must not set securityContext.privileged=true)",
        ),
        (
            with(json!({"capabilities": {"add": ["SYS_ADMIN", "CHOWN", "NET_RAW"]}})),
            "non-default capabilities (container \"c\" must not include \"NET_RAW\", \"SYS_ADMIN\" in \
             securityContext.capabilities.add)",
        ),
        (
            with(json!({"procMount": "Unmasked"})),
            "procMount (container \"c\" must not set securityContext.procMount to \"Unmasked\")",
        ),
        (
            with(json!({"seLinuxOptions": {"type": "spc_t", "user": "u"}})),
            "seLinuxOptions (container \"c\" set forbidden securityContext.seLinuxOptions: type \"spc_t\"; user may not be \
             set)",
        ),
        (
            with(json!({"seccompProfile": {"type": "Unconfined"}})),
            "seccompProfile (container \"c\" must not set securityContext.seccompProfile.type to \"Unconfined\")",
        ),
        (
            with(json!({"appArmorProfile": {"type": "Unconfined"}})),
            "forbidden AppArmor profile (container \"c\" must not set AppArmor profile type to \"Unconfined\")",
        ),
        (
            json!({"spec": {"securityContext": {"sysctls": [{"name": "kernel.msgmax"}, {"name": "net.ipv4.tcp_rmem"}]}}}),
            "forbidden sysctls (kernel.msgmax)",
        ),
        (
            json!({"spec": {"securityContext": {"windowsOptions": {"hostProcess": true}}}}),
            "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)",
        ),
    ] {
        assert_eq!(says(Level::Baseline, &pod), wanted, "{pod}");
        assert_eq!(says(Level::Privileged, &pod), "", "{pod}");
    }
}

#[test]
fn restricted_walks_containers_of_every_list() {
    let mut pod = hardened();
    pod["spec"]["ephemeralContainers"] = json!([{"name": "debug", "securityContext": {
        "allowPrivilegeEscalation": true, "capabilities": {"drop": ["ALL"], "add": ["SYS_PTRACE"]}, "runAsNonRoot": false,
        "runAsUser": 0,
    }}]);
    pod["spec"]["volumes"] = json!([{"name": "v", "hostPath": {"path": "/"}}, {"name": "e", "emptyDir": {}}]);
    assert_eq!(
        says(Level::Restricted, &pod),
        "allowPrivilegeEscalation != false (container \"debug\" must set securityContext.allowPrivilegeEscalation=false), \
         unrestricted capabilities (container \"debug\" must not include \"SYS_PTRACE\" in \
         securityContext.capabilities.add), restricted volume types (volume \"v\" uses restricted volume type \"hostPath\"), \
         runAsNonRoot != true (container \"debug\" must not set securityContext.runAsNonRoot=false), runAsUser=0 (container \
         \"debug\" must not set runAsUser=0)"
    );
}

#[test]
fn an_older_version_asks_for_less() {
    let old = |minor| {
        violations(
            Standard {
                level: Level::Restricted,
                version: Version::Minor(minor),
            },
            &with(json!({})),
        )
    };
    assert!(
        old(18).is_some_and(|said| said.reasons == "allowPrivilegeEscalation != false, runAsNonRoot != true")
    );
    assert_eq!(old(36), old(99));
}

#[test]
fn users_of_its_own_make_root_in_a_pod_harmless() {
    let mut pod = hardened();
    pod["spec"]["hostUsers"] = json!(false);
    pod["spec"]["securityContext"]["runAsNonRoot"] = json!(false);
    pod["spec"]["securityContext"]["runAsUser"] = json!(0);
    assert_eq!(says(Level::Restricted, &pod), "");
}

#[test]
fn labels_say_what_is_enforced_and_warned_of() {
    let policy = |labels: Value| Policy::of(&json!({"metadata": {"labels": labels}}));
    let open = policy(json!({}));
    assert_eq!(
        (open.enforce.level, open.warn.level, open.errors.len()),
        (Level::Privileged, Level::Privileged, 0)
    );
    let strict = policy(
        json!({"pod-security.kubernetes.io/enforce": "baseline", "pod-security.kubernetes.io/enforce-version": "v1.30"}),
    );
    assert_eq!(
        (strict.enforce.to_string(), strict.warn.to_string()),
        ("baseline:v1.30".to_owned(), "baseline:v1.30".to_owned())
    );
    let warned = policy(json!({"pod-security.kubernetes.io/warn": "restricted"}));
    assert_eq!(
        (warned.enforce.level, warned.warn.to_string()),
        (Level::Privileged, "restricted:latest".to_owned())
    );
    let unread = policy(json!({
        "pod-security.kubernetes.io/enforce": "strict", "pod-security.kubernetes.io/warn": "x",
        "pod-security.kubernetes.io/audit-version": "1.30",
    }));
    assert_eq!(
        (unread.enforce.level, unread.warn.level),
        (Level::Restricted, Level::Privileged)
    );
    let errors: Vec<String> = unread.errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        errors,
        [
            "metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"strict\": must be one of privileged, \
             baseline, restricted",
            "metadata.labels[pod-security.kubernetes.io/audit-version]: Invalid value: \"1.30\": must be \"latest\" or \
             \"v1.x\"",
            "metadata.labels[pod-security.kubernetes.io/warn]: Invalid value: \"x\": must be one of privileged, baseline, \
             restricted",
        ]
    );
}
