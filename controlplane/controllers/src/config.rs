//! What the controllers are told from outside.

use std::fmt;
use std::sync::Arc;

use controlplane_pki::CertificateAuthority;

/// Settings of [`run`](crate::run).
#[derive(Clone)]
pub struct Config {
    /// Signs approved certificate requests; its certificate is what `kube-root-ca.crt` publishes.
    pub signer: Arc<CertificateAuthority>,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").finish_non_exhaustive()
    }
}
