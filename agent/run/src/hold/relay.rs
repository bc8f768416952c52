//! The holder at work: one thread, one poll.
//!
//! The container is read only while nothing waits for the journal or for anyone attached, and those
//! attached only while nothing waits for the container. So nothing is lost, and what waits is never
//! more than one piece each way; who takes nothing for too long is cut off.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Pid;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer};
use rustix::termios::{Winsize, tcsetwinsize};

use super::Held;
use super::client::{Client, Early};
use super::console::Streams;
use super::input::Input;
use super::journal::Journal;
use super::outbox::{Read, read};
use super::signals::{Ended, Signals};
use crate::attach::{Ending, Frame};

/// Bytes read from the container at once; a frame holds them.
pub(super) const PIECE: usize = 8 << 10;

/// Most who are attached at once.
const MAX_CLIENTS: usize = 16;

/// How long the last output may take to reach the journal and those attached.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Which output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

/// Something that can be ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Signals,
    Listener,
    Source(Stream),
    Journal(Stream),
    Input,
    Client(usize),
}

/// Everything held.
#[derive(Debug)]
pub(super) struct Relay {
    listener: UnixListener,
    sources: Vec<(Stream, OwnedFd)>,
    input: Input,
    terminal: Option<OwnedFd>,
    /// The terminal's other side: while it is open, the terminal survives a container that closes it
    /// and opens it again.
    _open: Option<OwnedFd>,
    journal: Journal,
    clients: Vec<Client>,
    early: Option<Early>,
    held: Held,
}

impl Relay {
    /// With a container that was just made.
    pub(super) fn new(listener: UnixListener, streams: Streams, journal: Journal, held: Held) -> Self {
        let mut sources = vec![(Stream::Stdout, streams.stdout)];
        sources.extend(streams.stderr.map(|fd| (Stream::Stderr, fd)));
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let open = |terminal: &OwnedFd| ioctl_tiocgptpeer(terminal, flags).ok();
        Self {
            listener,
            sources,
            input: Input::new(streams.stdin).unwrap_or_default(),
            _open: streams.terminal.as_ref().and_then(open),
            terminal: streams.terminal,
            journal,
            clients: Vec::new(),
            // Such a container is made for one who attaches: nothing of what it says is to be missed.
            early: held.stdin_once.then(Early::default),
            held,
        }
    }

    /// Copies until `init` has ended and its last words are out.
    pub(super) fn run(mut self, signals: &Signals, init: Pid, create: &Command) -> io::Result<Ended> {
        loop {
            // Looked at before the first wait too: it may have ended already.
            if let Some(ended) = signals.pass_on(init, create)? {
                self.last_words();
                return Ok(ended);
            }
            for (event, flags) in self.wait(signals)? {
                self.handle(event, flags);
            }
            self.let_go();
        }
    }

    /// Whether all output read so far is out.
    fn is_quiet(&self) -> bool {
        self.journal
            .outboxes()
            .iter()
            .all(|(_, outbox)| outbox.is_empty())
            && self.clients.iter().all(|client| client.outbox().is_empty())
    }

    /// Waits for something to do.
    fn wait(&self, signals: &Signals) -> io::Result<Vec<(Event, PollFlags)>> {
        let mut all = vec![
            (Event::Signals, PollFd::new(signals, PollFlags::IN)),
            (Event::Listener, PollFd::new(&self.listener, PollFlags::IN)),
        ];
        if self.is_quiet() {
            for (stream, fd) in &self.sources {
                all.push((Event::Source(*stream), PollFd::new(fd, PollFlags::IN)));
            }
        }
        let room = self.input.waiting().is_none();
        all.extend(
            self.input
                .waiting()
                .map(|fd| (Event::Input, PollFd::new(fd, PollFlags::OUT))),
        );
        for (at, client) in self.clients.iter().enumerate() {
            let reading = if room { PollFlags::IN } else { PollFlags::empty() };
            let writing = if client.outbox().is_empty() {
                PollFlags::empty()
            } else {
                PollFlags::OUT
            };
            all.push((Event::Client(at), PollFd::new(client, reading | writing)));
        }
        all.extend(self.journal_waits());
        let due = self.clients.iter().filter_map(Client::due).min();
        ready(all, due.map(|due| due.saturating_duration_since(Instant::now())))
    }

    fn journal_waits(&self) -> impl Iterator<Item = (Event, PollFd<'_>)> {
        let waiting = |(_, outbox): &(Stream, &super::outbox::Outbox)| !outbox.is_empty();
        let of = |(stream, outbox)| {
            (
                Event::Journal(stream),
                PollFd::from_borrowed_fd(AsFd::as_fd(outbox), PollFlags::OUT),
            )
        };
        self.journal.outboxes().into_iter().filter(waiting).map(of)
    }

    fn handle(&mut self, event: Event, flags: PollFlags) {
        match event {
            // Read in each round.
            Event::Signals => {}
            Event::Listener => self.accept(),
            Event::Source(stream) => {
                self.copy(stream);
            }
            Event::Journal(stream) => self.journal.flush(stream),
            Event::Input => self.input.flush(),
            Event::Client(at) => self.serve(at, flags),
        }
    }

    fn accept(&mut self) {
        let Ok((stream, _)) = self.listener.accept() else {
            return;
        };
        let Ok(mut client) = Client::new(stream, Instant::now()) else {
            return;
        };
        if self.clients.len() < MAX_CLIENTS {
            self.clients.push(client);
        } else {
            client.send(&Frame::Full);
        }
    }

    /// Copies one piece of output; whether there was one.
    fn copy(&mut self, stream: Stream) -> bool {
        let Some((_, fd)) = self.sources.iter().find(|(s, _)| *s == stream) else {
            return false;
        };
        let mut buffer = [0; PIECE];
        match read(fd, &mut buffer) {
            Read::Bytes(bytes) => {
                self.journal.push(stream, bytes);
                self.clients
                    .iter_mut()
                    .for_each(|client| client.say(stream, bytes));
                if let Some(early) = &mut self.early {
                    early.keep(stream, bytes);
                }
                true
            }
            Read::NotYet => false,
            Read::End => {
                self.sources.retain(|(s, _)| *s != stream);
                false
            }
        }
    }

    fn serve(&mut self, at: usize, flags: PollFlags) {
        let Some(client) = self.clients.get_mut(at) else {
            return;
        };
        if flags.contains(PollFlags::OUT) {
            client.flush();
        }
        if flags.contains(PollFlags::IN) {
            for frame in client.hear() {
                self.obey(at, frame);
            }
        } else if flags.intersects(PollFlags::HUP | PollFlags::ERR) {
            client.drop_out();
        }
    }

    fn obey(&mut self, at: usize, frame: Frame) {
        let Some(client) = self.clients.get_mut(at) else {
            return;
        };
        match frame {
            Frame::Open(wanted) if !client.is_welcome() => {
                let early = if wanted.stdout { self.early.take() } else { None };
                client.welcome(wanted, early);
            }
            Frame::Stdin(bytes) if client.is_welcome() => {
                if self.held.stdin && client.wanted().stdin {
                    self.input.push(&bytes);
                }
            }
            Frame::StdinEnd if client.is_welcome() => self.stdin_over(at),
            Frame::Resize { columns, rows } if client.is_welcome() => self.resize(columns, rows),
            _ => client.drop_out(),
        }
    }

    /// As containerd has it: the end of a client's stdin is the container's where it may be had once
    /// and is no terminal; else it is the end of the attachment, and stdin stays open for the next.
    fn stdin_over(&mut self, at: usize) {
        let Some(client) = self.clients.get_mut(at) else {
            return;
        };
        if !self.held.stdin || !client.fall_silent() {
            return;
        }
        if self.held.stdin_once && !self.held.tty {
            self.input.close();
        } else {
            client.leave_soon(Instant::now());
        }
    }

    fn resize(&self, columns: u16, rows: u16) {
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        if let Some(terminal) = &self.terminal {
            // A size that is refused changes nothing.
            tcsetwinsize(terminal, size).ok();
        }
    }

    /// Lets those go who left, or whose time has come.
    fn let_go(&mut self) {
        let now = Instant::now();
        for at in 0..self.clients.len() {
            let Some(client) = self.clients.get_mut(at) else {
                return;
            };
            client.expire(now);
            if client.is_gone() {
                self.stdin_over(at);
            }
        }
        self.clients.retain(|client| !client.is_gone());
    }

    /// Copies what the container left behind, and says farewell.
    fn last_words(&mut self) {
        let until = Instant::now().checked_add(LAST_WORDS);
        while self.flush(until) && (self.copy(Stream::Stdout) | self.copy(Stream::Stderr)) {}
        for client in self.clients.iter_mut().filter(|client| client.is_welcome()) {
            client.send(&Frame::End(Ending::Exited));
        }
        self.flush(until);
    }

    /// Writes what waits; whether all of it was taken by `until`.
    fn flush(&mut self, until: Option<Instant>) -> bool {
        loop {
            self.clients.retain(|client| !client.is_gone());
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return false;
            }
            if self.is_quiet() {
                return true;
            }
            let waiting = self
                .clients
                .iter()
                .enumerate()
                .filter(|(_, client)| !client.outbox().is_empty());
            let mut all: Vec<_> = waiting
                .map(|(at, client)| (Event::Client(at), PollFd::new(client, PollFlags::OUT)))
                .collect();
            all.extend(self.journal_waits());
            let Ok(events) = ready(all, left) else {
                return false;
            };
            for (event, _) in events {
                match event {
                    Event::Client(at) => self.clients.iter_mut().skip(at).take(1).for_each(Client::flush),
                    other => self.handle(other, PollFlags::OUT),
                }
            }
        }
    }
}

/// Polls; what is ready, and how.
fn ready(all: Vec<(Event, PollFd<'_>)>, longest: Option<Duration>) -> io::Result<Vec<(Event, PollFlags)>> {
    let (events, mut fds): (Vec<Event>, Vec<PollFd<'_>>) = all.into_iter().unzip();
    let longest = longest.and_then(|longest| Timespec::try_from(longest).ok());
    match poll(&mut fds, longest.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = fds.iter().map(PollFd::revents);
    Ok(events
        .into_iter()
        .zip(flags)
        .filter(|(_, flags)| !flags.is_empty())
        .collect())
}
