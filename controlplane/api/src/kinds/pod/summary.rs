//! What a pod's state comes to in a word, as `kubectl get pods` shows it.

use jiff::Timestamp;
use serde_json::Value;

use crate::meta;
use crate::read;
use crate::time;

/// The aggregate state of a pod's containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Summary {
    /// One word: a phase, a waiting or termination reason, `Init:1/2`, `Terminating`.
    pub(super) reason: String,
    /// Containers (and sidecars) that are ready.
    pub(super) ready: usize,
    /// Containers and sidecars.
    pub(super) total: usize,
    /// Restarts that count: of init containers until they are done, then of the others.
    pub(super) restarts: i64,
    /// When the last of these restarts began.
    pub(super) last_restart: Option<Timestamp>,
}

/// Restarts and the time of the last.
#[derive(Debug, Clone, Copy, Default)]
struct Restarts {
    count: i64,
    last: Option<Timestamp>,
}

impl Restarts {
    fn add(&mut self, container: &Value) {
        self.count += read::count(container, "restartCount");
        self.last = self.last.max(time::parse(read::text(
            container,
            "lastState.terminated.finishedAt",
        )));
    }
}

impl Summary {
    pub(super) fn of(pod: &Value) -> Self {
        let sidecars = sidecars(pod);
        let mut summary = Self {
            reason: first_word(pod),
            ready: 0,
            total: read::list(pod, "spec.containers").len() + sidecars.len(),
            restarts: 0,
            last_restart: None,
        };
        let (initializing, init, sidecar) = summary.add_init(pod, &sidecars);
        let mut counted = init;
        if !initializing || is_true(pod, "Initialized") {
            counted = sidecar;
            summary.add_main(pod, &mut counted);
        }
        summary.restarts = counted.count;
        summary.last_restart = counted.last;
        summary.note_deletion(pod);
        summary
    }

    /// Walks the init containers up to the first that is not done. Answers whether there is one, and the
    /// restarts of those walked, all and sidecars alone.
    fn add_init(&mut self, pod: &Value, sidecars: &[&str]) -> (bool, Restarts, Restarts) {
        let (mut all, mut of_sidecars) = (Restarts::default(), Restarts::default());
        for (index, container) in read::list(pod, "status.initContainerStatuses").iter().enumerate() {
            all.add(container);
            let sidecar = sidecars.contains(&read::text(container, "name"));
            if sidecar {
                of_sidecars.add(container);
            }
            let ended = read::present(container, "state.terminated");
            if ended && read::count(container, "state.terminated.exitCode") == 0 {
                continue;
            }
            if sidecar && read::flag(container, "started") {
                self.ready += usize::from(read::flag(container, "ready"));
                continue;
            }
            self.reason = match (ended, read::text(container, "state.waiting.reason")) {
                (true, _) => format!("Init:{}", ending(container)),
                (false, "" | "PodInitializing") => {
                    format!("Init:{index}/{}", read::list(pod, "spec.initContainers").len())
                }
                (false, waiting) => format!("Init:{waiting}"),
            };
            return (true, all, of_sidecars);
        }
        (false, all, of_sidecars)
    }

    /// Walks the containers, last first, so that the first one's reason wins.
    fn add_main(&mut self, pod: &Value, counted: &mut Restarts) {
        let mut running = false;
        for container in read::list(pod, "status.containerStatuses").iter().rev() {
            counted.add(container);
            let waiting = read::text(container, "state.waiting.reason");
            if !waiting.is_empty() {
                waiting.clone_into(&mut self.reason);
            } else if read::present(container, "state.terminated") {
                self.reason = ending(container);
            } else if read::flag(container, "ready") && read::present(container, "state.running") {
                running = true;
                self.ready += 1;
            }
        }
        if self.reason == "Completed" && running {
            let word = if is_true(pod, "Ready") {
                "Running"
            } else {
                "NotReady"
            };
            word.clone_into(&mut self.reason);
        }
    }

    fn note_deletion(&mut self, pod: &Value) {
        if meta::deletion_timestamp(pod).is_none() {
            return;
        }
        if read::text(pod, "status.reason") == "NodeLost" {
            "Unknown".clone_into(&mut self.reason);
        } else if !matches!(read::text(pod, "status.phase"), "Succeeded" | "Failed") {
            "Terminating".clone_into(&mut self.reason);
        }
    }
}

/// The word before any container is looked at.
fn first_word(pod: &Value) -> String {
    let gated = read::condition(pod, "PodScheduled")
        .is_some_and(|condition| read::text(condition, "reason") == "SchedulingGated");
    match (gated, read::text(pod, "status.reason")) {
        (true, _) => "SchedulingGated",
        (false, "") => read::text(pod, "status.phase"),
        (false, reason) => reason,
    }
    .to_owned()
}

/// Why a container ended: its reason, else its signal, else its exit code.
fn ending(container: &Value) -> String {
    let ended = |field: &str| read::count(container, &format!("state.terminated.{field}"));
    match (read::text(container, "state.terminated.reason"), ended("signal")) {
        ("", 0) => format!("ExitCode:{}", ended("exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

/// Init containers that keep running beside the others.
fn sidecars(pod: &Value) -> Vec<&str> {
    let all = read::list(pod, "spec.initContainers").iter();
    all.filter(|container| read::text(container, "restartPolicy") == "Always")
        .map(|container| read::text(container, "name"))
        .collect()
}

fn is_true(pod: &Value, condition: &str) -> bool {
    read::condition(pod, condition).is_some_and(|condition| read::text(condition, "status") == "True")
}
