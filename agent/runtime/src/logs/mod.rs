//! Log lines of a container, read from the journal.
//!
//! The journal is a set of files, so reading blocks: each query has a thread of its own, which
//! hands lines over a short channel and ends soon after its reader is gone.

mod query;
mod render;
mod settle;
mod waiter;

use std::io;
use std::path::PathBuf;

use tokio::sync::mpsc;

use self::waiter::Gone;
use crate::NodePaths;

pub use render::LogFormat;

/// Lines that wait for a slow reader; then the reading thread waits, never the container.
const WAITING: usize = 64;

/// Which lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// UID of the pod.
    pub uid: String,
    /// Name of the container.
    pub container: String,
    /// Which run, by systemd's id of it; `None` is every run of the container.
    pub invocation_id: Option<String>,
    /// Go on with what comes: of one run until it has ended, of every run until the reader goes.
    pub follow: bool,
    /// Only this many of the last lines.
    pub tail: Option<usize>,
    /// Not before this time, microseconds since the epoch.
    pub since: Option<u64>,
    /// Only what came by this one; `None` is both.
    pub stream: Option<Stream>,
}

/// Which stream a line came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One line, or a piece of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When journald took it, microseconds since the epoch.
    pub time: u64,
    /// Which stream it came by.
    pub stream: Stream,
    /// Its bytes, with no line feed.
    pub bytes: Vec<u8>,
    /// Whether the line goes on in the next one: journald cuts at 48 KiB.
    pub partial: bool,
    /// Whether the stream ended before the line did.
    pub cut_off: bool,
}

/// Why the journal could not be read.
#[derive(Debug, thiserror::Error)]
#[error("read the journal for container {container} of pod {uid}")]
pub struct LogError {
    uid: String,
    container: String,
    #[source]
    source: JournalError,
}

/// What the journal's files refused.
#[derive(Debug, thiserror::Error)]
enum JournalError {
    /// They could not be read.
    #[error(transparent)]
    Read(#[from] sdjournal::SdJournalError),
    /// They could not be watched.
    #[error("watch the journal's folders")]
    Watch(#[from] io::Error),
}

/// Lines as they are found; an error is the last of them. Dropping it ends the reading thread at once.
#[derive(Debug)]
pub struct LogLines {
    lines: mpsc::Receiver<Result<LogLine, LogError>>,
    gone: Option<Gone>,
}

impl LogLines {
    /// The next line; `None` after the last. Cancel-safe.
    pub async fn recv(&mut self) -> Option<Result<LogLine, LogError>> {
        self.lines.recv().await
    }
}

impl Drop for LogLines {
    fn drop(&mut self) {
        // First, so that the thread finds the channel closed when it is woken.
        self.lines.close();
        if let Some(gone) = &self.gone {
            gone.tell();
        }
    }
}

/// Reads lines. The stream ends after the last one, or when the followed run has ended.
#[must_use]
pub fn read(paths: &NodePaths, query: LogQuery) -> LogLines {
    let (sender, receiver) = mpsc::channel(WAITING);
    let dir: PathBuf = paths.container_dir(&query.uid, &query.container);
    let gone = Gone::new();
    let told = gone.as_ref().ok().cloned();
    std::thread::spawn(move || {
        let read = gone.map_err(JournalError::from).and_then(|gone| {
            let reader = query::Reader::new(&query, &dir, &sender);
            reader.run(gone)
        });
        if let Err(source) = read {
            let error = LogError {
                uid: query.uid.clone(),
                container: query.container.clone(),
                source,
            };
            // A reader that is gone needs no error.
            drop(sender.blocking_send(Err(error)));
        }
    });
    LogLines {
        lines: receiver,
        gone: told,
    }
}
