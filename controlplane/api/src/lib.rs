//! The built-in kinds: what each is called, shows, fills in, keeps and refuses. No I/O.
//!
//! A kind is a [`Resource`] of `controlplane-apimachinery`, with a [`Strategy`]; [`kinds`] holds the built-in
//! ones. [`rest`] joins these facts into the steps of a create, an update and a delete. Structure (types,
//! unknown fields, static defaults) is not checked here: that is `controlplane-schema`'s job.

pub mod admit;
pub mod kinds;
pub mod rest;
pub mod validate;

pub(crate) use controlplane_apimachinery::read;
pub use controlplane_apimachinery::{
    ApiError, Cause, Column, Context, DeleteOptions, Details, FieldError, FieldErrorKind, FieldSelector,
    Grace, LabelSelector, Path, Quantity, Reason, Registry, Resource, Role, Scope, Status, Strategy,
    Subresource, UserInfo, Verb, codec, error, field, meta, names, quantity, registry, resource, selector,
    status, strategy, table, time,
};

/// The registry of the built-in kinds.
#[must_use]
pub fn builtin() -> Registry {
    let mut registry = Registry::empty();
    for resource in kinds::builtin() {
        registry.register(resource);
    }
    registry
}
