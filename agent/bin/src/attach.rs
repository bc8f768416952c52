//! Attaching to a container: its output from now on, as the journal gets it, until the run ends.
//!
//! A container's stdin is closed from its start, so what is sent to it goes nowhere.

use std::io;

use agent_runtime::logs::{self, LogFormat, LogLines, LogQuery, Stream};
use agent_runtime::{Ended, NodePaths, read_records};
use agent_server::{ExecOptions, Exit, ProcessControl, Session, TerminalSize};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::io::{AsyncWriteExt as _, DuplexStream};
use tokio::task::JoinSet;

/// Bytes that wait for a slow reader; then the journal is read no further.
const WAITING: usize = 64 << 10;

/// A session with the run `invocation` of the container.
pub(crate) fn session(
    paths: &NodePaths,
    uid: &str,
    container: &str,
    invocation: String,
    options: &ExecOptions,
) -> Session {
    let query = LogQuery {
        uid: uid.to_owned(),
        container: container.to_owned(),
        invocation_id: Some(invocation.clone()),
        follow: true,
        tail: Some(0),
        since: None,
    };
    let (out, stdout) = tokio::io::duplex(WAITING);
    let (err, stderr) = tokio::io::duplex(WAITING);
    let mut pump = JoinSet::new();
    pump.spawn(copy(logs::read(paths, query), out, err));
    Session {
        stdin: options.stdin.then(|| Box::pin(tokio::io::sink()) as _),
        stdout: options.stdout.then(|| Box::pin(stdout) as _),
        stderr: (options.stderr && !options.tty).then(|| Box::pin(stderr) as _),
        process: Box::new(Attached {
            paths: paths.clone(),
            uid: uid.to_owned(),
            container: container.to_owned(),
            invocation,
            pump,
        }),
    }
}

/// Sorts lines by stream until they end; a stream that nobody reads is passed over.
async fn copy(mut lines: LogLines, mut out: DuplexStream, mut err: DuplexStream) {
    let mut format = LogFormat::new(false, None);
    while let Some(Ok(line)) = lines.recv().await {
        let Some(bytes) = format.render(&line) else {
            return;
        };
        let to = match line.stream {
            Stream::Stdout => &mut out,
            Stream::Stderr => &mut err,
        };
        drop(to.write_all(&bytes).await);
    }
}

struct Attached {
    paths: NodePaths,
    uid: String,
    container: String,
    invocation: String,
    pump: JoinSet<()>,
}

impl ProcessControl for Attached {
    fn resize(&mut self, _: TerminalSize) -> io::Result<()> {
        Ok(())
    }

    fn wait(&mut self) -> BoxFuture<'_, io::Result<Exit>> {
        async move {
            while self.pump.join_next().await.is_some() {}
            let records = read_records(&self.paths, &self.uid, &self.container).unwrap_or_default();
            let end = records
                .recent
                .iter()
                .find(|record| record.invocation_id == self.invocation);
            Ok(end.map_or(Exit::Code(0), |record| match record.ended {
                Ended::Exited => Exit::Code(record.exit_code),
                Ended::Killed | Ended::Dumped => Exit::Signal(record.signal),
            }))
        }
        .boxed()
    }
}
