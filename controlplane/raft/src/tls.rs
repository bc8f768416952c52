//! The real network between servers: mutual TLS, frames of bounded length, a deadline for everything.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use bytes::{Buf, Bytes};
use controlplane_pki::{PeerIdentity, Request, Usages, peer_identity};
use controlplane_store::codec::{Reader, Writer};
use controlplane_store::{Cause, Pending};
use futures::FutureExt;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tracing::{debug, warn};

use crate::join::Door;
use crate::message::MAX_FRAME;
use crate::network::{Transport, TransportError};
use crate::refusals::Reason;
use crate::service::Service;
use crate::types::{Peer, ServerId};

/// The organization of every server's certificate.
pub const ORGANIZATION: &str = "system:floe-servers";
/// What the common name of a server's certificate begins with; its number follows.
const COMMON_NAME: &str = "system:floe-server:";
/// The first words on a connection, with the version of what follows.
const GREETING: &str = "floe peer 1";
/// How long it may take to connect, and to prove who one is.
const CONNECT: Duration = Duration::from_millis(1000);
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long a frame may take once it has begun, and how long there may be none.
const FRAME: Duration = Duration::from_secs(30);
const IDLE: Duration = Duration::from_secs(300);
/// Connections that others may have open at once, and that are kept open to each of them.
const MAX_CONNECTIONS: usize = 256;
const KEPT: usize = 4;

/// The common name of the certificate of server `id`.
#[must_use]
pub fn common_name(id: ServerId) -> String {
    format!("{COMMON_NAME}{id}")
}

/// The DNS name in the certificate of server `id`, by which others know that they reached it.
#[must_use]
pub fn dns_name(id: ServerId) -> String {
    format!("{id}.servers.floe.internal")
}

/// What the cluster's authority is asked for server `id`: one certificate for calling and for being called.
#[must_use]
pub fn certificate_request(id: ServerId) -> Request {
    Request {
        organizations: vec![ORGANIZATION.to_owned()],
        usages: Usages::Both,
        ..Request::server(&common_name(id), vec![dns_name(id)], Vec::new())
    }
}

/// A certificate and its key, PEM.
#[derive(Debug, Clone, Copy)]
pub struct Pair<'a> {
    /// The certificate.
    pub certificate: &'a str,
    /// Its key.
    pub key: &'a str,
}

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A text is no certificate or key.
    #[error("read the certificates for other servers")]
    Pem(#[source] rustls::pki_types::pem::Error),
    /// They do not fit each other.
    #[error("use the certificates for other servers")]
    Tls(#[source] rustls::Error),
    /// The authority cannot verify others.
    #[error("verify other servers by the cluster's authority")]
    Verifier(#[source] rustls::server::VerifierBuilderError),
}

/// What a server proves itself with to others; can be replaced while it runs.
#[derive(Debug, Clone)]
pub struct Identity(Arc<RwLock<Configs>>);

#[derive(Debug, Clone)]
struct Configs {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl Identity {
    /// With the cluster's authority and a certificate for calling and being called.
    ///
    /// # Errors
    ///
    /// Where the texts are no certificates and keys.
    pub fn new(authority: &str, own: Pair<'_>) -> Result<Self, IdentityError> {
        Ok(Self(Arc::new(RwLock::new(configs(authority, own)?))))
    }

    /// Puts another in its place; open connections keep theirs.
    ///
    /// # Errors
    ///
    /// As [`Identity::new`]; the present one then stays.
    pub fn replace(&self, authority: &str, own: Pair<'_>) -> Result<(), IdentityError> {
        let fresh = configs(authority, own)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    fn configs(&self) -> Configs {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn configs(authority: &str, own: Pair<'_>) -> Result<Configs, IdentityError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
        roots
            .add(certificate.map_err(IdentityError::Pem)?)
            .map_err(IdentityError::Tls)?;
    }
    let roots = Arc::new(roots);
    let (mut chain, key) = parse(own)?;
    let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(IdentityError::Tls)?
        .with_root_certificates(Arc::clone(&roots))
        .with_client_auth_cert(chain.clone(), key.clone_key())
        .map_err(IdentityError::Tls)?;
    // A server that wants to join has no certificate yet; `greet` tells it from others.
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider))
        .allow_unauthenticated()
        .build()
        .map_err(IdentityError::Verifier)?;
    // The authority's own, which a server that joins knows by its hash.
    for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
        chain.push(certificate.map_err(IdentityError::Pem)?);
    }
    let server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(IdentityError::Tls)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(IdentityError::Tls)?;
    Ok(Configs {
        client: Arc::new(client),
        server: Arc::new(server),
    })
}

fn parse(pair: Pair<'_>) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), IdentityError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pair.certificate.as_bytes()).collect();
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).map_err(IdentityError::Pem)?;
    Ok((chain.map_err(IdentityError::Pem)?, key))
}

/// Open connections by whom and where they reach.
type Idle = BTreeMap<(ServerId, String), Vec<Calling>>;

type Calling = tokio_rustls::client::TlsStream<TcpStream>;

/// The calling end. Clones share its connections.
#[derive(Debug, Clone)]
pub struct TlsTransport {
    identity: Identity,
    cluster: Arc<str>,
    idle: Arc<Mutex<Idle>>,
}

impl TlsTransport {
    /// Calls servers of the cluster `cluster` as `identity`.
    #[must_use]
    pub fn new(identity: Identity, cluster: &str) -> Self {
        Self {
            identity,
            cluster: Arc::from(cluster),
            idle: Arc::default(),
        }
    }

    async fn exchange(&self, to: ServerId, address: String, request: Bytes) -> Result<Bytes, TransportError> {
        let mut stream = match self.take(to, &address) {
            Some(stream) => stream,
            None => {
                let connected = timeout(CONNECT, self.connect(to, &address)).await;
                let late = || io::Error::new(io::ErrorKind::TimedOut, "connecting took too long");
                connected
                    .unwrap_or_else(|_| Err(late()))
                    .map_err(|error| TransportError::NotSent {
                        to,
                        cause: Cause::from(format!("{address}: {error}")),
                    })?
            }
        };
        let broken = |error: io::Error| TransportError::Broken {
            to,
            cause: Cause::from(format!("{address}: {error}")),
        };
        write_frame(&mut stream, &request).await.map_err(broken)?;
        let reply = read_frame(&mut stream).await.map_err(broken)?;
        let reply = reply.ok_or_else(|| broken(io::ErrorKind::UnexpectedEof.into()))?;
        self.keep(to, address, stream);
        Ok(reply)
    }

    /// A connection from before that is still open.
    fn take(&self, to: ServerId, address: &str) -> Option<Calling> {
        loop {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            let mut stream = idle.get_mut(&(to, address.to_owned()))?.pop()?;
            drop(idle);
            // An open connection has nothing to say: what can be read is its end.
            if stream.read(&mut [0]).now_or_never().is_none() {
                return Some(stream);
            }
        }
    }

    fn keep(&self, to: ServerId, address: String, stream: Calling) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle.entry((to, address)).or_default();
        if kept.len() < KEPT {
            kept.push(stream);
        }
    }

    async fn connect(&self, to: ServerId, address: &str) -> io::Result<Calling> {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from(dns_name(to)).map_err(io::Error::other)?;
        let connector = TlsConnector::from(self.identity.configs().client);
        let mut stream = connector.connect(name, tcp).await?;
        let mut hello = Writer::default();
        hello.text(GREETING);
        hello.text(&self.cluster);
        write_frame(&mut stream, &hello.finish()).await?;
        match read_frame(&mut stream).await? {
            Some(welcome) if welcome.is_empty() => Ok(stream),
            Some(refusal) => Err(io::Error::other(String::from_utf8_lossy(&refusal).into_owned())),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl Transport for TlsTransport {
    fn call(
        &self,
        to: ServerId,
        peer: &Peer,
        request: Bytes,
        _deadline: Duration,
    ) -> Pending<'_, Result<Bytes, TransportError>> {
        Box::pin(self.exchange(to, peer.address.clone(), request))
    }
}

pub(crate) async fn write_frame(stream: &mut (impl AsyncWrite + Unpin), frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).ok();
    let length = length.filter(|_| frame.len() <= MAX_FRAME);
    let length =
        length.ok_or_else(|| io::Error::other(format!("a message of {} bytes is too long", frame.len())))?;
    // In one go: apart, the length would take a record and a packet of its own.
    stream
        .write_all_buf(&mut Buf::chain(&length.to_le_bytes()[..], frame))
        .await?;
    stream.flush().await
}

/// The next frame; none at the end of the stream. Memory grows with what arrives, not with what was announced.
pub(crate) async fn read_frame(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Bytes>> {
    let mut length = [0; 4];
    match stream.read_exact(&mut length).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    if length > MAX_FRAME {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a message of {length} bytes was announced, the limit is {MAX_FRAME}"),
        ));
    }
    let mut frame = Vec::with_capacity(length.min(64 << 10));
    stream.take(length as u64).read_to_end(&mut frame).await?;
    match frame.len() == length {
        true => Ok(Some(Bytes::from(frame))),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// The called end.
#[derive(Debug, Clone)]
pub struct TlsListener {
    identity: Identity,
    cluster: Arc<str>,
    service: Service,
    door: Option<Door>,
}

impl TlsListener {
    /// Answers servers of the cluster `cluster`, as `identity`, with `service`.
    #[must_use]
    pub fn new(identity: Identity, cluster: &str, service: Service) -> Self {
        Self {
            identity,
            cluster: Arc::from(cluster),
            service,
            door: None,
        }
    }

    /// Lets servers join through `door`.
    #[must_use]
    pub fn with_door(mut self, door: Door) -> Self {
        self.door = Some(door);
        self
    }

    fn refuse(&self, reason: Reason) {
        self.service.refusals().add(reason);
    }

    /// Accepts connections until `stop` says so or is gone.
    pub async fn serve(self, listener: TcpListener, mut stop: watch::Receiver<bool>) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                // Cancel-safe: the value stays.
                _ = stop.wait_for(|stop| *stop) => return,
                // Cancel-safe: a connection not returned stays in the queue.
                accepted = listener.accept() => accepted,
                // Cancel-safe: what ended stays ended.
                Some(_) = connections.join_next() => continue,
            };
            let tcp = match accepted {
                Ok((tcp, _)) => tcp,
                Err(error) => {
                    warn!(
                        error = &error as &dyn std::error::Error,
                        "a server's connection could not be accepted"
                    );
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            // Where all places are taken the connection is dropped: the caller tries again.
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                self.refuse(Reason::Busy);
                continue;
            };
            let listener = self.clone();
            connections.spawn(async move {
                listener.converse(tcp).await;
                drop(place);
            });
        }
    }

    async fn converse(&self, tcp: TcpStream) {
        let (from, mut stream) = match timeout(HANDSHAKE, self.greet(tcp)).await {
            Ok(Some(greeted)) => greeted,
            Ok(None) => return,
            Err(_) => return self.refuse(Reason::Handshake),
        };
        loop {
            let request = match timeout(IDLE.max(FRAME), read_frame(&mut stream)).await {
                Ok(Ok(Some(request))) => request,
                Ok(Ok(None)) | Err(_) => return,
                Ok(Err(error)) => {
                    self.refuse(Reason::Frame);
                    debug!(
                        error = &error as &dyn std::error::Error,
                        from, "a server's message was refused"
                    );
                    return;
                }
            };
            let reply = self.service.handle(from, &request).await;
            match timeout(FRAME, write_frame(&mut stream, &reply)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return,
            }
        }
    }

    /// Finds out who calls: a server, of this cluster.
    async fn greet(&self, tcp: TcpStream) -> Option<(ServerId, tokio_rustls::server::TlsStream<TcpStream>)> {
        tcp.set_nodelay(true).ok()?;
        let acceptor = TlsAcceptor::from(self.identity.configs().server);
        let mut stream = match acceptor.accept(tcp).await {
            Ok(stream) => stream,
            Err(error) => {
                self.refuse(Reason::Handshake);
                debug!(
                    error = &error as &dyn std::error::Error,
                    "a caller of the peer port is no server"
                );
                return None;
            }
        };
        let certificates = stream.get_ref().1.peer_certificates();
        let leaf = certificates.and_then(|chain| chain.first());
        let (is_unknown, from) = (leaf.is_none(), leaf.and_then(|leaf| server_id(leaf)));
        let hello = match read_frame(&mut stream).await {
            Ok(hello) => hello?,
            Err(error) => {
                self.refuse(Reason::Frame);
                debug!(
                    error = &error as &dyn std::error::Error,
                    "a caller's greeting was refused"
                );
                return None;
            }
        };
        if is_unknown {
            self.admit(&hello, stream).await;
            return None;
        }
        let refusal = match (from, self.is_greeting(&hello)) {
            (Some(from), Ok(())) => {
                write_frame(&mut stream, b"").await.ok()?;
                return Some((from, stream));
            }
            (None, _) => "the certificate is not that of a server".to_owned(),
            (_, Err(why)) => why,
        };
        self.refuse(Reason::Stranger);
        debug!(refusal, "a caller of the peer port was refused");
        write_frame(&mut stream, refusal.as_bytes()).await.ok()?;
        None
    }

    /// Answers a caller without certificate, which may be a server that joins.
    async fn admit(&self, hello: &[u8], mut stream: tokio_rustls::server::TlsStream<TcpStream>) {
        let closed = Err("no server can join through this one");
        let answer = self.door.as_ref().map_or(closed, |door| door.answer(hello));
        let answer = answer.unwrap_or_else(|why| {
            self.refuse(Reason::Stranger);
            warn!(why, "a server that wanted to join was refused");
            [&[1], why.as_bytes()].concat()
        });
        let sent = write_frame(&mut stream, &answer).await;
        if sent.and(stream.shutdown().await).is_err() {
            debug!("a server that wanted to join went away");
        }
    }

    fn is_greeting(&self, hello: &[u8]) -> Result<(), String> {
        let mut reader = Reader::new(hello);
        match (reader.text(), reader.text(), reader.end()) {
            (Ok(GREETING), Ok(cluster), Ok(())) if cluster == &*self.cluster => Ok(()),
            (Ok(GREETING), Ok(_), Ok(())) => Err("it is a server of another cluster".to_owned()),
            _ => Err(format!(
                "expected the greeting {GREETING:?}: another version of the program?"
            )),
        }
    }
}

/// The server to which a certificate belongs.
fn server_id(certificate: &[u8]) -> Option<ServerId> {
    id_of(&peer_identity(certificate).ok()?)
}

/// The server that an identity is.
pub(crate) fn id_of(identity: &PeerIdentity) -> Option<ServerId> {
    let is_server = identity.organizations.iter().any(|name| name == ORGANIZATION);
    let number = identity.common_name.strip_prefix(COMMON_NAME)?;
    number.parse().ok().filter(|_| is_server)
}
