//! The sockets over a restart of the agent: the service manager keeps them (`FileDescriptorStoreMax=`).
//!
//! A closed port refuses, and a resolver with one name server gives up at once. A socket that nobody
//! reads lets questions wait: they are answered by the next run, before the resolver asks again.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd, RawFd};
use std::sync::{LazyLock, Mutex, PoisonError};

use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use sd_notify::NotifyState;
use tracing::{debug, warn};

/// Names under which the sockets are kept.
const UDP: &str = "dns-udp";
const TCP: &str = "dns-tcp";

/// What an earlier run left for `address`.
#[derive(Debug, Default)]
pub(super) struct Inherited {
    pub(super) udp: Option<UdpSocket>,
    pub(super) tcp: Option<TcpListener>,
}

/// The sockets of `address` that were handed over; those of another address are closed and forgotten.
pub(super) fn inherited(address: SocketAddr) -> Inherited {
    let mut found = Inherited::default();
    let mut handed = handed().lock().unwrap_or_else(PoisonError::into_inner);
    for (name, socket) in handed.drain(..) {
        if name == UDP {
            found.udp = Some(UdpSocket::from(socket)).filter(|one| is_at(one.local_addr(), address));
        } else {
            found.tcp = Some(TcpListener::from(socket)).filter(|one| is_at(one.local_addr(), address));
        }
    }
    if found.udp.is_none() || found.tcp.is_none() {
        forget();
    }
    found
}

fn is_at(local: io::Result<SocketAddr>, address: SocketAddr) -> bool {
    local.is_ok_and(|local| local == address)
}

/// What the service manager handed over and nobody took yet. Looked up once: later a number may be
/// that of another file.
fn handed() -> &'static Mutex<Vec<(String, OwnedFd)>> {
    static HANDED: LazyLock<Mutex<Vec<(String, OwnedFd)>>> = LazyLock::new(|| {
        let listed = sd_notify::listen_fds_with_names();
        let ours = listed.map(|all| all.filter(|(_, name)| [UDP, TCP].contains(&name.as_str())));
        let taken = ours.map(|ours| ours.filter_map(|(number, name)| Some((name, take(number).ok()?))));
        match taken {
            Ok(taken) => Mutex::new(taken.collect()),
            Err(error) => {
                debug!(error = &error as &dyn std::error::Error, "no sockets handed over");
                Mutex::default()
            }
        }
    });
    &HANDED
}

/// A descriptor of our own by its number, as another descriptor: the only way to own one that says
/// itself what it is, without trusting the number. The number is closed, or its socket would stay bound
/// as long as the process lives, whatever becomes of the other.
fn take(number: RawFd) -> io::Result<OwnedFd> {
    let own = pidfd_open(getpid(), PidfdFlags::empty())?;
    let taken = pidfd_getfd(own, number, PidfdGetfdFlags::empty())?;
    nix::unistd::close(number)?;
    Ok(taken)
}

/// Has the sockets kept for the next run. Without a service manager nothing happens.
pub(super) fn keep(udp: BorrowedFd<'_>, tcp: BorrowedFd<'_>) {
    for (socket, name) in [(udp, UDP), (tcp, TCP)] {
        let states = [NotifyState::FdStore, NotifyState::FdName(name)];
        if let Err(error) = sd_notify::notify_with_fds(&states, &[socket.as_fd()]) {
            warn!(
                error = &error as &dyn std::error::Error,
                name, "socket not kept for the next run"
            );
        }
    }
}

fn forget() {
    for name in [UDP, TCP] {
        if let Err(error) = sd_notify::notify(&[NotifyState::FdStoreRemove, NotifyState::FdName(name)]) {
            debug!(
                error = &error as &dyn std::error::Error,
                name, "kept socket not forgotten"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::IntoRawFd as _;

    use super::*;

    #[test]
    fn a_socket_that_was_taken_and_is_not_wanted_is_bound_no_more() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let taken = take(socket.into_raw_fd()).unwrap();
        assert!(UdpSocket::bind(address).is_err(), "it is still bound");
        drop(taken);
        UdpSocket::bind(address).unwrap();
    }
}
