//! Deletion: grace, finalizers, and when an object is really gone.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::error::ApiError;
use crate::meta;
use crate::resource::Resource;
use crate::strategy::{Context, DeleteOptions, Grace};
use crate::time;

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// What a delete comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Deletion {
    /// Nothing holds the object: remove its key.
    Remove,
    /// Something does: store this form, which says that it is being deleted.
    Mark(Value),
    /// It is being deleted already, and this request changes nothing about that.
    Unchanged,
}

/// Decides what deleting the stored `object` with `options` comes to.
///
/// # Errors
///
/// 409 where a precondition does not hold, 422 for options that contradict themselves.
pub fn prepare_delete(
    resource: &Resource,
    object: &Value,
    options: &DeleteOptions,
    context: &Context,
) -> Result<Deletion, ApiError> {
    check_options(options)?;
    check_preconditions(resource, object, options)?;
    let grace = match resource.strategy.graceful_delete(object, options) {
        Grace::Unsupported => None,
        Grace::Seconds(seconds) => Some(seconds.max(0)),
    };
    let mut marked = object.clone();
    set_finalizers(&mut marked, options);
    let held = !meta::finalizers(&marked).is_empty() || resource.strategy.held(&marked);
    match meta::deletion_timestamp(object).and_then(time::parse) {
        Some(deadline) => shorten(&mut marked, deadline, grace),
        None => mark(resource, &mut marked, grace.unwrap_or(0), context),
    }
    let waits = meta::deletion_grace_period(&marked).is_some_and(|seconds| seconds > 0);
    Ok(match held || waits {
        false => Deletion::Remove,
        true if marked == *object => Deletion::Unchanged,
        true => Deletion::Mark(marked),
    })
}

/// Whether an update has taken away the last thing that held a deleted object.
#[must_use]
pub fn deleted_by_update(resource: &Resource, new: &Value, old: &Value) -> bool {
    meta::deletion_timestamp(old).is_some()
        && meta::finalizers(new).is_empty()
        && !resource.strategy.held(new)
        && meta::deletion_grace_period(old).unwrap_or(0) == 0
}

fn check_options(options: &DeleteOptions) -> Result<(), ApiError> {
    let root = crate::field::Path::default();
    let mut errors = Vec::new();
    if options.propagation_policy.is_some() && options.orphan_dependents.is_some() {
        let detail = "orphanDependents and deletionPropagation cannot be both set";
        errors.push(
            root.child("propagationPolicy")
                .invalid(options.propagation_policy.clone(), detail),
        );
    }
    if let Some(policy) = options.propagation_policy.as_deref()
        && !matches!(policy, "Foreground" | "Background" | "Orphan")
    {
        let known = ["Foreground", "Background", "Orphan", "nil"];
        errors.push(root.child("propagationPolicy").not_supported(policy, &known));
    }
    if errors.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid("meta.k8s.io", "DeleteOptions", "", errors))
}

fn check_preconditions(resource: &Resource, object: &Value, options: &DeleteOptions) -> Result<(), ApiError> {
    let Some(wanted) = &options.preconditions else {
        return Ok(());
    };
    let compared = [
        ("UID", wanted.uid.as_deref(), meta::uid(object)),
        (
            "ResourceVersion",
            wanted.resource_version.as_deref(),
            meta::resource_version(object),
        ),
    ];
    for (what, wanted, found) in compared {
        if let Some(wanted) = wanted.filter(|wanted| *wanted != found) {
            let why = format!(
                "Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}"
            );
            return Err(ApiError::conflict(
                &resource.group,
                &resource.plural,
                meta::name(object),
                &why,
            ));
        }
    }
    Ok(())
}

/// Finalizers by which the garbage collector learns what becomes of dependents.
fn set_finalizers(object: &mut Value, options: &DeleteOptions) {
    let wanted = match (options.propagation_policy.as_deref(), options.orphan_dependents) {
        (Some("Foreground"), _) => Some(FOREGROUND),
        (Some("Orphan"), _) | (None, Some(true)) => Some(ORPHAN),
        (Some(_), _) | (None, Some(false)) => None,
        (None, None) => return,
    };
    let kept = meta::finalizers(object)
        .into_iter()
        .filter(|name| !matches!(*name, FOREGROUND | ORPHAN));
    let list: Vec<Value> = kept.chain(wanted).map(Value::from).collect();
    if list.is_empty() {
        meta::remove(object, "finalizers");
    } else {
        meta::set(object, "finalizers", list);
    }
}

fn mark(resource: &Resource, object: &mut Value, seconds: i64, context: &Context) {
    let deadline = later(context.now, seconds);
    meta::set(object, "deletionTimestamp", time::format(deadline));
    meta::set(object, "deletionGracePeriodSeconds", seconds);
    let generation = meta::generation(object);
    if generation > 0 {
        meta::set(object, "generation", generation + 1);
    }
    resource.strategy.mark_deleted(object);
}

/// A second delete may shorten the grace, never lengthen it.
fn shorten(object: &mut Value, deadline: Timestamp, grace: Option<i64>) {
    let current = meta::deletion_grace_period(object).unwrap_or(0);
    let Some(wanted) = grace.filter(|wanted| *wanted < current) else {
        return;
    };
    meta::set(
        object,
        "deletionTimestamp",
        time::format(later(deadline, wanted - current)),
    );
    meta::set(object, "deletionGracePeriodSeconds", wanted);
}

fn later(time: Timestamp, seconds: i64) -> Timestamp {
    time.checked_add(SignedDuration::from_secs(seconds))
        .unwrap_or(time)
}
