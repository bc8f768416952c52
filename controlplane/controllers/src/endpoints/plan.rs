//! The Endpoints a Service should have, and whether that is news. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Endpoints, Service};
use kube::api::ObjectMeta;

use super::subsets::{subsets, truncate};
use crate::backends::Backend;
use crate::endpointslice::{HEADLESS, is_headless};
use crate::meta;

/// Annotation of Endpoints that do not hold all addresses.
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
/// Label of Endpoints that this controller wrote.
const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const MANAGER: &str = "endpoint-controller";

/// One write.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// All is as it should be.
    Nothing,
    /// Make the object.
    Create(Endpoints),
    /// Write it anew.
    Update(Endpoints),
}

/// Whether this controller makes Endpoints for a Service.
pub(super) fn is_ours(service: &Service) -> bool {
    service.spec.as_ref().is_some_and(|spec| {
        spec.type_.as_deref() != Some("ExternalName")
            && spec
                .selector
                .as_ref()
                .is_some_and(|selector| !selector.is_empty())
    })
}

/// Whether this controller wrote these Endpoints.
pub(super) fn is_managed(endpoints: &Endpoints) -> bool {
    let labels = endpoints.metadata.labels.as_ref();
    labels
        .and_then(|labels| labels.get(MANAGED_BY))
        .map(String::as_str)
        == Some(MANAGER)
}

/// The write that makes `existing` say what `pods`, which the Service selects, are.
pub(super) fn plan(service: &Service, pods: &[Arc<Backend>], existing: Option<&Endpoints>) -> Step {
    let mut subsets = subsets(service, pods);
    let truncated = truncate(&mut subsets);
    let known = existing.map(|existing| existing.metadata.clone());
    let mut metadata = known.unwrap_or_else(|| ObjectMeta {
        namespace: service.metadata.namespace.clone(),
        name: service.metadata.name.clone(),
        ..ObjectMeta::default()
    });
    metadata.labels = Some(labels(service));
    metadata.annotations = annotations(metadata.annotations, truncated);
    let wanted = Endpoints {
        metadata,
        subsets: (!subsets.is_empty()).then_some(subsets),
    };
    match existing {
        None => Step::Create(wanted),
        Some(existing) if same(existing, &wanted) => Step::Nothing,
        Some(_) => Step::Update(wanted),
    }
}

fn labels(service: &Service) -> BTreeMap<String, String> {
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.remove(HEADLESS);
    if service.spec.as_ref().is_some_and(is_headless) {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    labels
}

fn annotations(known: Option<BTreeMap<String, String>>, truncated: bool) -> Option<BTreeMap<String, String>> {
    let mut all = known.unwrap_or_default();
    all.remove(OVER_CAPACITY);
    if truncated {
        all.insert(OVER_CAPACITY.to_owned(), "truncated".to_owned());
    }
    (!all.is_empty()).then_some(all)
}

fn same(one: &Endpoints, other: &Endpoints) -> bool {
    let parts = |endpoints: &Endpoints| {
        (
            endpoints.subsets.clone().unwrap_or_default(),
            endpoints.metadata.labels.clone(),
            meta::annotation(&endpoints.metadata, OVER_CAPACITY).map(str::to_owned),
        )
    };
    parts(one) == parts(other)
}

#[cfg(test)]
mod tests;
