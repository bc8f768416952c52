//! What other objects say to an object that is written: upstream's default admission plugins, as pure functions.
//!
//! The server looks the other objects up and turns a refusal into a 403 with these words.

pub mod limits;
pub mod pod_resources;
pub mod pod_security;
pub mod quota;
pub mod runtime_class;
pub mod service_account;

/// Why an object is not admitted, in upstream's words.
pub type Refusal = String;
