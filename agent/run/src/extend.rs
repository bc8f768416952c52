//! `floe-run extend`: more time for a unit that is being stopped than it was made with.
//!
//! `TimeoutStopSec=` cannot be changed at run time, but sd_notify(3)'s `EXTEND_TIMEOUT_USEC=` moves the
//! end of the stop that is under way. systemd takes it from processes of the unit alone, so this one
//! joins the unit's cgroup first.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketType,
    sendmsg_addr, socket,
};

use crate::{IoError, enter_cgroup};

/// Where systemd listens for its services.
const NOTIFY_SOCKET: &str = "/run/systemd/notify";

/// Longest wait for systemd to have read the message.
const BARRIER: Timespec = Timespec {
    tv_sec: 5,
    tv_nsec: 0,
};

/// Why the stop was not extended.
#[derive(Debug, thiserror::Error)]
pub enum ExtendError {
    /// The unit's cgroup could not be joined.
    #[error(transparent)]
    Cgroup(#[from] IoError),
    /// systemd could not be told.
    #[error("tell {NOTIFY_SOCKET} how much longer the stop may take")]
    Notify(#[source] io::Error),
}

/// Lets the stop of the unit of process `pid`, which is under way, take `time` from now on.
///
/// # Errors
///
/// Where the process is gone or systemd does not listen.
pub fn extend_stop(pid: u32, time: Duration) -> Result<(), ExtendError> {
    enter_cgroup(pid)?;
    tell(time).map_err(ExtendError::Notify)
}

fn tell(time: Duration) -> io::Result<()> {
    let systemd = socket(AddressFamily::UNIX, SocketType::DGRAM, None)?;
    let message = format!("EXTEND_TIMEOUT_USEC={}", time.as_micros());
    send(&systemd, message.as_bytes(), &[])?;
    // systemd tells whose message it is by the sender's cgroup, so the sender must live until it is read:
    // systemd closes the pipe of a barrier once it has.
    let (ours, theirs) = rustix::pipe::pipe()?;
    send(&systemd, b"BARRIER=1", &[theirs.as_fd()])?;
    drop(theirs);
    let mut read = [PollFd::new(&ours, PollFlags::empty())];
    match poll(&mut read, Some(&BARRIER))? {
        0 => Err(io::ErrorKind::TimedOut.into()),
        _ => Ok(()),
    }
}

fn send(socket: &OwnedFd, message: &[u8], files: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !files.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(files));
    }
    let address = SocketAddrUnix::new(NOTIFY_SOCKET)?;
    sendmsg_addr(
        socket,
        &address,
        &[IoSlice::new(message)],
        &mut control,
        SendFlags::empty(),
    )?;
    Ok(())
}
