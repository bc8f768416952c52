//! Signals: systemd sends them to this program and means the container.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::Command;

use nix::sys::signal::{SigSet, Signal, kill, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid as NixPid;
use rustix::process::{DumpableBehavior, Pid, WaitOptions, set_dumpable_behavior, wait};

/// How the container's process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// By itself.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// All signals that come to this program.
#[derive(Debug)]
pub(super) struct Signals(SignalFd);

impl Signals {
    /// From now on signals wait to be read. Children started later would inherit that.
    pub(super) fn take() -> io::Result<Self> {
        let all = SigSet::all();
        all.thread_block()?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Self(SignalFd::with_flags(&all, flags)?))
    }

    /// Hands on what came, and reaps. The answer is the end of `init`, once it has ended.
    pub(super) fn pass_on(&self, init: Pid, create: &Command) -> io::Result<Option<Ended>> {
        while let Some(came) = self.0.read_signal()? {
            let number = i32::try_from(came.ssi_signo).unwrap_or_default();
            match Signal::try_from(number) {
                Ok(Signal::SIGCHLD | Signal::SIGPIPE) => {}
                // It may be gone already.
                Ok(signal) => {
                    kill(NixPid::from_raw(init.as_raw_pid()), signal).ok();
                }
                Err(_) => by_crun(create, number),
            }
        }
        reap(init)
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Real-time signals have no name in the libraries that are safe to call; crun takes the number.
fn by_crun(create: &Command, number: i32) {
    // What comes first is crun's own. Not the log: an error in it would count as a failed start.
    let own = create.get_args().take_while(|word| *word != "--log");
    let mut command = Command::new(create.get_program());
    command.args(own).arg("kill");
    if let Some(container) = create.get_args().last() {
        // What cannot be sent is as if it had been ignored.
        drop(command.arg(container).arg(number.to_string()).status());
    }
}

/// Takes in every child that ended: in the host's process namespace the container's orphans too.
fn reap(init: Pid) -> io::Result<Option<Ended>> {
    let mut ended = None;
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid == init => {
                let code = status.exit_status().map(Ended::Code);
                ended = code.or_else(|| status.terminating_signal().map(Ended::Signal));
            }
            Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
            Ok(None) => return Ok(ended),
            // No child is left: without having seen its end, none can be told.
            Err(rustix::io::Errno::CHILD) => return Ok(Some(ended.unwrap_or(Ended::Code(255)))),
            Err(error) => return Err(error.into()),
        }
    }
}

/// The exit code for an end; by a signal this program ends in the same way, without a core dump of
/// its own.
pub(super) fn end_as(ended: Ended) -> u8 {
    match ended {
        Ended::Code(code) => u8::try_from(code).unwrap_or(u8::MAX),
        Ended::Signal(number) => {
            if let Ok(signal) = Signal::try_from(number) {
                // Whatever fails here, the code below says the same.
                set_dumpable_behavior(DumpableBehavior::NotDumpable).ok();
                raise(signal).ok();
                SigSet::all().thread_unblock().ok();
            }
            u8::try_from(number.saturating_add(128)).unwrap_or(u8::MAX)
        }
    }
}
