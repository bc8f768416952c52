//! Performs the steps of the graph.

use std::sync::Arc;

use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use serde_json::json;

use super::graph::{Place, Policy, Step, Uid};
use super::kinds::Kind;
use crate::error::is_gone;

/// What a step brought to light.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing more is needed; the watch will show the effect.
    Done,
    /// The owner does not exist.
    Absent(Uid),
    /// The owner exists, though no watch has shown it yet.
    Present,
}

/// What performing steps needs.
#[derive(Clone)]
pub(super) struct Hands {
    pub(super) client: Client,
    pub(super) kinds: Arc<Vec<Kind>>,
}

/// An object a step is about.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) uid: Uid,
    pub(super) place: Place,
}

impl Hands {
    /// The API of the kind at a place; `None` for a kind the server does not have.
    fn api(&self, place: &Place) -> Option<Api<DynamicObject>> {
        let kind = self
            .kinds
            .iter()
            .find(|kind| kind.resource.group == place.group && kind.resource.kind == place.kind)?;
        Some(if kind.namespaced {
            Api::namespaced_with(self.client.clone(), &place.namespace, &kind.resource)
        } else {
            Api::all_with(self.client.clone(), &kind.resource)
        })
    }

    /// Performs `step` for `target`.
    pub(super) async fn perform(&self, target: &Target, step: Step) -> Result<Found, kube::Error> {
        let place = match &step {
            Step::Verify(_, place) => place,
            Step::Delete(_) | Step::Unlink(..) | Step::Release(_) => &target.place,
        };
        let Some(api) = self.api(place) else {
            // An owner of a kind nobody knows may exist all the same.
            return Ok(Found::Done);
        };
        let outcome = match step {
            Step::Verify(uid, place) => return verify(&api, uid, &place.name).await,
            Step::Delete(policy) => delete(&api, target, policy).await,
            Step::Unlink(_, owners) => unlink(&api, target, &owners).await,
            Step::Release(finalizer) => release(&api, target, finalizer).await,
        };
        match outcome {
            Err(error) if !is_gone(&error) => Err(error),
            _ => Ok(Found::Done),
        }
    }
}

async fn verify(api: &Api<DynamicObject>, uid: Uid, name: &str) -> Result<Found, kube::Error> {
    let found = api.get_metadata_opt(name).await?;
    Ok(match found {
        Some(found) if found.metadata.uid.as_ref() == Some(&uid) => Found::Present,
        _ => Found::Absent(uid),
    })
}

async fn delete(api: &Api<DynamicObject>, target: &Target, policy: Policy) -> Result<(), kube::Error> {
    let params = match policy {
        Policy::Background => DeleteParams::background(),
        Policy::Foreground => DeleteParams::foreground(),
        Policy::Orphan => DeleteParams::orphan(),
    };
    let params = params.preconditions(Preconditions {
        uid: Some(target.uid.clone()),
        resource_version: None,
    });
    api.delete(&target.place.name, &params).await?;
    Ok(())
}

/// Takes references out, on condition that they are the ones just read.
async fn unlink(api: &Api<DynamicObject>, target: &Target, owners: &[Uid]) -> Result<(), kube::Error> {
    let Some(live) = api.get_metadata_opt(&target.place.name).await? else {
        return Ok(());
    };
    let kept: Vec<_> = live
        .metadata
        .owner_references
        .iter()
        .flatten()
        .filter(|owner| !owners.contains(&owner.uid))
        .collect();
    let patch = json!({ "metadata": {
        "uid": target.uid,
        "resourceVersion": live.metadata.resource_version,
        // A list that has become empty goes altogether, as in objects that never had one.
        "ownerReferences": (!kept.is_empty()).then_some(kept),
    }});
    api.patch(&target.place.name, &PatchParams::default(), &Patch::Merge(patch))
        .await?;
    Ok(())
}

async fn release(api: &Api<DynamicObject>, target: &Target, finalizer: &str) -> Result<(), kube::Error> {
    let Some(live) = api.get_metadata_opt(&target.place.name).await? else {
        return Ok(());
    };
    let kept: Vec<_> = live
        .metadata
        .finalizers
        .iter()
        .flatten()
        .filter(|found| *found != finalizer)
        .collect();
    let patch = json!({ "metadata": {
        "uid": target.uid,
        "resourceVersion": live.metadata.resource_version,
        "finalizers": (!kept.is_empty()).then_some(kept),
    }});
    api.patch(&target.place.name, &PatchParams::default(), &Patch::Merge(patch))
        .await?;
    Ok(())
}
