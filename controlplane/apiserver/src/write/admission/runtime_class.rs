//! What upstream's admission plugin `RuntimeClass` does: a pod gets the overhead and the place of its runtime class.

use controlplane_api::ApiError;
use controlplane_api::admit::runtime_class;
use serde_json::Value;

use super::{forbidden, lookup};
use crate::call::Call;

const FOLDER: &str = "node.k8s.io/runtimeclasses";

/// The class that a pod names, if it names one.
fn class(call: &Call, pod: &Value) -> Result<Option<Value>, ApiError> {
    let Some(name) = pod.pointer("/spec/runtimeClassName").and_then(Value::as_str) else {
        return Ok(None);
    };
    let found = lookup::named(call, FOLDER, name)?;
    let why = || format!("pod rejected: RuntimeClass \"{name}\" not found");
    found.map_or_else(|| Err(forbidden(call, pod, &why())), |class| Ok(Some(class)))
}

/// Gives a new pod what its class says.
///
/// # Errors
///
/// 403 where there is no such class, or the pod says something else.
pub(super) fn give(call: &Call, pod: &mut Value) -> Result<(), ApiError> {
    match class(call, pod)? {
        Some(class) => runtime_class::give(&class, pod).map_err(|why| forbidden(call, pod, &why)),
        None => Ok(()),
    }
}

/// Checks that a new pod's overhead is its class's.
///
/// # Errors
///
/// 403 where it is not.
pub(super) fn check(call: &Call, pod: &Value) -> Result<(), ApiError> {
    let class = class(call, pod)?;
    runtime_class::check(class.as_ref(), pod).map_err(|why| forbidden(call, pod, &why))
}
