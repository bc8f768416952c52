//! Work that takes time, done beside the worker's loop.

use std::sync::Arc;
use std::time::Duration;

use agent_core::resize::Allocation;
use agent_core::{EventDraft, Failure, StopMode};
use agent_images::Image;
use agent_run::PID_FILE;
use agent_runtime::read_records;
use agent_systemd::{ActiveState, KillWho, UnitManager, UnitName};
use anyhow::Context as _;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Preconditions};
use kube::{Api, Client};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::Context;
use super::action::{self, Target};
use super::mounting::Mounted;
use super::publish::Told;
use crate::pulls::{Found, Missing};

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
    /// The volumes are in place, or one is not.
    Mounted(Mounted),
    Started {
        container: String,
        result: Result<(), Failure>,
    },
    /// An image is there, or is not.
    Imaged {
        container: String,
        /// As the pod named it when it was asked for.
        reference: String,
        result: Result<Found, Missing>,
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
    /// Units have the sizes of these containers, or could not be given them.
    Resized(Result<Allocation, String>),
    Told(Told),
    Deleted(Result<(), String>),
}

/// How to stop a container.
#[derive(Debug, Clone, Copy)]
pub(super) struct StopOrder {
    pub(super) grace: Duration,
    pub(super) mode: StopMode,
}

/// Looks `reference` up in the node's store, off the async threads.
pub(super) async fn resolve_image<U: UnitManager + 'static>(
    context: &Arc<Context<U>>,
    reference: &str,
) -> Result<Option<Image>, String> {
    let (images, reference) = (context.images.clone(), reference.to_owned());
    match tokio::task::spawn_blocking(move || images.resolve(&reference)).await {
        Ok(Ok(image)) => Ok(image),
        Ok(Err(error)) => Err(format!("{:#}", anyhow::Error::from(error))),
        Err(error) => Err(error.to_string()),
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

    /// Whether systemd has to be told of a `rest` that is longer than its own limit, which is the pod's: where the
    /// deletion grants more, and where a hook has left the least there is. (That every short grace is taken for that
    /// least would make a process for each pod that is deleted, in a unit that is about to be gone.)
    fn is_longer(&self, order: StopOrder, rest: Duration) -> bool {
        let own = agent_core::pod_grace(&self.target.pod);
        let lifecycle = self.target.container.lifecycle.as_ref();
        let hooked = lifecycle.is_some_and(|lifecycle| lifecycle.pre_stop.is_some());
        order.mode == StopMode::Remove && rest > own && (order.grace > own || hooked)
    }

    /// Waits for the end of the grace, and asks for a longer one than systemd's own where there is one.
    async fn grant(&self, order: StopOrder, deadline: Instant) {
        let rest = deadline.saturating_duration_since(Instant::now());
        if self.is_longer(order, rest)
            && let Err(error) = self.extend(deadline).await
        {
            warn!(error = format!("{error:#}"), unit = %self.unit, "the stop ends with the pod's own grace");
        }
        tokio::time::sleep_until(deadline).await;
    }

    /// Moves the end of the stop to `deadline`; only one that is under way can be moved.
    async fn extend(&self, deadline: Instant) -> anyhow::Result<()> {
        let units = &self.context.units;
        let mut changes = units.changes();
        loop {
            match units.list(self.unit.as_str()).await?.remove(self.unit) {
                Some(state) if state.active == ActiveState::Deactivating => break,
                Some(_) => drop(changes.next().await),
                None => return Ok(()),
            }
        }
        let paths = &self.context.paths;
        let dir = paths.container_dir(&self.target.uid, &self.target.container.name);
        let pid = std::fs::read_to_string(dir.join(PID_FILE)).context("read the container's process id")?;
        let rest = deadline.saturating_duration_since(Instant::now());
        let mut command = tokio::process::Command::new(&paths.floe_run);
        command
            .args(["extend", pid.trim(), &rest.as_secs().to_string()])
            .kill_on_drop(true);
        let done = command.output().await.context("run floe-run extend")?;
        let said = String::from_utf8_lossy(&done.stderr);
        anyhow::ensure!(done.status.success(), "{}", said.trim());
        Ok(())
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
