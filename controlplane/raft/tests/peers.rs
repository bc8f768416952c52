//! What comes in at a real peer port and is no member's: it is refused and counted, and nothing else happens.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must stop")]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use controlplane_pki::{CertificateAuthority, Request};
use controlplane_raft::tls::{self, Identity, Pair, TlsListener, TlsTransport, certificate_request};
use controlplane_raft::{MAX_FRAME, Peer, Reason, Server, ServerId, Transport, TransportError};
use controlplane_store::codec::Writer;
use controlplane_store::{ClusterId, Options};
use jiff::Timestamp;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use support::{Disk, Wires, write};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const OWN: ServerId = 1;
const CLUSTER: &str = "cluster-of-the-test";

/// A server with an open port, and the authority of its cluster.
struct Target {
    server: Server,
    authority: CertificateAuthority,
    address: SocketAddr,
    _folder: tempfile::TempDir,
    _stop: watch::Sender<bool>,
    _answering: JoinSet<()>,
}

fn authority(folder: &std::path::Path, name: &str) -> CertificateAuthority {
    CertificateAuthority::load_or_create(&folder.join(name), "test", Timestamp::now()).unwrap()
}

impl Target {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("own")).unwrap();
        let authority = authority(folder.path(), "own");
        let disk = Disk::new(OWN, &ClusterId::generate());
        let server = disk
            .start(
                &Wires::default(),
                controlplane_raft::Origin::Found,
                Options::default(),
            )
            .await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let mut answering = JoinSet::new();
        let identity = identity(&authority, &certificate_request(OWN));
        let answers = TlsListener::new(identity, CLUSTER, server.service().clone());
        answering.spawn(answers.serve(listener, stopped));
        Self {
            server,
            authority,
            address,
            _folder: folder,
            _stop: stop,
            _answering: answering,
        }
    }

    /// A TLS connection with a certificate for `request` by `issuer`; TLS 1.3 lets the client believe that it is in.
    async fn connect(
        &self,
        issuer: &CertificateAuthority,
        request: Option<&Request>,
    ) -> TlsStream<TcpStream> {
        let tcp = TcpStream::connect(self.address).await.unwrap();
        self.secure(tcp, issuer, request).await
    }

    async fn secure(
        &self,
        tcp: TcpStream,
        issuer: &CertificateAuthority,
        request: Option<&Request>,
    ) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(certificate(self.authority.certificate_pem())).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match request {
            Some(request) => {
                let issued = issuer.issue(request, Timestamp::now()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).unwrap();
                let chain = vec![certificate(&issued.certificate_pem)];
                config.with_client_auth_cert(chain, key).unwrap()
            }
            None => config.with_no_client_auth(),
        };
        let name = ServerName::try_from(tls::dns_name(OWN)).unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, tcp)
            .await
            .unwrap()
    }

    /// A connection of a server of the cluster, which has greeted.
    async fn member(&self, id: ServerId) -> TlsStream<TcpStream> {
        let mut stream = self
            .connect(&self.authority, Some(&certificate_request(id)))
            .await;
        stream.write_all(&greeting(CLUSTER)).await.unwrap();
        assert_eq!(reply(&mut stream).await, Some(Vec::new()));
        stream
    }

    /// Waits until exactly `count` things were refused for `reason`, and none for another; the server must go on as before.
    async fn has_refused(&self, reason: Reason, count: u64) {
        let refusals = self.server.service().refusals();
        support::eventually(reason.name(), || {
            let counted = refusals.count(reason) == count;
            async move { counted }
        })
        .await;
        let others = Reason::ALL.into_iter().filter(|other| *other != reason);
        assert!(
            others.clone().all(|other| refusals.count(other) == 0),
            "{refusals:?}"
        );
        let members = self.server.members().list();
        assert_eq!(members.len(), 1, "{members:?}");
        let before = self.server.store().revision().get();
        let written = write(self.server.store(), "after", "a refusal").await.unwrap();
        assert_eq!(
            written,
            before + 1,
            "something else was written, or nothing can be"
        );
    }
}

fn identity(authority: &CertificateAuthority, request: &Request) -> Identity {
    let issued = authority.issue(request, Timestamp::now()).unwrap();
    let own = Pair {
        certificate: &issued.certificate_pem,
        key: &issued.key_pem,
    };
    Identity::new(authority.certificate_pem(), own).unwrap()
}

fn certificate(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

fn frame(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap().to_le_bytes();
    [&length, bytes].concat()
}

fn greeting(cluster: &str) -> Vec<u8> {
    let mut hello = Writer::default();
    hello.text("floe peer 1");
    hello.text(cluster);
    frame(&hello.finish())
}

/// The next frame; none where the connection ends.
async fn reply(stream: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).await.ok()?;
    let mut frame = vec![0; u32::from_le_bytes(length).try_into().unwrap()];
    stream.read_exact(&mut frame).await.ok()?;
    Some(frame)
}

#[tokio::test]
async fn what_is_no_tls_is_refused() {
    let target = Target::start().await;
    for (count, noise) in (1..).zip([&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 64], &[0xff; 4096]]) {
        let mut tcp = TcpStream::connect(target.address).await.unwrap();
        tcp.write_all(noise).await.unwrap();
        target.has_refused(Reason::Handshake, count).await;
    }
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    let target = Target::start().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("other")).unwrap();
    let other = authority(folder.path(), "other");
    let mut stream = target.connect(&other, Some(&certificate_request(2))).await;
    // The refusal may come before or after the greeting.
    drop(stream.write_all(&greeting(CLUSTER)).await);
    assert_eq!(reply(&mut stream).await, None);
    target.has_refused(Reason::Handshake, 1).await;
}

#[tokio::test]
async fn a_certificate_of_the_cluster_that_is_no_servers_is_refused() {
    let target = Target::start().await;
    let node = Request::client("system:node:one", Some("system:nodes"));
    // The name alone makes no server: the organization must be theirs.
    let impostor = Request::client(&tls::common_name(2), Some("system:masters"));
    for (count, request) in (1..).zip([node, impostor]) {
        let mut stream = target.connect(&target.authority, Some(&request)).await;
        stream.write_all(&greeting(CLUSTER)).await.unwrap();
        let why = reply(&mut stream).await.unwrap();
        assert!(
            String::from_utf8_lossy(&why).contains("not that of a server"),
            "{why:?}"
        );
        target.has_refused(Reason::Stranger, count).await;
    }
}

#[tokio::test]
async fn a_caller_without_a_certificate_is_refused_where_nobody_can_join() {
    let target = Target::start().await;
    let mut stream = target.connect(&target.authority, None).await;
    stream.write_all(&greeting(CLUSTER)).await.unwrap();
    let answer = reply(&mut stream).await.unwrap();
    assert_eq!(answer.first(), Some(&1), "{answer:?}");
    target.has_refused(Reason::Stranger, 1).await;
}

#[tokio::test]
async fn a_server_of_another_cluster_is_refused() {
    let target = Target::start().await;
    let identity = identity(&target.authority, &certificate_request(2));
    let transport = TlsTransport::new(identity, "another-cluster");
    let peer = Peer {
        address: target.address.to_string(),
        ..Peer::default()
    };
    let asked = transport
        .call(OWN, &peer, vec![1, 5].into(), Duration::from_secs(5))
        .await;
    let Err(TransportError::NotSent { cause, .. }) = asked else {
        panic!("{asked:?}")
    };
    assert!(cause.to_string().contains("another cluster"), "{cause}");
    target.has_refused(Reason::Stranger, 1).await;
}

#[tokio::test]
async fn a_message_that_announces_too_much_or_breaks_off_is_refused() {
    let target = Target::start().await;
    let too_long = u32::try_from(MAX_FRAME + 1).unwrap().to_le_bytes();
    let mut stream = target.member(2).await;
    stream.write_all(&too_long).await.unwrap();
    assert_eq!(reply(&mut stream).await, None);
    target.has_refused(Reason::Frame, 1).await;
    let mut stream = target.member(2).await;
    stream.write_all(&[100, 0, 0, 0, 1, 2, 3]).await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(reply(&mut stream).await, None);
    target.has_refused(Reason::Frame, 2).await;
    // As a greeting, from one who has shown a good certificate.
    let request = certificate_request(2);
    let mut stream = target.connect(&target.authority, Some(&request)).await;
    stream.write_all(&too_long).await.unwrap();
    assert_eq!(reply(&mut stream).await, None);
    target.has_refused(Reason::Frame, 3).await;
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_refused_in_words() {
    let target = Target::start().await;
    let mut stream = target.member(2).await;
    for (count, message) in (1..).zip([&[][..], &[1, 99], &[9, 1], &[1, 1, 0xff, 0xff], &[1, 5, 0]]) {
        stream.write_all(&frame(message)).await.unwrap();
        let why = reply(&mut stream).await.unwrap();
        assert!(
            String::from_utf8_lossy(&why).contains("cannot be read"),
            "{message:?}: {why:?}"
        );
        target.has_refused(Reason::Malformed, count).await;
    }
}

#[tokio::test]
async fn what_only_members_may_ask_is_refused_to_other_servers() {
    let target = Target::start().await;
    let mut stream = target.member(2).await;
    // For the read index, and to stand for election.
    for (count, message) in (1..).zip([[1, 5], [1, 6]]) {
        stream.write_all(&frame(&message)).await.unwrap();
        let why = reply(&mut stream).await.unwrap();
        assert!(String::from_utf8_lossy(&why).contains("not a member"), "{why:?}");
        target.has_refused(Reason::NotMember, count).await;
    }
}

/// Passes one connection on to `address`, and returns every byte that the caller sent.
async fn record(listener: TcpListener, address: SocketAddr) -> Vec<u8> {
    let (mut caller, _) = listener.accept().await.unwrap();
    let mut called = TcpStream::connect(address).await.unwrap();
    let (mut from_caller, mut to_caller) = caller.split();
    let (mut from_called, mut to_called) = called.split();
    let sent = async {
        let (mut all, mut piece) = (Vec::new(), [0; 4096]);
        while let Ok(length @ 1..) = from_caller.read(&mut piece).await {
            let piece = piece.get(..length).unwrap();
            all.extend_from_slice(piece);
            to_called.write_all(piece).await.unwrap();
        }
        drop(to_called.shutdown().await);
        all
    };
    let (sent, _) = tokio::join!(sent, tokio::io::copy(&mut from_called, &mut to_caller));
    sent
}

#[tokio::test]
async fn what_a_server_once_said_is_worth_nothing_when_another_says_it_again() {
    let target = Target::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let between = listener.local_addr().unwrap();
    let mut recording = JoinSet::new();
    recording.spawn(record(listener, target.address));
    let tcp = TcpStream::connect(between).await.unwrap();
    let request = certificate_request(OWN);
    let mut stream = target.secure(tcp, &target.authority, Some(&request)).await;
    stream.write_all(&greeting(CLUSTER)).await.unwrap();
    assert_eq!(reply(&mut stream).await, Some(Vec::new()));
    stream.write_all(&frame(&[1, 5])).await.unwrap();
    assert!(reply(&mut stream).await.is_some());
    stream.shutdown().await.unwrap();
    drop(stream);
    let said = recording.join_next().await.unwrap().unwrap();
    for count in 1..=2 {
        let mut tcp = TcpStream::connect(target.address).await.unwrap();
        tcp.write_all(&said).await.unwrap();
        let mut answer = Vec::new();
        // It may be reset, since not all that was said was read.
        drop(tcp.read_to_end(&mut answer).await);
        target.has_refused(Reason::Handshake, count).await;
    }
}
