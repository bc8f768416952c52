//! The endpoint's TLS: a certificate that can be replaced while serving, and the cluster's CA for callers.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::ring::{default_provider, sign::any_supported_type};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;

/// Why the endpoint's TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A PEM text holds no usable certificate or key.
    #[error("read {what} for the node's endpoint")]
    Pem {
        /// Which text.
        what: &'static str,
        /// What is wrong with it.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// The key is of a kind that is not supported, or does not belong to the certificate.
    #[error("use the serving key of the node's endpoint")]
    Key(#[source] rustls::Error),
    /// The CA certificate cannot be used to verify callers.
    #[error("use the cluster's CA certificate to verify callers of the node's endpoint")]
    ClientCa(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The serving certificate, replaceable while connections are served: renewed in place, without restart.
#[derive(Debug)]
pub struct ServingCertificate(RwLock<Arc<CertifiedKey>>);

impl ServingCertificate {
    /// Takes a certificate chain and its key, both PEM.
    ///
    /// # Errors
    ///
    /// When either is not PEM of the right kind or they do not belong together.
    pub fn new(certificate_pem: &str, key_pem: &str) -> Result<Arc<Self>, TlsError> {
        Ok(Arc::new(Self(RwLock::new(certified(certificate_pem, key_pem)?))))
    }

    /// Serves the new pair from the next handshake on.
    ///
    /// # Errors
    ///
    /// As [`Self::new`]; the old pair then stays.
    pub fn replace(&self, certificate_pem: &str, key_pem: &str) -> Result<(), TlsError> {
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

/// TLS settings for [`serve`](crate::serve): HTTP/1.1 (upgrades need it), certificates of callers
/// verified against `client_ca_pem` where they send one. Who sends none is answered 401, not cut off.
///
/// # Errors
///
/// When the CA certificate cannot be used.
pub fn tls_config(
    certificate: Arc<ServingCertificate>,
    client_ca_pem: &str,
) -> Result<Arc<ServerConfig>, TlsError> {
    let mut roots = rustls::RootCertStore::empty();
    for der in certificates(client_ca_pem, "the cluster's CA certificate")? {
        roots.add(der).map_err(|e| TlsError::ClientCa(Box::new(e)))?;
    }
    let provider = Arc::new(default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()
        .map_err(|e| TlsError::ClientCa(Box::new(e)))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Key)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn certified(certificate_pem: &str, key_pem: &str) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain = certificates(certificate_pem, "the serving certificate")?;
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|source| TlsError::Pem {
        what: "the serving key",
        source,
    })?;
    let pair = CertifiedKey::new(chain, any_supported_type(&key).map_err(TlsError::Key)?);
    pair.keys_match().map_err(TlsError::Key)?;
    Ok(Arc::new(pair))
}

fn certificates(pem: &str, what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match all {
        Ok(found) if found.is_empty() => Err(TlsError::Pem {
            what,
            source: rustls::pki_types::pem::Error::NoItemsFound,
        }),
        Ok(found) => Ok(found),
        Err(source) => Err(TlsError::Pem { what, source }),
    }
}
