//! Kubernetes objects as data: kinds, strategies, validation, selectors, quantities, `Status`. No I/O.
//!
//! Objects are [`serde_json::Value`]s throughout: they never make a round trip through typed structs,
//! so nothing a client sent is lost. A kind is a [`Resource`]: names, scope, verbs, columns, selectable
//! fields and a [`Strategy`]; [`Registry`] holds the built-in ones, and custom kinds enter by the same
//! door. [`rest`] joins these facts into the steps of a create, an update and a delete. Structure
//! (types, unknown fields, static defaults) is not checked here: that is `controlplane-schema`'s job.

pub mod error;
pub mod field;
pub mod kinds;
pub mod meta;
pub mod names;
pub mod quantity;
mod read;
pub mod registry;
pub mod resource;
pub mod rest;
pub mod selector;
pub mod status;
pub mod strategy;
pub mod table;
pub mod time;
pub mod validate;

pub use error::ApiError;
pub use field::{FieldError, FieldErrorKind, Path};
pub use quantity::Quantity;
pub use registry::Registry;
pub use resource::{Column, Resource, Role, Scope, Subresource, Verb};
pub use selector::{FieldSelector, LabelSelector};
pub use status::{Cause, Details, Reason, Status};
pub use strategy::{Context, DeleteOptions, Grace, Strategy, UserInfo};
