//! What upstream's admission plugin `ServiceAccount` does: a pod's account must exist, and gives it its name, a token for
//! the API and secrets for pulling images.

use std::time::Duration;

use controlplane_api::admit::service_account;
use controlplane_api::{ApiError, meta};
use controlplane_store::{Key, Revision};
use serde_json::Value;

use super::{forbidden, lookup};
use crate::call::Call;

/// How long a pod waits for the default account, which in a new namespace may not be there yet.
const PATIENCE: Duration = Duration::from_secs(2);

/// The annotation of a pod that only mirrors one which its node found by itself; it uses no account.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Gives a new pod what its account has for it.
///
/// # Errors
///
/// 403 where the account does not exist.
pub(super) async fn give(call: &Call, pod: &mut Value) -> Result<(), ApiError> {
    if is_mirror(pod) {
        return Ok(());
    }
    let name = service_account::name(pod);
    if name == service_account::DEFAULT {
        wait_for(call, name).await;
    }
    let account = account(call, pod)?;
    service_account::give(&account, pod, &meta::new_suffix());
    Ok(())
}

/// Checks that a new pod uses nothing which its account does not let it.
///
/// # Errors
///
/// 403 with the first that it may not use.
pub(super) fn check(call: &Call, pod: &Value) -> Result<(), ApiError> {
    let checked = if is_mirror(pod) {
        service_account::check_mirror(pod)
    } else {
        service_account::check(&account(call, pod)?, pod)
    };
    checked.map_err(|why| forbidden(call, pod, &why))
}

/// As [`check`], of the containers for debugging that come to a pod.
///
/// # Errors
///
/// As [`check`].
pub(super) fn check_ephemeral(call: &Call, pod: &Value) -> Result<(), ApiError> {
    let account = account(call, pod)?;
    service_account::check_ephemeral(&account, pod).map_err(|why| forbidden(call, pod, &why))
}

fn is_mirror(pod: &Value) -> bool {
    meta::annotations(pod).contains_key(MIRROR)
}

fn folder(call: &Call) -> String {
    format!("serviceaccounts/{}", call.namespace())
}

/// The account of `pod`.
fn account(call: &Call, pod: &Value) -> Result<Value, ApiError> {
    let name = service_account::name(pod);
    lookup::named(call, &folder(call), name)?.ok_or_else(|| {
        let why = format!(
            "error looking up service account {}/{name}: serviceaccount \"{name}\" not found",
            call.namespace()
        );
        forbidden(call, pod, &why)
    })
}

/// Returns when the account is there, or patience is at its end.
async fn wait_for(call: &Call, name: &str) {
    let Ok(key) = Key::parse(&format!("{}{}/{name}", Key::ROOT, folder(call))) else {
        return;
    };
    let before = call.store().revision();
    if call.store().get(&key).is_none() {
        appears(call, &key, before).await;
    }
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
