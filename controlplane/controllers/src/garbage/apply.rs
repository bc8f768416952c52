//! Performs the steps of the graph.

use std::collections::BTreeSet;
use std::sync::Arc;

use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, ObjectMeta, Patch, PatchParams, Preconditions};
use serde_json::{Value, json};

use super::graph::{Place, Policy, Step, Uid};
use super::kinds::Kind;
use crate::error::is_gone;

/// What a step brought to light.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing more is needed; the watch will show the effect.
    Done,
    /// The owner is not at this place.
    Absent(Uid, Place),
    /// An object of the cluster names an owner of a kind that lives in namespaces: nobody can tell
    /// which one is meant.
    Unresolvable(Uid),
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
    /// The owners it had when the step was planned.
    pub(super) owners: BTreeSet<Uid>,
}

impl Hands {
    /// The kind at a place; `None` for one that the server does not have.
    pub(super) fn kind(&self, place: &Place) -> Option<&Kind> {
        self.kinds
            .iter()
            .find(|kind| kind.resource.group == place.group && kind.resource.kind == place.kind)
    }

    /// The API of the kind at a place.
    fn api(&self, place: &Place) -> Option<Api<DynamicObject>> {
        let kind = self.kind(place)?;
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
            Step::Delete(_) | Step::Unlink(..) | Step::Unblock | Step::Release(_) => &target.place,
        };
        if let Step::Verify(uid, place) = &step
            && place.namespace.is_empty()
            && self.kind(place).is_some_and(|kind| kind.namespaced)
        {
            return Ok(Found::Unresolvable(uid.clone()));
        }
        let Some(api) = self.api(place) else {
            // An owner of a kind nobody knows may exist all the same.
            return Ok(Found::Done);
        };
        let outcome = match step {
            Step::Verify(uid, place) => return verify(&api, uid, place).await,
            Step::Delete(policy) => delete(&api, target, policy).await,
            Step::Unblock => unblock(&api, target).await,
            Step::Unlink(_, owners) => unlink(&api, target, &owners).await,
            Step::Release(finalizer) => release(&api, target, finalizer).await,
        };
        match outcome {
            Err(error) if !is_gone(&error) => Err(error),
            _ => Ok(Found::Done),
        }
    }
}

async fn verify(api: &Api<DynamicObject>, uid: Uid, place: Place) -> Result<Found, kube::Error> {
    let found = api.get_metadata_opt(&place.name).await?;
    Ok(match found {
        Some(found) if found.metadata.uid.as_ref() == Some(&uid) => Found::Present,
        _ => Found::Absent(uid, place),
    })
}

/// Deletes the object as it is now, if it still has the owners that it was judged by: an owner's end and
/// its dependents' release come by different watches, in any order.
async fn delete(api: &Api<DynamicObject>, target: &Target, policy: Policy) -> Result<(), kube::Error> {
    let Some(live) = api.get_metadata_opt(&target.place.name).await? else {
        return Ok(());
    };
    let owners = live.metadata.owner_references.iter().flatten();
    let owners: BTreeSet<Uid> = owners.map(|owner| owner.uid.clone()).collect();
    if owners != target.owners {
        // The watch will tell of it, and it is judged anew.
        return Ok(());
    }
    let params = match policy {
        Policy::Background => DeleteParams::background(),
        Policy::Foreground => DeleteParams::foreground(),
        Policy::Orphan => DeleteParams::orphan(),
    };
    let params = params.preconditions(Preconditions {
        uid: Some(target.uid.clone()),
        resource_version: live.metadata.resource_version,
    });
    api.delete(&target.place.name, &params).await?;
    Ok(())
}

/// Takes references out, on condition that they are the ones just read.
async fn unlink(api: &Api<DynamicObject>, target: &Target, owners: &[Uid]) -> Result<(), kube::Error> {
    edit(api, target, |meta| {
        let kept = meta.owner_references.iter().flatten();
        let kept: Vec<_> = kept.filter(|owner| !owners.contains(&owner.uid)).collect();
        // A list that has become empty goes altogether, as in objects that never had one.
        json!({ "ownerReferences": (!kept.is_empty()).then_some(kept) })
    })
    .await
}

async fn unblock(api: &Api<DynamicObject>, target: &Target) -> Result<(), kube::Error> {
    edit(api, target, |meta| {
        let mut owners = meta.owner_references.clone().unwrap_or_default();
        for owner in &mut owners {
            owner.block_owner_deletion = Some(false);
        }
        json!({ "ownerReferences": owners })
    })
    .await
}

async fn release(api: &Api<DynamicObject>, target: &Target, finalizer: &str) -> Result<(), kube::Error> {
    edit(api, target, |meta| {
        let kept = meta.finalizers.iter().flatten();
        let kept: Vec<_> = kept.filter(|found| *found != finalizer).collect();
        json!({ "finalizers": (!kept.is_empty()).then_some(kept) })
    })
    .await
}

/// Changes the metadata of an object, on condition that it is what `change` was made from.
async fn edit(
    api: &Api<DynamicObject>,
    target: &Target,
    change: impl Fn(&ObjectMeta) -> Value,
) -> Result<(), kube::Error> {
    let Some(live) = api.get_metadata_opt(&target.place.name).await? else {
        return Ok(());
    };
    let mut metadata = change(&live.metadata);
    if let Some(map) = metadata.as_object_mut() {
        map.insert("uid".to_owned(), json!(target.uid));
        map.insert(
            "resourceVersion".to_owned(),
            json!(live.metadata.resource_version),
        );
    }
    let patch = Patch::Merge(json!({ "metadata": metadata }));
    api.patch(&target.place.name, &PatchParams::default(), &patch)
        .await?;
    Ok(())
}
