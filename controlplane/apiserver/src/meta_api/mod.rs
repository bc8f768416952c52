//! What the server says of itself: version, health, discovery, `OpenAPI`.

pub(crate) mod discovery;
pub(crate) mod health;
pub(crate) mod openapi;
