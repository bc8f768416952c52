//! The cluster's certificate authority: keys, certificates, requests, kubeconfigs and bootstrap tokens.
//!
//! Keys are ECDSA P-256. Time enters as an argument. Files are written whole or not at all, keys readable
//! by their owner only.
//!
//! Certificates are backdated by 5 minutes. A crash between key and certificate is made good from the key. Files are
//! written beside and renamed, 0600 in folders of 0700, and synced; secrets print as `***`. A request must be signed by
//! its own key and name at most one organization, since the encoder (rcgen) keeps one value of a kind.

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
