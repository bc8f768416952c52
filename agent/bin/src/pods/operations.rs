//! Work that takes time, done beside the worker's loop.

use std::sync::Arc;
use std::time::Duration;

use agent_core::{EventDraft, Failure, StopMode};
use agent_images::{Image, ImageError};
use agent_runtime::read_records;
use agent_systemd::{KillWho, UnitManager, UnitName};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Preconditions};
use kube::{Api, Client};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::Context;
use super::action::{self, Target};
use super::publish::Told;

/// Signals by number.
const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;

/// Longest wait for a unit to be gone after SIGKILL.
const AFTER_KILL: Duration = Duration::from_secs(30);

/// The least a container has between the end of preStop and SIGKILL.
const LEAST_GRACE: Duration = Duration::from_secs(2);

/// What an operation came to.
#[derive(Debug)]
pub(super) enum Done {
    Started {
        container: String,
        result: Result<(), Failure>,
    },
    Stopped {
        container: String,
        result: Result<(), String>,
    },
    Forgiven {
        container: String,
        result: Result<(), String>,
    },
    PostStarted {
        container: String,
        invocation: String,
        result: Result<(), String>,
    },
    Told(Told),
    Deleted(Result<(), String>),
}

/// How to stop a container.
#[derive(Debug, Clone, Copy)]
pub(super) struct StopOrder {
    pub(super) grace: Duration,
    pub(super) mode: StopMode,
}

/// Why an image could not be looked up.
pub(super) struct ImageProblem {
    pub(super) is_reference: bool,
    pub(super) message: String,
}

/// Looks `reference` up in the node's store, off the async threads.
pub(super) async fn resolve_image<U: UnitManager + 'static>(
    context: &Arc<Context<U>>,
    reference: &str,
) -> Result<Option<Image>, ImageProblem> {
    let (images, reference) = (context.images.clone(), reference.to_owned());
    let asked = tokio::task::spawn_blocking(move || images.resolve(&reference)).await;
    match asked {
        Ok(Ok(image)) => Ok(image),
        Ok(Err(error)) => Err(ImageProblem {
            is_reference: matches!(error, ImageError::Reference { .. }),
            message: format!("{:#}", anyhow::Error::from(error)),
        }),
        Err(error) => Err(ImageProblem {
            is_reference: false,
            message: error.to_string(),
        }),
    }
}

/// A stop of one container.
pub(super) struct Stop<'a, U> {
    pub(super) context: &'a Arc<Context<U>>,
    pub(super) target: &'a Target,
    pub(super) unit: &'a UnitName,
    /// The run that is to end, where one runs.
    pub(super) invocation: Option<&'a str>,
}

impl<U: UnitManager + 'static> Stop<'_, U> {
    /// preStop, then the stop; SIGKILL at the end of the grace, or at once when `hurry` is cancelled.
    pub(super) async fn run(&self, order: StopOrder, hurry: &CancellationToken) -> Result<(), String> {
        let deadline = Instant::now() + order.grace;
        tokio::select! {
            // A command that is dropped is killed: the container ends with it anyway.
            () = hurry.cancelled() => {}
            // Cancel-safe: as above.
            () = self.pre_stop(deadline) => {}
        }
        let deadline = deadline.max(Instant::now() + LEAST_GRACE);
        let mut stopped = std::pin::pin!(self.end(order.mode));
        let mut grace = std::pin::pin!(self.grant(order, deadline));
        tokio::select! {
            // First, so that systemd is asked to stop the unit before anything of it is killed: it would
            // be started again.
            biased;
            // Cancel-safe: pinned, and awaited below.
            result = &mut stopped => return result,
            // Cancel-safe: a token stays cancelled.
            () = hurry.cancelled() => {}
            // Cancel-safe: what is left to wait for is over.
            () = &mut grace => {}
        }
        if let Err(error) = self.context.units.kill(self.unit, KillWho::All, SIGKILL).await {
            debug!(error = %error, unit = %self.unit, "nothing left to kill");
        }
        tokio::time::timeout(AFTER_KILL, stopped)
            .await
            .unwrap_or_else(|_| Err(format!("{} outlives SIGKILL", self.unit)))
    }

    async fn pre_stop(&self, deadline: Instant) {
        let target = self.target;
        let lifecycle = target.container.lifecycle.as_ref();
        let hook = lifecycle.and_then(|lifecycle| lifecycle.pre_stop.as_ref());
        let Some(hook) = hook.filter(|_| self.invocation.is_some()) else {
            return;
        };
        let ran = tokio::time::timeout_at(deadline, action::hook(self.context, target, hook)).await;
        let ran = ran.unwrap_or_else(|_| Err("did not end within the grace period".to_owned()));
        if let Err(error) = ran {
            let event = EventDraft::warning("FailedPreStopHook", format!("PreStopHook failed: {error}"));
            let events = &self.context.events;
            events.about_pod(&target.pod, Some(&target.container.name), event);
        }
    }

    async fn end(&self, mode: StopMode) -> Result<(), String> {
        match mode {
            StopMode::Remove => {
                let stopped = self.context.units.stop(self.unit).await;
                stopped.map_err(|error| error.to_string())
            }
            StopMode::Restart => self.end_run().await,
        }
    }

    /// SIGTERM to the main process, and the wait for the record of its end.
    async fn end_run(&self) -> Result<(), String> {
        let units = &self.context.units;
        let mut changes = units.changes();
        units
            .kill(self.unit, KillWho::Main, SIGTERM)
            .await
            .map_err(|error| error.to_string())?;
        let (uid, name) = (&self.target.uid, &self.target.container.name);
        loop {
            let records = read_records(&self.context.paths, uid, name).unwrap_or_default();
            let mut ended = records.recent.iter().map(|record| record.invocation_id.as_str());
            if ended.any(|id| Some(id) == self.invocation) || changes.next().await.is_none() {
                return Ok(());
            }
        }
    }

    /// Waits for the end of the grace.
    async fn grant(&self, _order: StopOrder, deadline: Instant) {
        tokio::time::sleep_until(deadline).await;
    }
}

/// Deletes the object for good: this very one, by its UID.
pub(super) async fn delete(client: Client, pod: &Pod) -> Result<(), String> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let api: Api<Pod> = Api::namespaced(client, namespace);
    let how = DeleteParams {
        grace_period_seconds: Some(0),
        preconditions: Some(Preconditions {
            uid: pod.metadata.uid.clone(),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    match api.delete(name, &how).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(answer)) if matches!(answer.code, 404 | 409) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}
