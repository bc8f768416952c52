//! The server under load: its credentials, and connections to it.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What is read of a kubeconfig: its only cluster and its only user.
#[derive(Debug, Deserialize)]
struct Kubeconfig {
    clusters: Vec<NamedCluster>,
    users: Vec<NamedUser>,
}

#[derive(Debug, Deserialize)]
struct NamedCluster {
    cluster: Cluster,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    server: String,
    certificate_authority_data: String,
}

#[derive(Debug, Deserialize)]
struct NamedUser {
    user: User,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct User {
    client_certificate_data: String,
    client_key_data: String,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User").finish_non_exhaustive()
    }
}

/// An API server and who asks it.
pub(crate) struct Server {
    authority: String,
    tls: TlsConnector,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("authority", &self.authority)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// The server and user that `file` names.
    ///
    /// # Errors
    ///
    /// Says what of the file cannot be used.
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
        let config: Kubeconfig = serde_yaml_ng::from_str(&text)?;
        let (Some(cluster), Some(user)) = (config.clusters.first(), config.users.first()) else {
            bail!("{} names no cluster or no user", file.display());
        };
        let authority = cluster
            .cluster
            .server
            .strip_prefix("https://")
            .context("not an https server")?;
        let mut roots = RootCertStore::empty();
        let pem = STANDARD.decode(&cluster.cluster.certificate_authority_data)?;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            roots.add(certificate?)?;
        }
        let chain = STANDARD.decode(&user.user.client_certificate_data)?;
        let chain = CertificateDer::pem_slice_iter(&chain).collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(&STANDARD.decode(&user.user.client_key_data)?)?;
        let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?;
        Ok(Self {
            authority: authority.to_owned(),
            tls: TlsConnector::from(Arc::new(tls)),
        })
    }

    /// A connection without anything on it yet.
    async fn dial(&self) -> Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(&self.authority).await?;
        stream.set_nodelay(true)?;
        let host = self
            .authority
            .rsplit_once(':')
            .map_or(&*self.authority, |(host, _)| host);
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())?;
        Ok(self.tls.connect(name, stream).await?)
    }

    /// A connection of its own, by HTTP/1.1.
    ///
    /// # Errors
    ///
    /// Where the server cannot be reached or is another one.
    pub(crate) async fn connect(&self) -> Result<Connection> {
        let stream = self.dial().await?;
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await?;
        let mut drivers = JoinSet::new();
        drivers.spawn(driver);
        Ok(Connection {
            host: self.authority.clone(),
            sender,
            _driver: drivers,
        })
    }
}

impl Server {
    /// Begins a watch on a connection of its own, and leaves what comes on it to the caller, as it comes: ten thousand
    /// readers share the processors with the server, so that each must cost as little as it can.
    ///
    /// # Errors
    ///
    /// Where the server cannot be reached, or refuses.
    pub(crate) async fn watch(&self, path: &str) -> Result<TlsStream<TcpStream>> {
        let mut stream = self.dial().await?;
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nAccept: application/json\r\nUser-Agent: apiload\r\n\r\n",
            self.authority
        );
        stream.write_all(head.as_bytes()).await?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.context("the server hung up")?);
        }
        if !answer.starts_with(b"HTTP/1.1 200 ") {
            bail!("GET {path}: {}", String::from_utf8_lossy(&answer));
        }
        Ok(stream)
    }
}

/// A connection, which takes one request at a time.
#[derive(Debug)]
pub(crate) struct Connection {
    host: String,
    sender: http1::SendRequest<Full<Bytes>>,
    _driver: JoinSet<Result<(), hyper::Error>>,
}

impl Connection {
    /// Sends a request and returns the body of the answer, still to be read; it must be a success.
    ///
    /// # Errors
    ///
    /// A broken connection, or an answer that is no success, with its text.
    pub(crate) async fn open(
        &mut self,
        method: Method,
        path: &str,
        accept: &str,
        body: Bytes,
    ) -> Result<Incoming> {
        let request = Request::builder()
            .method(&method)
            .uri(path)
            .header(header::HOST, &self.host)
            .header(header::ACCEPT, accept)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, "apiload")
            .body(Full::new(body))?;
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer.into_body());
        }
        let text = answer.into_body().collect().await?.to_bytes();
        Err(anyhow!(
            "{method} {path}: {status}: {}",
            String::from_utf8_lossy(&text)
        ))
    }

    /// Sends a request, reads the whole answer and returns its length in bytes.
    ///
    /// # Errors
    ///
    /// As [`Connection::open`].
    pub(crate) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        accept: &str,
        body: Bytes,
    ) -> Result<usize> {
        let mut answer = self.open(method, path, accept, body).await?;
        let mut bytes = 0;
        while let Some(frame) = answer.frame().await {
            bytes += frame?.data_ref().map_or(0, Bytes::len);
        }
        Ok(bytes)
    }

    /// As [`Connection::ask`], and returns the text.
    ///
    /// # Errors
    ///
    /// As [`Connection::open`].
    pub(crate) async fn text(
        &mut self,
        method: Method,
        path: &str,
        accept: &str,
        body: Bytes,
    ) -> Result<Bytes> {
        let answer = self.open(method, path, accept, body).await?;
        Ok(answer.collect().await?.to_bytes())
    }
}
