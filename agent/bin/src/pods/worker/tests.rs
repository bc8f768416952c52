//! One worker on a node made of a temporary folder, units in memory and an API that only records.

mod node;

use agent_systemd::ActiveState;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::Value;

use super::*;
use node::*;

fn phase(status: &Value, wanted: &str) -> bool {
    status["phase"] == wanted
}

#[tokio::test]
async fn a_pod_is_started_and_its_end_is_told_from_its_record() {
    let mut node = Node::with(pod());
    node.told(|status| phase(status, "Pending")).await;
    node.started().await;
    node.run();
    let running = node.told(|status| phase(status, "Running")).await;
    assert_eq!(running["containerStatuses"][0]["containerID"], "floe://r1");
    node.end(3);
    let failed = node.told(|status| phase(status, "Failed")).await;
    assert_eq!(
        failed["containerStatuses"][0]["state"]["terminated"]["exitCode"],
        3
    );
    assert_eq!(node.context.units.starts(&node.unit), 1);
}

#[tokio::test]
async fn a_run_whose_end_was_not_recorded_is_not_run_again() {
    let mut node = Node::with(pod());
    node.started().await;
    node.run();
    node.told(|status| phase(status, "Running")).await;
    node.context.units.end(&node.unit, ActiveState::Failed);
    node.wake.stir();
    let failed = node.told(|status| phase(status, "Failed")).await;
    let ended = &failed["containerStatuses"][0]["state"]["terminated"];
    assert_eq!(ended["exitCode"], 137);
    assert!(
        ended["message"].as_str().unwrap().contains("not known"),
        "{ended}"
    );
    assert_eq!(node.context.units.starts(&node.unit), 1);
}

#[tokio::test]
async fn a_pod_that_does_not_fit_is_failed_with_the_reason_and_nothing_of_it_is_made() {
    let rejection = Rejection {
        reason: "OutOfcpu".to_owned(),
        message: "Node didn't have enough resource: cpu".to_owned(),
    };
    let mut node = Node::begin(pod(), Some(rejection));
    let failed = node.told(|status| phase(status, "Failed")).await;
    assert_eq!(failed["reason"], "OutOfcpu");
    assert_eq!(
        failed["message"],
        "Pod was rejected: Node didn't have enough resource: cpu"
    );
    assert_eq!(node.units().await, 0);
    assert!(!node.context.paths.pod_dir("12345678-0000").exists());
    node.goal.send_replace(Goal::from_api(leaving(30)));
    node.asked("DELETE", "/api/v1/namespaces/default/pods/p", |_| true)
        .await;
}

#[tokio::test]
async fn a_unit_is_listed_as_failed_only_where_its_container_failed() {
    for (code, ended, left) in [(0, "Succeeded", 0), (3, "Failed", 1)] {
        let mut node = Node::with(pod());
        node.started().await;
        node.run();
        node.told(|status| phase(status, "Running")).await;
        // A container that exits 0 before its start is through is a failure of the protocol to systemd.
        let mut changes = node.context.units.changes();
        node.end(code);
        node.told(|status| phase(status, ended)).await;
        while left == 0 && node.units().await > 0 {
            changes.next().await;
        }
        assert_eq!(node.units().await, left);
    }
}

#[tokio::test]
async fn a_deleted_pod_is_stopped_then_deleted_by_uid_and_leaves_no_folder() {
    let mut node = Node::with(pod());
    node.started().await;
    node.run();
    node.told(|status| phase(status, "Running")).await;
    let mut leaving = pod();
    leaving.metadata.deletion_timestamp = Some(Time(now()));
    leaving.metadata.deletion_grace_period_seconds = Some(5);
    node.goal.send_replace(Goal::from_api(leaving));
    let options = node
        .asked("DELETE", "/api/v1/namespaces/default/pods/p", |_| true)
        .await;
    assert_eq!(options["preconditions"]["uid"], "12345678-0000");
    assert_eq!(options["gracePeriodSeconds"], 0);
    assert_eq!(node.context.units.service(&node.unit), None);
    node.goal.send_modify(|goal| goal.object = ObjectState::Gone);
    assert_eq!(node.worker.join_next().await.unwrap().unwrap(), "12345678-0000");
    assert!(!node.context.paths.pod_dir("12345678-0000").join("c").exists());
}

#[tokio::test]
async fn a_pod_deleted_before_its_unit_is_made_is_stopped_once() {
    let (mut node, answers) = Node::to_be_answered(pod());
    // With a sandbox all that is left to do is the start, which waits to hear of services.
    let begun = |status: &Value| {
        let all = status["conditions"].as_array().into_iter().flatten();
        let mut ready = all.filter(|condition| condition["type"] == "PodReadyToStartContainers");
        ready.any(|condition| condition["status"] == "True")
    };
    node.told(begun).await;
    node.goal.send_replace(Goal::from_api(leaving(30)));
    // Time for the worker to ask again and again for what cannot be done yet.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    answers.notify_one();
    node.asked("DELETE", "/api/v1/namespaces/default/pods/p", |_| true)
        .await;
    assert_eq!(node.killings(), 1);
}

#[tokio::test]
async fn a_pod_that_gets_no_token_hears_why_and_leaves_when_it_is_deleted() {
    let of_account = |mut pod: Pod| {
        let sources = serde_json::json!([{"serviceAccountToken": {"path": "token"}}]);
        let volume = serde_json::json!([{"name": "api", "projected": {"sources": sources}}]);
        pod.spec.as_mut().unwrap().volumes = Some(serde_json::from_value(volume).unwrap());
        pod
    };
    let mut node = Node::with(of_account(pod()));
    let told = node.event("FailedMount").await;
    assert!(
        told.starts_with(
            "MountVolume.SetUp failed for volume \"api\" : failed to fetch token: serviceaccounts \"default\": "
        ),
        "{told}"
    );
    assert_eq!(node.context.units.starts(&node.unit), 0);
    node.goal.send_replace(Goal::from_api(of_account(leaving(1))));
    node.asked("DELETE", "/api/v1/namespaces/default/pods/p", |_| true)
        .await;
    node.goal.send_modify(|goal| goal.object = ObjectState::Gone);
    assert_eq!(node.worker.join_next().await.unwrap().unwrap(), "12345678-0000");
    assert!(!node.context.paths.pod_dir("12345678-0000").exists());
}

fn leaving(grace: i64) -> Pod {
    let mut pod = pod();
    pod.metadata.deletion_timestamp = Some(Time(now()));
    pod.metadata.deletion_grace_period_seconds = Some(grace);
    pod
}

/// A node whose container runs and ignores its stop signal, and whose pod is deleted with an hour's grace.
async fn stuck() -> Node {
    let mut node = Node::with(pod());
    node.started().await;
    node.run();
    node.told(|status| phase(status, "Running")).await;
    node.context.units.harden(&node.unit);
    let mut changes = node.context.units.changes();
    node.goal.send_replace(Goal::from_api(leaving(3600)));
    while node.state().await != Some(ActiveState::Deactivating) {
        changes.next().await;
    }
    node
}

#[tokio::test]
async fn a_grace_that_is_cut_short_while_the_pod_leaves_ends_it_early() {
    let node = stuck().await;
    node.goal.send_replace(Goal::from_api(leaving(1)));
    node.killed().await;
}

#[tokio::test]
async fn a_pod_deleted_by_force_while_it_leaves_is_killed() {
    let mut node = stuck().await;
    node.goal.send_modify(Goal::lose);
    node.killed().await;
    assert_eq!(node.worker.join_next().await.unwrap().unwrap(), "12345678-0000");
}

#[tokio::test]
async fn a_grace_longer_than_the_pods_own_is_asked_of_systemd() {
    let node = stuck().await;
    let file = node.context.paths.run_dir.join("asked");
    let asked = async {
        loop {
            match std::fs::read_to_string(&file) {
                Ok(asked) if !asked.is_empty() => return asked,
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    let asked = tokio::time::timeout(Duration::from_secs(10), asked).await;
    let asked = asked.expect("floe-run is asked");
    assert!(asked.starts_with("extend 42 359"), "{asked}");
}

/// A small file system at a folder.
struct Small(PathBuf);

impl Small {
    fn mount(at: PathBuf) -> Self {
        std::fs::create_dir_all(&at).unwrap();
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("tmpfs", &at, "tmpfs", flags, c"size=512k").unwrap();
        Self(at)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH).ok();
    }
}

#[tokio::test]
async fn a_full_disk_is_told_in_one_sentence_and_the_pod_starts_when_there_is_space() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: mounting a small file system needs root");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let small = Small::mount(dir.path().join("run"));
    let filler = small.0.join("filler");
    std::fs::write(&filler, vec![0; 1 << 20]).unwrap_err();
    let mut node = Node::on(dir, pod(), None);
    let told = node.event("FailedCreatePodSandBox").await;
    let run = small.0.display();
    assert_eq!(
        told,
        format!(
            "Failed to create pod sandbox: write {run}/pods/12345678-0000/_pod.json: no space left: free space on {run}"
        )
    );
    std::fs::remove_file(&filler).unwrap();
    node.started().await;
}

#[tokio::test]
async fn an_image_that_no_registry_gives_is_told_with_the_reason() {
    let mut other = pod();
    other.spec.as_mut().unwrap().containers[0].image = Some("127.0.0.1:1/nginx:9".to_owned());
    let mut node = Node::with(other);
    let waits =
        |status: &Value| status["containerStatuses"][0]["state"]["waiting"]["reason"] == "ErrImagePull";
    let status = node.told(waits).await;
    let message = status["containerStatuses"][0]["state"]["waiting"]["message"]
        .as_str()
        .unwrap();
    assert!(
        message.contains("registry 127.0.0.1:1") && message.contains("refused"),
        "{message}"
    );
}

#[tokio::test]
async fn a_pull_that_hangs_holds_up_neither_the_worker_nor_another_image() {
    let registry = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut hanging = pod();
    let image = format!("{}/hangs:1", registry.local_addr().unwrap());
    hanging.spec.as_mut().unwrap().containers[0].image = Some(image);
    let node = Node::with(hanging);
    let silent = registry.accept().await.unwrap();
    let mut other = pod();
    other.metadata.generation = Some(2);
    node.goal.send_replace(Goal::from_api(other));
    node.started().await;
    drop(silent);
}

/// The pod with so many thousandths of a cpu, and its spec's generation.
fn sized(cpu: &str, generation: i64) -> Pod {
    let mut pod = pod();
    let sizes = serde_json::json!({"limits": {"cpu": cpu}, "requests": {"cpu": cpu}});
    pod.spec.as_mut().unwrap().containers[0].resources = Some(serde_json::from_value(sizes).unwrap());
    pod.metadata.generation = Some(generation);
    pod
}

#[tokio::test]
async fn a_resize_is_given_to_the_unit_that_runs_and_told() {
    let mut node = Node::with(sized("100m", 1));
    node.started().await;
    node.run();
    let running = node.told(|status| phase(status, "Running")).await;
    assert_eq!(
        running["containerStatuses"][0]["resources"]["limits"]["cpu"],
        "100m"
    );
    node.goal.send_replace(Goal::from_api(sized("3", 2)));
    let told = node.event("ResizeCompleted").await;
    assert!(
        told.starts_with("Pod resize completed: {\"containers\":[{\"name\":\"c\""),
        "{told}"
    );
    let has = |status: &Value| status["containerStatuses"][0]["resources"]["limits"]["cpu"] == "3";
    node.told(has).await;
    let limits = node.context.units.limits(&node.unit).unwrap();
    assert_eq!(limits.cpu_quota_per_sec, Some(Duration::from_secs(3)));
    assert_eq!(node.context.units.starts(&node.unit), 1);
}

#[tokio::test]
async fn a_resize_that_the_node_cannot_hold_changes_nothing_and_is_told() {
    let mut node = Node::with(sized("100m", 1));
    node.started().await;
    node.run();
    node.told(|status| phase(status, "Running")).await;
    // The node has four.
    node.goal.send_replace(Goal::from_api(sized("5", 2)));
    let told = node.event("ResizeInfeasible").await;
    assert!(told.contains("requested: 5000, capacity: 4000"), "{told}");
    let limits = node.context.units.limits(&node.unit).unwrap();
    assert_eq!(limits.cpu_quota_per_sec, Some(Duration::from_millis(100)));
}
