//! Ephemeral containers.

use k8s_openapi::api::core::v1::EphemeralContainer;

use super::*;

fn debugged(pod: Pod, target: Option<&str>) -> Pod {
    let mut pod = pod;
    let debugger = EphemeralContainer {
        name: "d".to_owned(),
        image: Some("busybox".to_owned()),
        target_container_name: target.map(ToOwned::to_owned),
        ..EphemeralContainer::default()
    };
    pod.spec.as_mut().unwrap().ephemeral_containers = Some(vec![debugger]);
    pod
}

fn of_debugger(status: &PodStatus) -> ContainerStatus {
    status.ephemeral_container_statuses.as_ref().unwrap()[0].clone()
}

#[test]
fn an_ephemeral_container_has_a_status_and_no_say_in_the_pods() {
    let pod = debugged(pod("Always", &[], &["a"]), None);
    for facts in [ContainerFacts::default(), running(1), ended(Outcome::Exited(1))] {
        let told = told(&pod, &seen(&[("a", running(1)), ("d", facts)]), 5);
        assert_eq!(told.phase.as_deref(), Some("Running"));
        assert_eq!(condition(&told, "Ready").status, "True");
        let debugger = of_debugger(&told);
        assert_eq!(
            (debugger.ready, debugger.started, debugger.restart_count),
            (false, None, 0)
        );
    }
}

#[test]
fn a_pod_is_not_finished_while_an_ephemeral_container_runs() {
    let pod = debugged(pod("Never", &[], &["a"]), None);
    let mut observed = seen(&[("a", ended(Outcome::Exited(0))), ("d", running(1))]);
    assert_eq!(told(&pod, &observed, 5).phase.as_deref(), Some("Running"));
    observed
        .containers
        .insert("d".to_owned(), ended(Outcome::Signalled(9)));
    assert_eq!(told(&pod, &observed, 5).phase.as_deref(), Some("Succeeded"));
}

#[test]
fn an_ephemeral_container_says_why_it_cannot_see_its_target() {
    let present = ContainerFacts {
        image: ImageState::Present {
            id: "sha256:1".to_owned(),
            reference: "busybox".to_owned(),
        },
        ..ContainerFacts::default()
    };
    let pod = debugged(pod("Always", &[], &["a"]), Some("a"));
    let waits = |target: ContainerFacts| {
        let told = told(&pod, &seen(&[("a", target), ("d", present.clone())]), 5);
        of_debugger(&told).state.unwrap().waiting.unwrap().reason.unwrap()
    };
    assert_eq!(waits(ContainerFacts::default()), "CreateContainerConfigError");
    assert_eq!(waits(ended(Outcome::Exited(1))), "CreateContainerError");
    assert_eq!(waits(running(1)), "ContainerCreating");
}
