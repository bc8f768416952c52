//! Bytes on their way into a descriptor that may not take them at once.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

/// A descriptor with what it has not taken yet. Its owner puts nothing in while something waits,
/// which keeps it small.
#[derive(Debug)]
pub(super) struct Outbox {
    to: OwnedFd,
    waiting: Vec<u8>,
    /// When the descriptor last took something, or had nothing to take.
    moved: Instant,
}

impl Outbox {
    /// Over `to`, which is made non-blocking.
    pub(super) fn new(to: OwnedFd) -> io::Result<Self> {
        unblock(&to)?;
        Ok(Self {
            to,
            waiting: Vec::new(),
            moved: Instant::now(),
        })
    }

    /// Whether all was taken.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Since when something waits and nothing was taken.
    pub(super) fn stuck_since(&self) -> Option<Instant> {
        (!self.is_empty()).then_some(self.moved)
    }

    /// Adds `bytes` and writes what is taken at once.
    ///
    /// # Errors
    ///
    /// Where nobody reads any more; what waited is forgotten.
    pub(super) fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.is_empty() {
            self.moved = Instant::now();
        }
        self.waiting.extend_from_slice(bytes);
        self.flush()
    }

    /// Writes what is taken at once.
    ///
    /// # Errors
    ///
    /// As [`Self::push`].
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while !self.waiting.is_empty() {
            match rustix::io::write(&self.to, &self.waiting) {
                Ok(taken) => {
                    self.waiting.drain(..taken);
                    self.moved = Instant::now();
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => {
                    self.waiting.clear();
                    return Err(error.into());
                }
            }
        }
        Ok(())
    }
}

impl AsFd for Outbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.to.as_fd()
    }
}

/// Makes a descriptor non-blocking.
pub(super) fn unblock(fd: &OwnedFd) -> io::Result<()> {
    let flags = fcntl_getfl(fd)?;
    Ok(fcntl_setfl(fd, flags | OFlags::NONBLOCK)?)
}

/// What one read gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read<'a> {
    Bytes(&'a [u8]),
    NotYet,
    /// The end; a terminal whose last process is gone says EIO (pty(7)).
    End,
}

/// Reads once from a non-blocking descriptor.
pub(super) fn read<'a>(from: impl AsFd, buffer: &'a mut [u8]) -> Read<'a> {
    loop {
        match rustix::io::read(&from, &mut *buffer) {
            Ok(0) => return Read::End,
            Ok(count) => return Read::Bytes(buffer.get(..count).unwrap_or_default()),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Read::NotYet,
            Err(_) => return Read::End,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::os::unix::net::UnixStream;

    #[test]
    fn what_is_not_taken_at_once_waits_and_nothing_is_lost() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut outbox = Outbox::new(ours.into()).unwrap();
        let sent: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
        outbox.push(&sent).unwrap();
        assert!(outbox.stuck_since().is_some());
        let mut received = Vec::new();
        while received.len() < sent.len() {
            let mut piece = [0; 4096];
            let count = theirs.read(&mut piece).unwrap();
            received.extend_from_slice(&piece[..count]);
            outbox.flush().unwrap();
        }
        assert_eq!((received == sent, outbox.is_empty()), (true, true));
    }

    #[test]
    fn a_reader_that_is_gone_is_an_error_and_nothing_waits_for_it() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let mut outbox = Outbox::new(ours.into()).unwrap();
        assert!(outbox.push(b"x").is_err());
        assert!(outbox.is_empty());
    }
}
