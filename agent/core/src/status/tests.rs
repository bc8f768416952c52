mod ephemeral;
mod resize;

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, ContainerState, PodCondition, PodReadinessGate, PodSpec, Probe};

use super::*;
use crate::observation::{
    ContainerFacts, Exit, Failure, ImageState, Outcome, Rejection, Runs, Unit, Volumes,
};
use crate::probe::Verdict;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + seconds).unwrap()
}

fn pod(policy: &str, init: &[&str], main: &[&str]) -> Pod {
    let list = |names: &[&str]| {
        let of = |name: &&str| Container {
            name: (*name).to_owned(),
            image: Some("busybox".to_owned()),
            ..Container::default()
        };
        names.iter().map(of).collect::<Vec<_>>()
    };
    let mut pod = Pod {
        spec: Some(PodSpec {
            restart_policy: Some(policy.to_owned()),
            init_containers: Some(list(init)),
            containers: list(main),
            ..PodSpec::default()
        }),
        ..Pod::default()
    };
    pod.metadata.name = Some("p".to_owned());
    pod.metadata.namespace = Some("n".to_owned());
    pod.metadata.uid = Some("u".to_owned());
    pod
}

fn running(started: i64) -> ContainerFacts {
    ContainerFacts {
        unit: Unit::Running {
            invocation: "run".to_owned(),
            started_at: at(started),
        },
        ..ContainerFacts::default()
    }
}

fn exit(outcome: Outcome, finished: i64) -> Exit {
    Exit {
        invocation: format!("old{finished}"),
        started_at: Some(at(finished - 1)),
        finished_at: at(finished),
        outcome,
        message: None,
    }
}

fn ended(outcome: Outcome) -> ContainerFacts {
    ContainerFacts {
        runs: Runs {
            finished: 1,
            last: Some(exit(outcome, 2)),
            ..Runs::default()
        },
        ..ContainerFacts::default()
    }
}

fn seen(containers: &[(&str, ContainerFacts)]) -> Observation {
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

fn told(pod: &Pod, observed: &Observation, seconds: i64) -> PodStatus {
    let node: [IpAddr; 1] = ["10.0.0.1".parse().unwrap()];
    status(pod, observed, &node, None, at(seconds))
}

fn state(status: &PodStatus) -> ContainerState {
    status.container_statuses.as_ref().unwrap()[0]
        .state
        .clone()
        .unwrap()
}

fn waiting(status: &PodStatus) -> (String, String) {
    let waiting = state(status).waiting.expect("waiting");
    (waiting.reason.unwrap(), waiting.message.unwrap_or_default())
}

fn condition<'a>(status: &'a PodStatus, type_: &str) -> &'a PodCondition {
    status
        .conditions
        .iter()
        .flatten()
        .find(|c| c.type_ == type_)
        .unwrap()
}

#[test]
fn a_running_pod_is_ready_with_its_addresses_and_its_run_as_container_id() {
    let told = told(&pod("Always", &[], &["a"]), &seen(&[("a", running(1))]), 2);
    assert_eq!(told.phase.as_deref(), Some("Running"));
    assert_eq!(condition(&told, "Ready").status, "True");
    assert_eq!(told.pod_ip.as_deref(), Some("10.42.0.2"));
    assert_eq!(told.host_ip.as_deref(), Some("10.0.0.1"));
    let container = &told.container_statuses.unwrap()[0];
    assert_eq!(container.container_id.as_deref(), Some("floe://run"));
    assert_eq!((container.ready, container.started), (true, Some(true)));
}

#[test]
fn a_crash_loop_waits_in_upstreams_words() {
    let mut facts = ended(Outcome::Exited(1));
    facts.unit = Unit::Starting;
    facts.runs.finished = 2;
    facts.runs.pause = Duration::from_secs(10);
    let told = told(&pod("Always", &[], &["a"]), &seen(&[("a", facts)]), 5);
    let words = "back-off 10s restarting failed container=a pod=p_n(u)".to_owned();
    assert_eq!(waiting(&told), ("CrashLoopBackOff".to_owned(), words));
    assert_eq!(told.phase.as_deref(), Some("Running"));
    let container = &told.container_statuses.unwrap()[0];
    assert_eq!(container.restart_count, 1);
    let last = container
        .last_state
        .as_ref()
        .unwrap()
        .terminated
        .as_ref()
        .unwrap();
    assert_eq!((last.exit_code, last.reason.as_deref()), (1, Some("Error")));
}

#[test]
fn each_end_has_its_reason_and_code() {
    let cases = [
        (Outcome::Exited(0), "Completed", 0),
        (Outcome::Exited(7), "Error", 7),
        (Outcome::Signalled(15), "Error", 143),
        (Outcome::OutOfMemory, "OOMKilled", 137),
        (Outcome::StartFailed, "StartError", 128),
    ];
    for (outcome, reason, code) in cases {
        let told = told(&pod("Never", &[], &["a"]), &seen(&[("a", ended(outcome))]), 5);
        let end = state(&told).terminated.unwrap();
        assert_eq!((end.reason.as_deref(), end.exit_code), (Some(reason), code));
        let phase = if code == 0 { "Succeeded" } else { "Failed" };
        assert_eq!(told.phase.as_deref(), Some(phase));
    }
}

#[test]
fn a_failed_pull_is_an_error_first_and_a_back_off_after() {
    let failure = Failure {
        reason: "ErrImagePull".to_owned(),
        message: "no".to_owned(),
        failed_at: at(0),
        retry_at: at(10),
    };
    let facts = ContainerFacts {
        image: ImageState::Failed(failure),
        ..ContainerFacts::default()
    };
    let pod = pod("Always", &[], &["a"]);
    let observed = seen(&[("a", facts)]);
    assert_eq!(waiting(&told(&pod, &observed, 1)).0, "ErrImagePull");
    let (reason, message) = waiting(&told(&pod, &observed, 4));
    assert_eq!(reason, "ImagePullBackOff");
    assert_eq!(message, "Back-off pulling image \"busybox\": ErrImagePull: no");
}

#[test]
fn main_containers_wait_as_initializing_and_the_condition_names_what_is_incomplete() {
    let told = told(&pod("Always", &["i"], &["a"]), &seen(&[("i", running(1))]), 2);
    assert_eq!(waiting(&told).0, "PodInitializing");
    assert_eq!(told.phase.as_deref(), Some("Pending"));
    let initialized = condition(&told, "Initialized");
    assert_eq!(
        initialized.message.as_deref(),
        Some("containers with incomplete status: [i]")
    );
}

#[test]
fn an_unready_container_is_named_and_the_pod_still_runs() {
    let mut pod = pod("Always", &[], &["a"]);
    pod.spec.as_mut().unwrap().containers[0].readiness_probe = Some(Probe::default());
    let mut facts = running(1);
    facts.probes.readiness = Verdict::Failure;
    let told = told(&pod, &seen(&[("a", facts)]), 2);
    assert_eq!(told.phase.as_deref(), Some("Running"));
    let ready = condition(&told, "Ready");
    assert_eq!(ready.reason.as_deref(), Some("ContainersNotReady"));
    assert_eq!(
        ready.message.as_deref(),
        Some("containers with unready status: [a]")
    );
}

#[test]
fn a_condition_keeps_its_time_until_its_status_moves_and_foreign_ones_survive() {
    let pod = pod("Always", &[], &["a"]);
    let mut first = told(&pod, &seen(&[("a", running(1))]), 2);
    let foreign = PodCondition {
        type_: "example.com/x".to_owned(),
        ..PodCondition::default()
    };
    first.conditions.as_mut().unwrap().push(foreign);
    let same = status(&pod, &seen(&[("a", running(1))]), &[], Some(&first), at(50));
    assert_eq!(same.conditions, first.conditions);
    let crashed = status(
        &pod,
        &seen(&[("a", ended(Outcome::Exited(1)))]),
        &[],
        Some(&same),
        at(60),
    );
    let moved = condition(&crashed, "Ready")
        .last_transition_time
        .as_ref()
        .unwrap();
    assert_eq!(moved.0, at(60));
    assert!(
        crashed
            .conditions
            .unwrap()
            .iter()
            .any(|c| c.type_ == "example.com/x")
    );
}

#[test]
fn a_readiness_gate_holds_ready_back_and_containers_ready_not() {
    let mut pod = pod("Always", &[], &["a"]);
    let gate = PodReadinessGate {
        condition_type: "example.com/lb".to_owned(),
    };
    pod.spec.as_mut().unwrap().readiness_gates = Some(vec![gate]);
    let told = told(&pod, &seen(&[("a", running(1))]), 2);
    assert_eq!(condition(&told, "ContainersReady").status, "True");
    assert_eq!(
        condition(&told, "Ready").reason.as_deref(),
        Some("ReadinessGatesNotReady")
    );
}

#[test]
fn a_refused_pod_is_failed_with_the_reason() {
    let mut observed = Observation::new(at(0));
    observed.rejection = Some(Rejection {
        reason: "OutOfpods".to_owned(),
        message: "Node didn't have enough resource: pods".to_owned(),
    });
    let told = told(&pod("Always", &[], &["a"]), &observed, 1);
    assert_eq!(
        (told.phase.as_deref(), told.reason.as_deref()),
        (Some("Failed"), Some("OutOfpods"))
    );
}

#[test]
fn a_pod_is_not_finished_before_its_last_container_has_ended() {
    let mut pod = pod("Never", &["s"], &["a"]);
    let sidecars = pod.spec.as_mut().unwrap().init_containers.as_mut().unwrap();
    sidecars[0].restart_policy = Some("Always".to_owned());
    let mut observed = seen(&[("s", running(1)), ("a", ended(Outcome::Exited(0)))]);
    assert_eq!(told(&pod, &observed, 3).phase.as_deref(), Some("Running"));
    observed
        .containers
        .insert("s".to_owned(), ended(Outcome::Exited(0)));
    assert_eq!(told(&pod, &observed, 4).phase.as_deref(), Some("Succeeded"));
}

#[test]
fn a_status_of_a_finished_pod_never_changes_again() {
    let pod = pod("Never", &[], &["a"]);
    let done = told(&pod, &seen(&[("a", ended(Outcome::Exited(0)))]), 5);
    let forgotten = Observation::new(at(9));
    assert_eq!(status(&pod, &forgotten, &[], Some(&done), at(9)), done);
}

#[test]
fn an_equal_status_is_no_patch_and_a_changed_one_holds_only_what_changed() {
    let pod = pod("Always", &[], &["a"]);
    let first = told(&pod, &seen(&[("a", running(1))]), 2);
    assert_eq!(status_patch("u", Some(&first), &first), None);
    let crashed = status(
        &pod,
        &seen(&[("a", ended(Outcome::Exited(1)))]),
        &["10.0.0.1".parse().unwrap()],
        Some(&first),
        at(3),
    );
    let patch = status_patch("u", Some(&first), &crashed).unwrap();
    assert_eq!(patch["metadata"]["uid"], "u");
    let fields: Vec<&String> = patch["status"].as_object().unwrap().keys().collect();
    assert_eq!(fields, ["conditions", "containerStatuses"]);
    let types = patch["status"]["conditions"].as_array().unwrap();
    let types: Vec<&str> = types.iter().map(|c| c["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["Ready", "ContainersReady"]);
}

#[test]
fn a_reason_that_no_longer_holds_is_taken_away_by_the_patch() {
    let pod = pod("Always", &[], &["a"]);
    let before = told(&pod, &seen(&[("a", ended(Outcome::Exited(1)))]), 2);
    let after = status(
        &pod,
        &seen(&[("a", running(3))]),
        &["10.0.0.1".parse().unwrap()],
        Some(&before),
        at(3),
    );
    let patch = status_patch("u", Some(&before), &after).unwrap();
    let ready = &patch["status"]["conditions"][0];
    assert_eq!(ready["type"], "Ready");
    assert!(ready["reason"].is_null() && ready.get("reason").is_some());
}
