//! Ephemeral containers.

use k8s_openapi::api::core::v1::EphemeralContainer;

use super::*;

pub(super) fn with_debugger(mut pod: Pod, name: &str, target: Option<&str>) -> Pod {
    let debugger = EphemeralContainer {
        name: name.to_owned(),
        image: Some("i".to_owned()),
        target_container_name: target.map(ToOwned::to_owned),
        ..EphemeralContainer::default()
    };
    let spec = pod.spec.as_mut().unwrap();
    spec.ephemeral_containers.get_or_insert_default().push(debugger);
    pod
}

#[test]
fn an_ephemeral_container_starts_beside_whatever_runs_and_only_once() {
    let debugged = with_debugger(pod("Always", &["i"], &["a"]), "d", None);
    let all = |d: ContainerFacts| ready(&[("i", running_as("i")), ("a", present()), ("d", d)]);
    assert_eq!(
        text(&debugged, &all(ContainerFacts::default()), 0),
        "ensure image of d"
    );
    assert_eq!(text(&debugged, &all(present()), 0), "start d");
    assert_eq!(text(&debugged, &all(running_as("d")), 0), "");
    for outcome in [Outcome::Exited(0), Outcome::Exited(1), Outcome::StartFailed] {
        assert_eq!(text(&debugged, &all(ended(outcome)), 2), "");
    }
    let listed = ContainerFacts {
        unit_failed: true,
        ..ended(Outcome::Exited(130))
    };
    assert_eq!(text(&debugged, &all(listed), 2), "forget failure of d");
}

#[test]
fn an_ephemeral_container_waits_for_the_processes_it_is_to_see() {
    let debugged = with_debugger(pod("Always", &[], &["a"]), "d", Some("a"));
    let waits = ContainerFacts {
        unit: Unit::Starting,
        ..ended(Outcome::Exited(1))
    };
    let observed = |a: ContainerFacts| ready(&[("a", a), ("d", present())]);
    assert_eq!(text(&debugged, &observed(waits), 2), "");
    assert_eq!(text(&debugged, &observed(running_as("a")), 2), "start d");
}

#[test]
fn an_ephemeral_container_ends_with_its_pod_and_starts_in_none_that_ended() {
    let debugged = with_debugger(pod("Never", &[], &["a"]), "d", None);
    let done = ended(Outcome::Exited(0));
    let live = ready(&[("a", done.clone()), ("d", running_as("d"))]);
    assert_eq!(text(&debugged, &live, 2), "stop d within 30s (PodFinished)");
    let never_began = ready(&[("a", done), ("d", present())]);
    assert_eq!(text(&debugged, &never_began, 2), "free sandbox");
    let mut leaving = ready(&[("a", running_as("a")), ("d", present())]);
    leaving.termination_seen = Some(at(0));
    assert!(!text(&deleted(debugged), &leaving, 0).contains("start"));
}
