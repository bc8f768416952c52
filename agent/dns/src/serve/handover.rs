//! The sockets over a restart of the agent: the service manager keeps them (`FileDescriptorStoreMax=`).
//!
//! A closed port refuses, and a resolver with one name server gives up at once. A socket that nobody
//! reads lets questions wait: they are answered by the next run, before the resolver asks again.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd, RawFd};

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

/// The sockets of `address` that were handed over; those of another address are forgotten.
pub(super) fn inherited(address: SocketAddr) -> Inherited {
    let mut found = Inherited::default();
    let handed = match sd_notify::listen_fds_with_names() {
        Ok(handed) => handed,
        Err(error) => {
            debug!(error = &error as &dyn std::error::Error, "no sockets handed over");
            return found;
        }
    };
    for (number, name) in handed {
        let taken = take(number).ok();
        match name.as_str() {
            UDP => {
                found.udp = taken
                    .map(UdpSocket::from)
                    .filter(|one| is_at(one.local_addr(), address))
            }
            TCP => {
                found.tcp = taken
                    .map(TcpListener::from)
                    .filter(|one| is_at(one.local_addr(), address))
            }
            _ => {}
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

/// A descriptor of our own by its number, as another descriptor: the only way to own one that says
/// itself what it is, without trusting the number.
fn take(number: RawFd) -> io::Result<OwnedFd> {
    let own = pidfd_open(getpid(), PidfdFlags::empty())?;
    Ok(pidfd_getfd(own, number, PidfdGetfdFlags::empty())?)
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
