//! What goes wrong with links.

use std::io;

use rustix::io::Errno;

/// Why a request to the kernel failed.
#[derive(Debug, thiserror::Error)]
#[error("{attempted}")]
pub struct NetlinkError {
    /// What was attempted, and on what.
    attempted: String,
    /// Why it failed.
    source: io::Error,
}

impl NetlinkError {
    pub(crate) fn io(attempted: impl Into<String>, source: io::Error) -> Self {
        Self {
            attempted: attempted.into(),
            source,
        }
    }

    pub(crate) fn absent(attempted: impl Into<String>) -> Self {
        Self::io(attempted, Errno::NODEV.into())
    }

    pub(crate) fn request(attempted: impl Into<String>, source: rtnetlink::Error) -> Self {
        let source = match source {
            rtnetlink::Error::NetlinkError(message) => {
                io::Error::from_raw_os_error(message.raw_code().saturating_abs())
            }
            other => io::Error::other(other),
        };
        Self::io(attempted, source)
    }

    /// Whether what should be made was there already.
    #[must_use]
    pub fn is_exists(&self) -> bool {
        self.is(Errno::EXIST)
    }

    /// Whether what was meant is not there.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        let absent = [
            Errno::NODEV,
            Errno::NOENT,
            Errno::NXIO,
            Errno::SRCH,
            Errno::ADDRNOTAVAIL,
        ];
        absent.into_iter().any(|errno| self.is(errno))
    }

    fn is(&self, errno: Errno) -> bool {
        self.source.raw_os_error() == Some(errno.raw_os_error())
    }
}
