//! `NodeRestriction`: what a node may put into the objects that it may write.

use std::collections::BTreeMap;

use controlplane_api::{ApiError, Resource, UserInfo, meta};
use serde_json::Value;

use crate::auth::{node, pod_network};
use crate::call::Call;

/// Labels that only others set on a node, so that workloads can be kept away from it.
const RESERVED: &str = "node-restriction.kubernetes.io/";

/// Checks what a node writes; `old` is absent at a create. Others are not looked at.
///
/// # Errors
///
/// 403 that says what a node may not do.
pub(crate) fn check(call: &Call, new: &Value, old: Option<&Value>) -> Result<(), ApiError> {
    fields(&call.user, &call.resource, new, old)?;
    let Some(node) = node::name(&call.user).filter(|_| &*call.resource.plural == "nodes") else {
        return Ok(());
    };
    let others = || pod_network::of_others(call.store(), node);
    let refusal = call.server.pods.refusal(new, old, others);
    refusal.map_or(Ok(()), |why| {
        Err(forbidden(node, &call.resource, meta::name(new), &why))
    })
}

fn forbidden(node: &str, resource: &Resource, name: &str, why: &str) -> ApiError {
    let why = format!("node \"{node}\" {why}");
    ApiError::forbidden(&resource.group, &resource.plural, name, &why)
}

/// What can be said from the object alone.
fn fields(user: &UserInfo, resource: &Resource, new: &Value, old: Option<&Value>) -> Result<(), ApiError> {
    let Some(node) = node::name(user) else {
        return Ok(());
    };
    let refuse = |why: &str| Err(forbidden(node, resource, meta::name(new), why));
    match (&*resource.plural, old) {
        ("nodes" | "leases", None) if meta::name(new) != node => refuse("is not allowed to create another's"),
        ("nodes", old) if reserved(new) != old.map(reserved).unwrap_or_default() => refuse(&format!(
            "is not allowed to set labels with the prefix {RESERVED}"
        )),
        ("nodes", Some(old)) if taints(new) != taints(old) => refuse("is not allowed to modify taints"),
        ("nodes", Some(old)) if owners(new) != owners(old) => {
            refuse("is not allowed to set owner references")
        }
        ("nodes", None) if owners(new).is_some() => refuse("is not allowed to set owner references"),
        ("pods", Some(old)) if meta::labels(new) != meta::labels(old) => {
            refuse("is not allowed to change labels through pod status")
        }
        _ => Ok(()),
    }
}

fn reserved(object: &Value) -> BTreeMap<String, String> {
    meta::labels(object)
        .into_iter()
        .filter(|(label, _)| label.contains(RESERVED))
        .collect()
}

fn taints(node: &Value) -> Option<&Value> {
    let taints = node.get("spec")?.get("taints")?;
    Some(taints).filter(|taints| taints.as_array().is_none_or(|list| !list.is_empty()))
}

fn owners(object: &Value) -> Option<&Value> {
    object
        .get("metadata")?
        .get("ownerReferences")
        .filter(|owners| owners.as_array().is_none_or(|list| !list.is_empty()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(plural: &str, new: &Value, old: Option<&Value>) -> bool {
        let user = UserInfo {
            username: "system:node:a".to_owned(),
            groups: vec!["system:nodes".to_owned()],
            ..UserInfo::default()
        };
        let registry = controlplane_api::builtin();
        let resource = registry.find("", "v1", plural).unwrap();
        fields(&user, resource, new, old).is_err()
    }

    #[test]
    fn a_node_creates_only_itself() {
        assert!(!refused("nodes", &json!({"metadata": {"name": "a"}}), None));
        assert!(refused("nodes", &json!({"metadata": {"name": "b"}}), None));
        let owned = json!({"metadata": {"name": "a", "ownerReferences": [{"uid": "x"}]}});
        assert!(refused("nodes", &owned, None));
    }

    #[test]
    fn a_node_changes_neither_its_taints_nor_its_reserved_labels() {
        let old = json!({"metadata": {"name": "a"}, "spec": {"taints": [{"key": "k"}]}});
        assert!(!refused("nodes", &old, Some(&old)));
        assert!(refused(
            "nodes",
            &json!({"metadata": {"name": "a"}, "spec": {}}),
            Some(&old)
        ));
        let mut labelled = old.clone();
        labelled["metadata"]["labels"] = json!({"node-restriction.kubernetes.io/zone": "x"});
        assert!(refused("nodes", &labelled, Some(&old)));
        assert!(refused("nodes", &old, Some(&labelled)));
    }

    #[test]
    fn a_node_changes_no_labels_through_pod_status() {
        let old = json!({"metadata": {"name": "p", "labels": {"a": "b"}}});
        assert!(!refused("pods", &old, Some(&old)));
        assert!(refused("pods", &json!({"metadata": {"name": "p"}}), Some(&old)));
    }
}
