//! The seam to the pods of this node.

use std::fmt;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;

pub use agent_streams::remote_command::TerminalSize;
use bytes::Bytes;
use futures::Stream;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use tokio::io::{AsyncRead, AsyncWrite};

/// A pod, as a URL names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PodPath {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// UID of the pod, where the caller insists on one.
    pub uid: Option<String>,
}

/// A container of a pod, as a URL names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ContainerPath {
    /// The pod.
    pub pod: PodPath,
    /// Name of the container.
    pub container: String,
}

/// From when on log lines are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// So many seconds before now.
    Seconds(u64),
    /// From this instant on.
    Time(jiff::Timestamp),
}

/// What part of a container's log is wanted; the fields are those of `PodLogOptions`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Keep the stream open and send new lines as they come.
    pub follow: bool,
    /// The log of the instance before the current one.
    pub previous: bool,
    /// Begin each line with its RFC 3339 time.
    pub timestamps: bool,
    /// Only so many lines from the end.
    pub tail_lines: Option<u64>,
    /// Only lines from then on.
    pub since: Option<Since>,
    /// End after so many bytes.
    pub limit_bytes: Option<u64>,
    /// Only what came by this stream.
    pub stream: Option<OutputStream>,
}

/// One of a container's two outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Log bytes as they are sent: whole lines with their newline, in the order they were written.
///
/// Dropping the stream ends the reading behind it.
pub type LogStream = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// The reading half of a container's stream.
pub type BoxRead = Pin<Box<dyn AsyncRead + Send>>;

/// The writing half of a container's stream; shutting it down is end of file for the process.
pub type BoxWrite = Pin<Box<dyn AsyncWrite + Send>>;

/// What a caller wants of exec or attach.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecOptions {
    /// The command and its arguments; empty for attach.
    pub command: Vec<String>,
    /// Connect standard input.
    pub stdin: bool,
    /// Connect standard output.
    pub stdout: bool,
    /// Connect standard error; never together with `tty`.
    pub stderr: bool,
    /// Run on a terminal.
    pub tty: bool,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Exit {
    /// The code a shell would report: the exit code, or 128 plus the signal.
    #[must_use]
    pub fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => signal.saturating_add(128),
        }
    }
}

/// Control over the process behind a [`Session`]. Dropping it releases (and for exec may end) the process.
pub trait ProcessControl: Send {
    /// Tells the terminal its new size; does nothing where there is no terminal.
    ///
    /// # Errors
    ///
    /// Passes on what the terminal refused.
    fn resize(&mut self, size: TerminalSize) -> io::Result<()>;

    /// Waits for the end of the process; cancel-safe, and answers again when called again.
    fn wait(&mut self) -> BoxFuture<'_, io::Result<Exit>>;
}

/// A running exec or attach. Outputs that were not asked for may be `None`, and are read and dropped where they
/// are not; with a terminal, `stdout` carries both outputs and `stderr` is `None`.
pub struct Session {
    /// Standard input of the process.
    pub stdin: Option<BoxWrite>,
    /// Standard output of the process, or its terminal.
    pub stdout: Option<BoxRead>,
    /// Standard error of the process.
    pub stderr: Option<BoxRead>,
    /// The process.
    pub process: Box<dyn ProcessControl>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("stdin", &self.stdin.is_some())
            .field("stdout", &self.stdout.is_some())
            .field("stderr", &self.stderr.is_some())
            .finish_non_exhaustive()
    }
}

/// Where a pod's ports are reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PodNetwork {
    /// The node's own network namespace.
    Host,
    /// The network namespace pinned at this path.
    Namespace(PathBuf),
}

/// Why a request about a pod cannot be answered; each variant is one HTTP status.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// 404: no such pod here.
    #[error("pods \"{pod}\" not found in namespace \"{namespace}\" on this node")]
    PodNotFound {
        /// Namespace that was asked for.
        namespace: String,
        /// Name that was asked for.
        pod: String,
    },
    /// 404: the pod has no such container.
    #[error("container \"{container}\" not found in pod \"{pod}\"")]
    ContainerNotFound {
        /// Name of the pod.
        pod: String,
        /// Name that was asked for.
        container: String,
    },
    /// 400: the container is there, but not in a state that allows this.
    #[error("container \"{container}\" in pod \"{pod}\" {reason}")]
    NotReady {
        /// Name of the pod.
        pod: String,
        /// Name of the container.
        container: String,
        /// Completes the sentence, such as `is waiting to start: ContainerCreating`.
        reason: String,
    },
    /// 400: the container has not run before.
    #[error("previous terminated container \"{container}\" in pod \"{pod}\" not found")]
    NoPrevious {
        /// Name of the pod.
        pod: String,
        /// Name of the container.
        container: String,
    },
    /// 501: this node cannot do that.
    #[error("{what} is not supported by this node")]
    Unsupported {
        /// What was asked for.
        what: String,
    },
    /// 500: it should have worked.
    #[error("{attempted}")]
    Failed {
        /// What was attempted, and on what.
        attempted: String,
        /// Why it failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The pods of this node as the endpoint sees them.
pub trait PodAccess: Send + Sync + 'static {
    /// Every pod of this node with its status.
    fn pods(&self) -> impl Future<Output = Vec<Pod>> + Send;

    /// The log of a container.
    fn logs(
        &self,
        container: &ContainerPath,
        options: &LogOptions,
    ) -> impl Future<Output = Result<LogStream, AccessError>> + Send;

    /// Starts a command in a running container.
    fn exec(
        &self,
        container: &ContainerPath,
        options: &ExecOptions,
    ) -> impl Future<Output = Result<Session, AccessError>> + Send;

    /// Connects to the streams of a running container's own process.
    fn attach(
        &self,
        container: &ContainerPath,
        options: &ExecOptions,
    ) -> impl Future<Output = Result<Session, AccessError>> + Send;

    /// Where the pod's ports are.
    fn network(&self, pod: &PodPath) -> impl Future<Output = Result<PodNetwork, AccessError>> + Send;
}
