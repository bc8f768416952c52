//! One who is attached.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::outbox::{Outbox, Read, read};
use super::relay::Stream;
use crate::attach::{Decoder, Ending, Frame, MAX_FRAME, Wanted};

/// How long one who has connected may take to say what is wanted.
const GREETING: Duration = Duration::from_secs(5);

/// How long output still comes after the client's stdin has ended, where that ends the attachment:
/// the answer to what was typed last.
const LINGER: Duration = Duration::from_secs(1);

/// How long one who takes nothing holds up the container, and everyone else.
const PATIENCE: Duration = Duration::from_secs(30);

/// Output kept for the first who attaches, in bytes.
const EARLY: usize = 64 << 10;

/// A connection.
#[derive(Debug)]
pub(super) struct Client {
    outbox: Outbox,
    decoder: Decoder,
    /// Nothing until it was said.
    wanted: Option<Wanted>,
    /// Whether its stdin has ended.
    silent: bool,
    leaves: Option<Instant>,
    gone: bool,
}

impl Client {
    pub(super) fn new(stream: UnixStream, now: Instant) -> io::Result<Self> {
        Ok(Self {
            outbox: Outbox::new(stream.into())?,
            decoder: Decoder::default(),
            wanted: None,
            silent: false,
            leaves: now.checked_add(GREETING),
            gone: false,
        })
    }

    /// Reads once; the whole frames that came.
    pub(super) fn hear(&mut self) -> Vec<Frame> {
        let mut buffer = [0; MAX_FRAME];
        match read(self.outbox.as_fd(), &mut buffer) {
            Read::Bytes(bytes) => self.decoder.put(bytes),
            Read::NotYet => {}
            Read::End => self.gone = true,
        }
        let mut frames = Vec::new();
        loop {
            match self.decoder.take() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => return frames,
                Err(_) => {
                    self.gone = true;
                    return frames;
                }
            }
        }
    }

    /// Takes it in; with it goes what was said before anyone was there.
    pub(super) fn welcome(&mut self, wanted: Wanted, early: Option<Early>) {
        self.wanted = Some(wanted);
        self.leaves = None;
        self.send(&Frame::Opened);
        for (stream, bytes) in early.into_iter().flat_map(|early| early.pieces) {
            self.say(stream, &bytes);
        }
    }

    /// Output, where it is wanted.
    pub(super) fn say(&mut self, stream: Stream, bytes: &[u8]) {
        let asked = match stream {
            Stream::Stdout => self.wanted.is_some_and(|wanted| wanted.stdout),
            Stream::Stderr => self.wanted.is_some_and(|wanted| wanted.stderr),
        };
        if asked {
            self.send(&match stream {
                Stream::Stdout => Frame::Stdout(bytes.to_vec()),
                Stream::Stderr => Frame::Stderr(bytes.to_vec()),
            });
        }
    }

    pub(super) fn send(&mut self, frame: &Frame) {
        if self.outbox.push(&frame.encode()).is_err() {
            self.gone = true;
        }
    }

    pub(super) fn flush(&mut self) {
        if self.outbox.flush().is_err() {
            self.gone = true;
        }
    }

    /// What it asked for; nothing before it did.
    pub(super) fn wanted(&self) -> Wanted {
        self.wanted.unwrap_or_default()
    }

    /// Whether it is known what it wants.
    pub(super) fn is_welcome(&self) -> bool {
        self.wanted.is_some()
    }

    /// Notes that its stdin has ended; whether that is news.
    pub(super) fn fall_silent(&mut self) -> bool {
        self.wanted().stdin && !std::mem::replace(&mut self.silent, true)
    }

    /// Ends the attachment soon.
    pub(super) fn leave_soon(&mut self, now: Instant) {
        self.leaves = now.checked_add(LINGER);
    }

    pub(super) fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    pub(super) fn drop_out(&mut self) {
        self.gone = true;
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone
    }

    /// When something about it is due.
    pub(super) fn due(&self) -> Option<Instant> {
        let stuck = self
            .outbox
            .stuck_since()
            .and_then(|since| since.checked_add(PATIENCE));
        [self.leaves, stuck].into_iter().flatten().min()
    }

    /// Lets it go where that is due at `now`.
    pub(super) fn expire(&mut self, now: Instant) {
        if self.due().is_some_and(|due| due <= now) {
            // One who takes nothing is told nothing either.
            if self.is_welcome() && self.outbox.is_empty() {
                self.send(&Frame::End(Ending::Detached));
            }
            self.gone = true;
        }
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.outbox.as_fd()
    }
}

/// What was said before anyone was attached, the newest [`EARLY`] bytes of it.
#[derive(Debug, Default)]
pub(super) struct Early {
    pieces: VecDeque<(Stream, Vec<u8>)>,
    bytes: usize,
}

impl Early {
    pub(super) fn keep(&mut self, stream: Stream, bytes: &[u8]) {
        self.pieces.push_back((stream, bytes.to_vec()));
        self.bytes = self.bytes.saturating_add(bytes.len());
        while self.bytes > EARLY
            && let Some((_, oldest)) = self.pieces.pop_front()
        {
            self.bytes = self.bytes.saturating_sub(oldest.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hold::relay::PIECE;

    #[test]
    fn of_early_output_the_newest_is_kept_within_bounds() {
        let mut early = Early::default();
        for n in 0..100_u8 {
            early.keep(Stream::Stdout, &vec![n; PIECE]);
        }
        let kept: usize = early.pieces.iter().map(|(_, piece)| piece.len()).sum();
        assert!(early.bytes <= EARLY && early.bytes == kept);
        assert_eq!(early.pieces.back().unwrap().1[0], 99);
    }

    #[test]
    fn one_who_says_nothing_is_let_go_and_one_who_is_attached_is_not() {
        let now = Instant::now();
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let mut client = Client::new(ours, now).unwrap();
        client.expire(now + GREETING);
        assert!(client.is_gone());
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let mut client = Client::new(ours, now).unwrap();
        client.welcome(Wanted::default(), None);
        client.expire(now + GREETING + PATIENCE);
        assert!(!client.is_gone());
    }

    #[test]
    fn one_who_takes_nothing_is_cut_off_after_a_while_and_no_sooner() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let mut client = Client::new(ours, Instant::now()).unwrap();
        let wanted = Wanted {
            stdout: true,
            ..Wanted::default()
        };
        client.welcome(wanted, None);
        while client.outbox().is_empty() {
            client.say(Stream::Stdout, &[0; PIECE]);
        }
        let stuck = client.outbox().stuck_since().unwrap();
        client.expire(stuck + PATIENCE / 2);
        assert!(!client.is_gone());
        client.expire(stuck + PATIENCE);
        assert!(client.is_gone());
    }
}
