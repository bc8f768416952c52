//! Events that follow from a change of status, with upstream's reasons and words.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, PodStatus};

use crate::ephemeral::container_statuses;

/// `type` of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventType {
    /// As expected.
    Normal,
    /// Someone may have to look.
    Warning,
}

impl EventType {
    /// The name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// An event before it has a name and a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventDraft {
    /// Normal or Warning.
    pub type_: EventType,
    /// CamelCase.
    pub reason: String,
    /// A sentence.
    pub message: String,
    /// The container it is about, where it is about one.
    pub container: Option<String>,
}

impl EventDraft {
    /// A Normal event.
    #[must_use]
    pub fn normal(reason: &str, message: impl Into<String>) -> Self {
        Self {
            type_: EventType::Normal,
            reason: reason.to_owned(),
            message: message.into(),
            container: None,
        }
    }

    /// A Warning event.
    #[must_use]
    pub fn warning(reason: &str, message: impl Into<String>) -> Self {
        Self {
            type_: EventType::Warning,
            reason: reason.to_owned(),
            message: message.into(),
            container: None,
        }
    }
}

/// The events of the change from `old` to `new`. Being made from the status alone, none is told twice
/// after a restart of the agent, and restarts that systemd did meanwhile are told.
#[must_use]
pub fn transitions(old: Option<&PodStatus>, new: &PodStatus) -> Vec<EventDraft> {
    let all = |status: &PodStatus| -> Vec<ContainerStatus> { container_statuses(status).cloned().collect() };
    let before = old.map(all).unwrap_or_default();
    let pairs = all(new);
    let each = pairs
        .iter()
        .map(|status| (before.iter().find(|old| old.name == status.name), status));
    let told = each.flat_map(|(old, new)| {
        let name = new.name.clone();
        of_container(old, new).into_iter().map(move |event| EventDraft {
            container: Some(name.clone()),
            ..event
        })
    });
    told.collect()
}

fn of_container(old: Option<&ContainerStatus>, new: &ContainerStatus) -> Vec<EventDraft> {
    let mut events = Vec::new();
    if began(old, new) {
        events.extend(created(old, new));
        events.push(EventDraft::normal(
            "Started",
            format!("Started container {}", new.name),
        ));
    }
    if let Some(error) = start_error(new)
        && old.is_none_or(|old| old.container_id != new.container_id || start_error(old).is_none())
    {
        events.extend(created(old, new));
        events.push(EventDraft::warning("Failed", format!("Error: {error}")));
    }
    let reason = |status: &ContainerStatus| waiting(status.state.as_ref()).map(|(reason, _)| reason);
    if let Some((now, message)) = waiting(new.state.as_ref())
        && old.and_then(reason).as_deref() != Some(now.as_str())
    {
        events.extend(of_waiting(&now, &message, new));
    }
    events
}

/// What comes before a container is started, or could not be.
fn created(old: Option<&ContainerStatus>, new: &ContainerStatus) -> Vec<EventDraft> {
    let mut events = Vec::new();
    if new.restart_count > 0 && old.is_none_or(|old| old.image == new.image) {
        // A restart by systemd, which asks nobody for the image; all else is told where it is looked up.
        let message = format!(
            "Container image \"{}\" already present on machine and can be accessed by the pod",
            new.image
        );
        events.push(EventDraft::normal("Pulled", message));
    }
    let message = format!("Created container: {}", new.name);
    events.push(EventDraft::normal("Created", message));
    events
}

/// Why the run that `status` names never began, where it did not.
fn start_error(status: &ContainerStatus) -> Option<String> {
    let ends = [&status.state, &status.last_state]
        .into_iter()
        .flatten()
        .filter_map(|s| s.terminated.as_ref());
    let mut own = ends.filter(|end| end.container_id == status.container_id);
    own.find(|end| end.reason.as_deref() == Some("StartError"))
        .map(|end| end.message.clone().unwrap_or_default())
}

/// Whether `new` tells of a run that `old` did not know.
fn began(old: Option<&ContainerStatus>, new: &ContainerStatus) -> bool {
    let ran = |state: Option<&ContainerState>| {
        state.is_some_and(|state| {
            state.running.is_some()
                || state
                    .terminated
                    .as_ref()
                    .is_some_and(|end| end.reason.as_deref() != Some("StartError"))
        })
    };
    ran(new.state.as_ref())
        && new.container_id.is_some()
        && old.is_none_or(|old| old.container_id != new.container_id || !seen(old))
}

/// Whether the run that `status` names has been told of.
fn seen(status: &ContainerStatus) -> bool {
    let ended =
        |state: &Option<ContainerState>| state.as_ref().is_some_and(|state| state.terminated.is_some());
    let running = status.state.as_ref().is_some_and(|state| state.running.is_some());
    running || ended(&status.state) || ended(&status.last_state)
}

fn waiting(state: Option<&ContainerState>) -> Option<(String, String)> {
    let waiting = state?.waiting.as_ref()?;
    Some((
        waiting.reason.clone()?,
        waiting.message.clone().unwrap_or_default(),
    ))
}

fn of_waiting(reason: &str, message: &str, status: &ContainerStatus) -> Vec<EventDraft> {
    match reason {
        "ErrImagePull" => vec![
            EventDraft::warning(
                "Failed",
                format!("Failed to pull image \"{}\": {message}", status.image),
            ),
            EventDraft::warning("Failed", "Error: ErrImagePull"),
        ],
        "ImagePullBackOff" => vec![
            EventDraft::normal("BackOff", format!("Back-off pulling image \"{}\"", status.image)),
            EventDraft::warning("Failed", "Error: ImagePullBackOff"),
        ],
        "ErrImageNeverPull" => vec![
            EventDraft::warning("ErrImageNeverPull", message),
            EventDraft::warning("Failed", "Error: ErrImageNeverPull"),
        ],
        "InvalidImageName" | "ImageInspectError" => vec![
            EventDraft::warning("InspectFailed", message),
            EventDraft::warning("Failed", format!("Error: {reason}")),
        ],
        "CrashLoopBackOff" => {
            let pod = message
                .split_once(" pod=")
                .map(|(_, pod)| pod)
                .unwrap_or_default();
            let text = format!(
                "Back-off restarting failed container {} in pod {pod}",
                status.name
            );
            vec![EventDraft::warning("BackOff", text)]
        }
        "ContainerCreating" | "PodInitializing" => Vec::new(),
        _ => vec![EventDraft::warning("Failed", format!("Error: {message}"))],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::{ContainerStateRunning, ContainerStateWaiting};

    fn status(state: ContainerState, id: Option<&str>) -> PodStatus {
        let container = ContainerStatus {
            name: "c".to_owned(),
            image: "busybox".to_owned(),
            container_id: id.map(ToOwned::to_owned),
            state: Some(state),
            ..ContainerStatus::default()
        };
        PodStatus {
            container_statuses: Some(vec![container]),
            ..PodStatus::default()
        }
    }

    fn running() -> ContainerState {
        ContainerState {
            running: Some(ContainerStateRunning::default()),
            ..ContainerState::default()
        }
    }

    fn waits(reason: &str) -> ContainerState {
        let waiting = ContainerStateWaiting {
            reason: Some(reason.to_owned()),
            message: Some("back-off 10s restarting failed container=c pod=p_n(u)".to_owned()),
        };
        ContainerState {
            waiting: Some(waiting),
            ..ContainerState::default()
        }
    }

    fn reasons(old: &PodStatus, new: &PodStatus) -> Vec<String> {
        transitions(Some(old), new)
            .into_iter()
            .map(|event| event.reason)
            .collect()
    }

    #[test]
    fn a_first_start_and_each_restart_are_told_once() {
        let (none, first, mut second) = (
            status(waits("ContainerCreating"), None),
            status(running(), Some("floe://1")),
            status(running(), Some("floe://2")),
        );
        for container in second.container_statuses.iter_mut().flatten() {
            container.restart_count = 1;
        }
        assert_eq!(reasons(&none, &first), ["Created", "Started"]);
        assert_eq!(reasons(&first, &first), Vec::<String>::new());
        assert_eq!(reasons(&first, &second), ["Pulled", "Created", "Started"]);
    }

    #[test]
    fn what_could_not_be_started_was_made_and_never_started() {
        let ended = ContainerState {
            terminated: Some(k8s_openapi::api::core::v1::ContainerStateTerminated {
                reason: Some("StartError".to_owned()),
                message: Some("executable file `x` not found".to_owned()),
                container_id: Some("floe://1".to_owned()),
                ..Default::default()
            }),
            ..ContainerState::default()
        };
        let (none, failed) = (
            status(waits("ContainerCreating"), None),
            status(ended, Some("floe://1")),
        );
        assert_eq!(reasons(&none, &failed), ["Created", "Failed"]);
        assert_eq!(reasons(&failed, &failed), Vec::<String>::new());
    }

    #[test]
    fn a_crash_loop_names_container_and_pod() {
        let new = status(waits("CrashLoopBackOff"), Some("floe://1"));
        let events = transitions(Some(&status(running(), Some("floe://1"))), &new);
        assert_eq!(events.len(), 1);
        assert_eq!(
            events[0].message,
            "Back-off restarting failed container c in pod p_n(u)"
        );
    }
}
