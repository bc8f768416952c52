//! What upstream's admission plugin `LimitRanger` does: the limits of a namespace fill in and bound what its pods and claims
//! ask for.

use controlplane_api::admit::limits;
use controlplane_api::{ApiError, kinds, meta};
use serde_json::Value;

use super::{forbidden, lookup};
use crate::call::Call;

fn ranges(call: &Call) -> Result<Vec<Value>, ApiError> {
    lookup::marked(call, &format!("limitranges/{}", call.namespace()), "")
}

/// Gives the containers of a new pod what they leave open.
///
/// # Errors
///
/// Only for what would be a bug.
pub(super) fn give(call: &Call, pod: &mut Value) -> Result<(), ApiError> {
    let ranges = ranges(call)?;
    if !ranges.is_empty() {
        // What limits say of requests comes before what others say.
        kinds::complete_pod(pod);
    }
    ranges.iter().for_each(|range| limits::give(range, pod));
    Ok(())
}

/// Checks a pod or a claim, new or with other wishes; nothing is asked of what is being deleted.
///
/// # Errors
///
/// 403 with what breaks the first limit range that is broken.
pub(super) fn check(call: &Call, object: &Value) -> Result<(), ApiError> {
    let rule = match &*call.resource.plural {
        "pods" => limits::check_pod,
        _ => limits::check_claim,
    };
    if meta::deletion_timestamp(object).is_some() {
        return Ok(());
    }
    for range in ranges(call)? {
        rule(&range, object).map_err(|why| forbidden(call, object, &why))?;
    }
    Ok(())
}
