//! The way in over the network: TLS, connections and their limits.

mod connection;
mod stalled;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

pub use tls::{ServeError, ServingCertificate, server_config};

use crate::server::ApiServer;

/// Where a request's connection comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientAddress(pub(crate) std::net::IpAddr);

/// What one client may take.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at one time; more wait in the kernel's queue.
    pub connections: usize,
    /// Time for the TLS handshake.
    pub handshake: Duration,
    /// Time for the head of a request.
    pub header: Duration,
    /// Requests at one time on one HTTP/2 connection.
    pub streams: u32,
    /// Time for which a client may read nothing of what is sent.
    pub stalled: Duration,
    /// Bytes of a request's head.
    pub header_bytes: u32,
    /// Time for connections to end after the server has stopped accepting.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Ten thousand watches, each on its own, and room for others; systemd grants 65 536 files.
            connections: 16_384,
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(30),
            streams: 250,
            // Longer than people hold up a terminal.
            stalled: Duration::from_secs(15 * 60),
            header_bytes: 64 * 1024,
            drain: Duration::from_secs(10),
        }
    }
}

impl ApiServer {
    /// Serves connections from `listener` until `stop`; then stops accepting, ends watches, finishes
    /// writes, and closes what is left after [`Limits::drain`].
    pub async fn serve(
        &self,
        listener: TcpListener,
        tls: Arc<rustls::ServerConfig>,
        limits: Limits,
        stop: CancellationToken,
    ) {
        let places = Arc::new(Semaphore::new(limits.connections));
        let connections = TaskTracker::new();
        let acceptor = TlsAcceptor::from(tls);
        let router = self.router();
        let ending = CancellationToken::new();
        self.follow_flow_control();
        loop {
            let accepted = tokio::select! {
                biased;
                // Cancel-safe: a token stays cancelled.
                () = stop.cancelled() => break,
                // Cancel-safe: a permit or connection not returned is not taken.
                accepted = accept(&listener, &places) => accepted,
            };
            let Some((stream, permit)) = accepted else {
                continue;
            };
            let one = connection::Connection {
                router: router.clone(),
                limits: limits.clone(),
                ending: ending.clone(),
                requests: connections.clone(),
            };
            let acceptor = acceptor.clone();
            connections.spawn(async move {
                if let Err(error) = one.run(stream, acceptor).await {
                    debug!(error = &*error, "connection ended");
                }
                drop(permit);
            });
        }
        drop(listener);
        self.0.stop.cancel();
        ending.cancel();
        connections.close();
        let all = async {
            connections.wait().await;
            self.drain().await;
        };
        if tokio::time::timeout(limits.drain, all).await.is_err() {
            warn!(open = connections.len(), "connections did not end in time");
        }
    }
}

/// The next connection; `None` after an error, which is waited out where the machine lacks something.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(tokio::net::TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, permit)),
        Err(error) => {
            warn!(
                error = &error as &dyn std::error::Error,
                "cannot accept a connection"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}
