use super::*;

fn shown_usage(plural: &str, object: &Value) -> String {
    shown(&usage("", plural, object))
}

fn pod() -> Value {
    json!({"spec": {"containers": [{"name": "c", "resources": {
        "requests": {"cpu": "500m", "example.com/gpu": "1"}, "limits": {"cpu": "1", "example.com/gpu": "1"},
    }}]}})
}

#[test]
fn objects_use_what_quotas_know_by_name() {
    let mut pod = pod();
    assert_eq!(
        shown_usage("pods", &pod),
        "count/pods=1,cpu=500m,limits.cpu=1,pods=1,requests.cpu=500m,requests.example.com/gpu=1"
    );
    pod["status"] = json!({"phase": "Succeeded"});
    assert_eq!(shown_usage("pods", &pod), "count/pods=1");
    let service = json!({"spec": {"type": "LoadBalancer", "ports": [{"port": 80}, {"port": 81}]}});
    assert_eq!(
        shown_usage("services", &service),
        "count/services=1,services=1,services.loadbalancers=1,services.nodeports=2"
    );
    let claim = json!({"spec": {"storageClassName": "gold", "resources": {"requests": {"storage": "1Gi"}}}});
    assert_eq!(
        shown_usage("persistentvolumeclaims", &claim),
        "count/persistentvolumeclaims=1,gold.storageclass.storage.k8s.io/persistentvolumeclaims=1,\
         gold.storageclass.storage.k8s.io/requests.storage=1Gi,persistentvolumeclaims=1,requests.storage=1Gi"
    );
    assert_eq!(
        shown(&usage("apps", "deployments", &json!({}))),
        "count/deployments.apps=1"
    );
}

#[test]
fn scopes_choose_pods_and_nothing_else() {
    let quota = |scope: &str| json!({"spec": {"scopes": [scope]}});
    let mut best = json!({"spec": {"containers": [{}], "activeDeadlineSeconds": 5}});
    for (scope, covered) in [
        ("Terminating", true),
        ("NotTerminating", false),
        ("BestEffort", true),
        ("NotBestEffort", false),
        ("PriorityClass", false),
        ("CrossNamespacePodAffinity", false),
    ] {
        assert_eq!(covers(&quota(scope), "", "pods", &best), covered, "{scope}");
        assert!(!covers(&quota(scope), "", "services", &json!({})), "{scope}");
    }
    let high = json!({"spec": {"scopeSelector": {"matchExpressions": [
        {"scopeName": "PriorityClass", "operator": "In", "values": ["high"]},
    ]}}});
    assert!(!covers(&high, "", "pods", &best));
    best["spec"]["priorityClassName"] = json!("high");
    assert!(covers(&high, "", "pods", &best));
    assert!(covers(&json!({}), "", "services", &json!({})));
}

#[test]
fn no_more_is_used_than_there_is() {
    let quota = json!({
        "metadata": {"name": "q"},
        "status": {"hard": {"cpu": "1", "pods": "2"}, "used": {"cpu": "700m", "pods": "1"}},
    });
    let (none, two) = (Amounts::new(), usage("", "pods", &pod()));
    assert_eq!(
        charge(&quota, &none, &two),
        Err("exceeded quota: q, requested: cpu=500m, used: cpu=700m, limited: cpu=1".to_owned())
    );
    assert_eq!(
        charge(&quota, &two, &none).map(|used| shown(&used)),
        Ok("cpu=200m,pods=0".to_owned())
    );
    let small = Amounts::from([("cpu".to_owned(), Quantity::from_milli(300))]);
    assert_eq!(
        charge(&quota, &none, &small).map(|used| shown(&used)),
        Ok("cpu=1,pods=1".to_owned())
    );
}

#[test]
fn containers_say_what_a_quota_limits() {
    let quota = json!({"metadata": {"name": "q"}, "status": {"hard": {"limits.memory": "1Gi", "cpu": "1", "pods": "1"}}});
    let why = "failed quota: q: must specify limits.memory for: c";
    assert_eq!(check_said(&quota, &pod()), Err(why.to_owned()));
    let open = json!({"metadata": {"name": "q"}, "status": {"hard": {"pods": "1"}}});
    assert_eq!(check_said(&open, &pod()), Ok(()));
}

#[test]
fn a_quota_is_about_the_kinds_that_its_names_come_from() {
    let about = |hard: &str, group: &str, plural: &str| {
        is_about(&json!({"spec": {"hard": {hard: "1"}}}), group, plural)
    };
    assert!(about("requests.cpu", "", "pods") && !about("requests.cpu", "", "services"));
    assert!(about("services.nodeports", "", "services") && !about("services", "", "pods"));
    assert!(about("count/jobs.batch", "batch", "jobs") && !about("count/jobs.batch", "", "pods"));
}
