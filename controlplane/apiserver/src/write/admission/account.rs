//! What upstream's admission plugin `ServiceAccount` does to a new pod: its account must exist, and lends
//! it the secrets for pulling images. The account's name is the pod strategy's default.

use std::time::Duration;

use controlplane_api::{ApiError, meta};
use controlplane_store::{Key, Revision};
use serde_json::Value;

use crate::call::Call;
use crate::reply;

/// The account of pods that name none, made in each namespace by a controller.
const DEFAULT: &str = "default";

/// How long a pod waits for the default account, which in a new namespace may not be there yet.
const PATIENCE: Duration = Duration::from_secs(2);

/// The annotation of a pod that only mirrors one which its node found by itself; it uses no account.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Gives a new pod without secrets for pulling images its account's.
///
/// # Errors
///
/// 403 where the account does not exist.
pub(super) async fn lend(call: &Call, pod: &mut Value) -> Result<(), ApiError> {
    if meta::annotations(pod).contains_key(MIRROR) {
        return Ok(());
    }
    let account = account(call, pod).await?;
    let secrets = account.get("imagePullSecrets");
    let Some(secrets) = secrets.filter(|list| !is_empty(Some(list))) else {
        return Ok(());
    };
    let spec = meta::object_mut(meta::member_mut(pod, "spec"));
    if is_empty(spec.get("imagePullSecrets")) {
        spec.insert("imagePullSecrets".to_owned(), secrets.clone());
    }
    Ok(())
}

fn is_empty(list: Option<&Value>) -> bool {
    list.and_then(Value::as_array).is_none_or(Vec::is_empty)
}

/// The account of `pod`.
async fn account(call: &Call, pod: &Value) -> Result<Value, ApiError> {
    let given = |field: &str| {
        let spec = pod.get("spec")?;
        spec.get(field)?.as_str().filter(|name| !name.is_empty())
    };
    let name = given("serviceAccountName")
        .or_else(|| given("serviceAccount"))
        .unwrap_or(DEFAULT);
    let namespace = call.namespace();
    let refused = || {
        let why = format!(
            "error looking up service account {namespace}/{name}: serviceaccount \"{name}\" not found"
        );
        ApiError::forbidden("", "pods", meta::name(pod), &why)
    };
    let key =
        Key::parse(&format!("{}serviceaccounts/{namespace}/{name}", Key::ROOT)).map_err(|_| refused())?;
    let before = call.store().revision();
    if call.store().get(&key).is_none() && name == DEFAULT {
        appears(call, &key, before).await;
    }
    let entry = call.store().get(&key).ok_or_else(refused)?;
    let account = entry.value.to_json(entry.mod_revision);
    account.map_err(|error| reply::bug("read a service account", &error))
}

/// Returns when something under `key` has changed after `revision`, or patience is at its end.
async fn appears(call: &Call, key: &Key, revision: Revision) {
    let Ok(mut watch) = call.store().watch(key.as_str(), revision) else {
        return;
    };
    // A watch that has ended and one that is too slow mean the same: look once more, then refuse.
    let changed = async { while watch.next().await.is_ok_and(|_| call.store().get(key).is_none()) {} };
    tokio::time::timeout(PATIENCE, changed).await.unwrap_or_default();
}
