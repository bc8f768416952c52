//! Images out of registries.
//!
//! `oci-client` streams the layers. Manifests, configurations and tokens are asked for here: that client reads
//! them whole whatever their length, and knows one credential a registry.

mod blob;
mod challenge;
mod credential;
mod endpoint;
mod error;
mod keyring;
mod layers;
mod patience;
mod pattern;
mod pull;
mod resolve;
mod session;
mod settings;
mod token;
mod turns;

pub use credential::Credential;
pub use error::RegistryError;
pub use keyring::{Keyring, KeyringError};
pub use pull::{PullError, Pulled, Puller};
pub(crate) use resolve::Remote;
pub use settings::{Settings, SettingsError};

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
