//! The TLS side of the server.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
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

/// The certificate that the server shows. It can be replaced while the server runs; connections that
/// are open keep the one with which they began.
#[derive(Debug, Clone)]
pub struct ServingCertificate(Arc<RwLock<Arc<CertifiedKey>>>);

impl ServingCertificate {
    /// A certificate with its chain and its key.
    ///
    /// # Errors
    ///
    /// Where the texts are no certificates and key.
    pub fn new(certificate_pem: &str, key_pem: &str) -> Result<Self, ServeError> {
        Ok(Self(Arc::new(RwLock::new(certified(certificate_pem, key_pem)?))))
    }

    /// Puts another in its place.
    ///
    /// # Errors
    ///
    /// As [`ServingCertificate::new`]; the present one then stays.
    pub fn replace(&self, certificate_pem: &str, key_pem: &str) -> Result<(), ServeError> {
        let fresh = certified(certificate_pem, key_pem)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }
}

impl ResolvesServerCert for ServingCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn certified(certificate_pem: &str, key_pem: &str) -> Result<Arc<CertifiedKey>, ServeError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate_pem.as_bytes()).collect();
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(ServeError::Pem)?;
    let provider = rustls::crypto::ring::default_provider();
    let certified = CertifiedKey::from_der(chain.map_err(ServeError::Pem)?, key, &provider);
    certified.map(Arc::new).map_err(ServeError::Tls)
}

/// Serves with `certificate`; clients may show a certificate, and if they do, `authority_pem` must
/// have issued it.
///
/// # Errors
///
/// Where the text is no certificate.
pub fn server_config(
    authority_pem: &str,
    certificate: &ServingCertificate,
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
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(ServeError::Tls)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(certificate.clone()));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
