//! Resizes in place.

use super::*;

fn resized(limit: &str) -> Pod {
    let mut pod = pod("Always", &[], &["a"]);
    let resources = serde_json::json!({"limits": {"memory": limit}, "requests": {"memory": limit}});
    pod.spec.as_mut().unwrap().containers[0].resources = Some(serde_json::from_value(resources).unwrap());
    pod.metadata.generation = Some(2);
    pod
}

fn held(limit: &str) -> crate::resize::Allocation {
    crate::resize::allocation(resized(limit).spec.as_ref().unwrap())
}

fn resize_conditions(status: &PodStatus) -> Vec<(String, String, String)> {
    let all = status.conditions.iter().flatten();
    let resize = all.filter(|condition| condition.type_.starts_with("PodResize"));
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    resize
        .map(|c| (c.type_.clone(), text(&c.reason), text(&c.message)))
        .collect()
}

#[test]
fn a_resize_is_told_from_its_refusal_to_its_end_and_then_no_more() {
    let pod = resized("4Mi");
    let mut observed = seen(&[("a", running(1))]);
    observed.resizing.allocated = held("2Mi");
    observed.resizing.applied = held("2Mi");
    observed.resizing.pending = Some(crate::resize::Pending {
        generation: Some(2),
        unfit: crate::resize::Unfit {
            reason: crate::resize::Reason::Deferred,
            message: "later".to_owned(),
        },
    });
    let deferred = told(&pod, &observed, 2);
    let row = |kind: &str, reason: &str, message: &str| vec![(kind.into(), reason.into(), message.into())];
    assert_eq!(
        resize_conditions(&deferred),
        row("PodResizePending", "Deferred", "later")
    );
    observed.resizing.pending = None;
    observed.resizing.allocated = held("4Mi");
    let node: [IpAddr; 1] = ["10.0.0.1".parse().unwrap()];
    let under_way = status(&pod, &observed, &node, Some(&deferred), at(3));
    assert_eq!(resize_conditions(&under_way), row("PodResizeInProgress", "", ""));
    let of = |status: &PodStatus| status.container_statuses.as_ref().unwrap()[0].clone();
    assert_eq!(of(&under_way).allocated_resources, held("4Mi")["a"].requests);
    assert_eq!(of(&under_way).resources.as_ref(), held("2Mi").get("a"));
    observed.resizing.applied = held("4Mi");
    let done = status(&pod, &observed, &node, Some(&under_way), at(4));
    assert_eq!(resize_conditions(&done), []);
    assert_eq!(of(&done).resources.as_ref(), held("4Mi").get("a"));
    let patch = status_patch("u", Some(&under_way), &done).unwrap();
    let gone = serde_json::json!({"$patch": "delete", "type": "PodResizeInProgress"});
    assert!(
        patch["status"]["conditions"].as_array().unwrap().contains(&gone),
        "{patch}"
    );
}

#[test]
fn a_limit_below_what_is_in_use_is_an_error_of_the_resize() {
    let pod = resized("1Mi");
    let mut observed = seen(&[("a", running(1))]);
    observed.resizing.allocated = held("1Mi");
    observed.resizing.applied = held("2Mi");
    observed.resizing.memory_in_use.insert("a".to_owned(), 1_500_000);
    let message = "attempting to set container \"a\" memory limit (1048576) below current usage (1500000)";
    let wanted = vec![(
        "PodResizeInProgress".to_owned(),
        "Error".to_owned(),
        message.to_owned(),
    )];
    assert_eq!(resize_conditions(&told(&pod, &observed, 2)), wanted);
}

#[test]
fn a_container_that_ended_well_to_come_back_is_not_told_as_ended() {
    let facts = ContainerFacts {
        comes_back: true,
        ..ended(Outcome::Exited(0))
    };
    let told = told(&pod("OnFailure", &[], &["a"]), &seen(&[("a", facts)]), 3);
    assert_eq!(told.phase.as_deref(), Some("Running"));
    assert_eq!(waiting(&told).0, "ContainerCreating");
    assert!(
        told.container_statuses.unwrap()[0]
            .last_state
            .as_ref()
            .unwrap()
            .terminated
            .is_some()
    );
}
