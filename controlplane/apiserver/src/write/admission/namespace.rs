//! What upstream's admission plugin `NamespaceLifecycle` says to deletes; what it says to creates is a condition of their
//! transaction.

use controlplane_api::ApiError;

use super::is;
use crate::call::Call;

/// The namespaces without which a cluster does not work.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

/// Checks that a delete is not of a namespace that every cluster has.
///
/// # Errors
///
/// 403 if it is.
pub(super) fn check_delete(call: &Call) -> Result<(), ApiError> {
    if is(&call.resource, "", "namespaces") && IMMORTAL.contains(&call.name()) {
        let why = "this namespace may not be deleted";
        return Err(ApiError::forbidden("", "namespaces", call.name(), why));
    }
    Ok(())
}
