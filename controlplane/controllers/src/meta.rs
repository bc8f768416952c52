//! Small questions asked of every object's metadata.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use kube::Resource;
use kube::core::{Selector, SelectorExt};

/// The reference to the controller that owns an object, where one does.
pub(crate) fn controller_of(meta: &ObjectMeta) -> Option<&OwnerReference> {
    meta.owner_references
        .iter()
        .flatten()
        .find(|owner| owner.controller == Some(true))
}

/// Whether the controller with this UID owns the object.
pub(crate) fn is_controlled_by(meta: &ObjectMeta, uid: &str) -> bool {
    controller_of(meta).is_some_and(|owner| owner.uid == uid)
}

/// The reference an owned object carries to its controller `owner`.
pub(crate) fn controller_reference<K: Resource<DynamicType = ()>>(owner: &K) -> OwnerReference {
    OwnerReference {
        api_version: K::api_version(&()).into_owned(),
        kind: K::kind(&()).into_owned(),
        name: name(owner.meta()).to_owned(),
        uid: uid(owner.meta()).to_owned(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// A reference to `object` for events; lists and watches leave its kind out, so it is put in.
pub(crate) fn reference<K: Resource<DynamicType = ()>>(object: &K) -> ObjectReference {
    object.object_ref(&())
}

/// The name, or nothing for an object that was never stored.
pub(crate) fn name(meta: &ObjectMeta) -> &str {
    meta.name.as_deref().unwrap_or_default()
}

/// The namespace, empty for objects of the cluster.
pub(crate) fn namespace(meta: &ObjectMeta) -> &str {
    meta.namespace.as_deref().unwrap_or_default()
}

/// The UID, or nothing for an object that was never stored.
pub(crate) fn uid(meta: &ObjectMeta) -> &str {
    meta.uid.as_deref().unwrap_or_default()
}

/// The resource version as a number, which it is here and, since 1.35, everywhere.
pub(crate) fn resource_version(meta: &ObjectMeta) -> u64 {
    meta.resource_version
        .as_deref()
        .and_then(|raw| raw.parse().ok())
        .unwrap_or_default()
}

/// Whether deletion has begun.
pub(crate) fn is_deleting(meta: &ObjectMeta) -> bool {
    meta.deletion_timestamp.is_some()
}

/// The status of a node's `Ready` condition, where it has one.
pub(crate) fn node_ready(node: &Node) -> Option<&str> {
    let conditions = node.status.as_ref()?.conditions.as_ref()?;
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready")?;
    Some(ready.status.as_str())
}

/// Whether a node says that it is ready.
pub(crate) fn node_is_ready(node: &Node) -> bool {
    node_ready(node) == Some("True")
}

/// The value of an annotation.
pub(crate) fn annotation<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    meta.annotations
        .as_ref()
        .and_then(|all| all.get(key))
        .map(String::as_str)
}

/// A selector that selects something: an empty or invalid one selects nothing, for a controller
/// that took every pod for its own would delete them.
#[derive(Debug, Clone)]
pub(crate) struct Claim(Option<Selector>);

impl Claim {
    /// Reads the selector of a workload.
    pub(crate) fn new(selector: &LabelSelector) -> Self {
        let empty = selector.match_labels.as_ref().is_none_or(BTreeMap::is_empty)
            && selector.match_expressions.as_ref().is_none_or(Vec::is_empty);
        Self(if empty {
            None
        } else {
            Selector::try_from(selector.clone()).ok()
        })
    }

    /// Whether an object with these labels is selected.
    pub(crate) fn matches(&self, meta: &ObjectMeta) -> bool {
        let none = BTreeMap::new();
        let labels = meta.labels.as_ref().unwrap_or(&none);
        self.0.as_ref().is_some_and(|selector| selector.matches(labels))
    }

    /// What becomes of an object under the claim of the controller `owner`.
    pub(crate) fn verdict(&self, meta: &ObjectMeta, owner: &ObjectMeta) -> Verdict {
        match controller_of(meta) {
            Some(reference) if reference.uid != uid(owner) => Verdict::Foreign,
            Some(_) if self.matches(meta) => Verdict::Owned,
            Some(_) if is_deleting(owner) || is_deleting(meta) => Verdict::Foreign,
            Some(_) => Verdict::Release,
            None if is_deleting(owner) || is_deleting(meta) || !self.matches(meta) => Verdict::Foreign,
            None => Verdict::Adopt,
        }
    }
}

/// The relation between a controller and an object it might own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Owned and selected.
    Owned,
    /// Selected and without a controller.
    Adopt,
    /// Owned, but no longer selected.
    Release,
    /// None of this controller's business.
    Foreign,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_selector_claims_nothing() {
        let claim = Claim::new(&LabelSelector::default());
        assert!(!claim.matches(&ObjectMeta::default()));
    }

    #[test]
    fn an_orphan_is_adopted_only_while_both_live() {
        let claim = Claim::new(&LabelSelector {
            match_labels: Some([("app".to_owned(), "a".to_owned())].into()),
            match_expressions: None,
        });
        let owner = ObjectMeta {
            uid: Some("o".into()),
            ..ObjectMeta::default()
        };
        let mut orphan = ObjectMeta {
            labels: Some([("app".to_owned(), "a".to_owned())].into()),
            ..ObjectMeta::default()
        };
        assert_eq!(claim.verdict(&orphan, &owner), Verdict::Adopt);
        orphan.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
            k8s_openapi::jiff::Timestamp::UNIX_EPOCH,
        ));
        assert_eq!(claim.verdict(&orphan, &owner), Verdict::Foreign);
    }
}
