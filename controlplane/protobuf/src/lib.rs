//! Reads Kubernetes' protobuf form of objects into their JSON form, by a table of messages.
//!
//! client-go sends typed objects as `application/vnd.kubernetes.protobuf` and does not fall back where
//! that is refused; `kubectl create namespace` is such a request. [`decode`] gives the JSON object that
//! the same client would have sent as JSON, so everything behind it needs to know one form only.
//!
//! Unknown fields are left out, as upstream does; of a field sent twice the last counts; empty objects that JSON would
//! omit are left out, too. `DeleteOptions` is known in every group; CustomResourceDefinition and APIService are not.
//! Bounds: 32 levels, memory in proportion to the body, which the server limits.
//!
//! The one thing that is written is the OpenAPI v2 document, which kubectl reads in no other form.

mod envelope;
mod error;
mod object;
mod openapi;
mod table;
mod value;
mod wire;

pub use envelope::{MEDIA_TYPE, decode};
pub use error::DecodeError;
pub use openapi::{OPENAPI_V2, encode_openapi_v2};
