//! API clients with the node's certificate or the bootstrap token.

use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};

use anyhow::Context as _;
use futures::future::BoxFuture;
use http::{Request, Response};
use kube::client::Body;
use kube::config::AuthInfo;
use kube::{Client, Config as KubeConfig};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tower::Service;

use super::files::KeyPair;

/// A client whose certificate can be replaced: whoever cloned the client uses the new one from the
/// next request on.
#[derive(Clone)]
pub(crate) struct Renewable(Arc<RwLock<Client>>);

impl std::fmt::Debug for Renewable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Renewable")
    }
}

impl Renewable {
    /// Starts with `client`.
    pub(crate) fn new(client: Client) -> Self {
        Self(Arc::new(RwLock::new(client)))
    }

    /// Uses `client` from now on.
    pub(crate) fn replace(&self, client: Client) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = client;
    }

    /// A client that always uses the present certificate.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.clone(), "default")
    }
}

impl Service<Request<Body>> for Renewable {
    type Response = Response<Body>;
    type Error = tower::BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let client = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(async move { client.send(request).await.map_err(Into::into) })
    }
}

fn base(server: &http::Uri, ca_pem: &str) -> anyhow::Result<KubeConfig> {
    let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(ca_pem.as_bytes()).collect();
    let mut config = KubeConfig::new(server.clone());
    config.root_cert = Some(
        roots
            .context("parse the cluster's CA certificate")?
            .iter()
            .map(|c| c.to_vec())
            .collect(),
    );
    // Streams end by the server's own timeout; a silent one is found by the watcher's idle limit.
    config.read_timeout = None;
    Ok(config)
}

/// A client that shows `pair`.
pub(crate) fn with_certificate(server: &http::Uri, ca_pem: &str, pair: &KeyPair) -> anyhow::Result<Client> {
    use k8s_openapi::ByteString;
    let encoded = |text: &str| -> anyhow::Result<String> {
        let value = serde_json::to_value(ByteString(text.as_bytes().to_vec()))?;
        Ok(value.as_str().unwrap_or_default().to_owned())
    };
    let mut config = base(server, ca_pem)?;
    config.auth_info = AuthInfo {
        client_certificate_data: Some(encoded(&pair.certificate_pem)?),
        client_key_data: Some(encoded(&pair.key_pem)?.into()),
        ..AuthInfo::default()
    };
    Client::try_from(config).context("make the API client with the node's certificate")
}

/// A client that shows the bootstrap `token`.
pub(crate) fn with_token(server: &http::Uri, ca_pem: &str, token: &str) -> anyhow::Result<Client> {
    let mut config = base(server, ca_pem)?;
    config.auth_info = AuthInfo {
        token: Some(token.to_owned().into()),
        ..AuthInfo::default()
    };
    Client::try_from(config).context("make the API client with the bootstrap token")
}
