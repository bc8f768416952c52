//! The container's two streams in the journal, written by the holder.

use std::io;
use std::os::unix::net::UnixStream;

use super::outbox::Outbox;
use super::relay::Stream;
use crate::launch::Identity;
use crate::start::journal;

/// Both streams.
#[derive(Debug)]
pub(super) struct Journal {
    identity: Identity,
    stdout: Outbox,
    stderr: Outbox,
}

impl Journal {
    /// Opens both.
    pub(super) fn open(identity: &Identity) -> io::Result<Self> {
        Ok(Self {
            stdout: outbox(identity, Stream::Stdout)?,
            stderr: outbox(identity, Stream::Stderr)?,
            identity: identity.clone(),
        })
    }

    /// Both, with what they have not taken yet.
    pub(super) fn outboxes(&self) -> [(Stream, &Outbox); 2] {
        [(Stream::Stdout, &self.stdout), (Stream::Stderr, &self.stderr)]
    }

    /// Adds output. A stream that journald has dropped is opened anew; where that fails too, these
    /// bytes are lost to the journal, but not to those who are attached.
    pub(super) fn push(&mut self, stream: Stream, bytes: &[u8]) {
        if self.of(stream).push(bytes).is_ok() {
            return;
        }
        if let Ok(mut fresh) = outbox(&self.identity, stream) {
            drop(fresh.push(bytes));
            *self.of(stream) = fresh;
        }
    }

    /// Writes what is taken at once.
    pub(super) fn flush(&mut self, stream: Stream) {
        // A broken stream is opened anew with the next output.
        drop(self.of(stream).flush());
    }

    fn of(&mut self, stream: Stream) -> &mut Outbox {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }
}

fn outbox(identity: &Identity, stream: Stream) -> io::Result<Outbox> {
    let priority = match stream {
        Stream::Stdout => journal::PRIORITIES.0,
        Stream::Stderr => journal::PRIORITIES.1,
    };
    let opened: UnixStream = journal::stream(identity, priority)?;
    Outbox::new(opened.into())
}
