use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{EphemeralContainer, Lifecycle, LifecycleHandler, Probe};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::prelude::*;

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

fn with_debugger(mut pod: Pod, name: &str, target: Option<&str>) -> Pod {
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
    observed.volumes = Volumes::Ready;
    assert_eq!(text(&pod, &observed, 0), "create sandbox");
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

/// A node on which every step works at once and every container runs until it is stopped.
fn perform(step: &Step, observed: &mut Observation, pod: &Pod) {
    let hash = |name: &str| {
        let spec = pod.spec.as_ref().unwrap();
        every_container(spec)
            .find(|(_, c)| c.name == name)
            .map(|(_, c)| spec_hash(&c))
    };
    let finishes = |name: &str| name.starts_with('i');
    match step {
        Step::MountVolumes => observed.volumes = Volumes::Ready,
        Step::CreateSandbox => observed.sandbox = Sandbox::Ready { pod_ips: vec![] },
        Step::EnsureImage { container } => {
            observed.containers.entry(container.clone()).or_default().image = present().image;
        }
        Step::StartContainer { container } => {
            let facts = if finishes(container) {
                ContainerFacts {
                    unit_failed: true,
                    ..ended(Outcome::Exited(0))
                }
            } else {
                running()
            };
            let facts = ContainerFacts {
                bundle_hash: hash(container),
                ..facts
            };
            observed.containers.insert(container.clone(), facts);
        }
        Step::StopContainer { container, .. } | Step::KillContainer { container } => {
            observed
                .containers
                .insert(container.clone(), ended(Outcome::Signalled(15)));
        }
        Step::ForgetFailure { container } => {
            observed.containers.get_mut(container).unwrap().unit_failed = false;
        }
        Step::FreeSandbox => {
            observed.sandbox = Sandbox::Freed;
            observed.volumes = Volumes::Absent;
        }
        Step::DeleteObject => observed.object = ObjectState::Gone,
        Step::RemoveFiles | Step::WaitUntil(_) => {}
    }
}

/// No container without sandbox and volumes, and no main container before the init containers ended.
fn holds(observed: &Observation, pod: &Pod) -> bool {
    let spec = pod.spec.as_ref().unwrap();
    let live = |role: Role| {
        every_container(spec).any(|(r, c)| r == role && observed.container(&c.name).unit.is_live())
    };
    let founded = matches!(observed.sandbox, Sandbox::Ready { .. }) && observed.volumes == Volumes::Ready;
    let any = live(Role::Init) || live(Role::Sidecar) || live(Role::Main) || live(Role::Ephemeral);
    let init_done = containers(spec)
        .filter(|(role, _)| *role == Role::Init)
        .all(|(_, c)| last_succeeded(&observed.container(&c.name)));
    (founded || !any) && (init_done || !live(Role::Main))
}

fn settle(pod: &Pod, observed: &mut Observation) -> Result<(), String> {
    for _ in 0..50 {
        let steps = plan(pod, observed, at(0));
        let doable: Vec<&Step> = steps
            .iter()
            .filter(|step| !matches!(step, Step::WaitUntil(_) | Step::RemoveFiles))
            .collect();
        if doable.is_empty() {
            return Ok(());
        }
        for step in doable {
            perform(step, observed, pod);
            if !holds(observed, pod) {
                return Err(format!("broken after {step}"));
            }
        }
    }
    Err("the plan never ends".to_owned())
}

proptest! {
    #[test]
    fn an_applied_plan_leaves_nothing_to_plan_and_no_prefix_breaks_an_invariant(
        init in 0_usize..4, sidecars in 0_usize..3, main in 1_usize..4, delete in any::<bool>(),
        debuggers in prop::collection::vec(prop::option::of(Just("m0")), 0..3),
        policy in prop::sample::select(vec!["Always", "OnFailure", "Never"]),
    ) {
        let names = |letter: char, n: usize| (0..n).map(|k| format!("{letter}{k}")).collect::<Vec<_>>();
        let (init, main) = (names('i', init), names('m', main));
        let init: Vec<&str> = init.iter().map(String::as_str).collect();
        let main: Vec<&str> = main.iter().map(String::as_str).collect();
        let mut pod = pod(policy, &init, &main);
        for k in 0..sidecars {
            pod = with_sidecar(pod, &format!("s{k}"));
        }
        for (k, target) in debuggers.into_iter().enumerate() {
            pod = with_debugger(pod, &format!("d{k}"), target);
        }
        let mut observed = Observation::new(at(0));
        prop_assert_eq!(settle(&pod, &mut observed), Ok(()));
        if delete {
            let pod = deleted(pod);
            observed.termination_seen = Some(at(0));
            prop_assert_eq!(settle(&pod, &mut observed), Ok(()));
            prop_assert_eq!(observed.object, ObjectState::Gone);
        }
    }
}
