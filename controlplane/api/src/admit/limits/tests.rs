use super::*;

fn range(items: Value) -> Value {
    json!({"spec": {"limits": items}})
}

fn pod(resources: Value) -> Value {
    json!({"spec": {"containers": [{"name": "c", "resources": resources}]}})
}

#[test]
fn a_container_gets_what_it_leaves_open_and_the_pod_says_so() {
    let range = range(
        json!([{"type": "Container", "default": {"cpu": "500m", "memory": "1Gi"}, "defaultRequest": {"cpu": "100m"}}]),
    );
    let mut pod = pod(json!({"limits": {"cpu": "2"}}));
    pod["spec"]["initContainers"] = json!([{"name": "i"}]);
    give(&range, &mut pod);
    let container = &pod["spec"]["containers"][0]["resources"];
    assert_eq!(
        *container,
        json!({"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "100m"}})
    );
    assert_eq!(
        pod["metadata"]["annotations"][ANNOTATION],
        "LimitRanger plugin set: cpu request for container c; memory limit for container c; cpu request for init \
         container i; cpu, memory limit for init container i"
    );
}

#[test]
fn a_pod_that_needs_nothing_is_left_alone() {
    let range = range(json!([{"type": "Pod", "max": {"cpu": "1"}}]));
    let mut given = pod(json!({}));
    give(&range, &mut given);
    assert_eq!(given, pod(json!({})));
}

#[test]
fn containers_keep_to_every_limit() {
    let item = json!({
        "type": "Container", "min": {"cpu": "100m"}, "max": {"cpu": "1"}, "maxLimitRequestRatio": {"cpu": "2"},
    });
    let range = range(json!([item]));
    for (resources, wanted) in [
        (
            json!({"requests": {"cpu": "500m"}, "limits": {"cpu": "1"}}),
            Ok(()),
        ),
        (
            json!({}),
            Err(
                "[minimum cpu usage per Container is 100m.  No request is specified, maximum cpu usage per Container is \
                 1.  No limit is specified, cpu max limit to request ratio per Container is 2, but no request is \
                 specified or request is 0]",
            ),
        ),
        (
            json!({"requests": {"cpu": "50m"}, "limits": {"cpu": "75m"}}),
            Err("minimum cpu usage per Container is 100m, but request is 50m"),
        ),
        (
            json!({"requests": {"cpu": "2"}, "limits": {"cpu": "2"}}),
            Err("maximum cpu usage per Container is 1, but limit is 2"),
        ),
        (
            json!({"requests": {"cpu": "300m"}, "limits": {"cpu": "1"}}),
            Err("cpu max limit to request ratio per Container is 2, but provided ratio is 3.333333"),
        ),
    ] {
        assert_eq!(check_pod(&range, &pod(resources)), wanted.map_err(str::to_owned));
    }
}

#[test]
fn a_pod_counts_as_a_whole() {
    let range = range(json!([{"type": "Pod", "max": {"memory": "1Gi"}}]));
    let mut pod = pod(json!({"limits": {"memory": "600Mi"}}));
    assert_eq!(check_pod(&range, &pod), Ok(()));
    let again = pod["spec"]["containers"][0].clone();
    pod["spec"]["containers"] = json!([again.clone(), again]);
    assert_eq!(
        check_pod(&range, &pod),
        Err("maximum memory usage per Pod is 1Gi, but limit is 1200Mi".to_owned())
    );
}

#[test]
fn claims_are_neither_too_small_nor_too_large() {
    let range = range(
        json!([{"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}}]),
    );
    let claim = |size: &str| json!({"spec": {"resources": {"requests": {"storage": size}}}});
    assert_eq!(check_claim(&range, &claim("1Gi")), Ok(()));
    assert_eq!(
        check_claim(&range, &claim("500Mi")),
        Err("minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 500Mi".to_owned())
    );
    assert_eq!(
        check_claim(&range, &claim("3Gi")),
        Err("maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi".to_owned())
    );
}
