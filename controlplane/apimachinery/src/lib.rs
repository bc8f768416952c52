//! What every Kubernetes-style API is made of, for servers, controllers and tools alike. No I/O.
//!
//! Objects are [`serde_json::Value`]s throughout: they never make a round trip through typed structs,
//! so nothing a client sent is lost. A kind is a [`Resource`]: names, scope, verbs, columns, selectable
//! fields and a [`Strategy`], put together with [`define`] and kept in a [`Registry`]. Its structure is a
//! [`schema::TypeRef`], by which objects are checked, pruned, defaulted and patched. Nothing here knows a
//! built-in kind: those are `controlplane-api` and `controlplane-schema`, and enter by the same doors as
//! anybody else's.
//!
//! `examples/` has two clients: `untyped` knows no kind, `typed` applies one and keeps a condition. The feature
//! `k8s-openapi` lets [`condition`]'s rules work on the typed conditions of the built-in kinds.

pub mod codec;
pub mod condition;
pub mod define;
pub mod error;
pub mod field;
mod go;
pub mod managed;
pub mod meta;
pub mod names;
pub mod patch;
pub mod quantity;
pub mod read;
pub mod registry;
pub mod resource;
pub mod schema;
pub mod selector;
pub mod status;
pub mod strategy;
pub mod table;
pub mod time;

pub use error::ApiError;
pub use field::{FieldError, FieldErrorKind, Path};
pub use quantity::Quantity;
pub use registry::Registry;
pub use resource::{Column, Resource, Role, Scope, Subresource, Verb};
pub use selector::{FieldSelector, LabelSelector};
pub use status::{Cause, Details, Reason, Status};
pub use strategy::{Context, DeleteOptions, Grace, Strategy, UserInfo};
