//! The sockets.

mod admission;
mod tcp;
mod udp;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::resolve::Resolver;

/// Both sockets of the server's address.
#[derive(Debug)]
pub(crate) struct Sockets {
    udp: UdpSocket,
    tcp: TcpListener,
}

impl Sockets {
    /// Takes `address`, or nothing of it.
    ///
    /// # Errors
    ///
    /// The kernel's, such as `AddrInUse`.
    pub(crate) async fn bind(address: SocketAddr) -> io::Result<Self> {
        let udp = UdpSocket::bind(address).await?;
        // A port that the kernel chose (0, in tests) is the same for both.
        let tcp = TcpListener::bind(udp.local_addr()?).await?;
        Ok(Self { udp, tcp })
    }

    /// Where they listen.
    #[cfg(test)]
    pub(crate) fn address(&self) -> SocketAddr {
        self.udp.local_addr().unwrap()
    }
}

/// Answers until `stop`.
pub(crate) async fn serve(sockets: Sockets, resolver: Arc<Resolver>, stop: CancellationToken) {
    let mut tasks = JoinSet::new();
    tasks.spawn(udp::serve(sockets.udp, Arc::clone(&resolver), stop.clone()));
    tasks.spawn(tcp::serve(sockets.tcp, resolver, stop));
    while tasks.join_next().await.is_some() {}
}
