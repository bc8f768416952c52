//! How a server gets what it needs to join a cluster: keys and names, from a server that the token's hash identifies.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use controlplane_pki::peer_identity;
use controlplane_store::codec::{DecodeError, Reader, Writer};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::tls::{dns_name, id_of, read_frame, write_frame};
use crate::types::{Peer, ServerId};
use crate::wire::{read_peer, write_peer};

/// The first words of a server that wants to join.
pub(crate) const GREETING: &str = "floe join 1";
/// What a token begins with.
const PREFIX: &str = "floe-join";
/// How long the whole exchange may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// The token with which a server introduces itself: `floe-join.`, the hash of the cluster's authority in 64 hexadecimal
/// digits, a dot, and a secret. `Debug` prints the secret as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    authority: String,
    secret: String,
}

/// A text that is no token; it is not repeated, since it may be a secret all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a join token must be of the form floe-join.HASH.SECRET, as in the file join-token of a server's state folder"
)]
pub struct TokenError;

impl JoinToken {
    /// The token of the cluster whose authority has this certificate.
    #[must_use]
    pub fn new(authority: &CertificateDer<'_>, secret: &str) -> Self {
        Self {
            authority: hash(authority),
            secret: secret.to_owned(),
        }
    }

    /// Checks `raw` against the form above; white space around it is ignored.
    ///
    /// # Errors
    ///
    /// Refuses every other form.
    pub fn parse(raw: &str) -> Result<Self, TokenError> {
        let rest = raw.trim().strip_prefix(PREFIX).ok_or(TokenError)?;
        let (authority, secret) = rest
            .strip_prefix('.')
            .and_then(|rest| rest.split_once('.'))
            .ok_or(TokenError)?;
        let is_hash = authority.len() == 64 && authority.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_secret = secret.len() >= 22 && secret.bytes().all(|byte| byte.is_ascii_alphanumeric());
        match is_hash && is_secret {
            true => Ok(Self {
                authority: authority.to_ascii_lowercase(),
                secret: secret.to_owned(),
            }),
            false => Err(TokenError),
        }
    }

    /// The whole token, a secret.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("{PREFIX}.{}.{}", self.authority, self.secret)
    }

    /// Whether `presented` is its secret, in a time that does not depend on where they differ.
    pub(crate) fn matches(&self, presented: &str) -> bool {
        let (ours, theirs) = (self.secret.as_bytes(), presented.as_bytes());
        let difference = ours
            .iter()
            .zip(theirs)
            .fold(0, |sum, (ours, theirs)| sum | (ours ^ theirs));
        ours.len() == theirs.len() && difference == 0
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinToken({}.***)", self.authority)
    }
}

fn hash(certificate: &CertificateDer<'_>) -> String {
    let digest = Sha256::digest(certificate.as_ref());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a server that joins is given.
#[derive(Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The cluster's identity.
    pub cluster: String,
    /// Who gave it.
    pub from: ServerId,
    /// How the members are reached.
    pub members: Vec<(ServerId, Peer)>,
    /// Keys and certificates: paths beneath the state folder, and what is in them. Secrets.
    pub files: Vec<(String, String)>,
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bundle(of {}, {} files)", self.cluster, self.files.len())
    }
}

impl Bundle {
    pub(crate) fn encode(&self) -> bytes::Bytes {
        let mut out = Writer::default();
        out.text(&self.cluster);
        out.u64(self.from);
        out.length(self.members.len());
        for (id, peer) in &self.members {
            out.u64(*id);
            write_peer(&mut out, peer);
        }
        out.length(self.files.len());
        for (path, text) in &self.files {
            out.text(path);
            out.text(text);
        }
        out.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let bundle = Self {
            cluster: reader.text()?.to_owned(),
            from: reader.u64()?,
            members: reader.list(|reader| Ok((reader.u64()?, read_peer(reader)?)))?,
            files: reader.list(|reader| Ok((reader.text()?.to_owned(), reader.text()?.to_owned())))?,
        };
        reader.end()?;
        Ok(bundle)
    }
}

/// What lets others join through this server.
#[derive(Clone)]
pub struct Door {
    /// Who knows it may come in; it may change.
    pub token: watch::Receiver<JoinToken>,
    /// What they are given.
    pub bundle: Arc<dyn Fn() -> io::Result<Bundle> + Send + Sync>,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Door").field(&*self.token.borrow()).finish()
    }
}

impl Door {
    /// What a caller without certificate is told: a byte 0 and the bundle, or a byte 1 and why not.
    pub(crate) fn answer(&self, hello: &[u8]) -> Result<Vec<u8>, &'static str> {
        let mut reader = Reader::new(hello);
        let (Ok(GREETING), Ok(secret), Ok(())) = (reader.text(), reader.text(), reader.end()) else {
            return Err("the caller showed no certificate");
        };
        if !self.token.borrow().matches(secret) {
            return Err("the join token is not that of this cluster");
        }
        let bundle = (self.bundle)().map_err(|_| "the cluster's keys cannot be read")?;
        let mut answer = vec![0];
        answer.extend_from_slice(&bundle.encode());
        Ok(answer)
    }
}

/// Asks the server at `address` for what is needed to join its cluster. The token's secret is shown only to a server
/// of the cluster that the token's hash names.
///
/// # Errors
///
/// Where the server cannot be reached, is another cluster's, or does not take the token.
pub async fn fetch(address: &str, token: &JoinToken) -> io::Result<Bundle> {
    let asked = timeout(DEADLINE, ask(address, token)).await;
    asked.unwrap_or_else(|_| {
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "it took too long to answer",
        ))
    })
}

async fn ask(address: &str, token: &JoinToken) -> io::Result<Bundle> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let pinned = Pinned {
        authority: token.authority.clone(),
        provider: Arc::clone(&provider),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(pinned))
        .with_no_client_auth();
    let tcp = TcpStream::connect(address).await?;
    // The name is in the certificate; the token tells whether it can be believed.
    let name = ServerName::try_from("any.servers.floe.internal").map_err(io::Error::other)?;
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
    let mut hello = Writer::default();
    hello.text(GREETING);
    hello.text(&token.secret);
    write_frame(&mut stream, &hello.finish()).await?;
    let answer = read_frame(&mut stream)
        .await?
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    match answer.split_first() {
        Some((0, bundle)) => Bundle::decode(bundle).map_err(io::Error::other),
        Some((_, why)) => Err(io::Error::other(String::from_utf8_lossy(why).into_owned())),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Believes the server of one authority, which it knows by its hash.
#[derive(Debug)]
struct Pinned {
    authority: String,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let refused = |why: &str| rustls::Error::General(why.to_owned());
        let authority = intermediates
            .iter()
            .find(|certificate| hash(certificate) == self.authority)
            .ok_or_else(|| refused("the server is not of the cluster that the join token names"))?;
        let id = peer_identity(end_entity).ok().as_ref().and_then(id_of);
        let id = id.ok_or_else(|| refused("the certificate is not that of a server"))?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider))
                .build()
                .map_err(|error| refused(&error.to_string()))?;
        let name = ServerName::try_from(dns_name(id)).map_err(|error| refused(&error.to_string()))?;
        verifier.verify_server_cert(end_entity, intermediates, &name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
