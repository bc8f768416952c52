//! What a kind adds to the machinery: what it fills in, keeps, refuses and warns of.

use std::collections::BTreeMap;
use std::fmt::Debug;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::field::FieldError;
use crate::managed::{self, FieldSet};
use crate::meta;
use crate::names::{self, NameCheck};

/// Who makes a request.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UserInfo {
    /// Name, such as `system:node:a`.
    pub username: String,
    /// Identity behind the name, if the authenticator knows one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// Groups, such as `system:masters`.
    pub groups: Vec<String>,
    /// What else the authenticator knows.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub extra: BTreeMap<String, Vec<String>>,
}

/// What a write takes from outside: time, identity and everything random, chosen before it is proposed.
#[derive(Debug, Clone)]
pub struct Context {
    /// The server's time.
    pub now: Timestamp,
    /// UID for the object, should it be created.
    pub uid: String,
    /// Suffix for `generateName`, should it be needed.
    pub suffix: String,
    /// Who asks.
    pub user: UserInfo,
}

impl Context {
    /// A context with a fresh UID and suffix.
    #[must_use]
    pub fn new(now: Timestamp, user: UserInfo) -> Self {
        Self {
            now,
            uid: meta::new_uid(),
            suffix: meta::new_suffix(),
            user,
        }
    }
}

/// `meta/v1` `DeleteOptions`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeleteOptions {
    /// How long the object may take to end; none means the kind's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_period_seconds: Option<i64>,
    /// What must hold of the object, else 409.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preconditions: Option<Preconditions>,
    /// The old spelling of the policies `Orphan` (true) and `Background` (false).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orphan_dependents: Option<bool>,
    /// What becomes of dependents: `Orphan`, `Background` or `Foreground`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub propagation_policy: Option<String>,
    /// `All` for a dry run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dry_run: Vec<String>,
}

/// What must hold of an object before a write.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Preconditions {
    /// The object's UID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The object's resource version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
}

/// How long a kind's object lives on after its deletion was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grace {
    /// The kind knows no grace: the object goes at once.
    Unsupported,
    /// So many seconds; 0 is at once.
    Seconds(i64),
}

/// The rules of one kind.
///
/// Every method is pure. Objects come in their stored form, structurally sound and with static defaults
/// filled in. The machinery of [`crate::rest`] handles metadata; a strategy handles the rest.
pub trait Strategy: Debug + Send + Sync {
    /// The rule for names.
    fn name_check(&self) -> NameCheck {
        names::dns_subdomain
    }

    /// Whether `metadata.generation` counts the object's wishes.
    fn tracks_generation(&self) -> bool {
        false
    }

    /// Whether an update changes what generation counts: by default all but metadata and status.
    fn generation_moves(&self, new: &Value, old: &Value) -> bool {
        wishes(new).ne(wishes(old))
    }

    /// Brings a new object into its first form: status cleared, computed defaults filled in.
    fn prepare_create(&self, object: &mut Value, context: &Context) {
        let _ = context;
        remove_status(object);
    }

    /// Brings an updated object into form: what this path may not change comes from `old`.
    fn prepare_update(&self, new: &mut Value, old: &Value, context: &Context) {
        let _ = context;
        keep(new, old, "status");
    }

    /// Brings an object written through `/status` into form: all but status and the changeable
    /// metadata already comes from `old`.
    fn prepare_status_update(&self, new: &mut Value, old: &Value, context: &Context) {
        let _ = (new, old, context);
    }

    /// As [`Strategy::prepare_status_update`], for a further subresource that updates the object
    /// (`approval`, `finalize`); what it may not change must be taken from `old` here.
    fn prepare_subresource_update(&self, subresource: &str, new: &mut Value, old: &Value, context: &Context) {
        let _ = (subresource, new, old, context);
    }

    /// The fields that a path (`""` is the object's own, else the subresource) leaves as they are, so that nobody
    /// comes to own them by it: status by the object's own path, and spec by `status`.
    fn reset_fields(&self, subresource: &str) -> &'static FieldSet {
        match subresource {
            "" => &managed::STATUS,
            "status" => &managed::SPEC,
            _ => &managed::NO_FIELDS,
        }
    }

    /// What is wrong with an object, beside its metadata.
    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let _ = object;
        Vec::new()
    }

    /// What is wrong with an update, beside metadata; includes what [`Strategy::validate`] says where
    /// that applies to updates.
    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let _ = old;
        self.validate(new)
    }

    /// What is wrong with a write through `/status`.
    fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let _ = (new, old);
        Vec::new()
    }

    /// What is wrong with a write through a further subresource.
    fn validate_subresource_update(&self, subresource: &str, new: &Value, old: &Value) -> Vec<FieldError> {
        let _ = (subresource, new, old);
        Vec::new()
    }

    /// What the client should be warned of; `old` is absent at a create.
    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        let _ = (new, old);
        Vec::new()
    }

    /// How long the object lives on after a delete.
    fn graceful_delete(&self, object: &Value, options: &DeleteOptions) -> Grace {
        let _ = (object, options);
        Grace::Unsupported
    }

    /// Changes what else must change in an object that becomes *being deleted*.
    fn mark_deleted(&self, object: &mut Value) {
        let _ = object;
    }

    /// Whether something beside `metadata.finalizers` still holds a deleted object.
    fn held(&self, object: &Value) -> bool {
        let _ = object;
        false
    }
}

/// The members that generation counts.
fn wishes(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let counted = |key: &str| !matches!(key, "apiVersion" | "kind" | "metadata" | "status");
    object
        .as_object()
        .into_iter()
        .flatten()
        .filter(move |(key, _)| counted(key))
}

/// Removes `status`.
pub fn remove_status(object: &mut Value) {
    meta::object_mut(object).remove("status");
}

/// Takes the member `field` from `old`, also its absence.
pub fn keep(new: &mut Value, old: &Value, field: &str) {
    let map = meta::object_mut(new);
    match old.get(field) {
        Some(value) => map.insert(field.to_owned(), value.clone()),
        None => map.remove(field),
    };
}

/// A kind without rules of its own beyond its name's.
#[derive(Debug, Clone, Copy)]
pub struct Plain {
    /// The rule for names.
    pub name_check: NameCheck,
    /// Whether `metadata.generation` counts the object's wishes.
    pub tracks_generation: bool,
}

impl Strategy for Plain {
    fn name_check(&self) -> NameCheck {
        self.name_check
    }

    fn tracks_generation(&self) -> bool {
        self.tracks_generation
    }
}
