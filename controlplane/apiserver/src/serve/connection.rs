//! One connection: handshake, who is there, requests.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use controlplane_pki::PeerIdentity;
use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use crate::serve::stalled::Stalling;
use crate::serve::{ClientAddress, Limits};

type BoxError = Box<dyn Error + Send + Sync>;

/// How often an idle HTTP/2 connection is pinged, so that a vanished client's watches end.
const PING: Duration = Duration::from_secs(30);

/// HTTP/2 streams that a client may reset before the server has looked at them (CVE-2023-44487).
const PENDING_RESETS: usize = 100;

/// Runs hyper's tasks where they are waited for.
#[derive(Debug, Clone)]
struct Tracked(TaskTracker);

impl<F> hyper::rt::Executor<F> for Tracked
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) router: Router,
    pub(super) limits: Limits,
    pub(super) ending: CancellationToken,
    pub(super) requests: TaskTracker,
}

impl Connection {
    /// Serves one connection to its end.
    pub(super) async fn run(self, stream: TcpStream, acceptor: TlsAcceptor) -> Result<(), BoxError> {
        stream.set_nodelay(true)?;
        let address = ClientAddress(stream.peer_addr()?.ip());
        let stream = Stalling::new(stream, self.limits.stalled);
        let stream = timeout(self.limits.handshake, acceptor.accept(stream)).await??;
        let peer = peer(&stream)?.map(Arc::new);
        let router = self.router.clone();
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(address);
            if let Some(peer) = &peer {
                request.extensions_mut().insert(Arc::clone(peer));
            }
            let mut router = router.clone();
            async move { Service::<Request<Body>>::call(&mut router, request).await }
        });
        let builder = self.builder();
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        tokio::pin!(connection);
        tokio::select! {
            done = connection.as_mut() => return done,
            // The connection is not dropped: it is told to end, and polled on below.
            () = self.ending.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        connection.await
    }

    fn builder(&self) -> Builder<Tracked> {
        let limits = &self.limits;
        let mut builder = Builder::new(Tracked(self.requests.clone()));
        let bytes = usize::try_from(limits.header_bytes).unwrap_or(usize::MAX);
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header)
            .max_buf_size(bytes);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.streams)
            .max_header_list_size(limits.header_bytes)
            .max_pending_accept_reset_streams(PENDING_RESETS)
            .adaptive_window(true)
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING);
        builder
    }
}

/// Who showed a certificate; it has been verified by the handshake.
fn peer<S>(stream: &tokio_rustls::server::TlsStream<S>) -> Result<Option<PeerIdentity>, BoxError> {
    let (_, session) = stream.get_ref();
    let shown = session.peer_certificates().and_then(<[_]>::first);
    Ok(shown
        .map(|certificate| controlplane_pki::peer_identity(certificate))
        .transpose()?)
}
