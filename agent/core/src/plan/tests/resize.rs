//! Resizes in place.

use super::properties::perform;
use super::*;

/// A container of so many cpus and MiB of memory, its policy for memory.
pub(super) fn sized(name: &str, cpu: u64, memory: u64, restart: bool) -> Container {
    let policy = if restart {
        "RestartContainer"
    } else {
        "NotRequired"
    };
    let sizes = serde_json::json!({"cpu": cpu.to_string(), "memory": format!("{memory}Mi")});
    serde_json::from_value(serde_json::json!({
        "name": name, "image": "i", "resources": {"requests": sizes, "limits": sizes},
        "resizePolicy": [{"resourceName": "memory", "restartPolicy": policy}],
    }))
    .unwrap()
}

/// A pod whose container `a` runs with 1 cpu and 2 MiB, and is to have others.
fn resized(cpu: u64, memory: u64, restart: bool) -> (Pod, Observation) {
    let mut pod = pod("OnFailure", &[], &["a"]);
    let mut observed = ready(&[("a", running_as("a"))]);
    let now = vec![sized("a", 1, 2, restart)];
    pod.spec.as_mut().unwrap().containers = now;
    observed.resizing.allocated = crate::resize::allocation(pod.spec.as_ref().unwrap());
    observed.resizing.applied = observed.resizing.allocated.clone();
    pod.spec.as_mut().unwrap().containers = vec![sized("a", cpu, memory, restart)];
    (pod, observed)
}

#[test]
fn a_resize_is_promised_first_and_given_to_the_unit_then() {
    let (pod, mut observed) = resized(2, 4, false);
    assert_eq!(text(&pod, &observed, 0), "allocate resources");
    perform(&Step::AllocateResources, &mut observed, &pod);
    assert_eq!(text(&pod, &observed, 0), "resize a");
    observed.resizing.failure = Some(Failure {
        reason: "Error".to_owned(),
        message: "refused".to_owned(),
        failed_at: at(0),
        retry_at: at(5),
    });
    assert_eq!(text(&pod, &observed, 1), format!("wait until {}", at(5)));
    assert_eq!(text(&pod, &observed, 5), "resize a");
}

#[test]
fn what_is_infeasible_is_asked_for_again_with_another_spec_alone() {
    let (mut pod, mut observed) = resized(2, 4, false);
    pod.metadata.generation = Some(2);
    let unfit = |reason| crate::resize::Unfit {
        reason,
        message: String::new(),
    };
    let pending = |reason| crate::resize::Pending {
        generation: Some(2),
        unfit: unfit(reason),
    };
    observed.resizing.pending = Some(pending(crate::resize::Reason::Infeasible));
    assert_eq!(text(&pod, &observed, 0), "");
    observed.resizing.pending = Some(pending(crate::resize::Reason::Deferred));
    assert_eq!(text(&pod, &observed, 0), "allocate resources");
    observed.resizing.pending = Some(pending(crate::resize::Reason::Infeasible));
    pod.metadata.generation = Some(3);
    assert_eq!(text(&pod, &observed, 0), "allocate resources");
}

#[test]
fn a_container_whose_policy_asks_for_it_is_restarted_for_its_size_and_for_nothing_else() {
    let (pod, mut observed) = resized(1, 4, true);
    perform(&Step::AllocateResources, &mut observed, &pod);
    let step = plan(&pod, &observed, at(0)).remove(0);
    assert_eq!(step.to_string(), "stop a within 30s (Resize)");
    // It ended well, which would be the end of it otherwise.
    perform(&step, &mut observed, &pod);
    assert_eq!(text(&pod, &observed, 1), "start a");
    let (pod, mut observed) = resized(2, 2, true);
    perform(&Step::AllocateResources, &mut observed, &pod);
    assert_eq!(text(&pod, &observed, 0), "resize a");
}

#[test]
fn memory_that_is_in_use_is_not_taken_away() {
    let (pod, mut observed) = resized(1, 1, false);
    perform(&Step::AllocateResources, &mut observed, &pod);
    observed.resizing.memory_in_use.insert("a".to_owned(), 1 << 20);
    assert_eq!(text(&pod, &observed, 0), format!("wait until {}", at(10)));
    observed.resizing.memory_in_use.insert("a".to_owned(), 1000);
    assert_eq!(text(&pod, &observed, 0), "resize a");
}
