//! The container's stdout and stderr as two journal streams.

use std::io::{self, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::StartError;
use crate::launch::Identity;

const SOCKET: &str = "/run/systemd/journal/stdout";

/// syslog's `info` and `err`: how a reader tells the two streams apart.
pub(crate) const PRIORITIES: (u8, u8) = (6, 3);

/// Makes fresh streams this program's stdout and stderr. journald files the lines under the unit
/// (and its `LogExtraFields=`) by the cgroup of whoever opened the stream.
pub(super) fn open(identity: &Identity) -> Result<(), StartError> {
    let failed = || StartError::io("open a stream at", Path::new(SOCKET));
    let stdout = stream(identity, PRIORITIES.0).map_err(failed())?;
    let stderr = stream(identity, PRIORITIES.1).map_err(failed())?;
    rustix::stdio::dup2_stdout(&stdout).map_err(StartError::io("take as stdout", Path::new(SOCKET)))?;
    rustix::stdio::dup2_stderr(&stderr).map_err(StartError::io("take as stderr", Path::new(SOCKET)))
}

/// A stream of one priority.
pub(crate) fn stream(identity: &Identity, priority: u8) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(SOCKET)?;
    stream.shutdown(Shutdown::Read)?;
    stream.write_all(header(identity, priority).as_bytes())?;
    Ok(stream)
}

/// Identifier, unit, priority, level prefix, then forwarding to syslog, kernel log and console.
fn header(identity: &Identity, priority: u8) -> String {
    format!(
        "{}/{}\n{}\n{priority}\n0\n0\n0\n0\n",
        identity.pod, identity.container, identity.unit
    )
}
