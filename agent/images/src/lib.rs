//! The node's images: out of registries and OCI archives, into content-addressed layers.
//!
//! Every call of the store blocks (it reads, hashes and writes files): call it from a thread that may. Pulls do not.
//!
//! ```text
//! <root>/lock            taken exclusively by whoever changes the store
//! <root>/names.json      name → image and manifest; replaced by rename
//! <root>/images/<hex>.json  an image: its layers, its configuration
//! <root>/l/<12 hex>/     an unpacked layer; the name is the beginning of its chain ID
//! <root>/l/<12 hex>.json its full chain ID and size; written last, so a folder without it is a leftover
//! <root>/tmp/            loads and pulls under way
//! <root>/pulls.lock      taken, and shared, by each pull: what lies in tmp/ is then no leftover
//! ```

mod access;
mod add;
mod archive;
mod commit;
mod compression;
mod digest;
mod error;
mod layer;
mod load;
mod manifest;
mod reference;
mod registry;
mod store;
mod tarball;
mod tree;

#[cfg(test)]
mod fixture;

pub use error::ImageError;
pub use oci_spec::image::ImageConfiguration;
pub use reference::{Reference, ReferenceError};
pub use registry::{
    Credential, Keyring, KeyringError, PullError, Pulled, Puller, RegistryError, Settings, SettingsError,
};
pub use store::{Image, ImageStore, Loaded};
