//! The TLS side of the server.

use std::sync::Arc;

use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// A certificate or key is not readable.
    #[error("read the certificates to serve with")]
    Pem(#[source] rustls_pki_types::pem::Error),
    /// They do not fit each other.
    #[error("use the certificates to serve with")]
    Tls(#[source] rustls::Error),
    /// The authority cannot verify clients.
    #[error("verify clients by the cluster's authority")]
    Verifier(#[source] rustls::server::VerifierBuilderError),
}

/// Serves with `certificate_pem`; clients may show a certificate, and if they do, `authority_pem` must
/// have issued it.
///
/// # Errors
///
/// Where the texts are no certificates and key that fit each other.
pub fn server_config(
    authority_pem: &str,
    certificate_pem: &str,
    key_pem: &str,
) -> Result<Arc<ServerConfig>, ServeError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority_pem.as_bytes()) {
        roots
            .add(certificate.map_err(ServeError::Pem)?)
            .map_err(ServeError::Tls)?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()
        .map_err(ServeError::Verifier)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate_pem.as_bytes()).collect();
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(ServeError::Pem)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(ServeError::Tls)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain.map_err(ServeError::Pem)?, key)
        .map_err(ServeError::Tls)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
