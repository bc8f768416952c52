//! Accessors on `metadata` of an object, and the making of UIDs and names.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// The text at `metadata.<field>`, or nothing where it is absent or no string.
fn text<'a>(object: &'a Value, field: &str) -> Option<&'a str> {
    object.get("metadata")?.get(field)?.as_str()
}

/// `metadata.name`, or the empty string.
#[must_use]
pub fn name(object: &Value) -> &str {
    text(object, "name").unwrap_or_default()
}

/// `metadata.namespace`, or the empty string.
#[must_use]
pub fn namespace(object: &Value) -> &str {
    text(object, "namespace").unwrap_or_default()
}

/// `metadata.generateName`, or the empty string.
#[must_use]
pub fn generate_name_prefix(object: &Value) -> &str {
    text(object, "generateName").unwrap_or_default()
}

/// `metadata.uid`, or the empty string.
#[must_use]
pub fn uid(object: &Value) -> &str {
    text(object, "uid").unwrap_or_default()
}

/// `metadata.resourceVersion`, or the empty string.
#[must_use]
pub fn resource_version(object: &Value) -> &str {
    text(object, "resourceVersion").unwrap_or_default()
}

/// `metadata.creationTimestamp` as written.
#[must_use]
pub fn creation_timestamp(object: &Value) -> Option<&str> {
    text(object, "creationTimestamp")
}

/// `metadata.deletionTimestamp` as written; present while the object is being deleted.
#[must_use]
pub fn deletion_timestamp(object: &Value) -> Option<&str> {
    text(object, "deletionTimestamp")
}

/// `metadata.deletionGracePeriodSeconds`.
#[must_use]
pub fn deletion_grace_period(object: &Value) -> Option<i64> {
    object
        .get("metadata")?
        .get("deletionGracePeriodSeconds")?
        .as_i64()
}

/// `metadata.generation`, or 0.
#[must_use]
pub fn generation(object: &Value) -> i64 {
    object
        .get("metadata")
        .and_then(|meta| meta.get("generation"))
        .and_then(Value::as_i64)
        .unwrap_or_default()
}

/// The string entries of the map at `metadata.<field>`.
fn strings(object: &Value, field: &str) -> BTreeMap<String, String> {
    let map = object
        .get("metadata")
        .and_then(|meta| meta.get(field))
        .and_then(Value::as_object);
    map.into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// `metadata.labels`.
#[must_use]
pub fn labels(object: &Value) -> BTreeMap<String, String> {
    strings(object, "labels")
}

/// `metadata.annotations`.
#[must_use]
pub fn annotations(object: &Value) -> BTreeMap<String, String> {
    strings(object, "annotations")
}

/// `metadata.finalizers`.
#[must_use]
pub fn finalizers(object: &Value) -> Vec<&str> {
    let list = object
        .get("metadata")
        .and_then(|meta| meta.get("finalizers"))
        .and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).collect()
}

/// One entry of `metadata.ownerReferences`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnerReference<'a> {
    /// `group/version`, or `v1`.
    pub api_version: &'a str,
    /// Kind of the owner.
    pub kind: &'a str,
    /// Name of the owner, in the same namespace or cluster-wide.
    pub name: &'a str,
    /// UID of the owner.
    pub uid: &'a str,
    /// Whether this owner is the one controller.
    pub controller: bool,
    /// Whether the owner's foreground deletion waits for this object.
    pub block_owner_deletion: bool,
}

/// `metadata.ownerReferences`; what is missing in one is empty.
#[must_use]
pub fn owner_references(object: &Value) -> Vec<OwnerReference<'_>> {
    let list = object
        .get("metadata")
        .and_then(|meta| meta.get("ownerReferences"))
        .and_then(Value::as_array);
    list.into_iter().flatten().map(owner_reference).collect()
}

fn owner_reference(owner: &Value) -> OwnerReference<'_> {
    let text = |field: &str| owner.get(field).and_then(Value::as_str).unwrap_or_default();
    let flag = |field: &str| owner.get(field).and_then(Value::as_bool).unwrap_or_default();
    OwnerReference {
        api_version: text("apiVersion"),
        kind: text("kind"),
        name: text("name"),
        uid: text("uid"),
        controller: flag("controller"),
        block_owner_deletion: flag("blockOwnerDeletion"),
    }
}

/// The owner that controls the object, if any.
#[must_use]
pub fn controller(object: &Value) -> Option<OwnerReference<'_>> {
    owner_references(object)
        .into_iter()
        .find(|owner| owner.controller)
}

/// The object's `metadata`, made where it is missing. Anything that is no object becomes one.
pub fn metadata_mut(object: &mut Value) -> &mut Map<String, Value> {
    object_mut(member_mut(object, "metadata"))
}

/// The member `field` of an object, made (as null) where it is missing.
pub fn member_mut<'a>(object: &'a mut Value, field: &str) -> &'a mut Value {
    object_mut(object).entry(field).or_insert(Value::Null)
}

/// `value` as a map; anything else in its place is replaced by an empty one.
pub fn object_mut(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    let Value::Object(map) = value else {
        unreachable!("anything else was replaced above")
    };
    map
}

/// Sets `metadata.<field>`.
pub fn set(object: &mut Value, field: &str, value: impl Into<Value>) {
    metadata_mut(object).insert(field.to_owned(), value.into());
}

/// Removes `metadata.<field>`.
pub fn remove(object: &mut Value, field: &str) -> Option<Value> {
    object.get_mut("metadata")?.as_object_mut()?.remove(field)
}

/// A fresh random UID.
#[must_use]
pub fn new_uid() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// The alphabet of generated names: no vowels and nothing that reads like another character.
const SUFFIX_ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX_LEN: usize = 5;
const GENERATED_MAX: usize = 63;

/// A fresh random suffix for [`generate_name`], five characters.
#[must_use]
pub fn new_suffix() -> String {
    (0..SUFFIX_LEN)
        .filter_map(|_| SUFFIX_ALPHABET.get(rand::random_range(0..SUFFIX_ALPHABET.len())))
        .map(|&b| char::from(b))
        .collect()
}

/// `prefix` and `suffix` joined, the prefix cut so that the whole has at most 63 characters.
#[must_use]
pub fn generate_name(prefix: &str, suffix: &str) -> String {
    let room = GENERATED_MAX.saturating_sub(suffix.len());
    let cut = prefix
        .char_indices()
        .map(|(at, c)| at + c.len_utf8())
        .take_while(|&end| end <= room)
        .last();
    let head = cut.and_then(|end| prefix.get(..end)).unwrap_or_default();
    format!("{head}{suffix}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn accessors_read_what_is_there_and_are_empty_otherwise() {
        let pod = json!({"metadata": {
            "name": "web", "namespace": "default", "uid": "u", "resourceVersion": "7", "generation": 3,
            "labels": {"app": "web", "bad": 1}, "finalizers": ["a/b"], "deletionGracePeriodSeconds": 30,
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "r", "controller": true}],
        }});
        assert_eq!(
            (name(&pod), namespace(&pod), uid(&pod), resource_version(&pod)),
            ("web", "default", "u", "7")
        );
        assert_eq!(generation(&pod), 3);
        assert_eq!(
            labels(&pod),
            BTreeMap::from([("app".to_owned(), "web".to_owned())])
        );
        assert_eq!(finalizers(&pod), ["a/b"]);
        assert_eq!(deletion_grace_period(&pod), Some(30));
        assert_eq!(controller(&pod).map(|owner| owner.name), Some("rs"));
        assert_eq!(name(&json!(null)), "");
        assert_eq!(controller(&json!({})), None);
    }

    #[test]
    fn setting_makes_metadata_where_there_is_none() {
        let mut object = json!(null);
        set(&mut object, "name", "web");
        assert_eq!(object, json!({"metadata": {"name": "web"}}));
        assert_eq!(remove(&mut object, "name"), Some(json!("web")));
        assert_eq!(remove(&mut object, "name"), None);
    }

    #[test]
    fn a_generated_name_has_at_most_63_characters_and_keeps_its_suffix() {
        assert_eq!(generate_name("web-", "x2b4d"), "web-x2b4d");
        let long = generate_name(&"a".repeat(80), "x2b4d");
        assert_eq!(long.len(), 63);
        assert!(long.ends_with("ax2b4d"));
        let suffix = new_suffix();
        assert_eq!(suffix.len(), 5);
        assert!(suffix.bytes().all(|b| SUFFIX_ALPHABET.contains(&b)));
    }
}
