//! What can go wrong with a machine.

use std::path::PathBuf;
use std::time::Duration;

/// Why a machine, its root file system or its network could not be handled.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// A program could not be started at all.
    #[error("start {program}")]
    Spawn {
        /// The program's name.
        program: String,
        /// Why the kernel refused.
        #[source]
        source: std::io::Error,
    },
    /// A program ran and failed.
    #[error("{command} failed ({status}): {output}")]
    Failed {
        /// The whole command line.
        command: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// The end of what it printed on standard error.
        output: String,
    },
    /// A file operation failed.
    #[error("{action} {}", path.display())]
    File {
        /// The verb, such as `create`.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Something did not happen in time.
    #[error("machine {machine} {what} for {} s; its console is in {}", waited.as_secs(), console.display())]
    Late {
        /// The machine's name.
        machine: String,
        /// What was waited for, in words.
        what: &'static str,
        /// For how long.
        waited: Duration,
        /// Where its console output is.
        console: PathBuf,
    },
    /// The machine is not running.
    #[error("machine {0} is not running")]
    NotRunning(String),
    /// The machine's end of its link names no link of this host.
    #[error("machine {0} has no link to this host")]
    NoLink(String),
    /// This host cannot be a node.
    #[error("this host cannot become a node: {0}")]
    Host(&'static str),
    /// Every candidate network is in use.
    #[error("no free network in 10.88.0.0/16: every /24 is used by a cluster or by this host")]
    NoSubnet,
}

impl MachineError {
    /// A closure that wraps an I/O error of `action` on `path`.
    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}
