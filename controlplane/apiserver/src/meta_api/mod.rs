//! What the server says of itself: version, health, discovery, `OpenAPI`.

pub(crate) mod discovery;
mod etag;
pub(crate) mod health;
pub(crate) mod index;
pub(crate) mod issuer;
pub(crate) mod metrics;
pub(crate) mod openapi;
