//! Steps, performed.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use agent_core::{
    EventDraft, Failure, ImageState, Sandbox, Step, StopCause, StopMode, StopProgress, Volumes, backoff,
    every_container, spec_hash,
};
use agent_runtime::{mounts, pod_processes, read_records, slice_name, unit_name};
use agent_systemd::UnitManager;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Container;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::operations::{self, Done, StopOrder};
use super::worker::Worker;
use crate::clock::now;
use crate::pulls::{Found, Missing, Wanted};

/// Pause before a foundation that failed is tried again.
pub(super) const RETRY: SignedDuration = SignedDuration::from_secs(5);

/// Pause before a stop or a deletion that was refused is asked for again: the reason may last.
const ASK_AGAIN: SignedDuration = SignedDuration::from_secs(1);

/// What came of a step.
pub(super) enum Flow {
    /// The observation changed: plan again at once.
    Changed,
    /// Something was begun that will wake the worker.
    Begun,
    /// Nothing before this moment.
    Wait(Timestamp),
    /// The pod is gone.
    Ended,
}

impl<U: UnitManager + 'static> Worker<U> {
    pub(super) async fn apply(&mut self, step: Step) -> Flow {
        match step {
            Step::MountVolumes => {
                self.mount_volumes();
                Flow::Changed
            }
            Step::CreateSandbox => self.create_sandbox().await,
            Step::AllocateResources => self.allocate(),
            Step::ResizeContainers { containers } => self.resize(containers),
            Step::EnsureImage { container } => self.ensure_image(&container).await,
            Step::StartContainer { container } => self.start(&container),
            // Its unit wakes the worker, and so does a start that comes to nothing.
            Step::StopContainer { container, .. } | Step::KillContainer { container }
                if self.local(&container).unmade =>
            {
                Flow::Begun
            }
            Step::StopContainer {
                container,
                grace,
                mode,
                cause,
            } => {
                let message = cause.message(&container);
                self.local(&container).comes_back =
                    matches!(cause, StopCause::SpecChanged | StopCause::Resize);
                self.context.events.about_pod(
                    &self.goal.pod,
                    Some(&container),
                    EventDraft::normal("Killing", message),
                );
                self.stop(&container, StopOrder { grace, mode }, CancellationToken::new())
            }
            Step::KillContainer { container } => self.kill(&container),
            Step::ForgetFailure { container } => self.forget_failure(&container),
            Step::FreeSandbox => self.free_sandbox().await,
            Step::DeleteObject => self.delete_object(),
            Step::RemoveFiles => self.remove_files().await,
            Step::WaitUntil(moment) => Flow::Wait(moment),
        }
    }

    pub(super) fn container(&self, name: &str) -> Option<Container> {
        let spec = self.goal.pod.spec.as_ref()?;
        let mut all = every_container(spec).map(|(_, c)| c);
        all.find(|c| c.name == name).map(Cow::into_owned)
    }

    async fn create_sandbox(&mut self) -> Flow {
        if matches!(self.sandbox, Sandbox::Ready { .. }) {
            let message = "Pod sandbox changed, it will be killed and re-created.";
            let event = EventDraft::normal("SandboxChanged", message.to_owned());
            self.context.events.about_pod(&self.goal.pod, None, event);
        }
        match Box::pin(self.make_sandbox()).await {
            Ok(pod_ips) => self.sandbox = Sandbox::Ready { pod_ips },
            Err(error) => {
                let message = format!("Failed to create pod sandbox: {error:#}");
                warn!(error = format!("{error:#}"), "sandbox not created");
                let event = EventDraft::warning("FailedCreatePodSandBox", message.clone());
                self.context.events.about_pod(&self.goal.pod, None, event);
                self.sandbox = Sandbox::Failed(failure("FailedCreatePodSandBox", message));
            }
        }
        Flow::Changed
    }

    async fn ensure_image(&mut self, name: &str) -> Flow {
        let Some(container) = self.container(name) else {
            return Flow::Begun;
        };
        let reference = container.image.clone().unwrap_or_default();
        if self.local(name).pulling.as_ref() == Some(&reference) {
            return Flow::Begun;
        }
        let wanted = Wanted {
            pod: Arc::clone(&self.goal.pod),
            uid: self.uid.clone(),
            container,
            wake: Arc::clone(&self.wake),
        };
        if let Some(found) = self.context.pulls.at_hand(&wanted).await {
            self.local(name).image = present(found);
            return Flow::Changed;
        }
        self.local(name).pulling = Some(reference.clone());
        let context = Arc::clone(&self.context);
        self.operations.spawn(async move {
            let result = Box::pin(context.pulls.bring(&wanted)).await;
            Done::Imaged {
                container: wanted.container.name,
                reference,
                result,
            }
        });
        Flow::Begun
    }

    fn imaged(&mut self, name: &str, reference: &str, result: Result<Found, Missing>) {
        let local = self.local(name);
        if local.pulling.as_deref() != Some(reference) {
            // Another image is wanted meanwhile.
            return;
        }
        local.pulling = None;
        let before = match &local.image {
            ImageState::Failed(failure) => Some(failure.clone()),
            ImageState::Unknown | ImageState::Present { .. } => None,
        };
        local.image = match result {
            Ok(found) => present(found),
            Err(missing) => ImageState::Failed(pull_failure(before.as_ref(), missing)),
        };
    }

    fn start(&mut self, name: &str) -> Flow {
        let Some(container) = self.container(name) else {
            return Flow::Begun;
        };
        let hash = spec_hash(&container);
        let local = self.local(name);
        if local.starting {
            return Flow::Begun;
        }
        local.starting = true;
        local.failure = None;
        local.bundle_hash = Some(hash);
        self.note_made(name);
        let order = self.start_order(container);
        let context = Arc::clone(&self.context);
        self.operations.spawn(async move {
            let name = order.container.name.clone();
            let result = Box::pin(super::start::start(&context, order)).await;
            Done::Started {
                container: name,
                result,
            }
        });
        Flow::Begun
    }

    fn stop(&mut self, name: &str, order: StopOrder, hurry: CancellationToken) -> Flow {
        let (Some(container), Ok(unit)) = (self.container(name), unit_name(&self.goal.pod, name)) else {
            return Flow::Begun;
        };
        let local = self.local(name);
        local.stop = Some(StopProgress::Asked);
        local.hurry = Some(hurry.clone());
        let invocation = local.invocation.clone();
        let target = self.action_target(container.clone());
        let context = Arc::clone(&self.context);
        let name = name.to_owned();
        self.operations.spawn(async move {
            let stop = operations::Stop {
                context: &context,
                target: &target,
                unit: &unit,
                invocation: invocation.as_deref(),
            };
            let result = Box::pin(stop.run(order, &hurry)).await;
            Done::Stopped {
                container: name,
                result,
            }
        });
        Flow::Begun
    }

    /// Cuts the stop that is under way short, or begins one that waits for nothing.
    fn kill(&mut self, name: &str) -> Flow {
        match self.local(name).hurry.clone() {
            Some(hurry) => hurry.cancel(),
            None => {
                let order = StopOrder {
                    grace: Duration::ZERO,
                    mode: StopMode::Remove,
                };
                let hurry = CancellationToken::new();
                hurry.cancel();
                self.stop(name, order, hurry);
            }
        }
        self.local(name).stop = Some(StopProgress::Killed);
        Flow::Changed
    }

    fn forget_failure(&mut self, name: &str) -> Flow {
        let run = self.last_run(name);
        self.local(name).forgiven = run;
        if let Ok(unit) = unit_name(&self.goal.pod, name) {
            let context = Arc::clone(&self.context);
            let container = name.to_owned();
            self.operations.spawn(async move {
                let result = context.units.reset_failed(&unit).await;
                Done::Forgiven {
                    container,
                    result: result.map_err(|error| error.to_string()),
                }
            });
        }
        Flow::Begun
    }

    fn last_run(&self, name: &str) -> Option<String> {
        let records = read_records(&self.context.paths, &self.uid, name).ok()?;
        Some(records.last()?.invocation_id.clone())
    }

    async fn free_sandbox(&mut self) -> Flow {
        if self.mounting {
            // It would make anew what is taken away.
            return Flow::Begun;
        }
        self.tear_down_network().await;
        if let Ok(slice) = slice_name(&self.goal.pod)
            && let Err(error) = self.context.units.stop(slice.as_unit()).await
        {
            warn!(error = %error, "slice not stopped");
        }
        self.context.allocations.release(&self.uid);
        self.sandbox = Sandbox::Freed;
        self.volumes = Volumes::Absent;
        Flow::Changed
    }

    fn delete_object(&mut self) -> Flow {
        let version = self.goal.pod.metadata.resource_version.clone();
        if let Some(moment) = self.delete_at.filter(|moment| *moment > now()) {
            return Flow::Wait(moment);
        }
        if !self.publisher.is_settled() || self.deleted_version.as_ref() == Some(&version) {
            return Flow::Begun;
        }
        self.deleted_version = Some(version);
        let (client, pod) = (self.context.client.clone(), Arc::clone(&self.goal.pod));
        self.operations
            .spawn(async move { Done::Deleted(operations::delete(client, &pod).await) });
        Flow::Begun
    }

    async fn remove_files(&mut self) -> Flow {
        if self.mounting {
            return Flow::Begun;
        }
        self.context.objects.release(&self.uid);
        self.context.objects.cache().forget(&self.uid);
        for (_, container) in self.goal.pod.spec.iter().flat_map(every_container) {
            if let Ok(unit) = unit_name(&self.goal.pod, &container.name)
                && let Err(error) = self.context.units.reset_failed(&unit).await
            {
                warn!(error = %error, unit = %unit, "failed unit not forgotten");
            }
        }
        if let Ok(Some(processes)) = pod_processes(&self.goal.pod, &self.context.paths)
            && let Err(error) = self.context.units.reset_failed(&processes.name).await
        {
            warn!(error = %error, unit = %processes.name, "failed unit not forgotten");
        }
        self.context.allocations.release(&self.uid);
        if let Err(error) = mounts::remove_pod(&self.context.paths, &self.uid).await {
            warn!(
                error = format!("{:#}", anyhow::Error::from(error)),
                "files of the pod not removed"
            );
        }
        self.context.registry.remove(&self.uid);
        info!("pod removed");
        Flow::Ended
    }

    /// Takes in what an operation came to.
    pub(super) fn done(&mut self, done: Result<Done, tokio::task::JoinError>) {
        match done {
            Ok(Done::Mounted(mounted)) => self.mounted(mounted),
            Ok(Done::Started { container, result }) => {
                let local = self.local(&container);
                local.starting = false;
                local.failure = result.err();
                if local.failure.is_some() && matches!(local.image, ImageState::Present { .. }) {
                    // Looked up anew before the next try: it may have left the store, or policy be Always.
                    local.image = ImageState::Unknown;
                }
            }
            Ok(Done::Imaged {
                container,
                reference,
                result,
            }) => self.imaged(&container, &reference, result),
            Ok(Done::Stopped { container, result }) => {
                let local = self.local(&container);
                local.hurry = None;
                if let Err(error) = result {
                    warn!(error, container, "container not stopped");
                    let retry_at = soon(ASK_AGAIN);
                    local.stop = Some(StopProgress::Refused { retry_at });
                    return;
                }
                local.stop = None;
                local.verdicts = agent_core::probe::ProbeVerdicts::default();
                local.post_start = agent_core::PostStart::Done;
            }
            Ok(Done::PostStarted {
                container,
                invocation,
                result,
            }) => {
                self.post_started(&container, &invocation, result);
            }
            Ok(Done::Forgiven {
                container,
                result: Err(error),
            }) => {
                debug!(error, container, "failed unit not forgotten");
                self.local(&container).forgiven = None;
            }
            Ok(Done::Forgiven { result: Ok(()), .. }) => {}
            Ok(Done::Resized(result)) => self.resized(result),
            Ok(Done::Told(told)) => self.publisher.told(told),
            Ok(Done::Deleted(Ok(()))) => {}
            Ok(Done::Deleted(Err(error))) => {
                warn!(error, "object not deleted");
                self.deleted_version = None;
                self.delete_at = Some(soon(ASK_AGAIN));
            }
            Err(error) => warn!(error = %error, "operation failed"),
        }
    }
}

/// The moment `pause` from now.
pub(super) fn soon(pause: SignedDuration) -> Timestamp {
    let now = now();
    now.checked_add(pause).unwrap_or(now)
}

pub(super) fn failure(reason: &str, message: String) -> Failure {
    Failure {
        reason: reason.to_owned(),
        message,
        failed_at: now(),
        retry_at: soon(RETRY),
    }
}

/// A failed pull, its wait doubled from the one before.
fn pull_failure(before: Option<&Failure>, missing: Missing) -> Failure {
    let failed_at = now();
    let last = before.map(|failure| failure.retry_at.duration_since(failure.failed_at));
    let wait = last.map_or(backoff::FIRST, |last| {
        std::time::Duration::try_from(last)
            .unwrap_or(backoff::FIRST)
            .saturating_mul(2)
            .min(backoff::LONGEST)
    });
    let retry_at = failed_at
        .checked_add(SignedDuration::try_from(wait).unwrap_or(RETRY))
        .unwrap_or(failed_at);
    Failure {
        reason: missing.reason.to_owned(),
        message: missing.message,
        failed_at,
        retry_at,
    }
}

fn present(found: Found) -> ImageState {
    ImageState::Present {
        id: found.id,
        reference: found.reference,
    }
}
