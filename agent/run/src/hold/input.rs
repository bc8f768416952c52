//! The container's stdin: a terminal's, or a pipe.

use std::io;
use std::os::fd::OwnedFd;

use super::outbox::Outbox;

/// Where input goes, until it is closed.
#[derive(Debug, Default)]
pub(super) struct Input {
    outbox: Option<Outbox>,
    closing: bool,
}

impl Input {
    /// Over `to`; `None` swallows what comes.
    pub(super) fn new(to: Option<OwnedFd>) -> io::Result<Self> {
        Ok(Self {
            outbox: to.map(Outbox::new).transpose()?,
            closing: false,
        })
    }

    /// The descriptor, while something waits for it.
    pub(super) fn waiting(&self) -> Option<&Outbox> {
        self.outbox.as_ref().filter(|outbox| !outbox.is_empty())
    }

    /// Adds input. A container that has closed its stdin gets no more.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.closing {
            return;
        }
        if self
            .outbox
            .as_mut()
            .is_some_and(|outbox| outbox.push(bytes).is_err())
        {
            self.outbox = None;
        }
    }

    /// Writes what is taken at once.
    pub(super) fn flush(&mut self) {
        if self.outbox.as_mut().is_some_and(|outbox| outbox.flush().is_err()) {
            self.outbox = None;
        }
        self.finish();
    }

    /// End of file for the container, once it has read what waits.
    pub(super) fn close(&mut self) {
        self.closing = true;
        self.finish();
    }

    fn finish(&mut self) {
        if self.closing && self.waiting().is_none() {
            self.outbox = None;
        }
    }
}
