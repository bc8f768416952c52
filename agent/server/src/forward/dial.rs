//! TCP connections made from inside a pod's network namespace.

use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream as StdTcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::access::PodNetwork;

/// How long each of the two addresses may take to answer.
const CONNECT: Duration = Duration::from_secs(5);

/// Why a port of a pod cannot be reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    /// The namespace is gone, or may not be entered.
    #[error("enter network namespace {path}")]
    Namespace {
        /// Where it is pinned.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Nothing accepts connections there.
    #[error("127.0.0.1:{port}: {v4}; [::1]:{port}: {v6}")]
    Refused {
        /// The port.
        port: u16,
        /// What the first address answered.
        v4: io::Error,
        /// What the second did.
        v6: io::Error,
    },
    /// The node is out of threads, or the socket could not be used.
    #[error("make a connection")]
    Socket(#[source] io::Error),
}

/// Connects to `port` as a process of the pod would: on 127.0.0.1, else on `[::1]`, else on the pod's own addresses, for
/// a server that listens on nothing else.
///
/// A socket stays in the namespace it was made in, whoever uses it later. A thread of its own enters the
/// namespace, connects and ends, since a thread of the runtime would take its later tasks into the pod.
///
/// # Errors
///
/// Says at which step it failed.
pub(crate) async fn dial(network: &PodNetwork, port: u16) -> Result<TcpStream, DialError> {
    let network = network.clone();
    let (sender, connected) = oneshot::channel();
    thread::Builder::new()
        .name("port-forward".to_owned())
        .spawn(move || drop(sender.send(connect_in(&network, port))))
        .map_err(DialError::Socket)?;
    let ended = |_| DialError::Socket(io::Error::other("its thread ended early"));
    let stream = connected.await.map_err(ended)??;
    TcpStream::from_std(stream).map_err(DialError::Socket)
}

fn connect_in(network: &PodNetwork, port: u16) -> Result<StdTcpStream, DialError> {
    match network {
        PodNetwork::Host => {}
        PodNetwork::Namespace(path) => enter(path).map_err(|source| DialError::Namespace {
            path: path.clone(),
            source,
        })?,
    }
    let to = |address| StdTcpStream::connect_timeout(&address, CONNECT);
    let local = to(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).or_else(|v4| {
        to(SocketAddr::from((Ipv6Addr::LOCALHOST, port))).map_err(|v6| DialError::Refused { port, v4, v6 })
    });
    let stream = match (local, network) {
        (Ok(stream), _) => stream,
        // On the node's own addresses others listen.
        (Err(refused), PodNetwork::Host) => return Err(refused),
        (Err(refused), PodNetwork::Namespace(_)) => own_addresses()
            .find_map(|address| to(SocketAddr::new(address, port)).ok())
            .ok_or(refused)?,
    };
    stream.set_nonblocking(true).map_err(DialError::Socket)?;
    stream.set_nodelay(true).map_err(DialError::Socket)?;
    Ok(stream)
}

/// The addresses of the namespace that this thread is in, but for those of one link only.
fn own_addresses() -> impl Iterator<Item = IpAddr> {
    let all = nix::ifaddrs::getifaddrs().into_iter().flatten();
    all.filter_map(|interface| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    })
    .filter(|address| match address {
        IpAddr::V4(v4) => !v4.is_loopback(),
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
    })
}

/// Moves this thread, and only it, into the network namespace pinned at `path`.
fn enter(path: &Path) -> io::Result<()> {
    Ok(setns(File::open(path)?, CloneFlags::CLONE_NEWNET)?)
}

#[cfg(test)]
mod tests {
    use nix::sched::unshare;
    use tokio::net::TcpListener;

    use super::*;

    /// A thread in a network namespace of its own, which stays as long as the returned sender does.
    fn elsewhere() -> (PathBuf, std::sync::mpsc::SyncSender<()>) {
        let (ready, path) = std::sync::mpsc::sync_channel(1);
        let (stay, left) = std::sync::mpsc::sync_channel::<()>(1);
        thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            let tid = nix::unistd::gettid();
            ready
                .send(PathBuf::from(format!("/proc/self/task/{tid}/ns/net")))
                .unwrap();
            left.recv().unwrap_err();
        });
        (path.recv().unwrap(), stay)
    }

    #[tokio::test]
    async fn the_connection_is_made_inside_the_namespace_and_the_runtime_stays_outside() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (path, _stay) = elsewhere();
        let before = std::fs::read_link("/proc/self/ns/net").unwrap();
        // The listener is out here, and in there not even the loopback link is up.
        let inside = dial(&PodNetwork::Namespace(path), port).await;
        assert!(matches!(inside, Err(DialError::Refused { .. })), "{inside:?}");
        assert!(dial(&PodNetwork::Host, port).await.is_ok());
        assert_eq!(std::fs::read_link("/proc/self/ns/net").unwrap(), before);
    }

    #[tokio::test]
    async fn a_server_that_listens_on_the_pods_own_address_is_reached() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let (path, _stay) = elsewhere();
        let inside = path.clone();
        let listening = thread::spawn(move || {
            enter(&inside).unwrap();
            for words in [
                &["link", "set", "lo", "up"][..],
                &["address", "add", "10.9.8.7/32", "dev", "lo"],
            ] {
                let done = std::process::Command::new("ip").args(words).status();
                assert!(done.unwrap().success(), "ip {words:?}");
            }
            std::net::TcpListener::bind("10.9.8.7:0").unwrap()
        });
        let listener = listening.join().unwrap();
        let address = listener.local_addr().unwrap();
        let stream = dial(&PodNetwork::Namespace(path), address.port()).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address);
    }

    #[tokio::test]
    async fn a_namespace_that_is_gone_is_named() {
        let path = PathBuf::from("/run/netns/nothing-of-this-name");
        let gone = dial(&PodNetwork::Namespace(path), 80).await.unwrap_err();
        assert_eq!(
            gone.to_string(),
            "enter network namespace /run/netns/nothing-of-this-name"
        );
    }
}
