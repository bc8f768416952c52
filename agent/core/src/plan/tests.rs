mod ephemeral;
mod properties;
mod resize;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Lifecycle, LifecycleHandler, Probe};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;
use crate::observation::{Exit, Outcome, Runs};

const NOW: i64 = 1_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(NOW + seconds).unwrap()
}

fn container(name: &str) -> Container {
    Container {
        name: name.to_owned(),
        image: Some("i".to_owned()),
        ..Container::default()
    }
}

fn pod(policy: &str, init: &[&str], main: &[&str]) -> Pod {
    let list = |names: &[&str]| names.iter().map(|name| container(name)).collect::<Vec<_>>();
    Pod {
        spec: Some(PodSpec {
            restart_policy: Some(policy.to_owned()),
            init_containers: Some(list(init)),
            containers: list(main),
            ..PodSpec::default()
        }),
        ..Pod::default()
    }
}

fn with_sidecar(mut pod: Pod, name: &str) -> Pod {
    let sidecar = Container {
        restart_policy: Some("Always".to_owned()),
        ..container(name)
    };
    let spec = pod.spec.as_mut().unwrap();
    spec.init_containers.get_or_insert_default().push(sidecar);
    pod
}

fn present() -> ContainerFacts {
    ContainerFacts {
        image: ImageState::Present {
            id: "sha256:1".to_owned(),
            reference: "i".to_owned(),
        },
        ..ContainerFacts::default()
    }
}

fn running() -> ContainerFacts {
    let unit = Unit::Running {
        invocation: "1".to_owned(),
        started_at: at(0),
    };
    ContainerFacts {
        unit,
        bundle_hash: Some(spec_hash(&container("x"))),
        ..present()
    }
}

fn running_as(name: &str) -> ContainerFacts {
    ContainerFacts {
        bundle_hash: Some(spec_hash(&container(name))),
        ..running()
    }
}

fn ended(outcome: Outcome) -> ContainerFacts {
    let exit = Exit {
        invocation: "1".to_owned(),
        started_at: Some(at(0)),
        finished_at: at(1),
        outcome,
        message: None,
    };
    ContainerFacts {
        runs: Runs {
            finished: 1,
            last: Some(exit),
            ..Runs::default()
        },
        ..present()
    }
}

fn ready(containers: &[(&str, ContainerFacts)]) -> Observation {
    Observation {
        sandbox: Sandbox::Ready {
            pod_ips: vec!["10.42.0.2".parse().unwrap()],
        },
        volumes: Volumes::Ready,
        containers: containers
            .iter()
            .map(|(n, f)| ((*n).to_owned(), f.clone()))
            .collect(),
        ..Observation::new(at(0))
    }
}

fn text(pod: &Pod, observed: &Observation, seconds: i64) -> String {
    let steps = plan(pod, observed, at(seconds));
    steps
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

fn deleted(mut pod: Pod) -> Pod {
    pod.metadata.deletion_timestamp = Some(Time(at(0)));
    pod.metadata.deletion_grace_period_seconds = Some(10);
    pod
}

#[test]
fn a_new_pod_gets_volumes_then_a_sandbox_then_its_images_then_its_containers() {
    let pod = pod("Always", &[], &["a", "b"]);
    let mut observed = Observation::new(at(0));
    assert_eq!(text(&pod, &observed, 0), "mount volumes");
    for volumes in [Volumes::Pending, Volumes::Ready] {
        observed.volumes = volumes;
        assert_eq!(text(&pod, &observed, 0), "create sandbox");
    }
    let mut waiting = ready(&[]);
    waiting.volumes = Volumes::Pending;
    assert_eq!(
        text(&pod, &waiting, 0),
        "",
        "what is mounted comes before what mounts it"
    );
    let observed = ready(&[]);
    assert_eq!(text(&pod, &observed, 0), "ensure image of a; ensure image of b");
    let observed = ready(&[("a", present()), ("b", present())]);
    assert_eq!(text(&pod, &observed, 0), "start a; start b");
}

#[test]
fn init_containers_run_one_after_the_other_and_before_the_main_ones() {
    let pod = pod("Always", &["i", "j"], &["a"]);
    let all = |i: ContainerFacts, j: ContainerFacts| ready(&[("i", i), ("j", j), ("a", present())]);
    assert_eq!(text(&pod, &all(present(), present()), 0), "start i");
    assert_eq!(text(&pod, &all(running_as("i"), present()), 0), "");
    assert_eq!(
        text(&pod, &all(ended(Outcome::Exited(0)), present()), 0),
        "start j"
    );
    let both = all(ended(Outcome::Exited(0)), ended(Outcome::Exited(0)));
    assert_eq!(text(&pod, &both, 0), "start a");
}

#[test]
fn a_failed_init_container_fails_a_pod_that_never_restarts_and_is_repeated_otherwise() {
    let facts = || ready(&[("i", ended(Outcome::Exited(1))), ("a", present())]);
    assert_eq!(text(&pod("Never", &["i"], &["a"]), &facts(), 2), "free sandbox");
    assert_eq!(text(&pod("Always", &["i"], &["a"]), &facts(), 2), "start i");
}

#[test]
fn main_containers_wait_until_a_sidecar_has_passed_its_startup_probe() {
    let mut pod = with_sidecar(pod("Always", &[], &["a"]), "s");
    let sidecars = pod.spec.as_mut().unwrap().init_containers.as_mut().unwrap();
    sidecars[0].startup_probe = Some(Probe::default());
    let mut observed = ready(&[("s", running_as("s")), ("a", present())]);
    assert_eq!(text(&pod, &observed, 0), "");
    observed.containers.get_mut("s").unwrap().probes.startup = Verdict::Success;
    assert_eq!(text(&pod, &observed, 0), "start a");
}

#[test]
fn a_running_container_of_the_same_spec_is_left_alone_after_a_restart_of_the_agent() {
    let pod = pod("Always", &[], &["a"]);
    assert_eq!(text(&pod, &ready(&[("a", running_as("a"))]), 0), "");
}

#[test]
fn a_changed_image_replaces_the_container() {
    let mut pod = pod("Always", &[], &["a"]);
    pod.spec.as_mut().unwrap().containers[0].image = Some("other".to_owned());
    let observed = ready(&[("a", running_as("a"))]);
    assert_eq!(text(&pod, &observed, 0), "stop a within 30s (SpecChanged)");
}

#[test]
fn a_finished_pod_frees_its_sandbox_and_nothing_else_happens() {
    let pod = pod("OnFailure", &[], &["a"]);
    let mut observed = ready(&[("a", ended(Outcome::Exited(0)))]);
    assert_eq!(text(&pod, &observed, 2), "free sandbox");
    observed.sandbox = Sandbox::Freed;
    assert_eq!(text(&pod, &observed, 2), "");
}

#[test]
fn a_container_that_ended_and_is_not_held_by_systemd_starts_again_by_policy() {
    let observed = ready(&[("a", ended(Outcome::Exited(1)))]);
    assert_eq!(text(&pod("OnFailure", &[], &["a"]), &observed, 2), "start a");
    assert_eq!(text(&pod("Never", &[], &["a"]), &observed, 2), "free sandbox");
}

#[test]
fn a_restart_that_systemd_does_is_not_done_by_the_plan() {
    let waits = ContainerFacts {
        unit: Unit::Starting,
        ..ended(Outcome::Exited(1))
    };
    assert_eq!(text(&pod("Always", &[], &["a"]), &ready(&[("a", waits)]), 2), "");
}

#[test]
fn a_failed_liveness_probe_restarts_the_container_and_stops_nothing_else() {
    let mut pod = pod("Always", &[], &["a", "b"]);
    pod.spec.as_mut().unwrap().containers[0].liveness_probe = Some(Probe::default());
    let mut sick = running_as("a");
    sick.probes.liveness = Verdict::Failure;
    let observed = ready(&[("a", sick), ("b", running_as("b"))]);
    assert_eq!(text(&pod, &observed, 0), "restart a within 30s (Liveness)");
}

#[test]
fn deletion_stops_then_frees_then_deletes_then_removes() {
    let pod = deleted(pod("Always", &[], &["a"]));
    let mut observed = ready(&[("a", running_as("a"))]);
    observed.termination_seen = Some(at(0));
    assert_eq!(
        text(&pod, &observed, 0),
        format!("stop a within 10s (Deletion); wait until {}", at(10))
    );
    observed.containers.get_mut("a").unwrap().stop = Some(StopProgress::Asked);
    assert_eq!(text(&pod, &observed, 1), format!("wait until {}", at(10)));
    assert_eq!(text(&pod, &observed, 10), "kill a");
    observed.containers = BTreeMap::from([("a".to_owned(), ended(Outcome::Signalled(9)))]);
    assert_eq!(text(&pod, &observed, 11), "free sandbox");
    observed.sandbox = Sandbox::Freed;
    assert_eq!(text(&pod, &observed, 11), "delete object");
    observed.object = ObjectState::Gone;
    assert_eq!(text(&pod, &observed, 11), "remove files");
}

#[test]
fn a_deletion_may_ask_for_more_time_than_the_pod_has() {
    let mut pod = deleted(pod("Always", &[], &["a"]));
    pod.spec.as_mut().unwrap().termination_grace_period_seconds = Some(5);
    let mut observed = ready(&[("a", running_as("a"))]);
    observed.termination_seen = Some(at(0));
    assert!(text(&pod, &observed, 0).starts_with("stop a within 10s"));
    observed.containers.get_mut("a").unwrap().stop = Some(StopProgress::Asked);
    assert_eq!(text(&pod, &observed, 6), format!("wait until {}", at(10)));
}

#[test]
fn a_pre_stop_hook_that_took_all_of_the_grace_leaves_two_seconds() {
    let mut pod = deleted(pod("Always", &[], &["a"]));
    pod.spec.as_mut().unwrap().containers[0].lifecycle = Some(Lifecycle {
        pre_stop: Some(LifecycleHandler::default()),
        ..Lifecycle::default()
    });
    let hash = spec_hash(&pod.spec.as_ref().unwrap().containers[0]);
    let facts = ContainerFacts {
        stop: Some(StopProgress::Asked),
        bundle_hash: Some(hash),
        ..running_as("a")
    };
    let mut observed = ready(&[("a", facts)]);
    observed.termination_seen = Some(at(0));
    assert_eq!(text(&pod, &observed, 10), format!("wait until {}", at(12)));
    assert_eq!(text(&pod, &observed, 12), "kill a");
}

#[test]
fn sidecars_stop_after_the_main_containers_the_last_first() {
    let pod = deleted(with_sidecar(with_sidecar(pod("Always", &[], &["a"]), "s"), "t"));
    let mut observed = ready(&[
        ("s", running_as("s")),
        ("t", running_as("t")),
        ("a", running_as("a")),
    ]);
    observed.termination_seen = Some(at(0));
    let first = |observed: &Observation| plan(&pod, observed, at(0))[0].to_string();
    assert_eq!(first(&observed), "stop a within 10s (Deletion)");
    observed
        .containers
        .insert("a".to_owned(), ended(Outcome::Exited(0)));
    assert_eq!(first(&observed), "stop t within 10s (Deletion)");
    observed
        .containers
        .insert("t".to_owned(), ended(Outcome::Exited(0)));
    assert_eq!(first(&observed), "stop s within 10s (Deletion)");
}

#[test]
fn a_pod_that_the_api_no_longer_has_is_taken_away() {
    let pod = pod("Always", &[], &["a"]);
    let mut observed = ready(&[("a", running_as("a"))]);
    observed.object = ObjectState::Gone;
    assert!(text(&pod, &observed, 0).starts_with("stop a within 30s (Deletion)"));
}

#[test]
fn a_pod_that_ended_never_runs_again_after_the_node_forgot_it() {
    let mut pod = pod("Never", &[], &["a"]);
    pod.status = Some(k8s_openapi::api::core::v1::PodStatus {
        phase: Some("Succeeded".to_owned()),
        ..Default::default()
    });
    assert_eq!(text(&pod, &Observation::new(at(0)), 0), "");
}

#[test]
fn a_unit_that_counts_as_failed_though_its_container_exited_0_is_forgotten() {
    let failed = |outcome| ContainerFacts {
        unit_failed: true,
        ..ended(outcome)
    };
    let plans = |policy: &str, outcome| {
        let mut observed = ready(&[("a", failed(outcome))]);
        observed.sandbox = Sandbox::Freed;
        text(&pod(policy, &[], &["a"]), &observed, 2)
    };
    assert_eq!(plans("Never", Outcome::Exited(0)), "forget failure of a");
    assert_eq!(plans("OnFailure", Outcome::Exited(0)), "forget failure of a");
    assert_eq!(plans("Never", Outcome::Exited(1)), "");
    assert_eq!(plans("Never", Outcome::Signalled(9)), "");
    assert!(!plans("Always", Outcome::Exited(0)).contains("forget"));
}

#[test]
fn a_refused_stop_is_asked_for_again_at_its_time_and_not_before() {
    let pod = deleted(pod("Always", &[], &["a"]));
    let refused = ContainerFacts {
        stop: Some(StopProgress::Refused { retry_at: at(2) }),
        ..running_as("a")
    };
    let mut observed = ready(&[("a", refused)]);
    observed.termination_seen = Some(at(0));
    let first = |seconds| plan(&pod, &observed, at(seconds))[0].to_string();
    assert_eq!(first(1), format!("wait until {}", at(2)));
    assert_eq!(first(2), "stop a within 10s (Deletion)");
}

#[test]
fn a_pod_past_its_deadline_is_stopped() {
    let mut pod = pod("Always", &[], &["a"]);
    pod.spec.as_mut().unwrap().active_deadline_seconds = Some(5);
    let observed = ready(&[("a", running_as("a"))]);
    assert_eq!(text(&pod, &observed, 1), format!("wait until {}", at(5)));
    assert!(text(&pod, &observed, 5).starts_with("stop a"));
}

#[test]
fn a_failed_pull_is_tried_again_at_its_time_and_not_before() {
    let failure = Failure {
        reason: "ErrImagePull".to_owned(),
        message: String::new(),
        failed_at: at(0),
        retry_at: at(10),
    };
    let facts = ContainerFacts {
        image: ImageState::Failed(failure),
        ..ContainerFacts::default()
    };
    let pod = pod("Always", &[], &["a"]);
    let observed = ready(&[("a", facts)]);
    assert_eq!(text(&pod, &observed, 3), format!("wait until {}", at(10)));
    assert_eq!(text(&pod, &observed, 10), "ensure image of a");
}
