//! Taking and giving up ownership, for every controller that claims by selector.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use kube::Resource;
use kube::api::{Api, Patch, PatchParams};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::meta;

/// Writes the controller reference of `owner` into `object`, unless `owner` has gone or is
/// going: asked of the server, since a cache could answer from before the deletion.
pub(crate) async fn adopt<O, K>(client: &kube::Client, owner: &O, object: &K) -> Result<(), kube::Error>
where
    O: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let owners: Api<O> = Api::namespaced(client.clone(), meta::namespace(owner.meta()));
    let live = owners.get_opt(meta::name(owner.meta())).await?;
    let may = live.is_some_and(|live| live.meta().uid == owner.meta().uid && !meta::is_deleting(live.meta()));
    if !may {
        return Ok(());
    }
    let patch = json!({ "metadata": {
        "uid": meta::uid(object.meta()),
        "ownerReferences": [meta::controller_reference(owner)],
    }});
    merge(client, object, patch).await
}

/// Takes the references of `owner` out of `object`.
pub(crate) async fn release<O, K>(client: &kube::Client, owner: &O, object: &K) -> Result<(), kube::Error>
where
    O: Resource<DynamicType = ()>,
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let patch = json!({ "metadata": {
        "uid": meta::uid(object.meta()),
        "ownerReferences": [{ "$patch": "delete", "uid": meta::uid(owner.meta()) }],
    }});
    match merge(client, object, patch).await {
        Err(error) if crate::error::is_gone(&error) => Ok(()),
        other => other,
    }
}

async fn merge<K>(client: &kube::Client, object: &K, patch: serde_json::Value) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), meta::namespace(object.meta()));
    let name = meta::name(object.meta());
    api.patch(name, &PatchParams::default(), &Patch::Strategic(patch))
        .await?;
    Ok(())
}
