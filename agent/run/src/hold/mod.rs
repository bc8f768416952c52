//! The holder of a container's streams, for `stdin: true` and `tty: true` alone.
//!
//! It is the unit's main process, between PID 1 and the container: it holds the terminal or the pipes,
//! copies what comes out to the journal and to those who attach, and ends as the container's process
//! does, so that systemd sees the container's own exit code or signal. Being the main process it is
//! not killed before the last words are copied, as a mere companion would be.

mod client;
mod console;
mod input;
mod journal;
mod outbox;
mod relay;
mod signals;

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, set_child_subreaper};
use serde::{Deserialize, Serialize};

use self::console::Console;
use self::relay::Relay;
use self::signals::Signals;
use crate::attach::ATTACH_SOCKET;
use crate::launch::{Identity, PID_FILE};

/// Where systemd listens for its services.
const NOTIFY_SOCKET: &str = "/run/systemd/notify";

/// What of a container's streams is held. In `launch.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// A terminal, instead of pipes.
    pub tty: bool,
    /// Whether its stdin is open to those who attach.
    pub stdin: bool,
    /// Whether stdin ends with the first who had it.
    pub stdin_once: bool,
}

/// Whose streams they are, and how the container is made.
#[derive(Debug)]
pub(crate) struct Task<'a> {
    /// The container's directory.
    pub(crate) dir: &'a Path,
    /// Whose container it is.
    pub(crate) identity: &'a Identity,
    /// What is held.
    pub(crate) held: Held,
    /// `crun create` up to its last argument, the container's id.
    pub(crate) create: Command,
    /// That last argument.
    pub(crate) container_id: &'a str,
}

/// Makes the container, tells systemd so, and holds its streams until its process ends. The answer is
/// its exit code; where a signal ended it, that signal ends this program too.
///
/// # Errors
///
/// Says why the container could not be made. Later failures only cost what they touch.
pub(crate) fn run(mut task: Task<'_>) -> io::Result<u8> {
    // The container's process is crun's child; without this it would become PID 1's when crun ends.
    set_child_subreaper(Some(rustix::process::getpid()))?;
    let listener = listen(task.dir)?;
    let streams = Console::prepare(task.dir, task.held)?;
    let (streams, created) = streams.create(&mut task.create, task.container_id)?;
    if !created.success() {
        // crun has said why, in the file for it.
        return Ok(u8::try_from(created.code().unwrap_or(1)).unwrap_or(1));
    }
    let init = init(&task.dir.join(PID_FILE))?;
    // Not before crun ran: it would hand the blocked signals on to the container.
    let signals = Signals::take()?;
    ready()?;
    let journal = journal::Journal::open(task.identity)?;
    let ended = Relay::new(listener, streams, journal, task.held).run(&signals, init, &task.create)?;
    Ok(signals::end_as(ended))
}

/// The socket for those who attach. A socket's path is short, the folder's is not: it is bound by way
/// of a descriptor.
fn listen(dir: &Path) -> io::Result<UnixListener> {
    let folder = File::open(dir)?;
    let listener = UnixListener::bind(short(&folder, ATTACH_SOCKET))?;
    fs::set_permissions(dir.join(ATTACH_SOCKET), Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// A path to a file in `folder` that any process may use while `folder` is open here.
fn short(folder: &File, name: &str) -> PathBuf {
    PathBuf::from(format!(
        "/proc/{}/fd/{}/{name}",
        std::process::id(),
        folder.as_raw_fd()
    ))
}

fn init(pid_file: &Path) -> io::Result<Pid> {
    let text = fs::read_to_string(pid_file)?;
    let number = text.trim().parse().ok();
    number
        .and_then(Pid::from_raw)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "crun wrote no process id"))
}

/// Says to systemd that the container is made, so that `ExecStartPost=` starts it. sd_notify(3).
fn ready() -> io::Result<()> {
    // $NOTIFY_SOCKET is not in the environment of every transient unit; the system manager's is here.
    UnixDatagram::unbound()?
        .send_to(b"READY=1", NOTIFY_SOCKET)
        .map(drop)
}
