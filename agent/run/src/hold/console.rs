//! The container's ends of its streams, and ours.

use std::fs::{self, File};
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::pipe::{PipeFlags, pipe_with};

use super::outbox::unblock;
use super::{Held, short};

const SOCKET: &str = "console.sock";

/// Our ends.
#[derive(Debug)]
pub(super) struct Streams {
    /// The container's stdin, where it is open.
    pub(super) stdin: Option<OwnedFd>,
    /// Its stdout, or its terminal's output.
    pub(super) stdout: OwnedFd,
    /// Its stderr; a terminal has none.
    pub(super) stderr: Option<OwnedFd>,
    /// Its terminal.
    pub(super) terminal: Option<OwnedFd>,
}

/// How the streams come to be.
#[derive(Debug)]
pub(super) enum Console {
    /// crun makes the terminal inside the container and sends it over this socket.
    Terminal {
        listener: UnixListener,
        folder: File,
        path: PathBuf,
        stdin: bool,
    },
    /// Pipes.
    Pipes { stdin: bool },
}

impl Console {
    /// What has to be there before crun runs.
    pub(super) fn prepare(dir: &Path, held: Held) -> io::Result<Self> {
        if !held.tty {
            return Ok(Self::Pipes { stdin: held.stdin });
        }
        let (folder, path) = (File::open(dir)?, dir.join(SOCKET));
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Ok(Self::Terminal {
            listener: UnixListener::bind(short(&folder, SOCKET))?,
            folder,
            path,
            stdin: held.stdin,
        })
    }

    /// Runs `crun create`; the streams are of use where it succeeded.
    pub(super) fn create(
        self,
        create: &mut Command,
        container_id: &str,
    ) -> io::Result<(Streams, ExitStatus)> {
        match self {
            Self::Pipes { stdin } => by_pipes(create.arg(container_id), stdin),
            Self::Terminal {
                listener,
                folder,
                path,
                stdin,
            } => {
                create
                    .arg("--console-socket")
                    .arg(short(&folder, SOCKET))
                    .arg(container_id);
                let made = by_terminal(create, &listener, stdin);
                // It has done its work, or never will.
                drop(fs::remove_file(path));
                made
            }
        }
    }
}

fn by_pipes(create: &mut Command, stdin: bool) -> io::Result<(Streams, ExitStatus)> {
    let input = if stdin { Some(pipe()?) } else { None };
    let ((stdout, out), (stderr, err)) = (pipe()?, pipe()?);
    let (theirs, ours) = input.unzip();
    create
        .stdin(theirs.map_or_else(Stdio::null, Stdio::from))
        .stdout(out)
        .stderr(err);
    let created = create.status();
    // The command keeps the container's ends open, and with them the streams would never end.
    create
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    unblock(&stdout)?;
    unblock(&stderr)?;
    let streams = Streams {
        stdin: ours,
        stdout,
        stderr: Some(stderr),
        terminal: None,
    };
    Ok((streams, created?))
}

/// Reading and writing end.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(pipe_with(PipeFlags::CLOEXEC)?)
}

fn by_terminal(
    create: &mut Command,
    listener: &UnixListener,
    stdin: bool,
) -> io::Result<(Streams, ExitStatus)> {
    let created = create.stdin(Stdio::null()).status()?;
    let master = if created.success() {
        // crun connected and sent while it ran; both have waited here.
        listener.set_nonblocking(true)?;
        descriptor(&listener.accept()?.0)?
    } else {
        // There is no terminal, and none will be asked for.
        File::open("/dev/null")?.into()
    };
    unblock(&master)?;
    let streams = Streams {
        stdin: if stdin { Some(master.try_clone()?) } else { None },
        stdout: master.try_clone()?,
        stderr: None,
        terminal: Some(master),
    };
    Ok((streams, created))
}

fn descriptor(stream: &std::os::unix::net::UnixStream) -> io::Result<OwnedFd> {
    let mut name = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    recvmsg(stream, &mut [IoSliceMut::new(&mut name)], &mut control, flags)?;
    let received = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut all) => all.next(),
        _ => None,
    });
    received.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "crun sent no terminal"))
}
