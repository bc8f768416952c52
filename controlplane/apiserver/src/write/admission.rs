//! What upstream's default admission plugins do with the built-in kinds, in its order, beside what the kinds' strategies do
//! already. Filling in comes before an object is checked by its kind's rules, refusing after.

mod account;
mod certificates;
mod classes;
mod limits;
mod lookup;
mod namespace;
mod priority;
pub(crate) mod quota;
mod runtime_class;
mod security;

use controlplane_api::rest::Part;
use controlplane_api::{ApiError, Resource, meta};
use serde_json::Value;

use crate::call::Call;

/// Whether `resource` is this one.
fn is(resource: &Resource, group: &str, plural: &str) -> bool {
    resource.group == group && resource.plural == plural
}

/// 403 about the object of a call.
fn forbidden(call: &Call, object: &Value, why: &str) -> ApiError {
    ApiError::forbidden(
        &call.resource.group,
        &call.resource.plural,
        meta::name(object),
        why,
    )
}

/// Fills in what a new object gets from others.
///
/// # Errors
///
/// 403 where one that it names does not exist, or says something else.
pub(crate) async fn fill_new(call: &Call, object: &mut Value) -> Result<(), ApiError> {
    match (&*call.resource.group, &*call.resource.plural) {
        ("", "pods") => {
            limits::give(call, object)?;
            account::give(call, object).await?;
            priority::fill(call, object)?;
            runtime_class::give(call, object)
        }
        ("", "persistentvolumeclaims") => classes::of_storage(call, object),
        ("networking.k8s.io", "ingresses") => classes::of_ingress(call, object),
        _ => Ok(()),
    }
}

/// Checks a new object against others, and answers with warnings.
///
/// # Errors
///
/// 403 that says which forbids it, 422 for labels of a namespace that cannot be read.
pub(crate) fn check_new(call: &Call, object: &Value) -> Result<Vec<String>, ApiError> {
    match (&*call.resource.group, &*call.resource.plural) {
        ("", "pods") => {
            limits::check(call, object)?;
            account::check(call, object)?;
            let warnings = security::check_pod(call, object)?;
            runtime_class::check(call, object)?;
            Ok(warnings)
        }
        ("", "namespaces") => security::check_namespace(call, object, None),
        ("", "persistentvolumeclaims") => limits::check(call, object).map(|()| Vec::new()),
        ("scheduling.k8s.io", "priorityclasses") => priority::check_class(call, object).map(|()| Vec::new()),
        ("certificates.k8s.io", "certificatesigningrequests") => {
            certificates::check(call, object).map(|()| Vec::new())
        }
        _ => security::warn(call, object),
    }
}

/// Checks a changed object against others, and answers with warnings.
///
/// # Errors
///
/// As [`check_new`].
pub(crate) fn check_changed(
    call: &Call,
    part: Part<'_>,
    object: &Value,
    old: &Value,
) -> Result<Vec<String>, ApiError> {
    match (&*call.resource.group, &*call.resource.plural, part) {
        ("", "pods", Part::Sub("resize")) => limits::check(call, object).map(|()| Vec::new()),
        ("", "pods", Part::Main) => security::check_changed_pod(call, object, old),
        ("", "pods", Part::Sub("ephemeralcontainers")) => {
            account::check_ephemeral(call, object)?;
            security::check_changed_pod(call, object, old)
        }
        ("", "namespaces", Part::Main) => security::check_namespace(call, object, Some(old)),
        ("", "persistentvolumeclaims", Part::Main) => {
            limits::check(call, object)?;
            classes::check_growth(call, object, old).map(|()| Vec::new())
        }
        ("scheduling.k8s.io", "priorityclasses", Part::Main) => {
            priority::check_class(call, object).map(|()| Vec::new())
        }
        ("", "pods", _) => Ok(Vec::new()),
        (_, _, Part::Main) => security::warn(call, object),
        (_, _, Part::Status | Part::Sub(_)) => Ok(Vec::new()),
    }
}

/// Checks that the object which `call` names may be deleted.
///
/// # Errors
///
/// 403 where it must stay.
pub(crate) fn check_delete(call: &Call) -> Result<(), ApiError> {
    namespace::check_delete(call)?;
    priority::check_delete(call)
}
