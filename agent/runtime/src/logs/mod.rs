//! Log lines of a container, read from the journal.
//!
//! The journal is a set of files, so reading blocks: each query has a thread of its own, which
//! hands lines over a short channel and ends soon after its reader is gone.

mod query;
mod render;

use std::path::PathBuf;

use tokio::sync::mpsc;

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
}

/// Why the journal could not be read.
#[derive(Debug, thiserror::Error)]
#[error("read the journal for container {container} of pod {uid}")]
pub struct LogError {
    uid: String,
    container: String,
    #[source]
    source: sdjournal::SdJournalError,
}

/// Lines as they are found; an error is the last of them.
pub type LogLines = mpsc::Receiver<Result<LogLine, LogError>>;

/// Reads lines. The stream ends after the last one, or when the followed run has ended.
#[must_use]
pub fn read(paths: &NodePaths, query: LogQuery) -> LogLines {
    let (sender, receiver) = mpsc::channel(WAITING);
    let dir: PathBuf = paths.container_dir(&query.uid, &query.container);
    std::thread::spawn(move || {
        let reader = query::Reader::new(&query, &dir, &sender);
        if let Err(source) = reader.run() {
            let error = LogError {
                uid: query.uid.clone(),
                container: query.container.clone(),
                source,
            };
            // A reader that is gone needs no error.
            drop(sender.blocking_send(Err(error)));
        }
    });
    receiver
}
