//! The accept loop and the HTTP/1.1 connections it makes.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;
use tracing::{debug, warn};

use crate::access::PodAccess;
use crate::caller::Caller;
use crate::routes::{Endpoint, router};

/// Connections at a time; further ones wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 1024;

/// How long the TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long a request's head may take, also the first one of an idle connection.
const HEAD: Duration = Duration::from_secs(30);

/// How long sent bytes may stay unacknowledged before the caller counts as gone, in milliseconds.
const UNACKNOWLEDGED_MS: u32 = 60_000;

/// Pause after a failed accept: the usual reason, no descriptors left, does not go away at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// How long open requests may take to end after `stop`.
const DRAIN: Duration = Duration::from_secs(10);

/// Why serving ended early.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The listening socket failed for good.
    #[error("accept connections on the node's endpoint")]
    Accept(#[source] io::Error),
}

/// Serves `access` on `listener` until `stop`; then open requests are ended and awaited.
///
/// # Errors
///
/// Only where the listening socket itself fails.
pub async fn serve<A: PodAccess>(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    access: Arc<A>,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let stop = stop.child_token();
    let endpoint = Endpoint {
        access,
        sessions: TaskTracker::new(),
        stop: stop.clone(),
    };
    let sessions = endpoint.sessions.clone();
    let server = Server {
        tls: TlsAcceptor::from(tls),
        app: router(endpoint),
        stop: stop.clone(),
    };
    let mut connections = JoinSet::new();
    let served = server.accept(&listener, &mut connections).await;
    stop.cancel();
    sessions.close();
    let drained = async {
        while connections.join_next().await.is_some() {}
        sessions.wait().await;
    };
    if timeout(DRAIN, drained).await.is_err() {
        warn!("requests to the node's endpoint did not end in time and are cut off");
    }
    served
}

#[derive(Clone)]
struct Server {
    tls: TlsAcceptor,
    app: Router,
    stop: CancellationToken,
}

impl Server {
    async fn accept(&self, listener: &TcpListener, connections: &mut JoinSet<()>) -> Result<(), ServeError> {
        loop {
            tokio::select! {
                biased;
                // Cancel-safe: a token stays cancelled.
                () = self.stop.cancelled() => return Ok(()),
                // Cancel-safe: a task that ended is kept until it is joined.
                Some(_) = connections.join_next() => {}
                // Cancel-safe: a connection not returned stays in the kernel's queue.
                accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                    Ok((tcp, _)) => drop(connections.spawn(self.clone().connection(tcp))),
                    Err(error) if is_final(&error) => return Err(ServeError::Accept(error)),
                    Err(error) => {
                        warn!(error = &error as &dyn std::error::Error, "accept failed; trying again");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }

    async fn connection(self, tcp: TcpStream) {
        if let Err(error) = configure(&tcp) {
            return debug!(
                error = &error as &dyn std::error::Error,
                "caller was gone at once"
            );
        }
        let stream = match timeout(HANDSHAKE, self.tls.accept(tcp)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                return debug!(error = &error as &dyn std::error::Error, "TLS handshake failed");
            }
            Err(_) => return debug!("TLS handshake took too long"),
        };
        let caller = Caller::of(stream.get_ref().1.peer_certificates());
        let service = service_fn(|request| answer(self.app.clone(), &caller, request));
        let http = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut http = pin!(http);
        let ended = tokio::select! {
            ended = http.as_mut() => ended,
            // Not dropped: it goes on below, without taking further requests.
            () = self.stop.cancelled() => {
                http.as_mut().graceful_shutdown();
                http.await
            }
        };
        if let Err(error) = ended {
            debug!(error = &error as &dyn std::error::Error, "connection broke off");
        }
    }
}

/// Every path needs an admitted caller, `/healthz` too: whoever may know has a certificate.
async fn answer(
    app: Router,
    caller: &Caller,
    request: hyper::Request<hyper::body::Incoming>,
) -> Result<Response, Infallible> {
    match caller.admit() {
        Ok(()) => app.oneshot(request.map(axum::body::Body::new) as Request).await,
        Err(refusal) => Ok(refusal.into_response()),
    }
}

fn configure(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    rustix::net::sockopt::set_tcp_user_timeout(tcp, UNACKNOWLEDGED_MS)?;
    Ok(())
}

/// Whether accepting can never succeed again (accept(2): EBADF, EINVAL, ENOTSOCK, EOPNOTSUPP).
fn is_final(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let finals = [Errno::BADF, Errno::INVAL, Errno::NOTSOCK, Errno::OPNOTSUPP];
    error
        .raw_os_error()
        .is_some_and(|code| finals.iter().any(|errno| errno.raw_os_error() == code))
}
