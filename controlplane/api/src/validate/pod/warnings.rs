//! What a client is warned of about a pod.

use serde_json::Value;

/// Warnings about a pod.
pub(crate) fn of_pod(new: &Value, old: Option<&Value>) -> Vec<String> {
    let _ = (new, old);
    Vec::new()
}

/// Warnings about a workload's template.
pub(crate) fn of_template(new: &Value, old: Option<&Value>) -> Vec<String> {
    let _ = (new, old);
    Vec::new()
}
