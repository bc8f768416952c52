//! Ports that are one test's alone.

use tokio::net::TcpSocket;

/// A port of the loopback address that nobody else is given while this lives: a socket holds it and does not listen, so that a
/// daemon can, again and again.
pub(crate) struct Port(TcpSocket);

impl Port {
    pub(crate) fn reserve() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Self(socket)
    }

    pub(crate) fn number(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }
}
