//! The cluster's certificate authority: keys, certificates, requests, kubeconfigs and bootstrap tokens.
//!
//! Keys are ECDSA P-256. Time enters as an argument. Files are written whole or not at all, keys readable
//! by their owner only.

mod authority;
mod error;
mod files;
mod identity;
mod kubeconfig;
mod params;
mod request;
mod service_account;
mod token;

pub use authority::{CertificateAuthority, Issued, Request, SigningPolicy, Usages};
pub use error::PkiError;
pub use files::write_private;
pub use identity::{CertificateFacts, PeerIdentity, peer_identity};
pub use kubeconfig::kubeconfig;
pub use params::LEAF_VALIDITY;
pub use request::{CsrFacts, KeyAndRequest};
pub use service_account::ServiceAccountKeys;
pub use token::{BootstrapToken, TokenError};
