//! Rules for a pod's status.

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::names;
use crate::read;
use crate::validate::endpoints;

/// What is wrong with a write of a pod's status.
pub(crate) fn status_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let path = Path::new("status");
    let mut errors = Vec::new();
    let nominated = read::text(new, "status.nominatedNodeName");
    if !nominated.is_empty() {
        let path = path.child("nominatedNodeName");
        errors.extend(
            names::dns_subdomain(nominated)
                .into_iter()
                .map(|rule| path.invalid(nominated, rule)),
        );
    }
    for (index, address) in read::list(new, "status.podIPs").iter().enumerate() {
        errors.extend(endpoints::ip_error(
            read::text(address, "ip"),
            &path.child("podIPs").index(index),
        ));
    }
    if read::text(new, "spec.restartPolicy") != "Always" {
        for list in ["containerStatuses", "initContainerStatuses"] {
            errors.extend(revived(new, old, list, &path.child(list)));
        }
    }
    errors
}

/// A container that has ended for good does not run again.
fn revived(new: &Value, old: &Value, list: &str, path: &Path) -> Vec<FieldError> {
    let read_list = |object| read::list(object, &format!("status.{list}"));
    let retried = read::text(new, "spec.restartPolicy") == "OnFailure";
    let mut errors = Vec::new();
    for (index, before) in read_list(old).iter().enumerate() {
        let name = read::text(before, "name");
        let failed = read::count(before, "state.terminated.exitCode") != 0;
        if !read::present(before, "state.terminated") || (failed && retried) || is_sidecar(new, list, name) {
            continue;
        }
        let after = read_list(new)
            .iter()
            .find(|status| read::text(status, "name") == name);
        if after.is_some_and(|after| !read::present(after, "state.terminated")) {
            errors.push(
                path.index(index)
                    .child("state")
                    .forbidden("may not be transitioned to non-terminated state"),
            );
        }
    }
    errors
}

/// Sidecars run again whatever the pod's policy; so upstream lets them.
fn is_sidecar(pod: &Value, list: &str, name: &str) -> bool {
    list == "initContainerStatuses"
        && read::list(pod, "spec.initContainers").iter().any(|container| {
            read::text(container, "name") == name && read::text(container, "restartPolicy") == "Always"
        })
}
