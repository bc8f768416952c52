//! A running endpoint, and clients for it that hold one certificate or another.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_util::sync::CancellationToken;

use super::twin::Twin;
use crate::caller::API_SERVER;
use crate::{ServingCertificate, TlsError, serve, tls_config};

/// A client's end of a WebSocket.
pub(super) type WebSocket = WebSocketStream<TlsStream<TcpStream>>;

/// A certificate and its key.
struct Pair {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

/// An endpoint that serves a [`Twin`] until it is dropped.
pub(super) struct Endpoint {
    pub(super) twin: Arc<Twin>,
    pub(super) lines: mpsc::Sender<Bytes>,
    pub(super) stop: CancellationToken,
    pub(super) tasks: JoinSet<()>,
    serving: Arc<ServingCertificate>,
    address: SocketAddr,
    authority: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Endpoint {
    pub(super) async fn start() -> Self {
        let (authority, issuer) = authority();
        let server = issue(&issuer, "node");
        let serving =
            ServingCertificate::new(&server.certificate.pem(), &server.key.serialize_pem()).unwrap();
        let tls = tls_config(Arc::clone(&serving), &authority.pem()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (twin, lines) = Twin::new();
        let (twin, stop) = (Arc::new(twin), CancellationToken::new());
        let mut tasks = JoinSet::new();
        let (access, until) = (Arc::clone(&twin), stop.clone());
        tasks.spawn(async move { serve(listener, tls, access, until).await.unwrap() });
        Self {
            twin,
            lines,
            stop,
            tasks,
            serving,
            address,
            authority,
            issuer,
        }
    }

    /// Connects with a certificate of the cluster's for `name`, or without one.
    pub(super) async fn connect(&self, name: Option<&str>) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match name {
            None => config.with_no_client_auth(),
            Some(name) => {
                let Pair { certificate, key } = issue(&self.issuer, name);
                let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
                config
                    .with_client_auth_cert(vec![certificate.der().clone()], key)
                    .unwrap()
            }
        };
        let tcp = TcpStream::connect(self.address).await.unwrap();
        let node = ServerName::try_from("node").unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(node, tcp)
            .await
            .unwrap()
    }

    /// Gives the endpoint a new serving certificate of the same authority, and returns it.
    pub(super) fn renew(&self) -> Vec<u8> {
        let Pair { certificate, key } = issue(&self.issuer, "node");
        self.serving
            .replace(&certificate.pem(), &key.serialize_pem())
            .unwrap();
        certificate.der().to_vec()
    }

    /// Tries to give it a certificate with the key of another.
    pub(super) fn renew_wrongly(&self) -> Result<(), TlsError> {
        let (one, other) = (issue(&self.issuer, "node"), issue(&self.issuer, "node"));
        self.serving
            .replace(&one.certificate.pem(), &other.key.serialize_pem())
    }

    /// Sends a GET as the holder of `name`'s certificate.
    pub(super) async fn get_as(&mut self, name: Option<&str>, path: &str) -> Response<Incoming> {
        let stream = TokioIo::new(self.connect(name).await);
        let (mut sender, connection) = http1::handshake(stream).await.unwrap();
        self.tasks.spawn(async move { drop(connection.await) });
        let request = Request::get(path)
            .header("host", "node")
            .body(Empty::<Bytes>::new());
        let response = sender.send_request(request.unwrap()).await.unwrap();
        // Dropping the sender would only forbid further requests; the body keeps the connection.
        drop(sender);
        response
    }

    /// Sends a GET as the API server.
    pub(super) async fn get(&mut self, path: &str) -> Response<Incoming> {
        self.get_as(Some(API_SERVER), path).await
    }

    /// Asks for SPDY as the API server, with the headers of a client; the answer where it is no upgrade.
    pub(super) async fn open_spdy(
        &mut self,
        path: &str,
        protocols: &[&str],
    ) -> Result<(String, Upgraded), Response<Incoming>> {
        let stream = TokioIo::new(self.connect(Some(API_SERVER)).await);
        let (mut sender, connection) = http1::handshake(stream).await.unwrap();
        self.tasks
            .spawn(async move { drop(connection.with_upgrades().await) });
        let mut request = Request::post(path)
            .header("host", "node")
            .header("connection", "Upgrade")
            .header("upgrade", "SPDY/3.1");
        for protocol in protocols {
            request = request.header("x-stream-protocol-version", *protocol);
        }
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(response);
        }
        assert_eq!(response.headers()["upgrade"], "SPDY/3.1");
        let protocol = response.headers()["x-stream-protocol-version"].to_str().unwrap();
        let protocol = protocol.to_owned();
        Ok((protocol, hyper::upgrade::on(response).await.unwrap()))
    }

    /// Opens a WebSocket as the API server.
    pub(super) async fn open(&self, path: &str, protocol: &str) -> Result<WebSocket, (StatusCode, String)> {
        use tokio_tungstenite::tungstenite::Error;
        let mut request = format!("wss://node{path}").into_client_request().unwrap();
        if !protocol.is_empty() {
            let offer = protocol.parse().unwrap();
            request.headers_mut().insert("sec-websocket-protocol", offer);
        }
        let stream = self.connect(Some(API_SERVER)).await;
        match tokio_tungstenite::client_async(request, stream).await {
            Ok((socket, _)) => Ok(socket),
            Err(Error::Http(response)) => {
                let body = response.body().clone().unwrap_or_default();
                Err((response.status(), String::from_utf8(body).unwrap()))
            }
            Err(other) => panic!("{other}"),
        }
    }
}

/// The whole body as text.
pub(super) async fn text(response: Response<Incoming>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn authority() -> (rcgen::Certificate, Issuer<'static, KeyPair>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "cluster");
    let certificate = params.self_signed(&key).unwrap();
    (certificate, Issuer::new(params, key))
}

fn issue(issuer: &Issuer<'static, KeyPair>, name: &str) -> Pair {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["node".to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let certificate = params.signed_by(&key, issuer).unwrap();
    Pair { certificate, key }
}
