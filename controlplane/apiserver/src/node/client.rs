//! Connections to agents: TLS by the cluster's authority, with the server's own client certificate.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How long a connection may take to come about, each of its two steps.
const CONNECT: Duration = Duration::from_secs(10);

/// Makes connections to agents. Clones share the certificate.
#[derive(Clone)]
pub struct NodeClient(Arc<RwLock<TlsConnector>>);

impl std::fmt::Debug for NodeClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeClient").finish_non_exhaustive()
    }
}

/// Why an agent cannot be reached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeClientError {
    /// The certificate, its key or the authority cannot be used.
    #[error("read the certificates for calls to nodes")]
    Pem(#[source] rustls_pki_types::pem::Error),
    /// They do not fit each other.
    #[error("use the certificates for calls to nodes")]
    Tls(#[source] rustls::Error),
    /// Nothing answers.
    #[error("connect to {0}")]
    Connect(SocketAddr, #[source] std::io::Error),
    /// It took too long.
    #[error("connect to {0}: no answer within {CONNECT:?}")]
    Timeout(SocketAddr),
}

impl NodeClient {
    /// A client that trusts `authority_pem` alone and shows `certificate_pem`.
    ///
    /// # Errors
    ///
    /// Where the texts are no certificates and key that fit each other.
    pub fn new(authority_pem: &str, certificate_pem: &str, key_pem: &str) -> Result<Self, NodeClientError> {
        let connector = connector(authority_pem, certificate_pem, key_pem)?;
        Ok(Self(Arc::new(RwLock::new(connector))))
    }

    /// Shows another certificate from now on.
    ///
    /// # Errors
    ///
    /// As [`NodeClient::new`]; the present one then stays.
    pub fn replace(
        &self,
        authority_pem: &str,
        certificate_pem: &str,
        key_pem: &str,
    ) -> Result<(), NodeClientError> {
        let fresh = connector(authority_pem, certificate_pem, key_pem)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// Connects to the agent at `address`.
    ///
    /// # Errors
    ///
    /// Where it cannot be reached in time or does not prove who it is.
    pub(crate) async fn connect(
        &self,
        address: IpAddr,
        port: u16,
    ) -> Result<TlsStream<TcpStream>, NodeClientError> {
        let to = SocketAddr::new(address, port);
        let refused = |error| NodeClientError::Connect(to, error);
        let late = |_| NodeClientError::Timeout(to);
        let tcp = timeout(CONNECT, TcpStream::connect(to))
            .await
            .map_err(late)?
            .map_err(refused)?;
        tcp.set_nodelay(true).map_err(refused)?;
        let name = ServerName::IpAddress(address.into());
        let connector = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        timeout(CONNECT, connector.connect(name, tcp))
            .await
            .map_err(late)?
            .map_err(refused)
    }
}

fn connector(
    authority_pem: &str,
    certificate_pem: &str,
    key_pem: &str,
) -> Result<TlsConnector, NodeClientError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority_pem.as_bytes()) {
        roots
            .add(certificate.map_err(NodeClientError::Pem)?)
            .map_err(NodeClientError::Tls)?;
    }
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate_pem.as_bytes()).collect();
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(NodeClientError::Pem)?;
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(NodeClientError::Tls)?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain.map_err(NodeClientError::Pem)?, key)
        .map_err(NodeClientError::Tls)?;
    Ok(TlsConnector::from(Arc::new(config)))
}
