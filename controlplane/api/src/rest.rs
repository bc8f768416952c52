//! The steps of a create, an update and a delete, joined from metadata's rules and a kind's strategy.
//!
//! All of it is pure: the server reads, calls, and proposes what comes out as a transaction. Objects
//! are in their stored form; requests are already structurally sound and defaulted.

mod delete;

use serde_json::Value;

pub use delete::{Deletion, deleted_by_update, prepare_delete};

use crate::error::ApiError;
use crate::meta;
use crate::resource::{Resource, Scope};
use crate::strategy::{Context, keep};
use crate::time;
use crate::validate::metadata;

/// Through which path an object is updated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part<'a> {
    /// The object's own path.
    Main,
    /// `/status`.
    Status,
    /// Another subresource that updates the object, such as `approval`.
    Sub(&'a str),
}

/// Makes a request's object into the one to store, and answers with warnings for the client.
///
/// `namespace` is the one of the URL, empty for cluster-wide kinds. The name is generated where only
/// `generateName` is given, UID and creation time come from `context`.
///
/// # Errors
///
/// 400 where object and URL disagree, 422 with every field that breaks a rule.
pub fn prepare_create(
    resource: &Resource,
    object: &mut Value,
    namespace: &str,
    context: &Context,
) -> Result<Vec<String>, ApiError> {
    fit_namespace(resource, object, namespace)?;
    if !meta::resource_version(object).is_empty() {
        return Err(ApiError::bad_request(
            "resourceVersion should not be set on objects to be created",
        ));
    }
    let metadata = meta::metadata_mut(object);
    for wiped in [
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
        "resourceVersion",
    ] {
        metadata.remove(wiped);
    }
    metadata.insert("uid".to_owned(), context.uid.clone().into());
    metadata.insert("creationTimestamp".to_owned(), time::format(context.now).into());
    generate_name(object, context);
    let strategy = &resource.strategy;
    strategy.prepare_create(object, context);
    if strategy.tracks_generation() {
        meta::set(object, "generation", 1);
    } else {
        meta::remove(object, "generation");
    }
    let mut errors = metadata::validate(resource, object);
    errors.extend(strategy.validate(object));
    invalid_if_any(resource, object, errors)?;
    let mut warnings = metadata::warnings(object, None);
    warnings.extend(strategy.warnings(object, None));
    Ok(warnings)
}

/// Makes a request's object, sent to `part` of the stored object `old`, into the one to store, and
/// answers with warnings for the client.
///
/// The resource version must have been compared before; it is not looked at. Where nothing differs
/// from `old` in the end, nothing need be written.
///
/// # Errors
///
/// 409 where the UIDs differ, 422 with every field that breaks a rule.
pub fn prepare_update(
    resource: &Resource,
    part: Part<'_>,
    new: &mut Value,
    old: &Value,
    context: &Context,
) -> Result<Vec<String>, ApiError> {
    check_uid(resource, new, old)?;
    keep_metadata(new, old);
    let strategy = &resource.strategy;
    match part {
        Part::Main => strategy.prepare_update(new, old, context),
        Part::Status => {
            keep_all_but_status(new, old);
            strategy.prepare_status_update(new, old, context);
        }
        Part::Sub(name) => strategy.prepare_subresource_update(name, new, old, context),
    }
    move_generation(resource, part, new, old);
    let mut errors = metadata::validate_update(resource, new, old);
    errors.extend(match part {
        Part::Main => strategy.validate_update(new, old),
        Part::Status => strategy.validate_status_update(new, old),
        Part::Sub(name) => strategy.validate_subresource_update(name, new, old),
    });
    invalid_if_any(resource, new, errors)?;
    let mut warnings = metadata::warnings(new, Some(old));
    if part == Part::Main {
        warnings.extend(strategy.warnings(new, Some(old)));
    }
    Ok(warnings)
}

/// Fills `metadata.namespace` in from the URL.
///
/// # Errors
///
/// 400 where the object names another one.
fn fit_namespace(resource: &Resource, object: &mut Value, namespace: &str) -> Result<(), ApiError> {
    match (resource.scope, meta::namespace(object)) {
        (Scope::Cluster, _) => Ok(()),
        (Scope::Namespaced, "") => {
            meta::set(object, "namespace", namespace);
            Ok(())
        }
        (Scope::Namespaced, given) if given == namespace => Ok(()),
        (Scope::Namespaced, _) => Err(ApiError::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        )),
    }
}

/// Checks that a PUT's object is the one its URL names, and fills an absent namespace in.
///
/// # Errors
///
/// 400 where name or namespace differ.
pub fn fit_url(resource: &Resource, object: &mut Value, namespace: &str, name: &str) -> Result<(), ApiError> {
    let given = meta::name(object);
    if given.is_empty() {
        return Err(ApiError::bad_request("name must be provided"));
    }
    if given != name {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({given}) does not match the name on the URL ({name})"
        )));
    }
    let given = meta::namespace(object);
    if resource.is_namespaced() && !given.is_empty() && given != namespace {
        return Err(ApiError::bad_request(format!(
            "the namespace of the object ({given}) does not match the namespace on the request ({namespace})"
        )));
    }
    fit_namespace(resource, object, namespace)
}

fn generate_name(object: &mut Value, context: &Context) {
    let prefix = meta::generate_name_prefix(object);
    if meta::name(object).is_empty() && !prefix.is_empty() {
        let name = meta::generate_name(prefix, &context.suffix);
        meta::set(object, "name", name);
    }
}

fn check_uid(resource: &Resource, new: &Value, old: &Value) -> Result<(), ApiError> {
    let (wanted, found) = (meta::uid(new), meta::uid(old));
    if wanted.is_empty() || wanted == found {
        return Ok(());
    }
    let why = format!("Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}");
    Err(ApiError::conflict(
        &resource.group,
        &resource.plural,
        meta::name(old),
        &why,
    ))
}

/// What the server owns comes from `old`; a client may leave it out.
fn keep_metadata(new: &mut Value, old: &Value) {
    let stored = old.get("metadata");
    let metadata = meta::metadata_mut(new);
    for field in ["uid", "creationTimestamp", "generation", "selfLink"] {
        copy(metadata, stored, field);
    }
    let deleting = stored.is_some_and(|stored| stored.get("deletionTimestamp").is_some());
    if deleting || metadata.get("deletionTimestamp").is_none_or(Value::is_null) {
        copy(metadata, stored, "deletionTimestamp");
    }
    if metadata
        .get("deletionGracePeriodSeconds")
        .is_none_or(Value::is_null)
    {
        copy(metadata, stored, "deletionGracePeriodSeconds");
    }
}

fn copy(target: &mut serde_json::Map<String, Value>, source: Option<&Value>, field: &str) {
    match source.and_then(|source| source.get(field)) {
        Some(value) => target.insert(field.to_owned(), value.clone()),
        None => target.remove(field),
    };
}

/// A status write leaves alone what it is not for: wishes, and metadata that only its owner changes.
fn keep_all_but_status(new: &mut Value, old: &Value) {
    let mut members: Vec<String> = Vec::new();
    for object in [&*new, old] {
        members.extend(
            object
                .as_object()
                .into_iter()
                .flatten()
                .map(|(key, _)| key.clone()),
        );
    }
    for member in members
        .iter()
        .filter(|key| !matches!(key.as_str(), "metadata" | "status"))
    {
        keep(new, old, member);
    }
    let stored = old.get("metadata");
    copy(meta::metadata_mut(new), stored, "ownerReferences");
}

/// Neither a status nor the choice of a node is a wish.
fn move_generation(resource: &Resource, part: Part<'_>, new: &mut Value, old: &Value) {
    let strategy = &resource.strategy;
    let counted = !matches!(part, Part::Status | Part::Sub("binding"));
    let moves = counted && strategy.tracks_generation() && strategy.generation_moves(new, old);
    if moves {
        meta::set(new, "generation", meta::generation(old) + 1);
    }
}

fn invalid_if_any(
    resource: &Resource,
    object: &Value,
    errors: Vec<crate::field::FieldError>,
) -> Result<(), ApiError> {
    if errors.is_empty() {
        return Ok(());
    }
    let name = match meta::name(object) {
        "" => meta::generate_name_prefix(object),
        name => name,
    };
    Err(ApiError::invalid(&resource.group, &resource.kind, name, errors))
}

#[cfg(test)]
mod tests;
