//! Reads Kubernetes' protobuf form of objects into their JSON form and writes it, by a table of messages.
//!
//! client-go sends typed objects as `application/vnd.kubernetes.protobuf` and does not fall back where
//! that is refused; `kubectl create namespace` is such a request. [`decode`] gives the JSON object that
//! the same client would have sent as JSON, so everything behind it needs to know one form only.
//!
//! Unknown fields are left out, as upstream does; of a field sent twice the last counts; empty objects that JSON would
//! omit are left out, too. `DeleteOptions` is known in every group; CustomResourceDefinition is not.
//! Bounds: 32 levels, memory in proportion to the body, which the server limits.
//!
//! [`Kind`] writes stored JSON bytes as the message that the same object has upstream, without a value in between;
//! fields that JSON leaves out are left out, which readers take for zeros. The OpenAPI v2 document, which kubectl reads
//! in no other form, is written by hand.

mod encode;
mod envelope;
mod error;
mod kind;
mod object;
mod openapi;
mod table;
mod value;
mod wire;
mod write;

pub use envelope::{MEDIA_TYPE, decode};
pub use error::DecodeError;
pub use kind::{EncodeError, Kind, write_watch_event};
pub use openapi::{OPENAPI_V2, encode_openapi_v2};
