//! What upstream's admission plugins `DefaultStorageClass`, `DefaultIngressClass` and `PersistentVolumeClaimResize` do.

use std::cmp::Reverse;

use controlplane_api::admit::pod_resources::amounts;
use controlplane_api::{ApiError, meta};
use serde_json::Value;

use super::{forbidden, lookup};
use crate::call::Call;

const STORAGE_CLASSES: &str = "storage.k8s.io/storageclasses";
const INGRESS_CLASSES: &str = "networking.k8s.io/ingressclasses";
const DEFAULT_STORAGE: [&str; 2] = [
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
];
const DEFAULT_INGRESS: [&str; 1] = ["ingressclass.kubernetes.io/is-default-class"];
/// The annotation that named a claim's class before there was a field.
const OLD_STORAGE: &str = "volume.beta.kubernetes.io/storage-class";
const OLD_INGRESS: &str = "kubernetes.io/ingress.class";

/// The newest class under `folder` that one of these annotations makes the default; of several the first by name.
fn default_class(call: &Call, folder: &str, marks: &[&str]) -> Result<Option<String>, ApiError> {
    let classes = lookup::marked(call, folder, "is-default-class")?;
    let is_default = |class: &Value| {
        let annotations = meta::annotations(class);
        marks
            .iter()
            .any(|mark| annotations.get(*mark).is_some_and(|value| value == "true"))
    };
    let newest = classes
        .iter()
        .filter(|class| is_default(class))
        .min_by_key(|class| (Reverse(meta::creation_timestamp(class)), meta::name(class)));
    Ok(newest.map(|class| meta::name(class).to_owned()))
}

fn text<'a>(object: &'a Value, field: &str) -> Option<&'a str> {
    object.get("spec")?.get(field)?.as_str()
}

fn set(object: &mut Value, field: &str, name: Option<String>) {
    if let Some(name) = name {
        let spec = meta::object_mut(meta::member_mut(object, "spec"));
        spec.insert(field.to_owned(), name.into());
    }
}

/// Gives a claim that names no class the default one. The empty name is a wish for none.
///
/// # Errors
///
/// Only for what would be a bug.
pub(super) fn of_storage(call: &Call, claim: &mut Value) -> Result<(), ApiError> {
    let named =
        text(claim, "storageClassName").is_some() || meta::annotations(claim).contains_key(OLD_STORAGE);
    if !named {
        let class = default_class(call, STORAGE_CLASSES, &DEFAULT_STORAGE)?;
        set(claim, "storageClassName", class);
    }
    Ok(())
}

/// Gives an Ingress that names no class the default one.
///
/// # Errors
///
/// Only for what would be a bug.
pub(super) fn of_ingress(call: &Call, ingress: &mut Value) -> Result<(), ApiError> {
    let named =
        text(ingress, "ingressClassName").is_some() || meta::annotations(ingress).contains_key(OLD_INGRESS);
    if !named {
        let class = default_class(call, INGRESS_CLASSES, &DEFAULT_INGRESS)?;
        set(ingress, "ingressClassName", class);
    }
    Ok(())
}

/// Checks that the class of a claim which grows lets it. That the claim is bound is its kind's own rule.
///
/// # Errors
///
/// 403 where it does not.
pub(super) fn check_growth(call: &Call, claim: &Value, old: &Value) -> Result<(), ApiError> {
    let size = |claim: &Value| amounts(claim, "spec.resources.requests").get("storage").copied();
    if size(claim) <= size(old) {
        return Ok(());
    }
    let annotations = meta::annotations(old);
    let class = annotations
        .get(OLD_STORAGE)
        .map(String::as_str)
        .or_else(|| text(old, "storageClassName"));
    let class = class.filter(|name| !name.is_empty());
    let class = class
        .map(|name| lookup::named(call, STORAGE_CLASSES, name))
        .transpose()?
        .flatten();
    match class.and_then(|class| class.get("allowVolumeExpansion")?.as_bool()) {
        Some(true) => Ok(()),
        Some(false) | None => {
            let why = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must \
                       support resize";
            Err(forbidden(call, claim, why))
        }
    }
}
