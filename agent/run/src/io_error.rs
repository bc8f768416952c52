//! The error of every step that the file system or the kernel refuses.

use std::io;
use std::path::{Path, PathBuf};

/// What was attempted on which path, and why it failed.
#[derive(Debug, thiserror::Error)]
#[error("{verb} {path}")]
pub struct IoError {
    verb: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl IoError {
    /// A closure that wraps what the system said about `verb` on `path`.
    pub fn at<E: Into<io::Error>>(verb: &'static str, path: &Path) -> impl FnOnce(E) -> Self + use<E> {
        let path = path.to_owned();
        move |source| Self {
            verb,
            path,
            source: source.into(),
        }
    }

    /// What kind of failure it was.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;
    use crate::{FormatError, ProcessesError, StartError};

    #[test]
    fn what_failed_is_said_once_however_deep_the_error_lies() {
        let failed = || IoError::at("create", Path::new("/a/b"))(io::Error::other("no"));
        let start = StartError::from(ProcessesError::from(failed()));
        assert_eq!(start.to_string(), "create /a/b");
        let cause = start.source().unwrap();
        assert_eq!(cause.to_string(), "no");
        assert!(cause.source().is_none());
    }

    #[test]
    fn the_systems_own_kind_is_kept() {
        let full = IoError::at("write", Path::new("x"))(rustix::io::Errno::NOSPC);
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        assert!(FormatError::from(full).is_full());
    }
}
