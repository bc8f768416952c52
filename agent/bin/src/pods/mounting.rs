//! The pod's volumes, put in place beside the worker's loop: what they hold comes from the API.

use std::collections::BTreeMap;
use std::sync::Arc;

use agent_core::env::Sources;
use agent_core::{EventDraft, Volumes};
use agent_systemd::UnitManager;
use k8s_openapi::api::core::v1::Pod;

use super::Context;
use super::apply::failure;
use super::operations::Done;
use super::worker::Worker;
use crate::clock::now;
use crate::tokens::PodTokens;
use crate::volumes::{self, Unmounted, Volume};
use crate::wake::Wake;

/// What came of it.
#[derive(Debug)]
pub(super) struct Mounted {
    tokens: PodTokens,
    result: Result<BTreeMap<String, Volume>, Unmounted>,
}

/// Volumes to put in place.
struct Order {
    pod: Arc<Pod>,
    uid: String,
    wake: Arc<Wake>,
    tokens: PodTokens,
}

impl<U: UnitManager + 'static> Worker<U> {
    /// Begins to put the volumes in place, with the objects as they are now; its end wakes the worker.
    pub(super) fn mount_volumes(&mut self) {
        if std::mem::replace(&mut self.mounting, true) {
            return;
        }
        let order = Order {
            pod: Arc::clone(&self.goal.pod),
            uid: self.uid.clone(),
            wake: Arc::clone(&self.wake),
            tokens: std::mem::take(&mut self.tokens),
        };
        let context = Arc::clone(&self.context);
        self.operations
            .spawn(async move { Done::Mounted(Box::pin(order.run(&context)).await) });
    }

    /// The volumes as a plan is to see them: those that containers run with stay while they are renewed.
    pub(super) fn observe_volumes(&self) -> Volumes {
        match &self.volumes {
            Volumes::Absent | Volumes::Failed(_) if self.mounting => Volumes::Pending,
            other => other.clone(),
        }
    }

    /// Takes in what came of it.
    pub(super) fn mounted(&mut self, mounted: Mounted) {
        self.mounting = false;
        self.tokens = mounted.tokens;
        match mounted.result {
            Ok(map) => {
                self.volume_map = map;
                self.volumes = Volumes::Ready;
            }
            Err(failed) => {
                let message = self.tell_unmounted(&failed);
                if self.volumes != Volumes::Ready {
                    self.volumes = Volumes::Failed(failure("FailedMount", message));
                }
            }
        }
    }

    /// Tells that a volume is not in place, and returns the words.
    fn tell_unmounted(&self, failed: &Unmounted) -> String {
        let error = format!("{:#}", failed.error);
        let message = format!(
            "MountVolume.SetUp failed for volume \"{}\" : {error}",
            failed.volume
        );
        let event = EventDraft::warning("FailedMount", message.clone());
        self.context.events.about_pod(&self.goal.pod, None, event);
        message
    }
}

impl Order {
    async fn run<U: UnitManager + 'static>(mut self, context: &Context<U>) -> Mounted {
        let result = self.set_up(context).await;
        Mounted {
            tokens: self.tokens,
            result,
        }
    }

    async fn set_up<U: UnitManager + 'static>(
        &mut self,
        context: &Context<U>,
    ) -> Result<BTreeMap<String, Volume>, Unmounted> {
        let references = volumes::references(&self.pod);
        // Both are questions to the API; neither waits for the other.
        let (brought, objects) = tokio::join!(
            bring_tokens(&mut self.tokens, context, &self.pod),
            context.objects.get(&self.uid, &self.wake, &references),
        );
        brought?;
        let sources = Sources {
            pod: &self.pod,
            pod_ips: &[],
            host_ips: &[context.config.node_ip],
            allocatable: &context.allocatable,
            config_maps: &objects.config_maps,
            secrets: &objects.secrets,
            services: &[],
            tokens: self.tokens.texts(),
        };
        volumes::set_up(&context.paths, &sources, &objects.unknown).await
    }
}

/// Has the tokens at hand that the volumes hold.
async fn bring_tokens<U: UnitManager + 'static>(
    tokens: &mut PodTokens,
    context: &Context<U>,
    pod: &Pod,
) -> Result<(), Unmounted> {
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_ref());
    for volume in volumes.into_iter().flatten() {
        let brought = tokens.bring(&context.client, &context.objects, pod, volume, now());
        brought.await.map_err(|error| Unmounted {
            volume: volume.name.clone(),
            error,
        })?;
    }
    Ok(())
}
