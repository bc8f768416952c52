//! Objects that every namespace has: the account `default`, and the cluster's certificate.
//!
//! Upstream's `serviceaccount-controller` and `root-ca-certificate-publisher`: one mechanism, an
//! object of a fixed name in every active namespace, put back when it is removed or changed.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::controller::{Action, trigger_self};
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::drive::{drive, triggers, watch};
use crate::error::{Attempt, ReconcileError, is_namespace_ending};
use crate::meta;

/// Keeps the account `default` in every namespace until `stop`.
pub(crate) async fn service_accounts(client: Client, stop: CancellationToken) {
    let account = ServiceAccount {
        metadata: named("default"),
        ..ServiceAccount::default()
    };
    run("serviceaccount", account, |_, _| true, client, stop).await;
}

/// Keeps the authority's certificate in every namespace until `stop`.
pub(crate) async fn root_certificates(client: Client, pem: String, stop: CancellationToken) {
    let mut metadata = named("kube-root-ca.crt");
    metadata.annotations = Some(BTreeMap::from([(
        "kubernetes.io/description".to_owned(),
        "Contains a CA bundle that can be used to verify the kube-apiserver when using internal \
         endpoints such as the internal service IP or kubernetes.default.svc. No other usage is \
         guaranteed across distributions of Kubernetes clusters."
            .to_owned(),
    )]));
    let bundle = ConfigMap {
        metadata,
        data: Some([("ca.crt".to_owned(), pem)].into()),
        ..ConfigMap::default()
    };
    let right = |found: &ConfigMap, wanted: &ConfigMap| found.data == wanted.data;
    run("root-ca-certificate-publisher", bundle, right, client, stop).await;
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    }
}

struct Context<K: Resource<DynamicType = ()> + 'static> {
    client: Client,
    wanted: K,
    /// Whether the object found says what the wanted one says.
    right: fn(&K, &K) -> bool,
    found: Store<K>,
}

async fn run<K>(
    name: &'static str,
    wanted: K,
    right: fn(&K, &K) -> bool,
    client: Client,
    stop: CancellationToken,
) where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Serialize
        + Send
        + Sync
        + 'static,
{
    let (namespaces, namespaces_writer) = store::<Namespace>();
    let (found, found_writer) = store();
    let own = watch(Api::all(client.clone()), watcher::Config::default())
        .reflect(namespaces_writer)
        .applied_objects();
    let selector = format!("metadata.name={}", meta::name(wanted.meta()));
    let objects = watch(
        Api::all(client.clone()),
        watcher::Config::default().fields(&selector),
    )
    .reflect(found_writer)
    .touched_objects();
    let context = Context {
        client,
        wanted,
        right,
        found,
    };
    drive(
        name,
        namespaces,
        vec![
            trigger_self(own, ()).boxed(),
            triggers(objects, |object: K| {
                [ObjectRef::new(meta::namespace(object.meta()))]
            }),
        ],
        Arc::new(context),
        |namespace, context| async move { reconcile(&namespace, &context).await },
        stop,
    )
    .await;
}

async fn reconcile<K>(namespace: &Namespace, context: &Context<K>) -> Result<Action, ReconcileError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Serialize
        + 'static,
{
    let home = meta::name(&namespace.metadata);
    if meta::is_deleting(&namespace.metadata) || context.found.wait_until_ready().await.is_err() {
        return Ok(Action::await_change());
    }
    let name = meta::name(context.wanted.meta());
    let path = format!("{home}/{name}");
    let api: Api<K> = Api::namespaced(context.client.clone(), home);
    match context.found.get(&ObjectRef::new(name).within(home)) {
        None => match api.create(&PostParams::default(), &context.wanted).await {
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            Err(error) if is_namespace_ending(&error) => {}
            other => {
                other.attempt("create standard object", &path)?;
            }
        },
        Some(found) if (context.right)(&found, &context.wanted) => {}
        Some(_) => {
            api.patch(name, &PatchParams::default(), &Patch::Merge(&context.wanted))
                .await
                .attempt("restore standard object", &path)?;
        }
    }
    Ok(Action::await_change())
}
