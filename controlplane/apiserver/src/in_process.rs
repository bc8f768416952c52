//! The server as a `tower` service, for clients in the same process.

use std::convert::Infallible;
use std::task::{self, Poll};

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use controlplane_api::UserInfo;
use futures::future::BoxFuture;
use http::header::USER_AGENT;
use http::{HeaderValue, Request};
use tower::{BoxError, Service};

/// The server's routes, each request made as one fixed user.
#[derive(Debug, Clone)]
pub struct InProcess {
    router: Router,
    user: UserInfo,
    /// What the client calls itself, where it does not say: `kube-scheduler` for `system:kube-scheduler`.
    agent: Option<HeaderValue>,
}

impl InProcess {
    pub(crate) fn new(router: Router, user: UserInfo) -> Self {
        let name = user.username.rsplit(':').next().unwrap_or_default();
        let agent = HeaderValue::from_str(name).ok();
        Self { router, user, agent }
    }
}

impl<B> Service<Request<B>> for InProcess
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), Infallible>> {
        // The router is always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(self.user.clone());
        if let Some(agent) = &self.agent {
            request
                .headers_mut()
                .entry(USER_AGENT)
                .or_insert_with(|| agent.clone());
        }
        let mut router = self.router.clone();
        Box::pin(async move { Service::<Request<Body>>::call(&mut router, request).await })
    }
}
