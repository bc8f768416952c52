//! Processes entered into a running container.
//!
//! `crun exec` does the entering; started by way of `floe-run enter`, which first moves into the
//! cgroup of the container's unit, so that the process counts and dies with the container. A
//! session belongs to the agent: it ends with it.

mod process_file;
mod refusal;
mod session;
mod terminal;

use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU64, Ordering};

use agent_run::PID_FILE;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::process::Child;

use self::process_file::ProcessFile;
use self::refusal::Refusal;
use self::session::Session;
use self::terminal::Terminal;
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
    /// crun refused before the command ran.
    #[error("exec in container {container}: {said}")]
    Refused {
        /// The container's name.
        container: String,
        /// What crun said.
        said: String,
    },
    /// The host refused.
    #[error("exec in container {container}: {verb}")]
    Io {
        /// The container's name.
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
    /// Its stderr; a terminal has none.
    pub stderr: Option<Output>,
    child: Child,
    terminal: Option<Terminal>,
    pid_file: PathBuf,
    log: PathBuf,
    /// Kept until the end: crun reads it when it gets to it.
    _process: ProcessFile,
}

impl std::fmt::Debug for ExecProcess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExecProcess")
            .field("child", &self.child)
            .finish_non_exhaustive()
    }
}

impl ExecProcess {
    /// Sets the terminal's size; does nothing without one.
    ///
    /// # Errors
    ///
    /// Passes on what the terminal refused.
    pub fn resize(&self, columns: u16, rows: u16) -> io::Result<()> {
        self.terminal
            .as_ref()
            .map_or(Ok(()), |terminal| terminal.resize(columns, rows))
    }

    /// A handle that resizes the terminal while another task waits for the process; `None` without one.
    ///
    /// # Errors
    ///
    /// Where no further descriptor may be opened.
    pub fn resizer(&self) -> io::Result<Option<Resizer>> {
        self.terminal
            .as_ref()
            .map(|terminal| terminal.try_clone().map(Resizer))
            .transpose()
    }

    /// Waits for its end. A command that is not there ends with 127, one that cannot be executed with
    /// 126, and stderr, or the terminal, says why. Cancel-safe.
    ///
    /// # Errors
    ///
    /// Passes on what waiting refused, and what crun could not do.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        if status.success() {
            return Ok(status);
        }
        match Refusal::read(&self.log) {
            None => Ok(status),
            Some(refusal) => match refusal.code {
                Some(code) => Ok(ExitStatus::from_raw(code << 8)),
                None => Err(io::Error::other(refusal.message(""))),
            },
        }
    }

    /// Kills the process in the container; does nothing once it has ended.
    ///
    /// # Errors
    ///
    /// Passes on what the kernel refused.
    pub fn kill(&mut self) -> io::Result<()> {
        // An id is sure to be the process's own only while crun waits for it.
        if self.child.id().is_none() {
            return Ok(());
        }
        if let Some(pid) = read_pid(&self.pid_file) {
            kill(Pid::from_raw(pid), Signal::SIGKILL)
                .or_else(|e| if e == nix::Error::ESRCH { Ok(()) } else { Err(e) })?;
        }
        self.child.start_kill()
    }
}

impl Drop for ExecProcess {
    fn drop(&mut self) {
        // Nobody is left to tell.
        drop(self.kill());
        drop(fs::remove_file(&self.pid_file));
        drop(fs::remove_file(&self.log));
    }
}

/// Resizes the terminal of an [`ExecProcess`].
#[derive(Debug)]
pub struct Resizer(Terminal);

impl Resizer {
    /// Sets the terminal's size.
    ///
    /// # Errors
    ///
    /// Passes on what the terminal refused.
    pub fn resize(&self, columns: u16, rows: u16) -> io::Result<()> {
        self.0.resize(columns, rows)
    }
}

/// Enters the container's namespaces and its unit's cgroup and runs the command there.
///
/// # Errors
///
/// Says why nothing was started.
pub async fn spawn(
    paths: &NodePaths,
    target: &ContainerRef,
    request: &ExecRequest,
) -> Result<ExecProcess, ExecError> {
    if request.command.is_empty() {
        return Err(ExecError::Empty(target.container.clone()));
    }
    let dir = paths.container_dir(&target.uid, &target.container);
    let init = read_pid(&dir.join(PID_FILE)).ok_or_else(|| ExecError::NotRunning {
        uid: target.uid.clone(),
        container: target.container.clone(),
    })?;
    let name = unique();
    let process =
        ProcessFile::write(&dir, &format!("exec-{name}.json"), request).map_err(|source| ExecError::Io {
            container: target.container.clone(),
            verb: "describe the process",
            source,
        })?;
    let pid_file = dir.join(format!("exec-{name}.pid"));
    let log = dir.join(format!("exec-{name}.log"));
    let session = Session {
        paths,
        target,
        request,
        init,
        pid_file,
        log,
        process,
    };
    if request.tty {
        session.with_terminal().await
    } else {
        session.with_pipes()
    }
}

/// A number no other session of this agent has.
fn unique() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn read_pid(path: &Path) -> Option<i32> {
    fs::read_to_string(path)
        .ok()?
        .trim()
        .parse()
        .ok()
        .filter(|pid| *pid > 1)
}
