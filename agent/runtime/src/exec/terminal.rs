//! The terminal of a session: its master side, received from crun over a socket.

use std::fs;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::unix::pipe;
use tokio::net::{UnixListener, UnixStream};

/// The socket crun sends the master side over; its file goes with it.
#[derive(Debug)]
pub(super) struct ConsoleSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ConsoleSocket {
    pub(super) fn bind(path: &Path) -> io::Result<Self> {
        Ok(Self {
            listener: UnixListener::bind(path)?,
            path: path.to_owned(),
        })
    }

    /// Waits for crun and takes the terminal.
    pub(super) async fn receive(&self) -> io::Result<Terminal> {
        let (stream, _) = self.listener.accept().await?;
        loop {
            stream.readable().await?;
            match stream.try_io(tokio::io::Interest::READABLE, || descriptor(&stream)) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                other => return other.map(Terminal),
            }
        }
    }
}

impl Drop for ConsoleSocket {
    fn drop(&mut self) {
        // At worst an empty socket file stays under /run.
        drop(fs::remove_file(&self.path));
    }
}

fn descriptor(stream: &UnixStream) -> io::Result<OwnedFd> {
    let mut name = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    recvmsg(
        stream,
        &mut [IoSliceMut::new(&mut name)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let received = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut all) => all.next(),
        _ => None,
    });
    received.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "crun sent no terminal"))
}

/// The master side.
#[derive(Debug)]
pub(super) struct Terminal(OwnedFd);

impl Terminal {
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone()?))
    }

    pub(super) fn resize(&self, columns: u16, rows: u16) -> io::Result<()> {
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        Ok(tcsetwinsize(&self.0, size)?)
    }

    /// What is typed and what is shown.
    pub(super) fn open(&self) -> io::Result<(pipe::Sender, Screen)> {
        let flags = fcntl_getfl(&self.0)?;
        fcntl_setfl(&self.0, flags | OFlags::NONBLOCK)?;
        // A terminal is no pipe, but reads, writes and polls like one.
        let input = pipe::Sender::from_owned_fd_unchecked(self.0.try_clone()?)?;
        let output = pipe::Receiver::from_owned_fd_unchecked(self.0.try_clone()?)?;
        Ok((input, Screen(output)))
    }
}

/// Output of a terminal; it ends when the last process on it does.
#[derive(Debug)]
pub(super) struct Screen(pipe::Receiver);

impl AsyncRead for Screen {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.0).poll_read(cx, buf) {
            // How a terminal says that nobody is there any more.
            Poll::Ready(Err(e)) if e.raw_os_error() == Some(nix::libc::EIO) => Poll::Ready(Ok(())),
            other => other,
        }
    }
}
