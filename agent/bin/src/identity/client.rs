//! API clients with the node's certificate or the bootstrap token.

use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::header::{AUTHORIZATION, USER_AGENT};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ConfigExt as _, retry::RetryPolicy};
use kube::config::AuthInfo;
use kube::{Client, Config as KubeConfig};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tower::retry::RetryLayer;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Layer as _, Service, ServiceExt as _};

use super::files::KeyPair;
use crate::servers::{Choice, Servers};

/// How long a server may take to accept a connection, and to begin an answer. Those who ask give up after ten seconds.
const CONNECT: Duration = Duration::from_secs(3);
const ANSWER: Duration = Duration::from_secs(8);
/// A silent connection is probed after this time, that often, that many times; then its server is lost.
const PROBE_AFTER: Duration = Duration::from_secs(5);
const PROBE_EVERY: Duration = Duration::from_secs(2);
const PROBES: u32 = 2;
/// What was sent and not acknowledged for so long is lost.
const UNACKNOWLEDGED: Duration = Duration::from_secs(9);

/// Sends requests to whatever server their URI names.
pub(crate) type Sender = BoxCloneSyncService<Request<Body>, Response<Incoming>, legacy::Error>;

/// A client of all servers, whose certificate can be replaced: whoever cloned it uses the new one from the next request on.
#[derive(Clone)]
pub(crate) struct Renewable {
    sender: Arc<RwLock<Sender>>,
    servers: Servers,
}

impl std::fmt::Debug for Renewable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Renewable")
    }
}

impl Renewable {
    /// Starts with `sender`.
    pub(crate) fn new(sender: Sender, servers: Servers) -> Self {
        Self {
            sender: Arc::new(RwLock::new(sender)),
            servers,
        }
    }

    /// Uses `sender` from now on.
    pub(crate) fn replace(&self, sender: Sender) {
        *self.sender.write().unwrap_or_else(PoisonError::into_inner) = sender;
    }

    /// A client that always uses the present certificate and the present server.
    pub(crate) fn client(&self) -> Client {
        let patient = RetryLayer::new(RetryPolicy::server_retry());
        Client::new(patient.layer(self.clone()), "default")
    }
}

impl Service<Request<Body>> for Renewable {
    type Response = Response<Bound>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let sender = self.sender.read().unwrap_or_else(PoisonError::into_inner).clone();
        let servers = self.servers.clone();
        Box::pin(async move { send(&sender, &servers, request).await })
    }
}

/// What the agent calls itself: by this the server names who owns the fields that the agent writes.
const AGENT: HeaderValue = HeaderValue::from_static(concat!("floe-agent/", env!("CARGO_PKG_VERSION")));

/// Sends `request` to the present server, and to the others in turn as long as none could be connected to.
async fn send(
    sender: &Sender,
    servers: &Servers,
    request: Request<Body>,
) -> Result<Response<Bound>, BoxError> {
    let (mut parts, mut body) = request.into_parts();
    parts.headers.entry(USER_AGENT).or_insert(AGENT);
    let mut tries = servers.count();
    loop {
        let choice = servers.choose();
        tries = tries.saturating_sub(1);
        let copy = body.try_clone();
        let mut request = Request::from_parts(parts.clone(), body);
        *request.uri_mut() = at(&choice, request.uri())?;
        let error = match tokio::time::timeout(ANSWER, sender.clone().oneshot(request)).await {
            Ok(Ok(response)) => return Ok(bound(servers, choice, response)),
            Ok(Err(error)) if error.is_connect() => error,
            // It may have been carried out: whoever asks must decide.
            Ok(Err(error)) => {
                servers.lost(&choice.server, "its connection broke");
                return Err(error.into());
            }
            Err(late) => {
                servers.lost(&choice.server, "it does not answer in time");
                return Err(late.into());
            }
        };
        servers.lost(&choice.server, "it cannot be reached");
        body = match copy {
            Some(copy) if tries > 0 => copy,
            _ => return Err(error.into()),
        };
    }
}

fn at(choice: &Choice, uri: &Uri) -> Result<Uri, BoxError> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let uri = Uri::builder().scheme("https").authority(choice.server.clone());
    Ok(uri.path_and_query(path).build()?)
}

fn bound(servers: &Servers, choice: Choice, response: Response<Incoming>) -> Response<Bound> {
    match response.status() {
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => servers.refused(&choice.server),
        _ => servers.answered(&choice.server),
    }
    response.map(|inner| Bound {
        inner,
        left: Box::pin(choice.left.cancelled_owned()),
    })
}

/// The body of an answer, which breaks when its server is left.
pub(crate) struct Bound {
    inner: Incoming,
    left: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl http_body::Body for Bound {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, BoxError>>> {
        if self.left.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err("this node has turned to another server".into())));
        }
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.inner.size_hint()
    }
}

/// A sender that believes servers of the authority `ca_pem`, and shows what `auth` says.
fn sender(ca_pem: &str, auth: AuthInfo) -> anyhow::Result<Sender> {
    let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(ca_pem.as_bytes()).collect();
    // Each request names its server itself.
    let mut config = KubeConfig::new(Uri::from_static("https://localhost"));
    config.root_cert = Some(
        roots
            .context("parse the cluster's CA certificate")?
            .iter()
            .map(|c| c.to_vec())
            .collect(),
    );
    config.auth_info = auth;
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(CONNECT));
    // A machine that has lost its power says nothing; its watches would be waited for until they are due.
    http.set_keepalive(Some(PROBE_AFTER));
    http.set_keepalive_interval(Some(PROBE_EVERY));
    http.set_keepalive_retries(Some(PROBES));
    http.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
    let https = config
        .rustls_https_connector_with_connector(http)
        .context("prepare TLS for the API client")?;
    let client = legacy::Client::builder(TokioExecutor::new()).build::<_, Body>(https);
    Ok(BoxCloneSyncService::new(client))
}

/// A sender that shows `pair`.
pub(crate) fn with_certificate(ca_pem: &str, pair: &KeyPair) -> anyhow::Result<Sender> {
    use k8s_openapi::ByteString;
    let encoded = |text: &str| -> anyhow::Result<String> {
        let value = serde_json::to_value(ByteString(text.as_bytes().to_vec()))?;
        Ok(value.as_str().unwrap_or_default().to_owned())
    };
    let auth = AuthInfo {
        client_certificate_data: Some(encoded(&pair.certificate_pem)?),
        client_key_data: Some(encoded(&pair.key_pem)?.into()),
        ..AuthInfo::default()
    };
    sender(ca_pem, auth).context("make the API client with the node's certificate")
}

/// A sender that shows the bootstrap `token`.
pub(crate) fn with_token(ca_pem: &str, token: &str) -> anyhow::Result<Sender> {
    let mut header = HeaderValue::from_str(&format!("Bearer {token}"))
        .context("read the bootstrap token: it has letters that no header can hold")?;
    header.set_sensitive(true);
    let plain = sender(ca_pem, AuthInfo::default())?;
    let shown = plain.map_request(move |mut request: Request<Body>| {
        request.headers_mut().insert(AUTHORIZATION, header.clone());
        request
    });
    Ok(BoxCloneSyncService::new(shown))
}
