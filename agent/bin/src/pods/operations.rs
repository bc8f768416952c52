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
use tracing::warn;

use super::Context;
use super::action::{self, Target};
use super::publish::Told;

/// Signals by number.
const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;

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

/// preStop, then the stop; SIGKILL at the end of the grace.
pub(super) async fn stop<U: UnitManager + 'static>(
    context: &Arc<Context<U>>,
    target: &Target,
    unit: &UnitName,
    invocation: Option<&str>,
    order: StopOrder,
) {
    let deadline = Instant::now() + order.grace;
    let hook = target
        .container
        .lifecycle
        .as_ref()
        .and_then(|lifecycle| lifecycle.pre_stop.as_ref());
    if let Some(hook) = hook.filter(|_| invocation.is_some()) {
        let ran = tokio::time::timeout_at(deadline, action::hook(context, target, hook)).await;
        let ran = ran.unwrap_or_else(|_| Err("did not end within the grace period".to_owned()));
        if let Err(error) = ran {
            let event = EventDraft::warning("FailedPreStopHook", format!("PreStopHook failed: {error}"));
            context
                .events
                .about_pod(&target.pod, Some(&target.container.name), event);
        }
    }
    let deadline = deadline.max(Instant::now() + LEAST_GRACE);
    let stopped = async {
        match order.mode {
            StopMode::Remove => context.units.stop(unit).await.map_err(|error| error.to_string()),
            StopMode::Restart => end_run(context, target, unit, invocation).await,
        }
    };
    let mut stopped = std::pin::pin!(stopped);
    let in_time = tokio::time::timeout_at(deadline, &mut stopped).await;
    let result = match in_time {
        Ok(result) => result,
        Err(_) => {
            if let Err(error) = context.units.kill(unit, KillWho::All, SIGKILL).await {
                warn!(error = %error, unit = %unit, "kill failed");
            }
            tokio::time::timeout(Duration::from_secs(30), stopped)
                .await
                .unwrap_or(Ok(()))
        }
    };
    if let Err(error) = result {
        warn!(error, unit = %unit, "stop failed");
        // The plan asks again; not at once, for the reason may last.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// SIGTERM to the main process, and the wait for the record of its end.
async fn end_run<U: UnitManager + 'static>(
    context: &Arc<Context<U>>,
    target: &Target,
    unit: &UnitName,
    invocation: Option<&str>,
) -> Result<(), String> {
    let mut changes = context.units.changes();
    context
        .units
        .kill(unit, KillWho::Main, SIGTERM)
        .await
        .map_err(|error| error.to_string())?;
    loop {
        let records = read_records(&context.paths, &target.uid, &target.container.name).unwrap_or_default();
        if records
            .recent
            .iter()
            .any(|record| Some(record.invocation_id.as_str()) == invocation)
        {
            return Ok(());
        }
        if changes.next().await.is_none() {
            return Ok(());
        }
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
        Err(error) => {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Err(error.to_string())
        }
    }
}
