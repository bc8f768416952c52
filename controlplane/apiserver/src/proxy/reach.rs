//! Connections to what is proxied to.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use http::header::SEC_WEBSOCKET_PROTOCOL;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error as WsError, protocol::WebSocketConfig};

use super::find::{Destination, Way};
use super::name::Scheme;
use super::stream::Forwarded;
use crate::node::client::{NodeClient, NodeClientError};

/// How long each step of a connection may take.
const STEP: Duration = Duration::from_secs(10);

/// The subprotocol by which a pod's port is reached; a kubelet speaks it, too.
const PROTOCOL: HeaderValue = HeaderValue::from_static("v4.channel.k8s.io");

/// Largest message taken from a node; ours are 32 KiB.
const MESSAGE: usize = 1024 * 1024;

/// A connection, whatever is beneath.
pub(super) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReachError {
    #[error(transparent)]
    Agent(#[from] NodeClientError),
    #[error("ask a node for the port of a pod")]
    Forward(#[source] Box<WsError>),
    #[error("dial tcp {0}")]
    Dial(String, #[source] io::Error),
    #[error("speak TLS with {0}")]
    Tls(String, #[source] io::Error),
    #[error("connect to {0}: no answer within {STEP:?}")]
    Timeout(String),
}

/// Connects to `destination`.
///
/// # Errors
///
/// At which step it failed.
pub(super) async fn reach(
    nodes: &NodeClient,
    destination: &Destination,
) -> Result<Box<dyn Connection>, ReachError> {
    let late = |_| ReachError::Timeout(destination.authority.clone());
    let plain: Box<dyn Connection> = match &destination.way {
        Way::Agent(address, port) => return Ok(Box::new(nodes.connect(*address, *port).await?)),
        Way::Pod {
            namespace,
            pod,
            port,
            agent,
        } => {
            let path = format!("/portForward/{namespace}/{pod}?port={port}");
            let forwarded = timeout(STEP, forward(nodes, *agent, &path));
            Box::new(forwarded.await.map_err(late)??)
        }
        Way::Node(address, port) => {
            let refused = |error| ReachError::Dial(destination.authority.clone(), error);
            let tcp = timeout(STEP, TcpStream::connect((*address, *port))).await;
            let tcp = tcp.map_err(late)?.map_err(refused)?;
            tcp.set_nodelay(true).map_err(refused)?;
            Box::new(tcp)
        }
    };
    match destination.scheme {
        Scheme::Http => Ok(plain),
        Scheme::Https => timeout(STEP, secured(plain, destination)).await.map_err(late)?,
    }
}

async fn forward(
    nodes: &NodeClient,
    (address, port): (IpAddr, u16),
    path: &str,
) -> Result<Forwarded<impl Connection + use<>>, ReachError> {
    let failed = |error| ReachError::Forward(Box::new(error));
    let stream = nodes.connect(address, port).await?;
    let host = std::net::SocketAddr::new(address, port);
    let mut request = format!("wss://{host}{path}")
        .into_client_request()
        .map_err(failed)?;
    request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, PROTOCOL);
    let limits = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE))
        .max_frame_size(Some(MESSAGE));
    let asked = tokio_tungstenite::client_async_with_config(request, stream, Some(limits));
    let (socket, _) = Box::pin(asked).await.map_err(failed)?;
    Ok(Forwarded::new(socket))
}

/// TLS with somebody whose certificate nobody here could check: pods bring their own.
async fn secured(
    plain: Box<dyn Connection>,
    destination: &Destination,
) -> Result<Box<dyn Connection>, ReachError> {
    let failed = |error| ReachError::Tls(destination.authority.clone(), error);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(io::Error::other(error)))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    let address: std::net::SocketAddr = destination
        .authority
        .parse()
        .map_err(|error| failed(io::Error::other(error)))?;
    let name = ServerName::IpAddress(address.ip().into());
    let connector = TlsConnector::from(Arc::new(config));
    let stream = connector.connect(name, plain).await.map_err(failed)?;
    Ok(Box::new(stream))
}

/// Takes every certificate, and sees to it that its owner is there.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
