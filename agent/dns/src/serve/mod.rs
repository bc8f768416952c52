//! The sockets.

mod admission;
mod handover;
mod tcp;
mod udp;

use std::io;
use std::net::{self, SocketAddr};
use std::os::fd::AsFd as _;
use std::sync::Arc;

use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::resolve::Resolver;
use handover::Inherited;

/// Both sockets of the server's address.
#[derive(Debug)]
pub(crate) struct Sockets {
    udp: UdpSocket,
    tcp: TcpListener,
}

impl Sockets {
    /// Takes `address`, or nothing of it: what the last run of the agent left, else anew.
    ///
    /// # Errors
    ///
    /// The kernel's, such as `AddrInUse`.
    pub(crate) async fn bind(address: SocketAddr) -> io::Result<Self> {
        let Inherited { udp, tcp } = handover::inherited(address);
        let whole = udp.is_some() && tcp.is_some();
        let udp = match udp {
            Some(udp) => from_last_run_udp(udp)?,
            None => UdpSocket::bind(address).await?,
        };
        let tcp = match tcp {
            Some(tcp) => from_last_run_tcp(tcp)?,
            // A port that the kernel chose (0, in tests) is the same for both.
            None => TcpListener::bind(udp.local_addr()?).await?,
        };
        if !whole {
            handover::keep(udp.as_fd(), tcp.as_fd());
        }
        Ok(Self { udp, tcp })
    }

    /// Where they listen.
    #[cfg(test)]
    pub(crate) fn address(&self) -> SocketAddr {
        self.udp.local_addr().unwrap()
    }
}

fn from_last_run_udp(socket: net::UdpSocket) -> io::Result<UdpSocket> {
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

fn from_last_run_tcp(listener: net::TcpListener) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Answers until `stop`.
pub(crate) async fn serve(sockets: Sockets, resolver: Arc<Resolver>, stop: CancellationToken) {
    let mut tasks = JoinSet::new();
    tasks.spawn(udp::serve(sockets.udp, Arc::clone(&resolver), stop.clone()));
    tasks.spawn(tcp::serve(sockets.tcp, resolver, stop));
    while tasks.join_next().await.is_some() {}
}
